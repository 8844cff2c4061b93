"""What a named person does about a whole order: cancel, hold, let it in, or have what was set aside read again."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from gateway.domain.recovery import QUESTION
from gateway.domain.states import LineState
from gateway.errors import RefusedError
from gateway.ledger import events
from gateway.ledger.database import Tx, ring
from gateway.ledger.ending import CHANGE_WAITS
from gateway.ledger.lines import BY_A_PERSON, move_line, withdraw_line
from gateway.ledger.sql import Row, change, row, rows
from gateway.ledger.telling import tell
from gateway.ledger.unplanning import in_work, take_back

_ENDED = "('not_made','cancelled','shipped')"


def cancel_order(tx: Tx, order_id: int, *, who: str, now: datetime) -> str:
    """Cancel every line of an order as if its shop had, in a person's name; give what happened, in words.

    What no machine has is taken back. What is loaded is asked back. About the rest one question is opened a line.
    """
    shop = _shop(tx, order_id)
    lines = _open_lines(tx, order_id)
    if not lines:
        raise RefusedError(f"order {order_id} has ended: nothing of it can be cancelled")
    events.record(tx, what="order.cancel_asked", who=who, subject=f"order:{order_id}", at=now)
    for line in lines:
        withdraw_line(tx, line, BY_A_PERSON, shop=shop["shop"], shop_order_id=shop["shop_order_id"], who=who, now=now)
    tell(tx, order_id, now=now)
    ring(tx, "plan")
    left = rows(
        tx,
        f"SELECT 1 FROM order_lines WHERE order_id = :id AND state NOT IN {_ENDED}",  # noqa: S608
        id=order_id,
    )
    if not left:
        return f"order {order_id} is cancelled"
    return f"{len(left)} lines of order {order_id} are in work or made: `kvot exceptions list` asks about each"


def read_order_again(tx: Tx, order_id: int, *, who: str, now: datetime) -> str:
    """Have the lines of an order that were not understood read again; others of the same shop come along."""
    shop = _shop(tx, order_id)["shop"]
    if row(tx, "SELECT 1 FROM order_lines WHERE order_id = :id AND state = 'quarantined'", id=order_id) is None:
        raise RefusedError(f"nothing of order {order_id} is set aside")
    events.record(tx, what="order.retried", who=who, subject=f"order:{order_id}", at=now)
    ring(tx, f"intake:{shop}")
    return f"what was set aside of order {order_id} is read again"


def hold_order(tx: Tx, order_id: int, *, reason: str, who: str, now: datetime) -> str:
    """Make nothing more of an order until a person releases it; give what happened, in words.

    What waits leaves its runs, what was released and not sent is taken back, what a machine has goes on.
    """
    order = _known(tx, order_id)
    if order["hold_reason"] is not None:
        raise RefusedError(f"order {order_id} is held already: {order['hold_reason']}")
    lines = _open_lines(tx, order_id)
    if not lines:
        raise RefusedError(f"order {order_id} has ended: nothing of it can be held")
    change(tx, "UPDATE orders SET hold_reason = :reason WHERE order_id = :id", reason=reason, id=order_id)
    _record(tx, "held", order_id, who=who, now=now, after={"reason": reason})
    at_machines = 0
    for line in lines:
        take_back(tx, line["line_id"], who=who, evidence=f"order {order_id} is held", now=now)
        if line["state"] == LineState.PLANNED and not in_work(tx, line["line_id"]):
            move_line(tx, line["line_id"], seen=LineState.PLANNED, state=LineState.RECEIVED)
        at_machines += in_work(tx, line["line_id"])
    tell(tx, order_id, now=now)
    _wake(tx)
    gone_on = f"; {at_machines} jobs of it are at machines and go on" if at_machines else ""
    return f"order {order_id} is held: {reason}{gone_on}"


def release_order(tx: Tx, order_id: int, *, reason: str, who: str, now: datetime) -> str:
    """Let an order into production that a person, its shop or its payment holds; give what happened, in words.

    What overrules the shop counts for that reason alone: when the shop says another, it holds again.
    Raise `RefusedError`, with what to do, where nothing of it is held in a way that this act ends.
    """
    order = _known(tx, order_id)
    lines = _open_lines(tx, order_id)
    if not lines:
        raise RefusedError(f"order {order_id} has ended: nothing of it can be released")
    held = [line for line in lines if line["hold_reason"] not in {None, QUESTION, CHANGE_WAITS}]
    not_due = sorted({line["reason"] for line in lines if line["state"] == LineState.NOT_DUE} - {order["let_in"]})
    if order["hold_reason"] is None and not held and not not_due:
        raise RefusedError(f"order {order_id}: {_why_not(tx, order_id, lines)}")
    change(
        tx,
        "UPDATE orders SET hold_reason = NULL, let_in = COALESCE(:let_in, let_in) WHERE order_id = :id",
        let_in=not_due[0] if not_due else None,
        id=order_id,
    )
    for line in held:
        change(tx, "UPDATE order_lines SET hold_reason = NULL WHERE line_id = :line", line=line["line_id"])
    before = [order["hold_reason"], *(line["hold_reason"] for line in held), *not_due]
    ended = [why for why in before if why]
    _record(tx, "released", order_id, who=who, now=now, before={"held": ended}, after={"reason": reason})
    if not_due:
        ring(tx, f"intake:{order['shop']}")
    _wake(tx)
    return f"order {order_id} may be made: {'; '.join(ended)} is overruled"


def _why_not(tx: Tx, order_id: int, lines: Sequence[Row]) -> str:
    """Say why an order that nobody holds is not made, or that it is."""
    if any(line["hold_reason"] == QUESTION for line in lines):
        return f"{QUESTION} That is answered by `kvot exceptions resolve`"
    if any(line["hold_reason"] == CHANGE_WAITS for line in lines):
        return f"{CHANGE_WAITS}: `kvot jobs list` shows it"
    if any(line["state"] == LineState.QUARANTINED for line in lines):
        return f"what is set aside was not understood: cure it, then `kvot orders retry {order_id}`"
    if any(line["state"] == LineState.NOT_DUE for line in lines):
        return "it is let in already, and is read when its shop's intake runs"
    need = row(
        tx,
        "SELECT r.hold_reason FROM requirements r JOIN order_lines l USING (line_id) "
        "WHERE l.order_id = :id AND r.hold_reason IS NOT NULL LIMIT 1",
        id=order_id,
    )
    if need is not None:
        return f"it waits for an answer ({need['hold_reason']}): `kvot exceptions list`"
    job = row(
        tx,
        "SELECT j.job_id, j.state, COALESCE(j.hold_reason, u.hold_reason) AS held, u.run_id FROM order_lines l "
        "JOIN requirements r USING (line_id) JOIN allocations a USING (requirement_id) JOIN jobs j USING (job_id) "
        "JOIN runs u USING (run_id) WHERE l.order_id = :id AND j.state <> 'cancelled' ORDER BY held IS NULL LIMIT 1",
        id=order_id,
    )
    if job is None:
        return "nobody holds it: it waits for the next planning"
    if job["held"] is not None:
        return f"its job {job['job_id']} in run {job['run_id']} is held ({job['held']}): `kvot runs release`"
    return f"nobody holds it: job {job['job_id']} in run {job['run_id']} is {job['state']}"


def _open_lines(tx: Tx, order_id: int) -> Sequence[Row]:
    return rows(
        tx,
        f"SELECT * FROM order_lines WHERE order_id = :id AND state NOT IN {_ENDED} ORDER BY position",  # noqa: S608
        id=order_id,
    )


def _record(
    tx: Tx,
    what: str,
    order_id: int,
    *,
    who: str,
    now: datetime,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object],
) -> None:
    events.record(tx, what=f"order.{what}", who=who, subject=f"order:{order_id}", at=now, before=before, after=after)


def _wake(tx: Tx) -> None:
    for bell in ("plan", "price"):
        ring(tx, bell)


def _shop(tx: Tx, order_id: int) -> dict[str, str]:
    order = _known(tx, order_id)
    return {"shop": order["shop"], "shop_order_id": order["shop_order_id"]}


def _known(tx: Tx, order_id: int) -> Row:
    order = row(tx, "SELECT * FROM orders WHERE order_id = :id", id=order_id)
    if order is None:
        raise RefusedError(f"there is no order {order_id}: `kvot orders list` shows those there are")
    return order
