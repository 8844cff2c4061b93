"""WooCommerce (REST v3) behind the shop port: a keyset walk by time of change, and metadata as status."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from urllib.parse import urlsplit

from gateway.domain.orders import ShopOrder
from gateway.errors import ShopError, ShopRefusedError
from gateway.shops.access import ShopAccess
from gateway.shops.base import Batch, Coupon, Shop, ShopProduct
from gateway.shops.fields import parse_utc
from gateway.shops.http import Answer, Exchange, open_exchange
from gateway.shops.woocommerce_coupons import end_coupon, put_coupon
from gateway.shops.woocommerce_map import MapSettings, has_refunds, set_aside, to_order
from gateway.shops.woocommerce_products import kept_meta, read_products, write_product

INDEX = "/wp-json/"
ORDERS = "/wp-json/wc/v3/orders"
PAGES_MAX = 200
SECOND = timedelta(seconds=1)
SECOND_WALKS_MAX = 3
QUIET_STEP = timedelta(seconds=60)

# A cart that became no order yet; when it does, its time of change moves.
_NOT_PLACED = frozenset({"checkout-draft", "auto-draft"})


@asynccontextmanager
async def open_woocommerce(access: ShopAccess) -> AsyncIterator[Shop]:
    """Open one WooCommerce shop; nothing is asked before the first call."""
    async with open_exchange(access, time_path=INDEX) as exchange:
        yield WooCommerce(access=access, exchange=exchange)


class WooCommerce:
    """One WooCommerce shop."""

    def __init__(self, *, access: ShopAccess, exchange: Exchange) -> None:
        self._access = access
        self._exchange = exchange
        self._settings = MapSettings(channel=access.name, currency=access.currency, personal=access.personal)
        self._overlap = timedelta(seconds=access.overlap_s)
        self._lag = timedelta(seconds=access.lag_s)

    async def site(self) -> str:
        """Give the address WordPress itself says it has, as `host/path` in lower case, without the scheme."""
        answer = await self._exchange.get(INDEX, signed=False)
        tree = answer.tree if isinstance(answer.tree, dict) else {}
        address = tree.get("home") or tree.get("url")
        site = site_address(address) if isinstance(address, str) else None
        if site is None:
            raise ShopError(f"{self._access.name}: {INDEX} does not say which site this is")
        return site

    async def first_cursor(self) -> str:
        """Give now by the shop's `Date` header; orders placed before it are never given out."""
        answer = await self._exchange.get(INDEX, signed=False)
        now = self._asked_at(answer)
        return Cursor(read_to=now - self._lag, since=now).text()

    async def pull(self, cursor: str) -> AsyncIterator[Batch]:
        """Walk the changes since the cursor by moving the filter, never the page.

        Rows may come more than once, in one pull and from pull to pull. Carts that are no orders yet
        and orders placed before the first cursor are left out. Raises `ShopError` when the shop's
        answer does not fit the question, and when `PAGES_MAX` pages did not move the cursor.
        """
        start = Cursor.parse(cursor)
        read_to = start.read_to
        after = read_to - self._overlap
        for place in range(PAGES_MAX):
            page = await self._page(after)
            if place == 0 and page.asked_at - self._lag < read_to:
                # The shop's clock went back: what it stamps from now on lies before the cursor.
                read_to = page.asked_at - self._lag
                after = read_to - self._overlap
                page = await self._page(after)
            step = next_step(page, after)
            if step.crowded:
                async for rows in self._second(step.after):
                    yield Batch(orders=await self._orders(rows, start), cursor=start.at(read_to))
                orders: tuple[ShopOrder, ...] = ()
            else:
                orders = await self._orders(page.rows, start)
            read_to = max(read_to, min(step.complete_to, page.asked_at - self._lag))
            if orders or not step.last or abs(read_to - start.read_to) >= QUIET_STEP:
                yield Batch(orders=orders, cursor=start.at(read_to))
            if step.last:
                return
            after = step.after
        if read_to <= start.read_to:
            raise ShopError(f"{self._access.name}: {PAGES_MAX} pages of changes lie ahead of the shop's own clock")

    async def write_status(self, shop_order_id: str, values: Mapping[str, str]) -> None:
        """Set metadata of the order by key, and see in the answer that it is there.

        Raises `ShopRefusedError` for an order the shop does not have (any more).
        """
        what = f"{self._access.name}: order {shop_order_id[:40]}"
        if not re.fullmatch(r"[1-9][0-9]{0,17}", shop_order_id):
            raise ShopRefusedError(f"{what} has no id the shop would know")
        meta = [{"key": key, "value": value} for key, value in values.items()]
        answer = await self._exchange.put(f"{ORDERS}/{shop_order_id}", {"meta_data": meta})
        tree = answer.tree if isinstance(answer.tree, dict) else {}
        if str(tree.get("id")) != shop_order_id:
            raise ShopError(f"{what} was written, but the answer is about another order")
        there = kept_meta(tree)
        if missing := sorted(key for key, value in values.items() if there.get(key) != value):
            raise ShopError(f"{what} was written, but the shop did not keep {', '.join(missing)}")

    async def products(self) -> tuple[ShopProduct, ...]:
        """Read every simple product and every variation that has a number and a regular price."""
        return await read_products(self._exchange, self._access)

    async def write_offer(self, product_id: str, *, price_minor: int | None, values: Mapping[str, str]) -> None:
        """Set regular price and metadata of a product or variation, and see in the answer that they are there."""
        await write_product(self._exchange, self._access, product_id, price_minor=price_minor, values=values)

    async def put_coupon(self, coupon: Coupon) -> None:
        """Have a coupon of this code, and see in the answer that it says what it should."""
        await put_coupon(self._exchange, self._access, coupon)

    async def end_coupon(self, code: str) -> None:
        """Remove the coupon of this code, if it is there."""
        await end_coupon(self._exchange, self._access, code)

    # Reading

    async def _page(self, after: datetime, *, before: datetime | None = None, number: int = 1) -> "Page":
        query = [
            ("dates_are_gmt", "true"),
            # Without a zone: with one and the flag above, WooCommerce shifts the time once more.
            ("modified_after", _wall(after)),
            ("order", "asc"),
            ("orderby", "modified"),
            ("page", str(number)),
            ("per_page", str(self._access.per_page)),
        ]
        if before is not None:
            query.append(("modified_before", _wall(before)))
        answer = await self._exchange.get(ORDERS, query)
        if not isinstance(answer.tree, list):
            raise ShopError(f"{self._access.name}: the orders did not come as a list")
        total = answer.headers.get("x-wp-total", "")
        page = Page(
            rows=tuple(answer.tree),
            total=int(total) if re.fullmatch(r"[0-9]{1,12}", total) else None,
            per_page=self._access.per_page,
            asked_at=self._asked_at(answer),
        )
        if fault := page_fault(page, after=after, before=before):
            raise ShopError(f"{self._access.name}: {fault}")
        return page

    async def _second(self, second: datetime) -> AsyncIterator[tuple[object, ...]]:
        """Read all orders changed in one and the same second, page by page, until the count is right.

        Here only the page number can move, so an order that changes meanwhile shifts the rest by one:
        the number of matching orders must stay the same from first page to last, else it all starts over.
        """
        for _ in range(SECOND_WALKS_MAX):
            ids: set[str] = set()
            totals: set[int | None] = set()
            for number in range(1, PAGES_MAX + 1):
                page = await self._page(second - SECOND, before=second + SECOND, number=number)
                new = {row_key(row) for row in page.rows} - ids
                ids |= new
                totals.add(page.total)
                yield page.rows
                if not new or len(ids) >= (page.total or 0):
                    break
            # A second so new that the cursor stays before it will be read again anyway.
            if totals == {len(ids)} or second > page.asked_at - self._lag:
                return
        raise ShopError(
            f"{self._access.name}: the orders changed at {_wall(second)} cannot be read completely:"
            " the pages do not add up to the number the shop gives"
        )

    async def _orders(self, rows: Sequence[object], start: "Cursor") -> tuple[ShopOrder, ...]:
        orders = []
        for row in {row_key(row): row for row in rows}.values():
            order = to_order(row, self._settings)
            if order.status in _NOT_PLACED or (not order.fault and order.placed_at < start.since):
                continue
            if has_refunds(row):
                order = await self._with_refunds(row, order)
            orders.append(order)
        return tuple(orders)

    async def _with_refunds(self, row: object, order: ShopOrder) -> ShopOrder:
        path = f"{ORDERS}/{order.shop_order_id}/refunds"
        if not order.shop_order_id.isdecimal():
            return order
        query = [("per_page", "100")]
        answer = await self._exchange.get(path, query, also=(404,))
        if answer.status != 200 or not isinstance(answer.tree, list):  # noqa: PLR2004 - HTTP's own number
            return set_aside(order, "refunds: the shop names some but does not give them")
        if len(answer.tree) >= 100:  # noqa: PLR2004 - the page asked for above is full
            return set_aside(order, "refunds: there are too many")
        return to_order(row, self._settings, answer.tree)

    def _asked_at(self, answer: Answer) -> datetime:
        if answer.asked_at is None:
            raise ShopError(f"{self._access.name}: the shop sends no Date header, so its time is not known")
        return answer.asked_at


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """How far a shop is read: all changes up to `read_to`, of orders placed at `since` or later. Aware UTC."""

    read_to: datetime
    since: datetime

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read a stored cursor; raise `ValueError` when it is none."""
        read_to, _, since = text.partition("/since/")
        times = parse_utc(read_to), parse_utc(since)
        if times[0] is None or times[1] is None:
            raise ValueError(f"not a cursor of this shop: {text[:60]!r}")
        return cls(read_to=times[0], since=times[1])

    def text(self) -> str:
        """Give the text that is stored."""
        return f"{_wall(self.read_to)}/since/{_wall(self.since)}"

    def at(self, read_to: datetime) -> str:
        """Give the text of the same cursor, moved."""
        return Cursor(read_to=read_to, since=self.since).text()


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One page of raw rows; `total` counts all rows that match, None when the shop does not say."""

    rows: tuple[object, ...]
    total: int | None
    per_page: int
    asked_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What a page allows: everything up to `complete_to` was seen; go on `after`, unless it was the last.

    `crowded` means that the page lies in one second altogether, which is `after`: read that second whole.
    """

    complete_to: datetime
    after: datetime
    last: bool = False
    crowded: bool = False


def next_step(page: Page, after: datetime) -> Step:
    """Decide how to go on. A second that the page ends in may go on beyond it, so it is asked for again."""
    last = len(page.rows) < page.per_page if page.total is None else page.total <= len(page.rows)
    if last:
        return Step(complete_to=page.asked_at, after=after, last=True)
    newest = max(filter(None, map(_modified, page.rows)))
    if newest - SECOND <= after:
        return Step(complete_to=newest, after=newest, crowded=True)
    return Step(complete_to=newest - SECOND, after=newest - SECOND)


def page_fault(page: Page, *, after: datetime, before: datetime | None) -> str | None:
    """Say what shows that the shop did not answer the question asked, None when nothing does."""
    times = [time for time in map(_modified, page.rows) if time is not None]
    # A single one may be one broken order, which is then set aside; more of them are a broken shop.
    if not times and len(page.rows) > (page.per_page > 1):
        return "no order says when it was changed (date_modified_gmt), so the filter cannot be trusted"
    if any(time <= after or (before is not None and time >= before) for time in times):
        return "the shop gave orders from outside the time asked for: its filter cannot be trusted"
    if any(later < earlier for earlier, later in pairwise(times)):
        return "the orders are not sorted by time of change"
    if before is None and page.total is not None and len(page.rows) < min(page.total, page.per_page):
        return f"the shop counts {page.total} changed orders but gave {len(page.rows)}"
    return None


def row_key(row: object) -> str:
    """Name a row within one pull: by its id, else by all of it."""
    return repr(row.get("id", row)) if isinstance(row, dict) else repr(row)


def site_address(address: str) -> str | None:
    """Bring a site's address into the one form that is compared: `host[:port]/path`, lower-case host."""
    try:
        parts = urlsplit(address.strip())
        port = "" if parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f":{parts.port}"
    except ValueError:
        return None
    return f"{parts.hostname}{port}{parts.path.rstrip('/')}" if parts.hostname else None


def _modified(row: object) -> datetime | None:
    return parse_utc(row.get("date_modified_gmt")) if isinstance(row, dict) else None


def _wall(time: datetime) -> str:
    return time.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat()
