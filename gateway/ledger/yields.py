"""What a job yields: its good pieces for the lines it serves, its scrap for the steps before."""

from datetime import datetime

from gateway.domain.states import LineState
from gateway.ledger.database import Tx
from gateway.ledger.job_states import IN_WORK
from gateway.ledger.lines import move_line
from gateway.ledger.runs import tell_run
from gateway.ledger.shelf import give_up, put_surplus
from gateway.ledger.sql import change, row, rows
from gateway.ledger.unplanning import want_less


def allocate(tx: Tx, job_id: str, good: int, *, now: datetime) -> None:
    """Give a job's good pieces to its allocations, earliest promise first; a line is made when its last step is.

    What is left goes to what the same lines still lack, and finished goods beyond that to the shelf; so do
    those of a line that was cancelled.
    """
    shares = rows(
        tx,
        "SELECT a.requirement_id, a.quantity, MAX(0, r.quantity - r.good) AS lacking, r.line_id, l.state "
        "FROM allocations a JOIN requirements r USING (requirement_id) JOIN order_lines l USING (line_id) "
        "WHERE a.job_id = :job ORDER BY l.promise_at, l.line_id",
        job=job_id,
    )
    for share in shares:
        given = min(good, share["quantity"], share["lacking"])
        good -= given
        _give(tx, job_id, share["requirement_id"], given)
    for share in shares:
        if share["state"] == LineState.CANCELLED:
            give_up(tx, share["line_id"], now=now)
            continue
        good -= _give_more(tx, job_id, share["requirement_id"], good, now=now)
        if not finish_line(tx, share["line_id"]):
            _make_up_for_losses(tx, share["line_id"])
    put_surplus(tx, job_id, good, now=now)


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


def _give(tx: Tx, job_id: str, requirement_id: int, pieces: int) -> None:
    change(
        tx,
        "UPDATE allocations SET good = good + :good WHERE job_id = :job AND requirement_id = :need",
        good=pieces,
        job=job_id,
        need=requirement_id,
    )
    change(
        tx,
        "UPDATE requirements SET good = good + :good WHERE requirement_id = :need",
        good=pieces,
        need=requirement_id,
    )


def _give_more(tx: Tx, job_id: str, requirement_id: int, good: int, *, now: datetime) -> int:
    """Give a requirement what its job made beyond its own quantity, where no other released job makes it already.

    Jobs that wait for the same pieces are made smaller. Give the number of pieces.
    """
    lacks = row(
        tx,
        "SELECT r.quantity - r.good - COALESCE(SUM(CASE WHEN j.state <> 'waiting' THEN a.quantity END), 0) AS pieces, "  # noqa: S608
        "COALESCE(SUM(CASE WHEN j.state = 'waiting' THEN a.quantity END), 0) AS waiting "
        "FROM requirements r LEFT JOIN (allocations a JOIN jobs j ON j.job_id = a.job_id AND j.job_id <> :job "
        f"AND {IN_WORK}) ON a.requirement_id = r.requirement_id "
        "WHERE r.requirement_id = :need GROUP BY r.requirement_id",
        job=job_id,
        need=requirement_id,
    )
    assert lacks is not None
    given = max(0, min(good, int(lacks["pieces"])))
    if given:
        _give(tx, job_id, requirement_id, given)
        want_less(tx, requirement_id, lacks["waiting"] - (lacks["pieces"] - given), now=now)
    return given


def finish_line(tx: Tx, line_id: int) -> bool:
    """Call a line made whose last step is; say whether it is."""
    last = row(
        tx,
        "SELECT r.good, r.quantity, l.state FROM requirements r JOIN order_lines l USING (line_id) "
        "WHERE r.line_id = :line ORDER BY r.step DESC LIMIT 1",
        line=line_id,
    )
    if last is None or last["good"] < last["quantity"] or last["state"] != LineState.IN_PRODUCTION:
        return False
    move_line(tx, line_id, seen=LineState.IN_PRODUCTION, state=LineState.MADE)
    return True


def _make_up_for_losses(tx: Tx, line_id: int) -> None:
    """Raise what earlier steps must yield by what later ones lost: scrap goes back to the first step needed.

    A step must be given its own pieces, but for those from the shelf, and all it has taken so far that did not
    become the line's: scrap, and what it made beyond its order. Nothing is ever lowered.
    """
    steps = rows(
        tx,
        "SELECT r.requirement_id, r.component, r.step, r.quantity - CASE WHEN r.step < (SELECT MAX(x.step) "
        "FROM requirements x WHERE x.line_id = r.line_id) THEN 0 ELSE COALESCE((SELECT SUM(CASE s.kind "
        "WHEN 'take' THEN s.pieces ELSE -s.pieces END) FROM shelf s WHERE s.line_id = r.line_id "
        "AND s.kind IN ('take','back')), 0) END AS quantity, COALESCE((SELECT SUM(s.produced - CASE "
        "j.first_piece WHEN 'made' THEN s.good ELSE a.good END) "
        "FROM allocations a JOIN results s USING (job_id) JOIN jobs j USING (job_id) "
        "WHERE a.requirement_id = r.requirement_id "
        "AND s.result_id = (SELECT MAX(x.result_id) FROM results x WHERE x.job_id = s.job_id)), 0) AS lost "
        "FROM requirements r WHERE r.line_id = :line ORDER BY r.component, r.step DESC",
        line=line_id,
    )
    raised: dict[tuple[int, int], int] = {}
    for step in steps:
        needed = max(step["quantity"], raised.get((step["component"], step["step"]), 0)) + step["lost"]
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
