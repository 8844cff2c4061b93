"""Order lines enter, change while nothing was released for them, and end; afterwards a person is asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from gateway.domain.exceptions import Kind
from gateway.domain.intake import UNKNOWN_ARTICLE, LinePlan, promise_of
from gateway.domain.orders import ShopOrder
from gateway.domain.products import Family
from gateway.domain.states import LineState
from gateway.errors import IllegalTransitionError
from gateway.ledger import content, ending, files, naming_quotes, offers
from gateway.ledger.database import Tx
from gateway.ledger.exceptions import keep_open, open_exception, settle
from gateway.ledger.shelf import give_back, give_up
from gateway.ledger.sql import Row, change, insert, row
from gateway.ledger.telling import tell
from gateway.ledger.times import to_text
from gateway.ledger.unplanning import leave_runs, take_back

BY_A_PERSON = "closed by a person"
_UNRELEASED = frozenset({LineState.NOT_DUE, LineState.QUARANTINED, LineState.RECEIVED})
_PASSED_OVER = frozenset({LineState.NOT_MADE, LineState.CANCELLED, LineState.SHIPPED})
_ENDED = _PASSED_OVER | {LineState.MADE}
_WANTED = frozenset({LineState.RECEIVED, LineState.QUARANTINED})


Promising = Callable[[Tx, LinePlan, datetime], datetime | None]  # at a time; None where the lead is fixed


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """An order as read from a shop: whether it may be made, and what is to become of each row.

    `promising` computes the promise of a row that no offer was made for; None where nothing computes.
    """

    shop: str
    due: bool
    order: ShopOrder
    plans: tuple[LinePlan, ...]
    families: Mapping[str, Family]
    erase_after: timedelta
    promising: Promising | None = None


def move_line(tx: Tx, line_id: int, *, seen: LineState, state: LineState, reason: str | None = None) -> None:
    """Move a line from the state it was seen in; raise `IllegalTransitionError` when it is not there any more."""
    moved = change(
        tx,
        "UPDATE order_lines SET prev_state = state, state = :state, reason = :reason WHERE line_id = :line "
        "AND state = :seen",
        state=state,
        seen=seen,
        reason=reason,
        line=line_id,
    )
    if moved != 1:
        raise IllegalTransitionError(f"line {line_id} is not {seen}")


def close_line(tx: Tx, line_id: int, *, state: LineState, reason: str, now: datetime) -> None:
    """End a line by a person's decision: cancelled or not made; a line that is made stays made."""
    line = row(tx, "SELECT state, order_id FROM order_lines WHERE line_id = :line", line=line_id)
    assert line is not None
    seen = LineState(line["state"])
    if seen in _PASSED_OVER or seen is LineState.MADE:
        return
    _end_line(tx, line_id, seen=seen, state=state, reason=reason, now=now)
    tell(tx, line["order_id"], now=now)


def cancel_line(tx: Tx, line_id: int, *, reason: str, now: datetime) -> None:
    """Cancel a line that was begun, even one that is made: its goods go to the shelf."""
    line = row(tx, "SELECT state, order_id FROM order_lines WHERE line_id = :line", line=line_id)
    assert line is not None
    seen = LineState(line["state"])
    if seen not in _PASSED_OVER:
        _end_line(tx, line_id, seen=seen, state=LineState.CANCELLED, reason=reason, now=now)
        tell(tx, line["order_id"], now=now)


def insert_line(
    tx: Tx, order_id: int, plan: LinePlan, reading: Reading, *, counted_from: datetime, now: datetime
) -> None:
    """Put a row of an order in the ledger, with what must be made for it; its promise counts from a given time."""
    quote = naming_quotes.judge(tx, plan, shop=reading.shop, accepted_at=counted_from)
    promise, source = _promise(tx, plan, reading, quote, counted_from=counted_from, now=now)
    line_id = insert(
        tx,
        "order_lines",
        order_id=order_id,
        shop_line_id=plan.line.shop_line_id,
        parent_line_id=plan.line.parent_line_id,
        position=plan.position,
        product=plan.product,
        skus=content.to_json(plan.line.skus),
        name=plan.line.name,
        options=content.to_json(plan.line.options),
        quantity=plan.line.quantity,
        unit_price_minor=plan.line.unit_price_minor,
        promise_at=None if promise is None else to_text(promise),
        promise_source=source,
        ship_together=0,
        state=plan.state,
        reason=plan.reason,
    )
    if quote is not None:
        naming_quotes.write_down(tx, quote, plan, shop=reading.shop, order_id=order_id, line_id=line_id, now=now)
    content.require(tx, line_id, plan)
    _want_files(tx, line_id, plan, reading, now=now)
    _raise_trouble(tx, plan, now=now)


