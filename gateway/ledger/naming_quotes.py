"""An order names a quote: its row gets what was quoted, once; what does not fit is noted, and the order is taken."""

from dataclasses import dataclass
from datetime import datetime

import orjson

from gateway.domain.intake import LinePlan
from gateway.domain.pricing.quotes import Kind
from gateway.domain.quotes import NOT_OURS, Named, Standing, is_signed, price_differs, read_token, why_not
from gateway.ledger import events, quotes
from gateway.ledger.database import Tx
from gateway.ledger.sql import change, row
from gateway.ledger.times import to_time


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What becomes of a quote that a row names: the promise that binds, or why it is ignored.

    quoted_net_minor: what was quoted, where the row was sold at another price.
    """

    quote_id: str | None
    kind: Kind | None = None
    promise_at: datetime | None = None
    ignored: str | None = None
    quoted_net_minor: int | None = None


def judge(tx: Tx, plan: LinePlan, *, shop: str, accepted_at: datetime, line_id: int | None = None) -> Answer | None:
    """Say what becomes of the quote that a row names; None where it names none, or nothing of it is to be made yet.

    accepted_at: when the order was placed, or when it became due. line_id: of a row that is read again; a quote
    that it has used before has done what it could. Nothing is written.
    """
    if not plan.line.quote or not plan.requirements:
        return None
    if line_id is not None and row(tx, "SELECT 1 FROM quotes WHERE line_id = :line", line=line_id) is not None:
        return None
    token = read_token(plan.line.quote)
    quote = None if token is None else quotes.find(tx, token.quote_id)
    if token is None or quote is None:
        return Answer(quote_id=None, ignored=NOT_OURS)
    offer = next((one for one in orjson.loads(quote["body"])["offers"] if one["kind"] == token.kind), None)
    if offer is None or not is_signed(quotes.secret(tx), quotes.signed_content(quote, offer), token.signature):
        return Answer(quote_id=None, ignored=NOT_OURS)
    standing = Standing(
        shop=quote["shop"],
        sku=quote["sku"],
        pieces=quote["quantity"],
        valid_until=to_time(quote["valid_until"]),
        used=quote["line_id"] is not None,
        kind=token.kind,
        ready=not offer["needs_approval"] or bool(quote["approved"]),
        net_minor=offer["net_minor"],
    )
    named = Named(
        shop=shop,
        skus=plan.line.skus,
        pieces=plan.line.quantity,
        unit_price_minor=plan.line.unit_price_minor,
        accepted_at=accepted_at,
    )
    if (reason := why_not(standing, named)) is not None:
        return Answer(quote_id=token.quote_id, kind=token.kind, ignored=reason)
    return Answer(
        quote_id=token.quote_id,
        kind=token.kind,
        promise_at=to_time(offer["promise_at"]),
        quoted_net_minor=offer["net_minor"] if price_differs(standing, named) else None,
    )


def write_down(
    tx: Tx, answer: Answer, plan: LinePlan, *, shop: str, order_id: int, line_id: int, now: datetime
) -> None:
    """Write down what became of a quote that a row names: used by it, or ignored with the reason."""
    told: dict[str, object] = {"line": plan.line.shop_line_id, "kind": answer.kind}
    if answer.ignored is not None:
        _tell(tx, "quote.ignored", answer, {**told, "reason": answer.ignored}, shop=shop, order_id=order_id, now=now)
        return
    change(
        tx,
        "UPDATE quotes SET line_id = :line, used = :kind WHERE quote_id = :id",
        line=line_id,
        kind=answer.kind,
        id=answer.quote_id,
    )
    _tell(tx, "quote.used", answer, told, shop=shop, order_id=order_id, now=now)
    if answer.quoted_net_minor is not None:
        prices = {"quoted_net_minor": answer.quoted_net_minor, "sold_net_minor": plan.line.unit_price_minor}
        _tell(tx, "quote.price_differs", answer, {**told, **prices}, shop=shop, order_id=order_id, now=now)


def _tell(
    tx: Tx, what: str, answer: Answer, after: dict[str, object], *, shop: str, order_id: int, now: datetime
) -> None:
    subject = f"order:{order_id}"
    after = {"quote_id": answer.quote_id, **after}
    events.record(tx, what=what, who=f"shop:{shop}", subject=subject, at=now, after=after)
