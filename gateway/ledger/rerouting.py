"""A job goes to another machine of its family in a person's name; one that a machine has must be given back first."""

from collections.abc import Mapping
from datetime import datetime

from drivers.base import CommandKind
from gateway.domain.products import Family
from gateway.domain.states import JobState, RunState
from gateway.errors import RefusedError
from gateway.ledger import ending, events, exceptions, facts, files, recovery
from gateway.ledger.database import Tx, ring
from gateway.ledger.job_ids import copy_job
from gateway.ledger.job_states import IN_WORK
from gateway.ledger.moving import move_job
from gateway.ledger.sql import Row, change, row, rows

_MAY_HAVE_IT = frozenset({JobState.IN_DOUBT, JobState.ACCEPTED})


def reroute(tx: Tx, job_id: str, machine: str, families: Mapping[str, Family], *, who: str, now: datetime) -> str:
    """Give a job to another machine; say in words what happens.

    What no machine has goes at once and keeps its id; where its family is set up run by run, its whole run
    goes, before its set-up. What a machine has, or may have, is asked back first: only when that machine
    says so, or its absence is proven, another job takes its place at the other machine (`hand_over`).
    Raise `RefusedError` for a job that has begun or ended, and for a machine outside the family.
    """
    job = row(
        tx,
        "SELECT j.job_id, j.state, j.machine, j.run_id, j.end_asked, j.goes_to, r.family, r.state AS run_state "
        "FROM jobs j JOIN runs r USING (run_id) WHERE j.job_id = :job",
        job=job_id,
    )
    if job is None:
        raise RefusedError(f"there is no job {job_id}: `kvot jobs list` shows those there are")
    if recovery.pending(tx):
        raise RefusedError("a backup was restored, and not everything was asked again yet: try again then")
    if (why := _why_not(job)) is not None:
        raise RefusedError(f"job {job_id} {why}")
    family = families.get(job["family"])
    if family is None or machine not in family.machines:
        able = "none" if family is None else ", ".join(family.machines)
        raise RefusedError(f"{machine} makes no {job['family']}; these do: {able}")
    if machine == job["machine"]:
        raise RefusedError(f"job {job_id} is at {machine} already")
    if family.setup is not None:
        return _reroute_run(tx, job, machine, who=who, now=now)
    if job["state"] in _MAY_HAVE_IT:
        return _ask_back(tx, job, machine, who=who, now=now)
    go_elsewhere(tx, job_id, job["machine"], machine, job["run_id"], who=who, now=now)
    return f"job {job_id} goes to {machine}"


def hand_over(tx: Tx, job_id: str, *, evidence: str, now: datetime) -> None:
    """Put another job in the place of one that its machine does not have (any more), where a person wants that.

    The caller cancels the old one in the same event. Nothing is made anew that nobody wants any more.
    """
    job = row(tx, "SELECT machine, run_id, quantity, goes_to FROM jobs WHERE job_id = :job", job=job_id)
    assert job is not None
    pieces = min(job["quantity"], _lacking(tx, job_id))
    if job["goes_to"] is None or pieces < 1:
        return
    found = row(tx, "SELECT site, epoch FROM meta")
    assert found is not None
    copy = copy_job(tx, job_id, pieces, site=found["site"], epoch=found["epoch"], remake_of=job_id)
    change(tx, "UPDATE jobs SET machine = :machine WHERE job_id = :job", machine=job["goes_to"], job=copy)
    text = f"instead of {job_id}, which {job['machine']} does not have: {evidence}"
    move_job(tx, copy, seen=JobState.WAITING, state=JobState.RELEASED, who="kvot", evidence=text, now=now)
    before = {"job_id": job_id, "machine": job["machine"]}
    after = {"job_id": copy, "machine": job["goes_to"]}
    events.record(tx, what="job.rerouted", who="kvot", subject=f"job:{job_id}", at=now, before=before, after=after)
    facts.post(tx, "job.rerouted", at=now, job_id=copy, machine=job["goes_to"], run_id=job["run_id"], instead_of=job_id)
    ring(tx, "price")


