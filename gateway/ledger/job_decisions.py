"""What a named person says of one job: what became of it, and what becomes of what it lacks."""

from datetime import datetime

from drivers.base import Finding, JobPhase
from gateway.domain.exceptions import Kind
from gateway.domain.states import JobState, LineState
from gateway.errors import RefusedError
from gateway.ledger import ending, jobs, moving
from gateway.ledger.changing import given_back
from gateway.ledger.database import Tx
from gateway.ledger.lines import BY_A_PERSON, close_line
from gateway.ledger.rerouting import hand_over
from gateway.ledger.sql import change, row, rows
from gateway.ledger.unplanning import withdraw

_UNFINISHED = frozenset(
    {JobState.RELEASED, JobState.IN_DOUBT, JobState.ACCEPTED, JobState.RUNNING, JobState.INTERRUPTED}
)


def decide_job(
    tx: Tx, job_id: str, asked: Kind | None, *, action: str, who: str, note: str, good: int | None, now: datetime
) -> None:
    """Carry out a person's answer about a job; raise `RefusedError` where it has ended, or no machine has it.

    `good`: the pieces that were counted, where it was made or aborted; without it all, or none.
    """
    match action:
        case "not_made":
            _not_made(tx, job_id, who=who, now=now)
        case "made":
            _made(tx, job_id, who=who, note=note, good=good, now=now)
        case "aborted":
            _aborted(tx, job_id, who=who, good=good or 0, now=now)
        case "retry":
            jobs.hold_job(tx, job_id, reason=None)
        case "remake":
            _let_requirements_go(tx, job_id)
        case "abort":
            ending.abort_job(tx, job_id, who=who, now=now)
        case "close" if asked is Kind.ABORTED and _asks_about_lines(tx, job_id):
            _close_lines_of_job(tx, job_id, now=now)
        case _:
            pass  # closing it is all there is to do


def _not_made(tx: Tx, job_id: str, *, who: str, now: datetime) -> None:
    """A person looked: the job was never started. Its pieces are made anew, under another job id.

    The id that may still be at the machine, or on its way there, is never sent again (decision 0022).
    """
    match state := _state(tx, job_id):
        case JobState.IN_DOUBT:
            jobs.settle_open_command(tx, job_id, evidence=f"not made, says {who}", who=who, now=now)
            jobs.release_again(tx, job_id, who=who, now=now)
            hand_over(tx, job_id, evidence=f"not made, says {who}", now=now)
            withdraw(tx, job_id, who=who, evidence=f"not made, says {who}", now=now)
        case JobState.RELEASED:
            moving.move_job(
                tx, job_id, seen=state, state=JobState.CANCELLED, who=who, evidence=f"not made, says {who}", now=now
            )
        case _:
            _conclude(tx, job_id, JobPhase.ABORTED, f"not made, says {who}", good=0, who=who, now=now)
            hand_over(tx, job_id, evidence=f"not made, says {who}", now=now)
    given_back(tx, job_id, now=now)


def _aborted(tx: Tx, job_id: str, *, who: str, good: int, now: datetime) -> None:
    """A person looked: the job was started and did not finish. What lacks is made anew, under another job id."""
    _conclude(tx, job_id, JobPhase.ABORTED, f"started and not finished, says {who}", good=good, who=who, now=now)


def _made(tx: Tx, job_id: str, *, who: str, note: str, good: int | None, now: datetime) -> None:
    """A person looked: the whole job was made, or so many good pieces of it."""
    job = row(tx, "SELECT quantity FROM jobs WHERE job_id = :job", job=job_id)
    assert job is not None
    evidence = f"made, says {who}" + (f": {note}" if note else "")
    counted = job["quantity"] if good is None else good
    _conclude(tx, job_id, JobPhase.ENDED, evidence, good=counted, who=who, now=now)


def _conclude(tx: Tx, job_id: str, phase: JobPhase, evidence: str, *, good: int, who: str, now: datetime) -> None:
    """End a job by a person's word; one that was never sent passes through the doubt that the machine has raised."""
    state = _state(tx, job_id)
    if state not in _UNFINISHED:
        raise RefusedError(f"job {job_id} is {state}: there is nothing to decide any more")
    if state is JobState.RELEASED:
        moving.move_job(tx, job_id, seen=state, state=JobState.IN_DOUBT, who=who, evidence=evidence, now=now)
    jobs.settle_open_command(tx, job_id, evidence=evidence, who=who, now=now)
    finding = Finding(job_id=job_id, phase=phase, evidence=evidence, produced=good, good=good)
    last = JobState.COMPLETED if phase is JobPhase.ENDED else JobState.ABORTED
    jobs.conclude(tx, job_id, state=last, finding=finding, who=who, now=now)


def _state(tx: Tx, job_id: str) -> JobState:
    job = row(tx, "SELECT state FROM jobs WHERE job_id = :job", job=job_id)
    assert job is not None
    return JobState(job["state"])


def _let_requirements_go(tx: Tx, job_id: str) -> None:
    change(
        tx,
        "UPDATE requirements SET hold_reason = NULL WHERE requirement_id IN "
        "(SELECT requirement_id FROM allocations WHERE job_id = :job)",
        job=job_id,
    )


def _asks_about_lines(tx: Tx, job_id: str) -> bool:
    """Say whether a job was aborted and its lines wait for a decision; other questions close without consequence."""
    held = row(
        tx,
        "SELECT 1 FROM jobs j JOIN allocations a USING (job_id) JOIN requirements r USING (requirement_id) "
        "WHERE j.job_id = :job AND j.state = 'aborted' AND r.hold_reason = 'aborted'",
        job=job_id,
    )
    return held is not None


def _close_lines_of_job(tx: Tx, job_id: str, *, now: datetime) -> None:
    for line in rows(
        tx,
        "SELECT DISTINCT r.line_id FROM allocations a JOIN requirements r USING (requirement_id) WHERE a.job_id = :job",
        job=job_id,
    ):
        close_line(tx, line["line_id"], state=LineState.CANCELLED, reason=BY_A_PERSON, now=now)
