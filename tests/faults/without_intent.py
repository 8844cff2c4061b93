"""A gateway with its protection taken out, to show that the witness sees a loss: never shipped, run by tests alone.

The intent of a load is not committed before the first byte but written down together with the answer,
and what the machine already knows is not looked at before sending. Killed in between, it sends again.
"""

import sys
from datetime import datetime

from drivers.base import CommandKind, Finding, Look
from gateway.cli import main
from gateway.domain import dispatch
from gateway.domain.dispatch import Settlement
from gateway.ledger import jobs
from gateway.ledger.database import Tx
from gateway.ledger.jobs import Intent, Wire

_LOADS = (CommandKind.LOAD, CommandKind.LOAD_START)
_real_intend, _real_settle, _real_begin = jobs.intend, jobs.settle, dispatch._begin
_unwritten: dict[int, tuple[str, CommandKind, Wire, datetime]] = {}


def _forgetful_intend(tx: Tx, job_id: str, kind: CommandKind, wire: Wire, *, now: datetime) -> Intent:
    if kind not in _LOADS:
        return _real_intend(tx, job_id, kind, wire, now=now)
    savepoint = tx.begin_nested()
    intent = _real_intend(tx, job_id, kind, wire, now=now)
    savepoint.rollback()
    _unwritten[intent.command_id] = (job_id, kind, wire, now)
    return intent


def _late_settle(
    tx: Tx,
    command_id: int,
    settlement: Settlement,
    *,
    evidence: str,
    now: datetime,
    who: str = "kvot",
    busy: bool = False,
) -> None:
    if command_id in _unwritten:
        job_id, kind, wire, then = _unwritten.pop(command_id)
        command_id = _real_intend(tx, job_id, kind, wire, now=then).command_id
    _real_settle(tx, command_id, settlement, evidence=evidence, now=now, who=who, busy=busy)


def _blind_begin(
    standing: dispatch.Standing,
    work: dispatch.Work,
    look: Look,
    finding: Finding,
    ability: dispatch.Ability,
) -> dispatch.Step:
    nothing_known = Finding(job_id=finding.job_id, phase=None, evidence="not looked")
    return _real_begin(standing, work, Look(boot=look.boot, permits=look.permits, jobs=()), nothing_known, ability)


def take_protection_out() -> None:
    """Patch this process."""
    jobs.intend, jobs.settle = _forgetful_intend, _late_settle
    dispatch._begin = _blind_begin


if __name__ == "__main__":
    take_protection_out()
    sys.exit(main())
