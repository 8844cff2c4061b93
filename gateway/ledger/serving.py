"""What lies on the shelf is used first: lines that wait for the very same good get it before anything is made."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from gateway.domain.states import LineState
from gateway.ledger.database import Tx, ring
from gateway.ledger.job_states import IN_WORK
from gateway.ledger.lines import move_line
from gateway.ledger.shelf import LYING, lying_of, mark_of, take
from gateway.ledger.sql import Row, change, rows
from gateway.ledger.telling import tell

_WAY = (LineState.RECEIVED, LineState.PLANNED, LineState.IN_PRODUCTION, LineState.MADE)

# Lines that may be made and want an article that lies there; whether it is the very same good is looked at then.
_LIKELY = f"""
    SELECT l.line_id, l.order_id, l.state FROM order_lines l JOIN orders o USING (order_id)
    WHERE l.state IN ('received','planned','in_production') AND l.hold_reason IS NULL AND o.hold_reason IS NULL
      AND NOT EXISTS (SELECT 1 FROM files f WHERE f.line_id = l.line_id AND f.state <> 'checked')
      AND EXISTS (SELECT 1 FROM ({LYING}) y JOIN order_lines m ON m.line_id = y.line_id
                  WHERE m.product = l.product AND m.skus = l.skus AND m.options = l.options)
    ORDER BY l.promise_at, l.line_id"""  # noqa: S608 - constants
# A line's steps with the pieces each lacks that no job has begun or waits to begin.
_STEPS = f"""
    SELECT r.requirement_id, r.step, r.quantity, r.good, r.hold_reason, r.quantity - r.good - COALESCE((
      SELECT SUM(a.quantity) FROM allocations a JOIN jobs j USING (job_id)
      WHERE a.requirement_id = r.requirement_id AND {IN_WORK}), 0) AS lacking
    FROM requirements r WHERE r.line_id = :line ORDER BY r.component, r.step"""  # noqa: S608 - constants


def serve(tx: Tx, *, now: datetime) -> int:
    """Give lines what lies on the shelf for them, the earliest promise first; give the number of pieces.

    A line gets only what no step of its route has begun, so nothing half made is left over. A line that
    has all its pieces is made, and its shop is told; otherwise only the rest is made.
    """
    if not rows(tx, f"{LYING} LIMIT 1"):
        return 0
    return sum(_serve_line(tx, line, now=now) for line in rows(tx, _LIKELY))


def _serve_line(tx: Tx, line: Row, *, now: datetime) -> int:
    steps = rows(tx, _STEPS, line=line["line_id"])
    wanted = min((step["lacking"] for step in steps), default=0)
    if wanted < 1 or any(step["hold_reason"] for step in steps):
        return 0
    mark = mark_of(tx, line["line_id"])
    pieces = 0 if mark is None else min(wanted, lying_of(tx, mark))
    if mark is None or not pieces:
        return 0
    take(tx, line["line_id"], mark, pieces, now=now)
    _make_less(tx, steps, pieces)
    if steps[-1]["good"] + pieces >= steps[-1]["quantity"]:
        for seen, state in pairwise(_WAY[_WAY.index(LineState(line["state"])) :]):
            move_line(tx, line["line_id"], seen=seen, state=state)
    tell(tx, line["order_id"], now=now)
    ring(tx, "price")
    return pieces


def _make_less(tx: Tx, steps: Sequence[Row], pieces: int) -> None:
    """Count the pieces as good at the last step; the steps before make as much less as those would have taken."""
    last = steps[-1]
    for step in steps[:-1]:
        change(
            tx,
            "UPDATE requirements SET quantity = quantity - :less WHERE requirement_id = :need",
            less=min(step["lacking"], pieces * step["quantity"] // last["quantity"]),
            need=step["requirement_id"],
        )
    change(
        tx,
        "UPDATE requirements SET good = good + :pieces WHERE requirement_id = :need",
        pieces=pieces,
        need=last["requirement_id"],
    )