def revise_line(tx: Tx, line: Row, plan: LinePlan, reading: Reading, *, another: bool = False, now: datetime) -> None:
    """Bring a changed row into its line: freely while nothing was released, as a question afterwards.

    `another`: it is the row of another order, to which the shop gave the number of this one.
    """
    seen = LineState(line["state"])
    if another and plan.state in _WANTED and seen in _ENDED:
        _ask(tx, line, Kind.ANOTHER_ORDER, _of_another(plan, reading), now=now)
        return
    if seen is LineState.CANCELLED and plan.state in _WANTED and line["reason"] != BY_A_PERSON:
        _ask(tx, line, Kind.WANTED_AGAIN, f"it was {line['reason']}", now=now)
    if seen in _PASSED_OVER:
        return
    if plan.state is LineState.CANCELLED:
        reason = plan.reason or "cancelled"
        withdraw_line(tx, line, reason, shop=reading.shop, shop_order_id=reading.order.shop_order_id, now=now)
        return
    if line["change_to"] is not None and not another and plan.state is LineState.RECEIVED and not plan.files:
        written = content.to_json(content.written(plan))
        change(tx, "UPDATE order_lines SET change_to = :new WHERE line_id = :line", new=written, line=line["line_id"])
        return
    wanted = (plan.line.quantity, content.to_json(plan.line.options), content.to_json(plan.line.skus))
    same = wanted == (line["quantity"], line["options"], line["skus"])
    if seen is LineState.PLANNED and not (same and plan.state is LineState.RECEIVED):
        line = _unplanned(tx, line, now=now)
        seen = LineState(line["state"])
    if seen in _UNRELEASED:
        if not (same and seen is plan.state is LineState.RECEIVED):
            reread_line(tx, line, plan, reading, now=now)
    elif another:
        _ask(tx, line, Kind.ANOTHER_ORDER, _of_another(plan, reading), now=now)
    elif not same:
        text = f"the shop now says {plan.line.quantity} of {plan.line.name!r}"
        wants = {"wanted": content.written(plan)} if plan.state is LineState.RECEIVED else {}
        _ask(tx, line, Kind.CHANGED_LATE, text, actions=content.answers(tx, line, plan), more=wants, now=now)
    elif plan.state is LineState.NOT_DUE and seen is not LineState.MADE:
        _ask(tx, line, Kind.CHANGED_LATE, plan.reason or "no longer due", now=now)
    else:  # it is again as it was
        settle(tx, subject=_row(line), cause=Kind.CHANGED_LATE.cause, at=now)


def _of_another(plan: LinePlan, reading: Reading) -> str:
    placed = to_text(reading.order.placed_at)
    return f"the shop gave the number to an order of {placed}, which wants {plan.line.quantity} of {plan.line.name!r}"


def reread_line(tx: Tx, line: Row, plan: LinePlan, reading: Reading, *, now: datetime) -> None:
    """Read a line again for which nothing was released; what was not due or not understood gets a new promise."""
    line_id, seen = line["line_id"], LineState(line["state"])
    if plan.state is seen:
        change(tx, "UPDATE order_lines SET reason = :reason WHERE line_id = :line", reason=plan.reason, line=line_id)
    elif seen is not LineState.RECEIVED:
        move_line(tx, line_id, seen=seen, state=LineState.RECEIVED, reason=None)
        _promise_anew(tx, line, plan, reading, now=now)
    if plan.state not in {seen, LineState.RECEIVED}:
        move_line(tx, line_id, seen=LineState.RECEIVED, state=plan.state, reason=plan.reason)
    _replace_line(tx, line, plan, now=now)
    _want_files(tx, line_id, plan, reading, now=now)
    if seen is LineState.QUARANTINED and line["reason"] != plan.reason:
        _settle_trouble(tx, line, shop=reading.shop, shop_order_id=reading.order.shop_order_id, now=now)
    _raise_trouble(tx, plan, now=now)


def withdraw_line(
    tx: Tx, line: Row, reason: str, *, shop: str, shop_order_id: str, who: str = "kvot", now: datetime
) -> None:
    """Cancel a line of which no machine has anything, or of which all is loaded and not begun: that is asked back.

    Afterwards a person decides.
    """
    line = _unplanned(tx, line, now=now)
    seen = LineState(line["state"])
    if seen in _PASSED_OVER:
        return
    loaded = seen not in _UNRELEASED and ending.only_loaded(tx, line["line_id"])
    if seen not in _UNRELEASED and not loaded:
        _ask(tx, line, Kind.CHANGED_LATE, reason, actions=ending.answers(tx, line["line_id"]), now=now)
        return
    _end_line(tx, line["line_id"], seen=seen, state=LineState.CANCELLED, reason=reason, now=now)
    if loaded:
        ending.end_jobs(tx, line["line_id"], abort=False, who=who, now=now)
    if seen is LineState.QUARANTINED:
        _settle_trouble(tx, line, shop=shop, shop_order_id=shop_order_id, now=now)


def _end_line(tx: Tx, line_id: int, *, seen: LineState, state: LineState, reason: str, now: datetime) -> None:
    """End a line with all that hangs on it: jobs that no machine has are not made, finished goods go to the shelf."""
    move_line(tx, line_id, seen=seen, state=state, reason=reason)
    files.settle_line(tx, line_id, now=now)
    take_back(tx, line_id, evidence=reason, now=now)
    give_up(tx, line_id, now=now)


