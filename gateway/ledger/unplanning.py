"""What waits in an open run leaves it again, and what was released but never sent is taken back."""

from datetime import datetime

from gateway.domain.states import JobState
from gateway.errors import IllegalTransitionError
from gateway.ledger import events, exceptions, facts, recovery
from gateway.ledger.database import Tx, ring
from gateway.ledger.runs import follow_run
from gateway.ledger.sql import change, row, rows


def leave_runs(tx: Tx, line_id: int, *, who: str = "kvot", evidence: str = "not wanted", now: datetime) -> bool:
    """Cancel the jobs of a line; False, and nothing is done, where one of them was sent and may be at a machine."""
    never_sent = _never_sent(tx)
    if any(state not in never_sent for state in _jobs(tx, line_id).values()):
        return False
    take_back(tx, line_id, who=who, evidence=evidence, now=now)
    return True


def cancel_waiting(tx: Tx, line_id: int, *, now: datetime) -> None:
    """Cancel those jobs of a line that wait in open runs."""
    for job_id, state in _jobs(tx, line_id).items():
        if state == JobState.WAITING:
            _cancel(tx, job_id, now=now)


def take_back(tx: Tx, line_id: int, *, who: str = "kvot", evidence: str, now: datetime) -> None:
    """Cancel those jobs of a line that no machine has: those that wait, and those that were released and not sent."""
    cancel_waiting(tx, line_id, now=now)
    for job_id, state in _jobs(tx, line_id).items():
        if state == JobState.RELEASED and state in _never_sent(tx):
            withdraw(tx, job_id, who=who, evidence=evidence, now=now)


def withdraw(tx: Tx, job_id: str, *, who: str, evidence: str, now: datetime) -> None:
    """Take back a released job: no command for it was accepted, and none is unsettled (the database sees to that).

    Its pieces are owed again, if they are still wanted. Raise `IllegalTransitionError` when it is not released.
    """
    job = row(
        tx,
        "UPDATE jobs SET prev_state = state, state = 'cancelled' WHERE job_id = :job AND state = 'released' "
        "RETURNING run_id, machine, quantity",
        job=job_id,
    )
    if job is None:
        raise IllegalTransitionError(f"job {job_id} is not released")
    for subject in (f"job:{job_id}", f"delivery:{job_id}"):
        exceptions.settle(tx, subject=subject, at=now)
    events.record(
        tx,
        what="job.cancelled",
        who=who,
        subject=f"job:{job_id}",
        at=now,
        before={"state": JobState.RELEASED},
        after={"state": JobState.CANCELLED, "evidence": evidence},
    )
    orders = rows(
        tx,
        "SELECT DISTINCT l.order_id FROM allocations a JOIN requirements r USING (requirement_id) "
        "JOIN order_lines l USING (line_id) WHERE a.job_id = :job ORDER BY l.order_id",
        job=job_id,
    )
    facts.post(tx, "job.cancelled", at=now, job_id=job_id, **job, orders=[one["order_id"] for one in orders])
    follow_run(tx, job["run_id"], now=now)
    ring(tx, f"machine:{job['machine']}")
    ring(tx, "plan")


def in_work(tx: Tx, line_id: int) -> int:
    """Count the jobs of a line that a machine has or may have."""
    never_sent = _never_sent(tx)
    ended = {JobState.COMPLETED, JobState.ABORTED}
    return sum(state not in never_sent and state not in ended for state in _jobs(tx, line_id).values())


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


def _never_sent(tx: Tx) -> frozenset[str]:
    """Give the states of jobs that no machine has; what was released in a backup may have been sent since."""
    return frozenset({JobState.WAITING} if recovery.pending(tx) else {JobState.WAITING, JobState.RELEASED})


def _jobs(tx: Tx, line_id: int) -> dict[str, str]:
    """Give the state of each job of a line that was not cancelled."""
    found = rows(
        tx,
        "SELECT DISTINCT j.job_id, j.state FROM allocations a JOIN jobs j USING (job_id) "
        "JOIN requirements r USING (requirement_id) WHERE r.line_id = :line AND j.state <> 'cancelled'",
        line=line_id,
    )
    return {job["job_id"]: job["state"] for job in found}
