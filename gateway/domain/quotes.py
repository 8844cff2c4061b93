"""A quote that an order names: whose word it is, and whether the order may have what was quoted."""

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.domain.pricing.quotes import Kind

TOKEN_LENGTH_MAX: Final = 200
NOT_OURS: Final = "it is no quote of this gateway"


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """What an order carries as `_kvot_quote`: the quote, the offer chosen, and our signature of it."""

    quote_id: str
    kind: Kind
    signature: str

    def __str__(self) -> str:
        """Give it as a text."""
        return f"{self.quote_id}.{self.kind}.{self.signature}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """A quote as the ledger has it, and the offer of it that an order names. ready: nobody has to approve it first."""

    shop: str
    sku: str
    pieces: int
    valid_until: datetime
    used: bool
    kind: Kind
    ready: bool
    net_minor: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """The row of an order that names a quote; `accepted_at`: when its customer agreed."""

    shop: str
    skus: Sequence[str]
    pieces: int
    unit_price_minor: int
    accepted_at: datetime


def read_token(text: str) -> Token | None:
    """Read what an order carries; None for anything that we cannot have written."""
    parts = text.strip().split(".")
    if len(text) > TOKEN_LENGTH_MAX or len(parts) != len(("quote", "kind", "signature")) or not all(parts):
        return None
    quote_id, kind, signature = parts
    if kind not in set(Kind) or not text.isascii():
        return None
    return Token(quote_id=quote_id, kind=Kind(kind), signature=signature)


def sign(secret: str, content: Mapping[str, object]) -> str:
    """Give HMAC-SHA256 over the content as JSON with sorted keys and no spaces, in hexadecimal."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hmac.new(secret.encode(), text.encode(), "sha256").hexdigest()


def is_signed(secret: str, content: Mapping[str, object], signature: str) -> bool:
    """Say whether a signature is ours, in a time that tells nothing about it."""
    return hmac.compare_digest(sign(secret, content), signature)


def why_not(quote: Standing, row: Named) -> str | None:
    """Say why a row of an order cannot have what was quoted, or None. The order itself is taken either way.

    Fewer pieces may be ordered than were quoted, but not of a run of one's own: its set-up was shared among all.
    """
    if quote.shop != row.shop:
        return f"it was given to shop {quote.shop}"
    if quote.sku not in row.skus:
        return "it is for another article"
    if row.pieces > quote.pieces:
        return f"it is for {quote.pieces} pieces, fewer than ordered"
    if row.pieces < quote.pieces and quote.kind is Kind.OWN_RUN:
        return f"it is for {quote.pieces} pieces, and a run of one's own is not divided"
    if quote.used:
        return "it was used by another order"
    if row.accepted_at >= quote.valid_until:
        return "it has expired"
    if not quote.ready:
        return "nobody has approved its run"
    return None


def price_differs(quote: Standing, row: Named) -> bool:
    """Say whether a row was sold at another price than was quoted, by more than what rounding explains."""
    return abs(quote.net_minor - row.unit_price_minor) > 1
