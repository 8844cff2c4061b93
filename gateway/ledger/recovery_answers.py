"""What a person answers after a restore: this line was made in the life that is lost, or it was not."""

from datetime import datetime

from gateway.domain.exceptions import Kind
from gateway.domain.recovery import QUESTION, as_the_shop_says
from gateway.domain.states import LineState
from gateway.ledger import events, exceptions, recovery
from gateway.ledger.database import Tx, ring
from gateway.ledger.lines import move_line
from gateway.ledger.sql import Row, change, row, rows
from gateway.ledger.telling import tell

_TO_MADE = {
    LineState.NOT_DUE: LineState.RECEIVED,
    LineState.QUARANTINED: LineState.RECEIVED,
    LineState.RECEIVED: LineState.PLANNED,
    LineState.PLANNED: LineState.IN_PRODUCTION,
    LineState.IN_PRODUCTION: LineState.MADE,
}


def answer_all(tx: Tx, *, action: str, who: str, now: datetime) -> None:
    """Decide about every line that is held since the restore: `by_shop`, `one_by_one`, `not_made` or `made`."""
    found = recovery.asked(tx)
    for line in rows(tx, "SELECT * FROM order_lines WHERE hold_reason = :why ORDER BY line_id", why=QUESTION):
        told = found.get(f"order:{line['order_id']}", {}).get("told")
        made = {"made": True, "not_made": False, "by_shop": as_the_shop_says(told)}.get(action)
        if made is None:
            _ask_about(tx, line, told=told, now=now)
        else:
            _decide(tx, line, made=made, who=who, now=now)
    recovery.forget(tx)


def answer_one(tx: Tx, line_id: int, *, action: str, who: str, now: datetime) -> None:
    """Decide about one line: `made` or `not_made`."""
    line = row(tx, "SELECT * FROM order_lines WHERE line_id = :line AND hold_reason = :why", line=line_id, why=QUESTION)
    if line is not None:
        _decide(tx, line, made=action == "made", who=who, now=now)


def _ask_about(tx: Tx, line: Row, *, told: str | None, now: datetime) -> None:
    exceptions.open_exception(
        tx,
        Kind.MADE_BEFORE,
        subject=f"line:{line['line_id']}",
        evidence={"order": line["order_id"], "article": line["name"], "quantity": line["quantity"], "shop_says": told},
        at=now,
    )


def _decide(tx: Tx, line: Row, *, made: bool, who: str, now: datetime) -> None:
    line_id = line["line_id"]
    change(tx, "UPDATE order_lines SET hold_reason = NULL WHERE line_id = :line", line=line_id)
    if made:
        change(tx, "UPDATE requirements SET good = MAX(good, quantity) WHERE line_id = :line", line=line_id)
        _bring_to_made(tx, line_id, LineState(line["state"]))
    what = "line.made_before" if made else "line.not_made_before"
    events.record(tx, what=what, who=who, subject=f"order:{line['order_id']}", at=now, after={"line": line_id})
    tell(tx, line["order_id"], now=now)
    ring(tx, "plan")


def _bring_to_made(tx: Tx, line_id: int, state: LineState) -> None:
    """Move a line on to `made`; one whose jobs are still at machines follows when they end."""
    at_machine = row(
        tx,
        "SELECT 1 FROM allocations a JOIN jobs j USING (job_id) JOIN requirements r USING (requirement_id) "
        "WHERE r.line_id = :line AND j.state IN ('in_doubt','accepted','running','interrupted') LIMIT 1",
        line=line_id,
    )
    while state in _TO_MADE and not (at_machine is not None and state is LineState.IN_PRODUCTION):
        move_line(tx, line_id, seen=state, state=_TO_MADE[state])
        state = _TO_MADE[state]
