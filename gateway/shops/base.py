"""The port between the gateway and a shop: orders in, status back, prices and coupons where a shop has them."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable

from gateway.domain.orders import ShopOrder


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Orders read from a shop and the cursor that may be stored once all of them are.

    `cursor` is an opaque text; it never moves past the shop's own clock minus its lag.
    """

    orders: tuple[ShopOrder, ...]
    cursor: str


class Shop(Protocol):
    """One shop. Every method raises `ShopError` when the shop does not answer properly."""

    async def site(self) -> str:
        """Ask the shop for its own address, to which this gateway's ledger is bound."""
        ...

    async def first_cursor(self) -> str:
        """Give the cursor that means now, by the shop's own clock: older orders are not ours."""
        ...

    def pull(self, cursor: str) -> AsyncIterator[Batch]:
        """Read all orders that changed since the cursor, oldest change first, in bounded batches."""
        ...

    async def write_status(self, shop_order_id: str, values: Mapping[str, str]) -> None:
        """Set our metadata (`_kvot_*`) of an order; writing the same values again changes nothing."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopProduct:
    """An article a shop sells at a price of its own. `price_minor` is its regular price, as the shop shows it.

    `product_id` is the shop's name for it, opaque to everybody but the shop.
    """

    sku: str
    product_id: str
    price_minor: int
    currency: str


@runtime_checkable
class Prices(Protocol):
    """The further ability of a shop that can be priced. Every method raises `ShopError` like those of `Shop`."""

    async def products(self) -> tuple[ShopProduct, ...]:
        """Read every article with a number and a price, variations too; all of them or none."""
        ...

    async def write_offer(self, product_id: str, *, price_minor: int | None, values: Mapping[str, str]) -> None:
        """Set the regular price (None: leave it) and our metadata of an article, and see that they are there.

        Writing the same again changes nothing.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Coupon:
    """A code that takes `percent` off some articles, `uses` times at most, until a time. The code is in lower case."""

    code: str
    percent: Decimal
    product_ids: tuple[str, ...]
    uses: int
    until: datetime
    text: str = ""


@runtime_checkable
class Coupons(Protocol):
    """The further ability of a shop that has coupons. Every method raises `ShopError` like those of `Shop`."""

    async def put_coupon(self, coupon: Coupon) -> None:
        """Have a coupon of this code that says all this, and see that it is there; the same again changes nothing."""
        ...

    async def end_coupon(self, code: str) -> None:
        """Have no coupon of this code; none there is no error."""
        ...