def _why_not(job: Row) -> str | None:
    """Say why a job cannot go elsewhere, with what can be done instead; None where it can."""
    job_id, machine = job["job_id"], job["machine"]
    match state := JobState(job["state"]):
        case JobState.WAITING:
            return f"waits in run {job['run_id']}: its machine is chosen when that is released"
        case JobState.RUNNING | JobState.INTERRUPTED:
            return f"has begun at {machine}: `kvot jobs abort {job_id}` ends it there, and the rest can be made anew"
        case JobState.COMPLETED | JobState.ABORTED | JobState.CANCELLED:
            return f"is {state}: nothing of it is left to make"
        case _ if job["end_asked"] is not None and job["goes_to"] is None:
            return f"is wanted no more: {machine} is asked to end it"
        case _:
            return None


def _ask_back(tx: Tx, job: Row, machine: str, *, who: str, now: datetime) -> str:
    """Want a job back from the machine that has it, or may have it, for the sake of another."""
    job_id, here = job["job_id"], job["machine"]
    change(tx, "UPDATE jobs SET goes_to = :machine WHERE job_id = :job", machine=machine, job=job_id)
    after = {"machine": machine}
    events.record(tx, what="job.reroute_asked", who=who, subject=f"job:{job_id}", at=now, after=after)
    if job["end_asked"] is None:
        ending.ask_end(tx, job_id, CommandKind.CANCEL, who=who, now=now)
    return (
        f"{here} is asked to give {job_id} back: nothing is sent to {machine} before it has; "
        f"`kvot machines show {here}` says what it waits for"
    )


def _reroute_run(tx: Tx, job: Row, machine: str, *, who: str, now: datetime) -> str:
    """Move a whole run that waits for its set-up: nothing of it was sent, and nobody has set up for it."""
    run_id, here = job["run_id"], job["machine"]
    if job["run_state"] != RunState.SETUP:
        raise RefusedError(
            f"{job['family']} is set up run by run, and run {run_id} has begun at {here}: `kvot runs hold {run_id}` "
            f"sends nothing more of it, `kvot jobs abort` ends what {here} has"
        )
    change(tx, "UPDATE runs SET machine = :machine WHERE run_id = :run", machine=machine, run=run_id)
    for one in rows(tx, "SELECT job_id FROM jobs WHERE run_id = :run AND state = 'released'", run=run_id):
        go_elsewhere(tx, one["job_id"], here, machine, run_id, who=who, now=now)
    return f"run {run_id} goes to {machine} with all its jobs: it waits for its set-up there"


def go_elsewhere(tx: Tx, job_id: str, here: str, machine: str, run_id: int, *, who: str, now: datetime) -> None:
    """Give a released job to another machine.

    No command for it was accepted and none is unsettled, so the machine it leaves does not have it.
    """
    change(
        tx, "UPDATE jobs SET machine = :machine, hold_reason = NULL WHERE job_id = :job", machine=machine, job=job_id
    )
    change(tx, "DELETE FROM deliveries WHERE job_id = :job", job=job_id)  # its files go to the other folder
    for subject in (f"job:{job_id}", f"delivery:{job_id}"):
        exceptions.settle(tx, subject=subject, at=now)
    before, after = {"machine": here}, {"machine": machine}
    events.record(tx, what="job.rerouted", who=who, subject=f"job:{job_id}", at=now, before=before, after=after)
    facts.post(tx, "job.rerouted", at=now, job_id=job_id, machine=machine, run_id=run_id)
    for bell in (f"machine:{here}", f"machine:{machine}", files.delivery_bell(machine), "price"):
        ring(tx, bell)


def _lacking(tx: Tx, job_id: str) -> int:
    """Give the pieces that the line of a job lacks without it, 0 where it is wanted no more or its order is held."""
    need = row(
        tx,
        "SELECT r.quantity - r.good - COALESCE((SELECT SUM(a.quantity) FROM allocations a JOIN jobs j USING (job_id) "  # noqa: S608
        f"WHERE a.requirement_id = r.requirement_id AND j.job_id <> :job AND {IN_WORK}), 0) AS lacking "
        "FROM allocations b JOIN requirements r USING (requirement_id) JOIN order_lines l USING (line_id) "
        "JOIN orders o USING (order_id) "
        "WHERE b.job_id = :job AND l.state IN ('planned','in_production') AND o.hold_reason IS NULL",
        job=job_id,
    )
    return 0 if need is None else int(need["lacking"])
