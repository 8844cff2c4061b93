"""A WooCommerce order row becomes a `ShopOrder`; what is not understood is set aside with its reason."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from drivers.base import Scalar
from gateway.domain.orders import LineKind, ShopLine, ShopOrder
from gateway.shops.fields import Fields, is_readable, to_minor
from gateway.shops.options import OptionFaultError, flatten

CANCELLED = frozenset({"cancelled", "refunded", "failed", "trash"})
QUANTITY_MAX = 1_000_000
PERSONAL_LENGTH_MAX = 500
LINES_MAX = 500
TOLD_LENGTH_MAX = 40
QUOTE_LENGTH_MAX = 250  # longer than any token: what is cut off was none
_UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class MapSettings:
    """What the mapper must be told: the channel's name, its one currency, the personal fields allowed."""

    channel: str
    currency: str
    personal: tuple[str, ...] = ()


def to_order(row: object, settings: MapSettings, refunds: Sequence[object] = ()) -> ShopOrder:
    """Map one row of `/orders` with its refunds; never raises.

    Prices are per piece, after discount, without tax (`total / quantity`), in minor units. A row
    without an id gets one made from its number and key, so that it can be shown and found again.
    """
    fields = Fields(row)
    shop_order_id = fields.identity("id") or _made_up_id(row)
    placed_at = fields.utc("date_created_gmt")
    fields.utc("date_modified_gmt")
    currency = fields.text("currency")
    if currency and currency != settings.currency:
        fields.note("currency", f"is not {settings.currency}, the one this shop is set up for")
    refunded = _refunded(refunds, fields)
    status = fields.text("status")
    if not status and fields.fault is None:
        fields.note("status", "is an empty text")
    number = fields.text("number")
    return ShopOrder(
        shop_order_id=shop_order_id,
        number=number or shop_order_id,
        channel=settings.channel,
        currency=settings.currency,
        placed_at=placed_at or _UNKNOWN_TIME,
        status=status,
        payment=fields.text("payment_method", needed=False),
        cancelled=status in CANCELLED,
        lines=_lines(fields, settings.currency, refunded),
        personal=_personal(row, settings.personal),
        fault=fields.fault,
        told=_meta_text(row, "_kvot_state")[:TOLD_LENGTH_MAX],
    )


def has_refunds(row: object) -> bool:
    """Tell whether the row names refunds; which pieces they were stands in a resource of its own."""
    return isinstance(row, dict) and isinstance(row.get("refunds"), list) and bool(row["refunds"])


def set_aside(order: ShopOrder, fault: str) -> ShopOrder:
    """Give the order with one more reason why it cannot be used."""
    return replace(order, fault=f"{order.fault}; {fault}" if order.fault else fault)


def _lines(fields: Fields, currency: str, refunded: Mapping[str, int]) -> tuple[ShopLine, ...]:
    articles = fields.rows("line_items", most=LINES_MAX)
    keys = {_meta_text(row, "_bundle_cart_key"): _line_id(row) for row in articles}
    lines = [_article(row, place, currency, refunded, keys) for place, row in enumerate(articles)]
    whole = _quote({"meta_data": fields.raw("meta_data")})
    lines = [replace(line, quote=_quote(row) or whole) for line, row in zip(lines, articles, strict=True)]
    for name, prefix, title in (("shipping_lines", "shipping", "method_title"), ("fee_lines", "fee", "name")):
        charges = fields.rows(name, needed=False, most=LINES_MAX)
        lines += [_charge(row, place, currency, prefix=prefix, title=title) for place, row in enumerate(charges)]
    unknown = refunded.keys() - {line.shop_line_id for line in lines}
    if unknown:
        fields.note("refunds", "name a line that is not in the order")
    return _with_own_ids(lines)


def _article(
    row: object, place: int, currency: str, refunded: Mapping[str, int], keys: Mapping[str, str | None]
) -> ShopLine:
    fields = Fields(row)
    line_id = fields.identity("id")
    name = fields.text("name")
    sku = fields.text("sku", needed=False)
    ordered = fields.whole("quantity", least=0, most=QUANTITY_MAX)
    total = fields.amount("total")
    if total < 0:
        fields.note("total", "is below zero")
    taken_back = refunded.get(line_id or "", 0)
    if taken_back > ordered:
        fields.note("quantity", "is less than what was refunded")
    return ShopLine(
        shop_line_id=line_id or f"row-{place}",
        kind=LineKind.ARTICLE,
        skus=(sku,) if sku else (),
        name=name,
        quantity=max(ordered - taken_back, 0),
        unit_price_minor=max(to_minor(total / max(ordered, 1), currency=currency), 0),
        options=_options(fields),
        parent_line_id=_parent(fields, keys),
        fault=fields.fault,
    )