def _unplanned(tx: Tx, line: Row, *, now: datetime) -> Row:
    """Take a planned line out of its open run, where nothing was released for it; give the line as it is then."""
    if line["state"] != LineState.PLANNED or not leave_runs(tx, line["line_id"], now=now):
        return line
    move_line(tx, line["line_id"], seen=LineState.PLANNED, state=LineState.RECEIVED)
    again = row(tx, "SELECT * FROM order_lines WHERE line_id = :line", line=line["line_id"])
    assert again is not None
    return again


def _promise_anew(tx: Tx, line: Row, plan: LinePlan, reading: Reading, *, now: datetime) -> None:
    line_id, shop = line["line_id"], reading.shop
    quote = naming_quotes.judge(tx, plan, shop=shop, accepted_at=now, line_id=line_id)
    promise, source = _promise(tx, plan, reading, quote, counted_from=now, now=now)
    if quote is not None:
        naming_quotes.write_down(tx, quote, plan, shop=shop, order_id=line["order_id"], line_id=line_id, now=now)
    if promise is not None:
        change(
            tx,
            "UPDATE order_lines SET promise_at = :promise, promise_source = :source WHERE line_id = :line",
            promise=to_text(promise),
            source=source,
            line=line_id,
        )


def _promise(
    tx: Tx,
    plan: LinePlan,
    reading: Reading,
    quote: naming_quotes.Answer | None,
    *,
    counted_from: datetime,
    now: datetime,
) -> tuple[datetime | None, str | None]:
    """Give the promise that binds, and where it comes from: a quote, the offer of that time, the plan, a fixed lead."""
    if not plan.requirements:
        return None, None
    if quote is not None and quote.promise_at is not None:
        return quote.promise_at, "quote"
    offered = offers.binding(tx, reading.shop, plan.line.skus, counted_from)
    if offered is not None:
        return offered, "offer"
    computed = None if reading.promising is None else reading.promising(tx, plan, now)
    if computed is not None:
        return computed, "computed"
    return promise_of(plan.requirements, counted_from=counted_from, families=reading.families), "static"


def _replace_line(tx: Tx, line: Row, plan: LinePlan, *, now: datetime) -> None:
    """Put another content in a line for which nothing was released; what it had from the shelf goes back."""
    line_id = line["line_id"]
    give_back(tx, line_id, now=now)
    content.replace_content(tx, line_id, plan)


def _want_files(tx: Tx, line_id: int, plan: LinePlan, reading: Reading, *, now: datetime) -> None:
    files.want(tx, line_id, plan.files, shop=reading.shop, erase_after=now + reading.erase_after, now=now)


def _raise_trouble(tx: Tx, plan: LinePlan, *, now: datetime) -> None:
    """Ask a person about a row; one that could not be read is not kept, so it cannot be read again from here."""
    if plan.trouble is not None:
        open_exception(
            tx,
            plan.trouble.kind,
            subject=plan.trouble.subject,
            evidence={"text": plan.trouble.evidence, "article": plan.line.name},
            at=now,
        )


def _settle_trouble(tx: Tx, line: Row, *, shop: str, shop_order_id: str, now: datetime) -> None:
    """Close what was asked about a line; what was asked about its article only if no other line waits for that."""
    settle(tx, subject=f"order:{shop}/{shop_order_id}/{line['shop_line_id']}", at=now)
    skus = orjson.loads(line["skus"])
    article = skus[0] if skus else line["name"]
    if not _waits_for(tx, shop, article, but=line["line_id"]):
        settle(tx, subject=f"sku:{shop}/{article}", at=now)


def _waits_for(tx: Tx, shop: str, article: str, *, but: int) -> bool:
    """Say whether another line is set aside because nobody knows this article."""
    found = row(
        tx,
        "SELECT 1 FROM order_lines l JOIN orders o USING (order_id) WHERE l.state = 'quarantined' AND o.shop = :shop "
        "AND l.line_id <> :but AND l.reason LIKE :reason "
        "AND CASE l.skus WHEN '[]' THEN l.name ELSE json_extract(l.skus, '$[0]') END = :article LIMIT 1",
        shop=shop,
        article=article,
        but=but,
        reason=f"{UNKNOWN_ARTICLE}:%",
    )
    return found is not None


def _ask(
    tx: Tx,
    line: Row,
    kind: Kind,
    text: str,
    *,
    actions: Sequence[str] = ("close",),
    more: Mapping[str, object] | None = None,
    now: datetime,
) -> None:
    """Ask once about a line, with what its row says as it is now."""
    about = {"text": text, "article": line["name"], "state": line["state"], "quantity": line["quantity"]}
    keep_open(tx, kind, subject=_row(line), evidence={**about, **(more or {})}, actions=actions, at=now)


def _row(line: Row) -> str:
    return f"order:{line['order_id']}/{line['shop_line_id']}"
