"""What each address of the shop's REST API answers: the shop's rules between the web and its state."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from re import fullmatch
from urllib.parse import urlencode

from simulators.shop.faults import FaultKind, Faults, renamed
from simulators.shop.query import Listing, RestError, invalid, listing, select
from simulators.shop.render import Body, Renderer
from simulators.shop.store import Store
from simulators.shop.values import STATUSES, Article, Json, Order, UnknownIdError, Write


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """A request that was let in: its method, the ids in its path, its query, and its JSON body."""

    method: str
    url: str
    ids: Mapping[str, int]
    query: Mapping[str, str]
    body: Mapping[str, Json]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What goes back, and the write that was made."""

    body: Json
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    write: Write | None = None


class Resources:
    """The resources of WooCommerce REST API v3 that exist here. Methods raise `RestError`."""

    def __init__(self, *, store: Store, renderer: Renderer, faults: Faults, site_name: str) -> None:
        self.store = store
        self._renderer = renderer
        self._faults = faults
        self._site_name = site_name
        self._last_rows: list[Json] = []

    def index(self, _: Ask) -> Answer:
        """Say who this site is; nobody needs a key for that."""
        zone = self._renderer.zone
        offset = self.store.now.astimezone(zone).utcoffset()
        hours = offset.total_seconds() / 3600 if offset else 0.0
        return Answer(
            body={
                "name": self._site_name,
                "description": "",
                "url": self._renderer.site_url,
                "home": self._renderer.site_url,
                "gmt_offset": f"{hours:g}",
                "timezone_string": zone.key,
                "namespaces": ["oembed/1.0", "wc/v1", "wc/v2", "wc/v3", "wp/v2"],
                "authentication": [],
                "routes": {},
            }
        )

    def system_status(self, _: Ask) -> Answer:
        """Give the few facts of the environment that a connector may want."""
        environment = {"home_url": self._renderer.site_url, "site_url": self._renderer.site_url, "version": "10.8.1"}
        settings = {"currency": self._renderer.currency, "HPOS_enabled": self.store.hpos}
        return Answer(body={"environment": environment, "settings": settings})

    # Orders

    def orders(self, ask: Ask) -> Answer:
        """List orders."""
        asked = listing(ask.query, self._renderer.zone)
        rows = [order for order in self.store.orders.values() if _in_status(order, asked)]
        found = select(rows, asked, self._renderer.zone)
        return self._page(ask, asked, found, [self._order(ask, order) for order in found[asked.window()]])

    def order(self, ask: Ask) -> Answer:
        """Give one order."""
        return Answer(body=self._order(ask, self._found_order(ask)))

    def write_order(self, ask: Ask) -> Answer:
        """Change an order's status, metadata or note."""
        self._found_order(ask)
        values = ask.body
        _check_texts(values, ("customer_note", "transaction_id"))
        _check_meta(values)
        if "status" in values and values["status"] not in STATUSES:
            raise invalid("status", f"status is not one of {', '.join(STATUSES)}.", "rest_not_in_enum")
        if not isinstance(values.get("set_paid", False), bool):
            raise invalid("set_paid", "set_paid is not of type boolean.", "rest_invalid_type")
        write = self.store.write_order(ask.ids["id"], values)
        return Answer(body=self._order(ask, self.store.order(write.id)), write=write)

    def refunds(self, ask: Ask) -> Answer:
        """List the refunds of an order, newest first."""
        order = self._found_order(ask, "woocommerce_rest_invalid_order_id", "Invalid order ID.")
        asked = listing(ask.query, self._renderer.zone)
        found = select(order.refunds, asked, self._renderer.zone)
        bodies = [self._renderer.refund(order, refund) for refund in found[asked.window()]]
        return self._page(ask, asked, found, bodies)

    # Articles

    def products(self, ask: Ask) -> Answer:
        """List products; asked by article number, variations are found too."""
        skus = [sku.strip() for sku in ask.query.get("sku", "").split(",") if sku.strip()]
        rows = [a for a in self.store.articles.values() if (a.sku in skus if skus else not a.parent_id)]
        return self._articles(ask, rows)

    def variations(self, ask: Ask) -> Answer:
        """List the variations of a product."""
        parent = self._found_article(ask, "product")
        return self._articles(ask, [a for a in self.store.articles.values() if a.parent_id == parent.id])

    def product(self, ask: Ask) -> Answer:
        """Give a product, or a variation by its own id."""
        return Answer(body=self._article(self._found_article(ask, "id")))

    def write_product(self, ask: Ask) -> Answer:
        """Change the regular price, the name or the metadata of a product or variation."""
        article = self._found_article(ask, "id")
        _check_texts(ask.body, ("regular_price", "name"))
        _check_meta(ask.body)
        if not fullmatch(r"\d*(\.\d+)?", ask.body.get("regular_price", "")):
            raise invalid("regular_price", "regular_price is not a decimal number.", "rest_invalid_type")
        write = self.store.write_article(article.id, ask.body)
        return Answer(body=self._article(self.store.article(article.id)), write=write)

    # Parts

    def _order(self, ask: Ask, order: Order) -> Body:
        body = self._renderer.order(order)
        fault = self._faults.take(FaultKind.RENAMED, ask.method, order=order.id)
        if fault is not None:
            renamed(body, fault.field, fault.to)
        return body

    def _article(self, article: Article) -> Body:
        return self._renderer.article(article, self.store.articles)

    def _articles(self, ask: Ask, rows: Sequence[Article]) -> Answer:
        asked = listing({**ask.query, "status": "any"}, self._renderer.zone)
        found = select(rows, asked, self._renderer.zone)
        return self._page(ask, asked, found, [self._article(article) for article in found[asked.window()]])

    def _page(self, ask: Ask, asked: Listing, found: Sequence[object], bodies: list[Json]) -> Answer:
        """Give one page with the headers of the real shop, after the faults that concern pages."""
        pages = math.ceil(len(found) / asked.per_page)
        previous, self._last_rows = self._last_rows, bodies
        if self._faults.take(FaultKind.DUPLICATE_PAGE, ask.method, page=asked.page):
            bodies = previous
        if self._faults.take(FaultKind.MISSING_PAGE, ask.method, page=asked.page):
            bodies = []
        links = []
        if asked.page > 1:
            links.append(f'<{_link(ask, min(asked.page - 1, max(pages, 1)))}>; rel="prev"')
        if asked.page < pages:
            links.append(f'<{_link(ask, asked.page + 1)}>; rel="next"')
        headers = {"X-WP-Total": str(len(found)), "X-WP-TotalPages": str(pages)}
        return Answer(body=bodies, headers=headers | ({"Link": ", ".join(links)} if links else {}))

    def _found_order(
        self, ask: Ask, code: str = "woocommerce_rest_shop_order_invalid_id", message: str = "Invalid ID."
    ) -> Order:
        try:
            return self.store.order(ask.ids["id"])
        except UnknownIdError:
            raise RestError(404, code, message) from None

    def _found_article(self, ask: Ask, name: str) -> Article:
        try:
            article = self.store.article(ask.ids[name])
        except UnknownIdError:
            raise RestError(404, "woocommerce_rest_product_invalid_id", "Invalid ID.") from None
        if name == "id" and ask.ids.get("product", article.parent_id) != article.parent_id:
            raise RestError(404, "woocommerce_rest_product_variation_invalid_id", "Invalid ID.")
        return article


def _in_status(order: Order, asked: Listing) -> bool:
    if asked.statuses:
        return order.status in asked.statuses
    return order.status not in {"trash", "auto-draft"}


def _link(ask: Ask, page: int) -> str:
    return f"{ask.url}?{urlencode({**ask.query, 'page': page})}"


def _check_texts(values: Mapping[str, Json], names: Sequence[str]) -> None:
    for name in names:
        if not isinstance(values.get(name, ""), str):
            raise invalid(name, f"{name} is not of type string.", "rest_invalid_type")


def _check_meta(values: Mapping[str, Json]) -> None:
    rows = values.get("meta_data", [])
    if not isinstance(rows, list):
        raise invalid("meta_data", "meta_data is not of type array.", "rest_invalid_type")
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise invalid("meta_data", f"meta_data[{place}] is not of type object.", "rest_invalid_type")