def _charge(row: object, place: int, currency: str, *, prefix: str, title: str) -> ShopLine:
    fields = Fields(row)
    line_id = fields.identity("id")
    return ShopLine(
        shop_line_id=f"{prefix}-{line_id or f'row-{place}'}",
        kind=LineKind.CHARGE,
        skus=(),
        name=fields.text(title, needed=False),
        quantity=1,
        unit_price_minor=to_minor(fields.amount("total"), currency=currency),
        fault=fields.fault,
    )


def _options(fields: Fields) -> dict[str, Scalar]:
    try:
        return flatten(fields.rows("meta_data", needed=False))
    except OptionFaultError as fault:
        fields.note("meta_data", str(fault))
        return {}


def _parent(fields: Fields, keys: Mapping[str, str | None]) -> str | None:
    """Find the bundle a line belongs to: by the plugin's own field, else by the cart key it left behind."""
    named = fields.raw("bundled_by")
    if isinstance(named, int | str) and not isinstance(named, bool) and named:
        return str(named)[:40] if is_readable(str(named)) else None
    cart_key = _meta_text({"meta_data": fields.raw("meta_data")}, "_bundled_by")
    return keys.get(cart_key) if cart_key else None


def _meta_text(row: object, key: str) -> str:
    meta = row.get("meta_data") if isinstance(row, dict) else None
    for entry in meta if isinstance(meta, list) else ():
        if isinstance(entry, dict) and entry.get("key") == key and isinstance(entry.get("value"), int | str):
            return str(entry["value"])
    return ""


def _quote(row: object) -> str:
    """Give the quote that an order or a row of it names; it is judged later, and nothing in it can hurt the order."""
    return _meta_text(row, "_kvot_quote")[:QUOTE_LENGTH_MAX]


def _line_id(row: object) -> str | None:
    return Fields(row).identity("id")


def _with_own_ids(lines: list[ShopLine]) -> tuple[ShopLine, ...]:
    """Give a repeated line an id of its own and a fault: two rows must never count as one."""
    seen: set[str] = set()
    own = []
    for place, line in enumerate(lines):
        kept = line
        if line.shop_line_id in seen:
            fault = f"id: {line.shop_line_id} is given twice"
            kept = replace(
                line,
                shop_line_id=f"{line.shop_line_id}-again-{place}",
                fault=f"{line.fault}; {fault}" if line.fault else fault,
            )
        seen.add(kept.shop_line_id)
        own.append(kept)
    return tuple(own)


def _refunded(refunds: Sequence[object], fields: Fields) -> dict[str, int]:
    """Sum the pieces taken back per line; WooCommerce writes them as rows of negative quantity."""
    pieces: dict[str, int] = {}
    for refund in refunds:
        reader = Fields(refund, prefix="refunds.")
        for row in reader.rows("line_items", needed=False, most=LINES_MAX):
            part = Fields(row, prefix="refunds.line_items.")
            quantity = part.whole("quantity", least=-QUANTITY_MAX, most=QUANTITY_MAX)
            line_id = _meta_text(row, "_refunded_item_id")
            if quantity and not part.faults:  # a refund of money only takes no pieces
                if line_id:
                    pieces[line_id] = pieces.get(line_id, 0) + abs(quantity)
                else:
                    part.note("meta_data", "does not say which line was refunded")
            fields.faults += part.faults
        fields.faults += reader.faults
    return pieces


def _personal(row: object, names: Sequence[str]) -> dict[str, str]:
    """Take the allowed fields, by dotted name, and nothing else."""
    kept = {}
    for name in names:
        value = row
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value and is_readable(value) and len(value) <= PERSONAL_LENGTH_MAX:
            kept[name] = value
    return kept


def _made_up_id(row: object) -> str:
    """Make an id that stays the same while the order does: from its number, key and date, else all of it."""
    seed: object = row
    if isinstance(row, dict):
        seed = [row.get(name) for name in ("number", "order_key", "date_created_gmt")]
        if not any(seed):
            seed = row
    text = json.dumps(seed, sort_keys=True, default=str)
    return f"no-id-{hashlib.sha256(text.encode('ascii')).hexdigest()[:12]}"
