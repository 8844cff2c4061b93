"""A job that a machine has is wanted no more: the machine is asked to end it, or people are."""

from collections.abc import Sequence
from datetime import datetime

from drivers.base import CommandKind
from gateway.domain.exceptions import Kind
from gateway.domain.states import JobState
from gateway.errors import RefusedError
from gateway.ledger import events
from gateway.ledger.database import Tx, ring
from gateway.ledger.exceptions import open_exception
from gateway.ledger.sql import change, row, rows

CANCEL, ABORT = CommandKind.CANCEL, CommandKind.ABORT
CHANGE_WAITS = "its change waits until the machine has given its job back"  # the hold of a line
# Open until the job has ended, or a person has answered.
ASKS_TO_END = frozenset({Kind.NOT_ENDED.cause, Kind.NOT_GIVEN_BACK.cause})
_AT_A_MACHINE = frozenset({JobState.ACCEPTED, JobState.RUNNING, JobState.INTERRUPTED})
_MOVED = frozenset({JobState.RUNNING, JobState.INTERRUPTED})


def ask_end(tx: Tx, job_id: str, kind: CommandKind, *, who: str, now: datetime) -> None:
    """Want a job cancelled (while it has not begun) or aborted; dispatch sends it as far as the level allows."""
    machine = row(
        tx, "UPDATE jobs SET end_asked = :kind WHERE job_id = :job RETURNING machine", kind=kind.value, job=job_id
    )
    assert machine is not None
    events.record(tx, what=f"job.{kind}_asked", who=who, subject=f"job:{job_id}", at=now)
    ring(tx, f"machine:{machine['machine']}")


def abort_job(tx: Tx, job_id: str, *, who: str, now: datetime) -> None:
    """Want a job aborted, in a named person's name; raise `RefusedError` where no machine has it."""
    job = row(tx, "SELECT state FROM jobs WHERE job_id = :job", job=job_id)
    if job is None:
        raise RefusedError(f"there is no job {job_id}: `kvot jobs list` shows those there are")
    if job["state"] not in _AT_A_MACHINE:
        raise RefusedError(f"job {job_id} is {job['state']}: only what a machine has accepted can be aborted there")
    change(tx, "UPDATE jobs SET goes_to = NULL WHERE job_id = :job", job=job_id)
    ask_end(tx, job_id, ABORT, who=who, now=now)


def is_asked_to_end(tx: Tx, job_id: str) -> bool:
    """Say whether a job is wanted no more."""
    return row(tx, "SELECT 1 FROM jobs WHERE job_id = :job AND end_asked IS NOT NULL", job=job_id) is not None


def ended(tx: Tx, job_id: str) -> None:
    """End the wish: what becomes of the job is followed as ever, and it goes nowhere else any more."""
    change(tx, "UPDATE jobs SET end_asked = NULL, goes_to = NULL WHERE job_id = :job", job=job_id)


def not_ended(tx: Tx, job_id: str, *, evidence: str, now: datetime) -> None:
    """Ask a person: the machine cannot be asked, or has refused. Nothing is asked of it again by itself."""
    job = row(tx, "SELECT machine, state, goes_to FROM jobs WHERE job_id = :job", job=job_id)
    assert job is not None
    ended(tx, job_id)
    if forget_change(tx, job_id):
        evidence = f"{evidence}; the change of its order was not taken: the line stays as it was"
    there = {} if job["goes_to"] is None else {"goes_to": job["goes_to"]}
    open_exception(
        tx,
        Kind.NOT_GIVEN_BACK if there else Kind.NOT_ENDED,
        subject=f"job:{job_id}",
        evidence={"text": evidence, "machine": job["machine"], "state": job["state"], **there},
        at=now,
    )


def forget_change(tx: Tx, job_id: str) -> bool:
    """Let the line of a job go on as it stands in the ledger; say whether it waited to become another."""
    mine = (
        "line_id IN (SELECT r.line_id FROM allocations a JOIN requirements r USING (requirement_id) "
        "WHERE a.job_id = :job)"
    )
    change(
        tx,
        f"UPDATE order_lines SET hold_reason = NULL WHERE hold_reason = :waits AND {mine}",  # noqa: S608 - a constant
        waits=CHANGE_WAITS,
        job=job_id,
    )
    return bool(
        change(tx, f"UPDATE order_lines SET change_to = NULL WHERE change_to IS NOT NULL AND {mine}", job=job_id)  # noqa: S608
    )


def end_jobs(tx: Tx, line_id: int, *, abort: bool, who: str, now: datetime) -> None:
    """Want no more what a machine has of a cancelled line: cancelled before it has begun, aborted after, if `abort`."""
    for job_id, state in _jobs(tx, line_id):
        if state in {JobState.IN_DOUBT, JobState.ACCEPTED}:
            ask_end(tx, job_id, ABORT if abort and state is JobState.ACCEPTED else CANCEL, who=who, now=now)
        elif abort and state in _MOVED:
            ask_end(tx, job_id, ABORT, who=who, now=now)


def only_loaded(tx: Tx, line_id: int) -> bool:
    """Say whether all that machines have of a line is loaded, accepted and not begun."""
    states = {state for _, state in _jobs(tx, line_id)} - {JobState.WAITING, JobState.RELEASED}
    return states == {JobState.ACCEPTED}


def answers(tx: Tx, line_id: int) -> Sequence[str]:
    """Give what a person may decide about a line that is cancelled after a machine got it."""
    states = {state for _, state in _jobs(tx, line_id)}
    if states & _MOVED:
        return ("abort", "make_anyway", "to_shelf", "close")
    if states & {JobState.IN_DOUBT, JobState.ACCEPTED}:
        return ("withdraw", "make_anyway", "to_shelf", "close")
    return ("close", "to_shelf")


def _jobs(tx: Tx, line_id: int) -> list[tuple[str, JobState]]:
    """Give the jobs of a line that were not cancelled, without those that serve another line too that is wanted."""
    found = rows(
        tx,
        "SELECT DISTINCT j.job_id, j.state FROM allocations a JOIN jobs j USING (job_id) "
        "JOIN requirements r USING (requirement_id) WHERE r.line_id = :line AND j.state <> 'cancelled' "
        "AND NOT EXISTS (SELECT 1 FROM allocations x JOIN requirements y USING (requirement_id) "
        "JOIN order_lines l USING (line_id) WHERE x.job_id = j.job_id AND l.line_id <> :line "
        "AND l.state <> 'cancelled') ORDER BY j.rowid",
        line=line_id,
    )
    return [(job["job_id"], JobState(job["state"])) for job in found]
