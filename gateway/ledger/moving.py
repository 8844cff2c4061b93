"""A job moves from state to state, and all that hangs on it moves with it: questions, lines, run, facts."""

from datetime import datetime

from gateway.domain.states import JobState, LineState
from gateway.errors import IllegalTransitionError
from gateway.ledger import ending, events, exceptions, facts, files
from gateway.ledger.database import Tx, ring
from gateway.ledger.lines import move_line
from gateway.ledger.runs import follow_run
from gateway.ledger.sql import change, row, rows
from gateway.ledger.telling import tell

_ENDED = frozenset({JobState.COMPLETED, JobState.ABORTED, JobState.CANCELLED})


def move_job(tx: Tx, job_id: str, *, seen: JobState, state: JobState, who: str, evidence: str, now: datetime) -> None:
    """Move a job from the state it was seen in, and all that hangs on it: questions, lines, run, facts.

    Raise `IllegalTransitionError` when the job is not there any more or the model has no such move.
    """
    moved = change(
        tx,
        "UPDATE jobs SET prev_state = state, state = :state WHERE job_id = :job AND state = :seen",
        state=state,
        job=job_id,
        seen=seen,
    )
    if moved != 1:
        raise IllegalTransitionError(f"job {job_id} is not {seen}")
    exceptions.settle(tx, subject=f"job:{job_id}", but=frozenset() if state in _ENDED else ending.ASKS_TO_END, at=now)
    events.record(
        tx,
        what=f"job.{state}",
        who=who,
        subject=f"job:{job_id}",
        at=now,
        before={"state": seen},
        after={"state": state, "evidence": evidence},
    )
    job = row(tx, "SELECT run_id, machine, quantity FROM jobs WHERE job_id = :job", job=job_id)
    assert job is not None
    facts.post(
        tx,
        f"job.{state}",
        at=now,
        job_id=job_id,
        machine=job["machine"],
        run_id=job["run_id"],
        quantity=job["quantity"],
        orders=_orders_of(tx, job_id),
    )
    if state in {JobState.ACCEPTED, JobState.RUNNING}:
        start_lines(tx, job_id, now=now)
    follow_run(tx, job["run_id"], now=now)
    ring(tx, f"machine:{job['machine']}")
    if state is JobState.CANCELLED:
        exceptions.settle(tx, subject=f"delivery:{job_id}", at=now)
    if state is JobState.RELEASED:
        ring(tx, files.delivery_bell(job["machine"]))


def answered(tx: Tx, job_id: str, *, now: datetime) -> None:
    """Close the open questions about a job: the machine, or a person, has said what became of it."""
    exceptions.settle(tx, subject=f"job:{job_id}", but=ending.ASKS_TO_END, at=now)


def tell_orders(tx: Tx, job_id: str, *, now: datetime) -> None:
    """Tell what the orders that a job serves look like now."""
    for order_id in _orders_of(tx, job_id):
        tell(tx, order_id, now=now)


def start_lines(tx: Tx, job_id: str, *, now: datetime) -> None:
    """Put the lines a job serves in production."""
    for line in rows(
        tx,
        "SELECT DISTINCT l.line_id, l.order_id FROM allocations a JOIN requirements r USING (requirement_id) "
        "JOIN order_lines l USING (line_id) WHERE a.job_id = :job AND l.state = 'planned'",
        job=job_id,
    ):
        move_line(tx, line["line_id"], seen=LineState.PLANNED, state=LineState.IN_PRODUCTION)
        tell(tx, line["order_id"], now=now)


def _orders_of(tx: Tx, job_id: str) -> list[int]:
    found = rows(
        tx,
        "SELECT DISTINCT l.order_id FROM allocations a JOIN requirements r USING (requirement_id) "
        "JOIN order_lines l USING (line_id) WHERE a.job_id = :job ORDER BY l.order_id",
        job=job_id,
    )
    return [one["order_id"] for one in found]
