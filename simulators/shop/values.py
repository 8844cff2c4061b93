"""What a shop remembers: articles, orders with their lines, refunds and metadata, as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = Any

STATUSES = (
    "pending",
    "processing",
    "on-hold",
    "completed",
    "cancelled",
    "refunded",
    "failed",
    "trash",
    "auto-draft",
    "checkout-draft",
)
PAID_STATUSES = ("processing", "completed")
METHODS = {"card": "Kort", "bacs": "Banköverföring", "invoice": "Faktura", "": ""}
TAX_PERCENT = {"": 25, "zero-rate": 0}


class UnknownIdError(LookupError):
    """The shop has no such order, article or row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Meta:
    """One keyed value of an order, article or row. Plain values are texts, as a database column gives them back."""

    id: int
    key: str
    value: Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Article:
    """A product, or a variation when it has a parent. `price` is the regular price with tax, as a decimal text."""

    id: int
    sku: str
    name: str
    price: str
    created: datetime
    modified: datetime
    parent_id: int = 0
    colour: str = ""
    tax_class: str = ""
    virtual: bool = False
    stock: int | None = None
    meta: tuple[Meta, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One row as a customer asks for it. `options` become the row's metadata, in their order.

    instead: an article that would do as well; the customer settles for one of the two before he orders.
    """

    sku: str
    quantity: int = 1
    options: Mapping[str, Json] = field(default_factory=dict)
    instead: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """Money of one row in minor units, without tax and the tax on it; both negative on a refund."""

    net_minor: int
    tax_minor: int

    @property
    def gross_minor(self) -> int:
        """Give what the customer pays or gets back."""
        return self.net_minor + self.tax_minor


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One article row of an order or, with a negative quantity, of a refund."""

    id: int
    article: Article
    parent_name: str | None
    quantity: int
    amount: Amount
    meta: tuple[Meta, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Refund:
    """Money given back for one row of an order (`line_id`), which itself keeps its quantity."""

    id: int
    created: datetime
    reason: str
    line_id: int
    line: Line

    @property
    def modified(self) -> datetime:
        """Give the time of the last change: a refund never changes."""
        return self.created


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One order. Times are aware UTC in whole seconds, as the shop's columns have no fractions."""

    id: int
    key: str
    status: str
    payment_method: str
    customer: int
    created: datetime
    modified: datetime
    paid: datetime | None
    completed: datetime | None
    lines: tuple[Line, ...]
    freight_id: int
    freight: Amount | None
    note: str
    transaction: str
    meta: tuple[Meta, ...]
    refunds: tuple[Refund, ...] = ()

    @property
    def total_minor(self) -> int:
        """Give the sum of all rows with tax; refunds are not taken off, as the real shop does."""
        freight_minor = self.freight.gross_minor if self.freight else 0
        return freight_minor + sum(line.amount.gross_minor for line in self.lines)


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """One change that somebody asked for over REST. `keys` are those that really changed, `values` all that came."""

    subject: str
    id: int
    sku: str = ""  # of an article
    keys: tuple[str, ...] = ()
    values: Mapping[str, Json] = field(default_factory=dict)
    status: int = 200
    at_s: float = 0.0

    @property
    def changed(self) -> bool:
        """Say whether the shop looks different after it."""
        return bool(self.keys)


def amount_of(*, gross_minor: int, tax_class: str) -> Amount:
    """Split a sum with tax into net and tax, rounding the net once."""
    percent = TAX_PERCENT[tax_class]
    net_minor = (gross_minor * 200 + 100 + percent) // (2 * (100 + percent))
    return Amount(net_minor=net_minor, tax_minor=gross_minor - net_minor)


def minor(price: str) -> int:
    """Read a decimal text such as "149.00" as minor units."""
    whole, _, part = price.partition(".")
    return int(whole or "0") * 100 + int((part + "00")[:2])


def stored(value: Json) -> Json:
    """Give a metadata value as the shop's database gives it back: plain values as texts, structures as they are."""
    if value is True:
        return "1"
    if value is False:
        return ""
    if isinstance(value, int | float):
        return str(value)
    return value
