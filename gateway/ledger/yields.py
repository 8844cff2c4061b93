"""What a job yields: its good pieces for the lines it serves, its scrap for the steps before."""

from datetime import datetime

from gateway.domain.states import LineState
from gateway.ledger.database import Tx
from gateway.ledger.lines import move_line
from gateway.ledger.runs import tell_run
from gateway.ledger.sql import change, row, rows


def allocate(tx: Tx, job_id: str, good: int) -> None:
    """Give a job's good pieces to its allocations, earliest promise first; a line is made when its last step is."""
    for share in rows(
        tx,
        "SELECT a.requirement_id, a.quantity, r.line_id FROM allocations a JOIN requirements r USING (requirement_id) "
        "JOIN order_lines l USING (line_id) WHERE a.job_id = :job ORDER BY l.promise_at, l.line_id",
        job=job_id,
    ):
        given = min(good, share["quantity"])
        good -= given
        change(
            tx,
            "UPDATE allocations SET good = :good WHERE job_id = :job AND requirement_id = :need",
            good=given,
            job=job_id,
            need=share["requirement_id"],
        )
        change(
            tx,
            "UPDATE requirements SET good = good + :good WHERE requirement_id = :need",
            good=given,
            need=share["requirement_id"],
        )
        _make_up_for_scrap(tx, share["line_id"])
        _finish_line(tx, share["line_id"])


def withhold(tx: Tx, job_id: str, *, now: datetime) -> bool:
    """Keep back what the first piece of a run yields until a person approves it; say whether it is one."""
    job = row(
        tx,
        "UPDATE jobs SET first_piece = 'made' WHERE job_id = :job AND first_piece = 'due' "
        "AND (SELECT r.state FROM runs r WHERE r.run_id = jobs.run_id) = 'first_piece' RETURNING run_id",
        job=job_id,
    )
    if job is not None:
        tell_run(tx, job["run_id"], "first_piece_made", who="kvot", now=now, job_id=job_id)
    return job is not None


def _finish_line(tx: Tx, line_id: int) -> None:
    last = row(
        tx,
        "SELECT r.good, r.quantity, l.state FROM requirements r JOIN order_lines l USING (line_id) "
        "WHERE r.line_id = :line ORDER BY r.step DESC LIMIT 1",
        line=line_id,
    )
    if last is not None and last["good"] >= last["quantity"] and last["state"] == LineState.IN_PRODUCTION:
        move_line(tx, line_id, seen=LineState.IN_PRODUCTION, state=LineState.MADE)


def _make_up_for_scrap(tx: Tx, line_id: int) -> None:
    """Raise what earlier steps must yield by what later ones lost: scrap goes back to the first step needed.

    A step must be given its own pieces and all it has turned into scrap so far. Nothing is ever lowered.
    """
    steps = rows(
        tx,
        "SELECT r.requirement_id, r.component, r.step, r.quantity, COALESCE((SELECT SUM(s.produced - s.good) "
        "FROM allocations a JOIN results s USING (job_id) WHERE a.requirement_id = r.requirement_id "
        "AND s.result_id = (SELECT MAX(x.result_id) FROM results x WHERE x.job_id = s.job_id)), 0) AS scrap "
        "FROM requirements r WHERE r.line_id = :line ORDER BY r.component, r.step DESC",
        line=line_id,
    )
    raised: dict[tuple[int, int], int] = {}
    for step in steps:
        needed = max(step["quantity"], raised.get((step["component"], step["step"]), 0)) + step["scrap"]
        raised[step["component"], step["step"] - 1] = needed
        change(
            tx,
            "UPDATE requirements SET quantity = :needed WHERE line_id = :line AND component = :component "
            "AND step = :step AND quantity < :needed",
            needed=needed,
            line=line_id,
            component=step["component"],
            step=step["step"] - 1,
        )
