"""A released job that was never sent goes to another machine of its family, in a person's name."""

from collections.abc import Mapping
from datetime import datetime

from gateway.domain.products import Family
from gateway.domain.states import JobState
from gateway.errors import RefusedError
from gateway.ledger import events, exceptions, facts, files, recovery
from gateway.ledger.database import Tx, ring
from gateway.ledger.sql import change, row


def reroute(tx: Tx, job_id: str, machine: str, families: Mapping[str, Family], *, who: str, now: datetime) -> None:
    """Give a job to another machine: the same job id, and a new job number when it is sent there.

    No command for a released job was accepted and none is unsettled, so the machine it leaves never had it.
    Raise `RefusedError` for any other job, for a family that is set up run by run, and for a machine outside it.
    """
    job = row(
        tx,
        "SELECT j.state, j.machine, j.run_id, r.family FROM jobs j JOIN runs r USING (run_id) WHERE j.job_id = :job",
        job=job_id,
    )
    if job is None:
        raise RefusedError(f"there is no job {job_id}: `kvot jobs list` shows those there are")
    if recovery.pending(tx):
        raise RefusedError("a backup was restored, and not everything was asked again yet: try again then")
    if job["state"] != JobState.RELEASED:
        raise RefusedError(f"job {job_id} is {job['state']}: only a released job that was never sent can go elsewhere")
    family = families.get(job["family"])
    if family is None or machine not in family.machines:
        able = "none" if family is None else ", ".join(family.machines)
        raise RefusedError(f"{machine} makes no {job['family']}; these do: {able}")
    if family.setup is not None:
        raise RefusedError(f"{job['family']} is set up run by run, and run {job['run_id']} belongs to {job['machine']}")
    if machine == job["machine"]:
        raise RefusedError(f"job {job_id} is at {machine} already")
    change(
        tx, "UPDATE jobs SET machine = :machine, hold_reason = NULL WHERE job_id = :job", machine=machine, job=job_id
    )
    change(tx, "DELETE FROM deliveries WHERE job_id = :job", job=job_id)  # its files go to the other folder
    for subject in (f"job:{job_id}", f"delivery:{job_id}"):
        exceptions.settle(tx, subject=subject, at=now)
    before, after = {"machine": job["machine"]}, {"machine": machine}
    events.record(tx, what="job.rerouted", who=who, subject=f"job:{job_id}", at=now, before=before, after=after)
    facts.post(tx, "job.rerouted", at=now, job_id=job_id, machine=machine, run_id=job["run_id"])
    for bell in (f"machine:{job['machine']}", f"machine:{machine}", files.delivery_bell(machine), "price"):
        ring(tx, bell)
