"""What waits in an open run leaves it again, as if it had never joined: nothing was released for it."""

from datetime import datetime

from gateway.domain.states import JobState
from gateway.ledger import events
from gateway.ledger.database import Tx
from gateway.ledger.sql import change, rows


def leave_runs(tx: Tx, line_id: int, *, now: datetime) -> bool:
    """Cancel the waiting jobs of a line; False, and nothing is done, where one of its jobs was released already."""
    if any(state != JobState.WAITING for state in _jobs(tx, line_id).values()):
        return False
    cancel_waiting(tx, line_id, now=now)
    return True


def cancel_waiting(tx: Tx, line_id: int, *, now: datetime) -> None:
    """Cancel those jobs of a line that wait in open runs."""
    for job_id, state in _jobs(tx, line_id).items():
        if state == JobState.WAITING:
            _cancel(tx, job_id, now=now)


def want_less(tx: Tx, requirement_id: int, pieces: int, *, now: datetime) -> None:
    """Take so many pieces of a requirement out of the jobs that wait for it, the youngest first."""
    for job in rows(
        tx,
        "SELECT j.job_id, j.quantity FROM allocations a JOIN jobs j USING (job_id) "
        "WHERE a.requirement_id = :need AND j.state = 'waiting' ORDER BY j.rowid DESC",
        need=requirement_id,
    ):
        less = min(max(0, pieces), job["quantity"])
        pieces -= less
        if less == job["quantity"]:
            _cancel(tx, job["job_id"], now=now)
        elif less:
            cut_waiting(tx, job["job_id"], job["quantity"] - less)


def cut_waiting(tx: Tx, job_id: str, pieces: int) -> None:
    """Make a waiting job smaller; what it loses is owed again, if it is still wanted."""
    for table in ("jobs", "allocations"):
        change(tx, f"UPDATE {table} SET quantity = :pieces WHERE job_id = :job", pieces=pieces, job=job_id)  # noqa: S608


def _cancel(tx: Tx, job_id: str, *, now: datetime) -> None:
    """Cancel a waiting job. The world has never heard of it, so only the audit trail tells it."""
    change(tx, "DELETE FROM allocations WHERE job_id = :job", job=job_id)
    change(
        tx,
        "UPDATE jobs SET prev_state = state, state = 'cancelled' WHERE job_id = :job AND state = 'waiting'",
        job=job_id,
    )
    events.record(tx, what="job.cancelled", who="kvot", subject=f"job:{job_id}", at=now, before={"state": "waiting"})


def _jobs(tx: Tx, line_id: int) -> dict[str, str]:
    """Give the state of each job of a line that was not cancelled."""
    found = rows(
        tx,
        "SELECT DISTINCT j.job_id, j.state FROM allocations a JOIN jobs j USING (job_id) "
        "JOIN requirements r USING (requirement_id) WHERE r.line_id = :line AND j.state <> 'cancelled'",
        line=line_id,
    )
    return {job["job_id"]: job["state"] for job in found}
