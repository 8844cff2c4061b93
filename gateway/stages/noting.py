"""A step that dispatch decided upon -> ledger: what each of them means there."""

from datetime import datetime
from typing import assert_never

from gateway.domain import dispatch
from gateway.ledger import ending, jobs, machines, moving
from gateway.ledger.database import Tx


def write_down(tx: Tx, machine: str, decided: dispatch.Step, *, now: datetime) -> None:
    """Write one step down."""
    match decided:
        case dispatch.Settle(command=command, settlement=settlement, evidence=evidence):
            jobs.settle(tx, command.command_id, settlement, evidence=evidence, now=now)
        case dispatch.Follow(job_id=job_id, seen=seen, state=state, evidence=evidence):
            moving.move_job(tx, job_id, seen=seen, state=state, who="kvot", evidence=evidence, now=now)
        case dispatch.Conclude(job_id=job_id, state=state, finding=finding):
            jobs.conclude(tx, job_id, state=state, finding=finding, who="kvot", now=now)
        case dispatch.Cleared(job_id=job_id):
            jobs.cleared(tx, job_id, now=now)
        case dispatch.Doubt(job_id=job_id, kind=kind, evidence=evidence, detail=detail):
            jobs.raise_doubt(tx, job_id, kind, evidence=evidence, detail=detail, now=now)
        case dispatch.NotEnded(job_id=job_id, evidence=evidence):
            ending.not_ended(tx, job_id, evidence=evidence, now=now)
        case dispatch.Answered(job_id=job_id):
            moving.answered(tx, job_id, now=now)
        case dispatch.HoldMachine(reason=reason, asks=asks):
            machines.hold(tx, machine, reason=reason, who="kvot", asks=asks, now=now)
        case dispatch.Send() | dispatch.Rest():
            raise AssertionError("these are not written down")
        case _:
            assert_never(decided)
