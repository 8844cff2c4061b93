"""The port between the gateway and a shop: orders in, status back."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

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
