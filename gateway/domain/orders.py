"""What a shop sold, as the gateway understands it, whatever the shop calls its fields."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from drivers.base import Scalar


class OrderKind(StrEnum):
    """Why something is made."""

    SALE = "sale"
    SAMPLE = "sample"
    REMAKE = "remake"
    TEST = "test"


class LineKind(StrEnum):
    """Whether a row of an order is an article or only money (freight, fee)."""

    ARTICLE = "article"
    CHARGE = "charge"


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopLine:
    """One row of a shop's order. `quantity` is pieces still wanted: what was refunded is taken off.

    `skus` are the article numbers to look up, most specific first (variation, then product).
    `fault` says why the row could not be understood; the row is then set aside, never guessed. `quote` is the
    token of the quote it was sold by, empty where there was none.
    """

    shop_line_id: str
    kind: LineKind
    skus: tuple[str, ...]
    name: str
    quantity: int
    unit_price_minor: int
    options: Mapping[str, Scalar] = field(default_factory=dict)
    parent_line_id: str | None = None
    fault: str | None = None
    quote: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopOrder:
    """One order as mapped from a shop's answer.

    `status` and `payment` are the shop's own words; `personal` holds only allow-listed fields.
    `fault` says why the order as a whole could not be understood. `told` is the state that we wrote to the
    order at last (`_kvot_state`), as the shop shows it: empty where it was never told.
    """

    shop_order_id: str
    number: str
    channel: str
    currency: str
    placed_at: datetime
    status: str
    payment: str
    cancelled: bool
    lines: tuple[ShopLine, ...]
    personal: Mapping[str, str] = field(default_factory=dict)
    kind: OrderKind = OrderKind.SALE
    hold: str | None = None
    fault: str | None = None
    told: str = ""

    def __post_init__(self) -> None:
        """Refuse a time without a zone."""
        if self.placed_at.tzinfo is None:
            raise ValueError("placed_at must carry a time zone")
