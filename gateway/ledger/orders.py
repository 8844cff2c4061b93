"""Orders enter the ledger once, change while they can, and are told outward when they look different."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import orjson
from sqlalchemy import RowMapping

from gateway.domain.intake import LinePlan, content_hash, promise_of
from gateway.domain.orders import ShopOrder
from gateway.domain.products import Family
from gateway.domain.standing import LineStanding, told
from gateway.domain.states import LineState
from gateway.errors import IllegalTransitionError, RefusedError
from gateway.ledger import events, facts, outbox
from gateway.ledger.database import Tx, ring
from gateway.ledger.exceptions import open_exception, settle
from gateway.ledger.sql import change, insert, row, rows
from gateway.ledger.times import to_text

_OPEN = frozenset({LineState.NOT_DUE, LineState.QUARANTINED})
_CHANGEABLE = frozenset({LineState.RECEIVED, LineState.PLANNED})
_PASSED_OVER = frozenset({LineState.NOT_MADE, LineState.CANCELLED, LineState.SHIPPED})


class Taken(StrEnum):
    """What an order was to the ledger."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """An order as read from a shop: whether it may be made, and what is to become of each row."""

    shop: str
    due: bool
    order: ShopOrder
    plans: tuple[LinePlan, ...]
    families: Mapping[str, Family]
    erase_after: timedelta


def bind_shop(tx: Tx, *, shop: str, site: str, at: datetime) -> None:
    """Bind a shop to its site address on first sight; raise `RefusedError` when another site answers."""
    known = row(tx, "SELECT site FROM shops WHERE shop = :shop", shop=shop)
    if known is None:
        insert(tx, "shops", shop=shop, site=site, bound_at=to_text(at))
        events.record(tx, what="shop.bound", who="kvot", subject=f"shop:{shop}", at=at, after={"site": site})
    elif known["site"] != site:
        raise RefusedError(
            f"shop {shop} is bound to {known['site']}, but {site} answers: a copy of a shop must not be produced for. "
            f"If the shop has really moved, give it a new name under shops:"
        )


def take(tx: Tx, reading: Reading, *, now: datetime) -> Taken:
    """Store an order with all that follows from it, or what changed in it; the same content again is nothing."""
    digest = content_hash(reading.order)
    known = row(
        tx,
        "SELECT order_id, content_hash, revision FROM orders WHERE shop = :shop AND shop_order_id = :id",
        shop=reading.shop,
        id=reading.order.shop_order_id,
    )
    if known is None:
        order_id = _insert(tx, reading, digest, now=now)
        taken = Taken.NEW
    elif known["content_hash"] == digest:
        return Taken.SAME
    else:
        order_id = known["order_id"]
        _revise(tx, order_id, reading, digest, revision=known["revision"] + 1, now=now)
        taken = Taken.CHANGED
    tell(tx, order_id, now=now)
    ring(tx, "plan")
    return taken


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
    move_line(tx, line_id, seen=seen, state=state, reason=reason)
    tell(tx, line["order_id"], now=now)


def tell(tx: Tx, order_id: int, *, now: datetime) -> None:
    """Post what an order looks like from outside, to the shop and to MQTT, if that has changed."""
    order = row(tx, "SELECT shop, shop_order_id, number, told FROM orders WHERE order_id = :id", id=order_id)
    assert order is not None
    values = told(_standings(tx, order_id))
    text = orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()
    if text == order["told"]:
        return
    change(tx, "UPDATE orders SET told = :told WHERE order_id = :id", told=text, id=order_id)
    outbox.post(
        tx,
        destination=f"shop:{order['shop']}",
        subject=f"order:{order_id}",
        body={"shop_order_id": order["shop_order_id"], "values": values},
        at=now,
    )
    facts.post(
        tx,
        "order.state",
        at=now,
        order_id=order_id,
        shop=order["shop"],
        number=order["number"],
        state=values["_kvot_state"],
        progress=int(values["_kvot_progress"]),
        promise_at=values.get("_kvot_promise"),
    )


def reread_set_aside(tx: Tx, order_id: int, reading: Reading, *, now: datetime) -> bool:
    """Read set-aside lines of an order again; say whether any of them is understood now."""
    better = False
    for plan in reading.plans:
        line = row(
            tx,
            "SELECT * FROM order_lines WHERE order_id = :id AND shop_line_id = :line AND state = 'quarantined'",
            id=order_id,
            line=plan.line.shop_line_id,
        )
        if line is not None and plan.state is LineState.QUARANTINED:
            _raise_trouble(tx, plan, now=now)
        elif line is not None:
            _reread_line(tx, line, LineState.QUARANTINED, plan, reading, now=now)
            better = True
    return better


def _standings(tx: Tx, order_id: int) -> list[LineStanding]:
    found = rows(
        tx,
        "SELECT l.state, l.quantity, l.promise_at, l.expected_at, "
        "COALESCE((SELECT r.good FROM requirements r "
        "WHERE r.line_id = l.line_id ORDER BY r.step DESC LIMIT 1), 0) AS good "
        "FROM order_lines l WHERE l.order_id = :id",
        id=order_id,
    )
    return [
        LineStanding(
            state=LineState(line["state"]),
            quantity=line["quantity"],
            good=line["good"],
            promise_at=line["promise_at"],
            expected_at=line["expected_at"],
        )
        for line in found
    ]


def _insert(tx: Tx, reading: Reading, digest: str, *, now: datetime) -> int:
    order = reading.order
    order_id = insert(
        tx,
        "orders",
        shop=reading.shop,
        shop_order_id=order.shop_order_id,
        number=order.number,
        channel=order.channel,
        kind=order.kind,
        currency=order.currency,
        status=order.status,
        payment=order.payment,
        placed_at=to_text(order.placed_at),
        received_at=to_text(now),
        due=int(reading.due),
        hold_reason=None,
        revision=1,
        content_hash=digest,
    )
    events.record(
        tx,
        what="order.received",
        who=f"shop:{reading.shop}",
        subject=f"order:{order_id}",
        at=now,
        after={"number": order.number, "lines": len(order.lines)},
    )
    facts.post(
        tx,
        "order.received",
        at=now,
        order_id=order_id,
        shop=reading.shop,
        number=order.number,
        lines=len(order.lines),
    )
    _keep_personal(tx, order_id, reading, now=now)
    for plan in reading.plans:
        _insert_line(tx, order_id, plan, reading, counted_from=order.placed_at, now=now)
    return order_id


def _keep_personal(tx: Tx, order_id: int, reading: Reading, *, now: datetime) -> None:
    change(tx, "DELETE FROM personal WHERE subject = :subject", subject=f"order:{order_id}")
    for field, value in reading.order.personal.items():
        insert(
            tx,
            "personal",
            subject=f"order:{order_id}",
            field=field,
            value=value,
            erase_after=to_text(now + reading.erase_after),
        )


def _insert_line(
    tx: Tx, order_id: int, plan: LinePlan, reading: Reading, *, counted_from: datetime, now: datetime
) -> None:
    promise = promise_of(plan.requirements, counted_from=counted_from, families=reading.families)
    line_id = insert(
        tx,
        "order_lines",
        order_id=order_id,
        shop_line_id=plan.line.shop_line_id,
        parent_line_id=plan.line.parent_line_id,
        position=plan.position,
        product=plan.product,
        skus=_json(plan.line.skus),
        name=plan.line.name,
        options=_json(plan.line.options),
        quantity=plan.line.quantity,
        unit_price_minor=plan.line.unit_price_minor,
        promise_at=None if promise is None else to_text(promise),
        promise_source=None if promise is None else "static",
        ship_together=0,
        state=plan.state,
        reason=plan.reason,
    )
    _require(tx, line_id, plan)
    _raise_trouble(tx, plan, now=now)


def _require(tx: Tx, line_id: int, plan: LinePlan) -> None:
    for need in plan.requirements:
        parameters = _json(need.parameters)
        insert(
            tx,
            "requirements",
            line_id=line_id,
            component=need.component,
            step=need.step,
            operation=need.operation,
            family=need.family,
            setup_key=need.setup_key,
            recipe=need.recipe,
            recipe_version=need.recipe_version,
            parameters=parameters,
            parameters_hash=facts.fingerprint(parameters),
            quantity=need.quantity,
            good=0,
        )


def _raise_trouble(tx: Tx, plan: LinePlan, *, now: datetime) -> None:
    if plan.trouble is not None:
        open_exception(
            tx,
            subject=plan.trouble.subject,
            cause=plan.trouble.cause,
            evidence={"text": plan.trouble.evidence, "article": plan.line.name},
            actions=("retry", "close"),
            at=now,
        )


def _revise(tx: Tx, order_id: int, reading: Reading, digest: str, *, revision: int, now: datetime) -> None:
    """Bring a changed order into the ledger: freely while nothing was released, as an exception afterwards."""
    order = reading.order
    change(
        tx,
        "UPDATE orders SET content_hash = :digest, revision = :revision, status = :status, "
        "payment = :payment, due = :due "
        "WHERE order_id = :id",
        digest=digest,
        revision=revision,
        status=order.status,
        payment=order.payment,
        due=int(reading.due),
        id=order_id,
    )
    events.record(
        tx,
        what="order.changed",
        who=f"shop:{reading.shop}",
        subject=f"order:{order_id}",
        at=now,
        after={"revision": revision, "status": order.status},
    )
    _keep_personal(tx, order_id, reading, now=now)
    lines = {
        line["shop_line_id"]: line for line in rows(tx, "SELECT * FROM order_lines WHERE order_id = :id", id=order_id)
    }
    for plan in reading.plans:
        line = lines.pop(plan.line.shop_line_id, None)
        if line is None:
            _insert_line(tx, order_id, plan, reading, counted_from=now, now=now)
        else:
            _revise_line(tx, order_id, line, plan, reading, now=now)
    for line in lines.values():  # a row that is gone from the order is no longer wanted
        _withdraw_line(tx, order_id, line, "removed from the order", now=now)


def _revise_line(tx: Tx, order_id: int, line: RowMapping, plan: LinePlan, reading: Reading, *, now: datetime) -> None:
    seen = LineState(line["state"])
    if seen in _PASSED_OVER:
        return
    if plan.state is LineState.CANCELLED:
        _withdraw_line(tx, order_id, line, plan.reason or "cancelled", now=now)
        return
    wanted = (plan.line.quantity, _json(plan.line.options), _json(plan.line.skus))
    same = wanted == (line["quantity"], line["options"], line["skus"])
    if seen in _OPEN:
        _reread_line(tx, line, seen, plan, reading, now=now)
    elif same:
        return
    elif seen in _CHANGEABLE and _untouched(tx, line["line_id"]) and plan.state is LineState.RECEIVED:
        _replace_line(tx, line, plan)
    else:
        _changed_too_late(tx, order_id, line, f"the shop now says {plan.line.quantity} of {plan.line.name!r}", now=now)


def _reread_line(tx: Tx, line: RowMapping, seen: LineState, plan: LinePlan, reading: Reading, *, now: datetime) -> None:
    """Read a line again that was not due or not understood; a late payment gets a new promise."""
    line_id = line["line_id"]
    if plan.state is seen:
        change(tx, "UPDATE order_lines SET reason = :reason WHERE line_id = :line", reason=plan.reason, line=line_id)
        _replace_line(tx, line, plan)
        return
    settle(tx, subject=f"order:{reading.shop}/{reading.order.shop_order_id}/{line['shop_line_id']}", at=now)
    move_line(tx, line_id, seen=seen, state=LineState.RECEIVED, reason=None)
    promise = promise_of(plan.requirements, counted_from=now, families=reading.families)
    change(
        tx,
        "UPDATE order_lines SET promise_at = :promise, promise_source = 'static' WHERE line_id = :line "
        "AND :promise IS NOT NULL",
        promise=None if promise is None else to_text(promise),
        line=line_id,
    )
    _replace_line(tx, line, plan)
    if plan.state is not LineState.RECEIVED:
        move_line(tx, line_id, seen=LineState.RECEIVED, state=plan.state, reason=plan.reason)
    _raise_trouble(tx, plan, now=now)


def _replace_line(tx: Tx, line: RowMapping, plan: LinePlan) -> None:
    """Put another content in a line for which nothing was released."""
    line_id = line["line_id"]
    change(
        tx,
        "UPDATE order_lines SET quantity = :quantity, options = :options, skus = :skus, product = :product, "
        "name = :name "
        "WHERE line_id = :line",
        quantity=plan.line.quantity,
        options=_json(plan.line.options),
        skus=_json(plan.line.skus),
        product=plan.product,
        name=plan.line.name,
        line=line_id,
    )
    change(tx, "DELETE FROM requirements WHERE line_id = :line", line=line_id)
    _require(tx, line_id, plan)


def _untouched(tx: Tx, line_id: int) -> bool:
    """Say whether no job was ever made for a line."""
    sql = "SELECT 1 FROM allocations a JOIN requirements r USING (requirement_id) WHERE r.line_id = :line LIMIT 1"
    return row(tx, sql, line=line_id) is None


def _withdraw_line(tx: Tx, order_id: int, line: RowMapping, reason: str, *, now: datetime) -> None:
    """Cancel a line for which nothing was released; afterwards a person decides."""
    seen = LineState(line["state"])
    if seen in _PASSED_OVER:
        return
    if seen in _OPEN or (seen in _CHANGEABLE and _untouched(tx, line["line_id"])):
        move_line(tx, line["line_id"], seen=seen, state=LineState.CANCELLED, reason=reason)
        return
    _changed_too_late(tx, order_id, line, reason, now=now)


def _changed_too_late(tx: Tx, order_id: int, line: RowMapping, reason: str, *, now: datetime) -> None:
    open_exception(
        tx,
        subject=f"order:{order_id}/{line['shop_line_id']}",
        cause="changed after release",
        evidence={"text": reason, "article": line["name"], "state": line["state"], "quantity": line["quantity"]},
        actions=("close",),
        at=now,
    )


def _json(value: Mapping[str, object] | Sequence[str]) -> str:
    return orjson.dumps(
        dict(value) if isinstance(value, Mapping) else list(value), option=orjson.OPT_SORT_KEYS
    ).decode()
