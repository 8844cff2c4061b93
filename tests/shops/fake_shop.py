"""A shop in memory that fits the port, keeps a journal, and fails when it is asked to."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gateway.domain.orders import LineKind, ShopLine, ShopOrder
from gateway.errors import ShopError, ShopRefusedError
from gateway.shops.base import Batch, Coupon, ShopProduct


class FakeShop:
    """A shop whose clock is its count of changes: the cursor is the number of changes already read.

    `echo` makes our own status writes count as changes of the order (as newer WooCommerce does);
    `overlap` changes before the cursor are read again, so every caller must deduplicate.
    `status_writes` and `offer_writes` list only the writes that changed something, in order.
    """

    def __init__(
        self, *, site: str = "shop.example", batch_size: int = 2, overlap: int = 1, echo: bool = False
    ) -> None:
        self.site_address = site
        self.batch_size = batch_size
        self.overlap = overlap
        self.echo = echo
        self.orders: dict[str, ShopOrder] = {}
        self.changes: list[str] = []
        self.statuses: dict[str, dict[str, str]] = {}
        self.status_writes: list[tuple[str, dict[str, str]]] = []
        self.products_by_id: dict[str, ShopProduct] = {}
        self.offers: dict[str, dict[str, str]] = {}
        self.offer_writes: list[tuple[str, int | None, dict[str, str]]] = []
        self.coupons: dict[str, Coupon] = {}
        self.coupon_writes: list[str] = []
        self.calls: list[str] = []
        self._failures: dict[str, list[ShopError]] = {}

    # What the world does to the shop

    def place(self, order: ShopOrder) -> ShopOrder:
        """Add an order, or put a changed one in its place."""
        self.orders[order.shop_order_id] = order
        self.changes.append(order.shop_order_id)
        return order

    def edit(self, shop_order_id: str, **fields: Any) -> ShopOrder:
        """Change some fields of an order, as somebody in the shop's own pages would."""
        return self.place(replace(self.orders[shop_order_id], **fields))

    def cancel(self, shop_order_id: str) -> ShopOrder:
        """Cancel an order in the shop."""
        return self.edit(shop_order_id, status="cancelled", cancelled=True)

    def sell(self, sku: str, price_minor: int, *, currency: str = "SEK") -> str:
        """Put an article into the shop, or give it another price, as its owner would; give its id."""
        product_id = f"p-{sku}"
        self.products_by_id[product_id] = ShopProduct(
            sku=sku, product_id=product_id, price_minor=price_minor, currency=currency
        )
        return product_id

    def price_of(self, sku: str) -> int:
        """Give the price a customer sees."""
        return self.products_by_id[f"p-{sku}"].price_minor

    def fail(self, call: str, *, times: int = 1, after: int = 0, retry_after_s: float | None = None) -> None:
        """Make the next calls of `site`, `first_cursor`, `pull`, `write_status`... fail, once `after` went well.

        For `pull` a step is one batch: `after=1` fails between the first and the second.
        `write_done` and `offer_done` fail after the write took effect, as a lost answer does.
        """
        queue = self._failures.setdefault(call, [])
        queue.extend([_FINE] * after)
        queue.extend(ShopError("the fake shop was told to fail", retry_after_s=retry_after_s) for _ in range(times))

    def recover(self) -> None:
        """Forget all failures that were asked for."""
        self._failures.clear()

    # The port

    async def site(self) -> str:
        """Give the address this shop was made with."""
        self._step("site")
        return self.site_address

    async def first_cursor(self) -> str:
        """Give the cursor after every change so far."""
        self._step("first_cursor")
        return str(len(self.changes))

    async def pull(self, cursor: str) -> AsyncIterator[Batch]:
        """Read the changed orders, each in its newest form, the oldest change first."""
        start = max(0, int(cursor) - self.overlap)
        end = len(self.changes)
        while True:
            self._step("pull")
            stop = min(start + self.batch_size, end)
            ids = dict.fromkeys(self.changes[start:stop])
            yield Batch(orders=tuple(self._shown(each) for each in ids), cursor=str(max(stop, int(cursor))))
            start = stop
            if start >= end:
                return

    async def write_status(self, shop_order_id: str, values: Mapping[str, str]) -> None:
        """Keep the values; a write that changes nothing leaves no trace."""
        self._step("write_status")
        if shop_order_id not in self.orders:
            raise ShopRefusedError(f"order {shop_order_id} is not in the shop")
        kept = self.statuses.setdefault(shop_order_id, {})
        if any(kept.get(key) != value for key, value in values.items()):
            kept.update(values)
            self.status_writes.append((shop_order_id, dict(values)))
            if self.echo:
                self.changes.append(shop_order_id)
        self._step("write_done")

    async def products(self) -> tuple[ShopProduct, ...]:
        """Give every article."""
        self._step("products")
        return tuple(self.products_by_id.values())

    async def write_offer(self, product_id: str, *, price_minor: int | None, values: Mapping[str, str]) -> None:
        """Keep price and values; a write that changes nothing leaves no trace."""
        self._step("write_offer")
        if product_id not in self.products_by_id:
            raise ShopRefusedError(f"product {product_id} is not in the shop")
        before = self.products_by_id[product_id]
        after = before if price_minor is None else replace(before, price_minor=price_minor)
        kept = self.offers.setdefault(product_id, {})
        if after != before or any(kept.get(key) != value for key, value in values.items()):
            self.products_by_id[product_id] = after
            kept.update(values)
            self.offer_writes.append((product_id, price_minor, dict(values)))
        self._step("offer_done")

    async def put_coupon(self, coupon: Coupon) -> None:
        """Keep a coupon; a write that changes nothing leaves no trace."""
        self._step("put_coupon")
        if self.coupons.get(coupon.code) != coupon:
            self.coupons[coupon.code] = coupon
            self.coupon_writes.append(coupon.code)
        self._step("coupon_done")

    async def end_coupon(self, code: str) -> None:
        """Forget a coupon."""
        self._step("end_coupon")
        if self.coupons.pop(code, None) is not None:
            self.coupon_writes.append(f"-{code}")
        self._step("coupon_done")

    def _shown(self, shop_order_id: str) -> ShopOrder:
        """Give an order with what it was told of its making."""
        told = self.statuses.get(shop_order_id, {}).get("_kvot_state", "")
        return replace(self.orders[shop_order_id], told=told)

    def _step(self, call: str) -> None:
        self.calls.append(call)
        queue = self._failures.get(call)
        if queue and (error := queue.pop(0)) is not _FINE:
            raise error


