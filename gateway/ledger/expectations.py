"""Order lines that wait for a run, and when their customers may expect them instead of as promised."""

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from gateway.ledger.database import Tx
from gateway.ledger.sql import change, rows
from gateway.ledger.telling import tell
from gateway.ledger.times import to_text, to_time


@dataclass(frozen=True, kw_only=True, slots=True)
class Awaited:
    """A line with a promise. `waits`: the families whose open runs hold jobs of it; `under_way`: those at a machine.

    `expected_at`: what its customer was told last, None where that is the promise.
    """

    line_id: int
    order_id: int
    waits: frozenset[str]
    under_way: frozenset[str]
    promise_at: datetime
    expected_at: datetime | None


def awaited(tx: Tx) -> list[Awaited]:
    """List the lines that were promised and still have jobs to be done."""
    found = rows(
        tx,
        "SELECT l.line_id, l.order_id, l.promise_at, l.expected_at, r.family, "
        "MAX(j.state = 'waiting') AS waiting FROM order_lines l JOIN requirements r USING (line_id) "
        "JOIN allocations a USING (requirement_id) JOIN jobs j USING (job_id) "
        "WHERE l.state IN ('planned','in_production') AND l.promise_at IS NOT NULL "
        "AND j.state IN ('waiting','released','in_doubt','accepted','running','interrupted') "
        "GROUP BY l.line_id, r.family ORDER BY l.line_id",
    )
    lines = [tuple(its) for _, its in groupby(found, key=lambda one: one["line_id"])]
    return [
        Awaited(
            line_id=its[0]["line_id"],
            order_id=its[0]["order_id"],
            waits=frozenset(one["family"] for one in its if one["waiting"]),
            under_way=frozenset(one["family"] for one in its if not one["waiting"]),
            promise_at=to_time(its[0]["promise_at"]),
            expected_at=None if its[0]["expected_at"] is None else to_time(its[0]["expected_at"]),
        )
        for its in lines
    ]


def expect(tx: Tx, *, line: Awaited, at: datetime, now: datetime) -> None:
    """Note when a line is expected, and tell the shop of its order; nothing where it was ended meanwhile."""
    changed = change(
        tx,
        "UPDATE order_lines SET expected_at = :at WHERE line_id = :line AND state IN ('planned','in_production')",
        at=to_text(at),
        line=line.line_id,
    )
    if changed:
        tell(tx, line.order_id, now=now)
