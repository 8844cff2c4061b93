"""A planned line for which nothing was released leaves its open run again, as if it had never joined."""

from datetime import datetime

from gateway.domain.states import JobState
from gateway.ledger import events
from gateway.ledger.database import Tx
from gateway.ledger.sql import change, rows


def leave_runs(tx: Tx, line_id: int, *, now: datetime) -> bool:
    """Cancel the waiting jobs of a line; False, and nothing is done, where one of its jobs was released already.

    The world has never heard of a waiting job, so only the audit trail tells that it was cancelled.
    """
    jobs = rows(
        tx,
        "SELECT DISTINCT j.job_id, j.state FROM allocations a JOIN jobs j USING (job_id) "
        "JOIN requirements r USING (requirement_id) WHERE r.line_id = :line AND j.state <> 'cancelled'",
        line=line_id,
    )
    if any(job["state"] != JobState.WAITING for job in jobs):
        return False
    for job in jobs:
        change(tx, "DELETE FROM allocations WHERE job_id = :job", job=job["job_id"])
        change(
            tx,
            "UPDATE jobs SET prev_state = state, state = 'cancelled' WHERE job_id = :job AND state = 'waiting'",
            job=job["job_id"],
        )
        events.record(
            tx, what="job.cancelled", who="kvot", subject=f"job:{job['job_id']}", at=now, before={"state": "waiting"}
        )
    return True