_FINE = ShopError("not a failure")


def an_order(
    shop_order_id: str = "1001",
    *,
    sku: str = "TRAY-12",
    quantity: int = 1,
    status: str = "processing",
    placed_at: datetime = datetime(2026, 5, 4, 8, 0, tzinfo=UTC),
    lines: tuple[ShopLine, ...] | None = None,
    **fields: Any,
) -> ShopOrder:
    """Make a plain order of one line; every field can be given."""
    whole: dict[str, Any] = {
        "shop_order_id": shop_order_id,
        "number": shop_order_id,
        "channel": "webshop",
        "currency": "SEK",
        "placed_at": placed_at,
        "status": status,
        "payment": "card",
        "cancelled": False,
        "lines": lines if lines is not None else (a_line(f"{shop_order_id}-1", sku=sku, quantity=quantity),),
    }
    return ShopOrder(**(whole | fields))


def a_line(shop_line_id: str = "1", *, sku: str = "TRAY-12", quantity: int = 1, **fields: Any) -> ShopLine:
    """Make a plain article line; every field can be given."""
    whole: dict[str, Any] = {
        "shop_line_id": shop_line_id,
        "kind": LineKind.ARTICLE,
        "skus": (sku,),
        "name": sku.title(),
        "quantity": quantity,
        "unit_price_minor": 14900,
        "options": {"width_mm": "60.5", "engraving": "Åsa"},
    }
    return ShopLine(**(whole | fields))
