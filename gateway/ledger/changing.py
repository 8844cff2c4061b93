"""A line that is in work becomes another, as a named person has decided: more, fewer, or given back and made anew."""

import math
from datetime import datetime
from typing import Any

import orjson

from drivers.base import CommandKind
from gateway.domain.intake import LinePlan
from gateway.errors import RefusedError
from gateway.ledger import content, ending, events, shelf
from gateway.ledger.database import Tx, ring
from gateway.ledger.sql import Row, change, row, rows
from gateway.ledger.telling import tell
from gateway.ledger.unplanning import take_back
from gateway.ledger.yields import finish_line


def change_line(tx: Tx, name: str, exception_id: int, *, action: str, who: str, now: datetime) -> bool:
    """Do what a person has decided about a changed line (`<order>/<row>`), as the evidence of the question has it.

    False where the question is not about a change. Raise `RefusedError` where the line has gone on meanwhile.
    """
    asked = row(tx, "SELECT evidence FROM exceptions WHERE exception_id = :id", id=exception_id)
    order_id, _, shop_line_id = name.partition("/")
    line = row(
        tx,
        "SELECT * FROM order_lines WHERE order_id = :order AND shop_line_id = :line",
        order=int(order_id),
        line=shop_line_id,
    )
    assert asked is not None
    assert line is not None
    wanted = orjson.loads(asked["evidence"]).get("wanted")
    if wanted is None:
        return False
    plan = content.read(wanted)
    if action not in content.answers(tx, line, plan):
        raise RefusedError(f"the line has gone on meanwhile, so {action!r} is not possible any more: `close` it")
    match action:
        case content.MAKE_MORE:
            _want(tx, line, plan)
        case content.SHELF:
            _want_less(tx, line, plan, now=now)
        case _:
            _ask_back(tx, line["line_id"], wanted, who=who, now=now)
    events.record(
        tx,
        what="order.line_changed",
        who=who,
        subject=f"order:{order_id}",
        at=now,
        before={"line_id": line["line_id"], "quantity": line["quantity"]},
        after={"action": action, "quantity": plan.line.quantity},
    )
    tell(tx, line["order_id"], now=now)
    return True


def given_back(tx: Tx, job_id: str, *, now: datetime) -> None:
    """Let the line of a job that no machine has (any more) be what its row says, where that waits for it."""
    for line in rows(
        tx,
        "SELECT DISTINCT l.line_id, l.order_id, l.change_to FROM allocations a JOIN requirements r "
        "USING (requirement_id) JOIN order_lines l USING (line_id) WHERE a.job_id = :job "
        "AND l.change_to IS NOT NULL AND l.state IN ('planned','in_production')",
        job=job_id,
    ):
        if _has_machine_work(tx, line["line_id"]):
            continue
        ending.forget_change(tx, job_id)
        take_back(tx, line["line_id"], evidence="its order has changed", now=now)
        content.replace_content(tx, line["line_id"], content.read(orjson.loads(line["change_to"])))
        tell(tx, line["order_id"], now=now)
        ring(tx, "plan")


def _want(tx: Tx, line: Row, plan: LinePlan) -> None:
    """Want another quantity of the same good: each step as much more or less as the row makes of it."""
    have, want = line["quantity"], plan.line.quantity
    change(tx, "UPDATE order_lines SET quantity = :quantity WHERE line_id = :line", quantity=want, line=line["line_id"])
    for need in plan.requirements:
        before = math.ceil(round(have * need.quantity / want, 9))
        change(
            tx,
            "UPDATE requirements SET quantity = MAX(0, quantity + :more) WHERE line_id = :line "
            "AND component = :component AND step = :step",
            more=need.quantity - before,
            line=line["line_id"],
            component=need.component,
            step=need.step,
        )


def _want_less(tx: Tx, line: Row, plan: LinePlan, *, now: datetime) -> None:
    """Want fewer: what no machine has is planned anew, what is made beyond it lies on the shelf, now or then."""
    _want(tx, line, plan)
    take_back(tx, line["line_id"], evidence="fewer are wanted", now=now)
    shelf.give_surplus(tx, line["line_id"], now=now)
    finish_line(tx, line["line_id"])


def _ask_back(tx: Tx, line_id: int, wanted: dict[str, Any], *, who: str, now: datetime) -> None:
    """Keep a line from being planned, and want its jobs back from the machines that have them, or may have them."""
    change(
        tx,
        "UPDATE order_lines SET change_to = :wanted, hold_reason = COALESCE(hold_reason, :waits) WHERE line_id = :line",
        wanted=orjson.dumps(wanted).decode(),
        waits=ending.CHANGE_WAITS,
        line=line_id,
    )
    take_back(tx, line_id, evidence="its order has changed", now=now)
    for job_id in _has_machine_work(tx, line_id):
        ending.ask_end(tx, job_id, CommandKind.CANCEL, who=who, now=now)


def _has_machine_work(tx: Tx, line_id: int) -> list[str]:
    """Give the jobs of a line that a machine has, or may have."""
    found = rows(
        tx,
        "SELECT DISTINCT j.job_id FROM allocations a JOIN jobs j USING (job_id) JOIN requirements r "
        "USING (requirement_id) WHERE r.line_id = :line AND j.state IN ('in_doubt','accepted','running','interrupted')",
        line=line_id,
    )
    return [one["job_id"] for one in found]
