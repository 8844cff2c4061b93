"""Jobs and their commands: the intent before the first byte, the settlement, the result before the clearing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from drivers.base import CommandKind, Finding, Scalar
from gateway.domain.dispatch import REFUSALS, Settlement
from gateway.domain.exceptions import Kind
from gateway.domain.states import JobState
from gateway.errors import IllegalTransitionError
from gateway.ledger import ending, events, exceptions, files, recovery
from gateway.ledger.changing import given_back
from gateway.ledger.database import Tx, ring
from gateway.ledger.job_ids import job_no
from gateway.ledger.labels import labels
from gateway.ledger.lots import open_lot
from gateway.ledger.moving import move_job, start_lines, tell_orders
from gateway.ledger.rerouting import hand_over
from gateway.ledger.sql import Row, change, insert, row, rows
from gateway.ledger.stock import use_up
from gateway.ledger.times import to_text
from gateway.ledger.unplanning import withdraw
from gateway.ledger.yields import allocate, withhold

_LOADING = frozenset({CommandKind.LOAD, CommandKind.LOAD_START})
_ENDING = frozenset({CommandKind.CANCEL, CommandKind.STOP, CommandKind.ABORT})


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """A command as committed before its first byte."""

    command_id: int
    job_id: str
    job_no: int
    kind: CommandKind
    recipe: str
    recipe_version: str
    parameters: Mapping[str, Scalar]
    family: str
    quantity: int
    labels: Mapping[str, str | tuple[str, ...]]
    baseline: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wire:
    """Where a command is about to go: machine, address, this session, and the boot and `baseline` of the look."""

    machine: str
    endpoint: str
    session: str
    boot: str
    baseline: str | None = None


def intend(tx: Tx, job_id: str, kind: CommandKind, wire: Wire, *, now: datetime) -> Intent:
    """Commit the intent to send a command; a load puts the job in doubt from this moment on (R1, R2).

    The database refuses a second unsettled command at the same machine. Raise `IllegalTransitionError` when a
    load would go before the job's files.
    """
    if kind in _LOADING:
        files.refuse_undelivered(tx, job_id)
    job = _job(tx, job_id)
    attempt = row(
        tx, "SELECT COUNT(*) + 1 AS attempt FROM commands WHERE job_id = :job AND kind = :kind", job=job_id, kind=kind
    )
    assert attempt is not None
    number = job_no(tx, wire.machine, job_id)
    if kind in _LOADING:
        move_job(
            tx, job_id, seen=JobState.RELEASED, state=JobState.IN_DOUBT, who="kvot", evidence=f"intent: {kind}", now=now
        )
    command_id = insert(
        tx,
        "commands",
        job_id=job_id,
        attempt=attempt["attempt"],
        kind=kind,
        machine=wire.machine,
        endpoint=wire.endpoint,
        job_no=number,
        parameters_hash=job["parameters_hash"],
        session=wire.session,
        machine_boot=wire.boot,
        baseline=wire.baseline,
        fence=recovery.epoch(tx),
        intended_at=to_text(now),
    )
    events.record(
        tx,
        what=f"command.{kind}",
        who="kvot",
        subject=f"job:{job_id}",
        at=now,
        after={"attempt": attempt["attempt"], "machine": wire.machine, "endpoint": wire.endpoint, "boot": wire.boot},
    )
    return intent_of(tx, job_id, command_id=command_id, job_no=number, kind=kind, baseline=wire.baseline)


def intent_of(tx: Tx, job_id: str, *, command_id: int, job_no: int, kind: CommandKind, baseline: str | None) -> Intent:
    """Give a command as it was committed, with all that its job says."""
    job = _job(tx, job_id)
    return Intent(
        command_id=command_id,
        job_id=job_id,
        job_no=job_no,
        kind=kind,
        recipe=job["recipe"],
        recipe_version=job["recipe_version"],
        parameters=orjson.loads(job["parameters"]),
        family=job["family"],
        quantity=job["quantity"],
        labels=labels(tx, job_id),
        baseline=baseline,
    )


def settle(
    tx: Tx,
    command_id: int,
    settlement: Settlement,
    *,
    evidence: str,
    now: datetime,
    who: str = "kvot",
    busy: bool = False,
) -> None:
    """Write down how a command ended, and in the same transaction what that means for its job (R5).

    `busy`: it was refused for want of room only. Where a person's word settles it, the caller moves the job:
    the person also says what became of it.
    """
    command = row(tx, "SELECT job_id, kind, machine FROM commands WHERE command_id = :id", id=command_id)
    assert command is not None
    settled = change(
        tx,
        "UPDATE commands SET settlement = :settlement, settled_at = :at, evidence = :evidence, busy = :busy "
        "WHERE command_id = :id AND settlement IS NULL",
        settlement=settlement,
        at=to_text(now),
        evidence=evidence,
        busy=int(busy),
        id=command_id,
    )
    if settled != 1:
        raise IllegalTransitionError(f"command {command_id} is settled already")
    job_id, kind = command["job_id"], CommandKind(command["kind"])
    accepted = settlement is Settlement.ACCEPTED
    events.record(
        tx,
        what="command.settled",
        who=who,
        subject=f"job:{job_id}",
        at=now,
        after={"kind": kind, "settlement": settlement, "evidence": evidence},
    )
    if kind in _LOADING and settlement is not Settlement.PERSON:
        state = JobState.ACCEPTED if accepted else JobState.RELEASED
        move_job(tx, job_id, seen=JobState.IN_DOUBT, state=state, who=who, evidence=evidence, now=now)
        if not accepted and ending.is_asked_to_end(tx, job_id):
            hand_over(tx, job_id, evidence=evidence, now=now)
            withdraw(tx, job_id, who=who, evidence="wanted no more here", now=now)
            given_back(tx, job_id, now=now)
    elif kind is CommandKind.CLEAR and accepted:
        cleared(tx, job_id, now=now)
    elif kind is CommandKind.CANCEL and accepted:
        hand_over(tx, job_id, evidence=evidence, now=now)
        move_job(tx, job_id, seen=JobState.ACCEPTED, state=JobState.CANCELLED, who=who, evidence=evidence, now=now)
        given_back(tx, job_id, now=now)
    if kind in _ENDING and settlement is not Settlement.PERSON:
        if accepted:
            ending.ended(tx, job_id)
        elif settlement is Settlement.REFUSED or kind is not CommandKind.CANCEL or refusals(tx, job_id) >= REFUSALS:
            ending.not_ended(tx, job_id, evidence=evidence, now=now)
    elif not accepted and settlement is not Settlement.PERSON:
        _hold_when_refused_too_often(tx, job_id, evidence, now=now)
    ring(tx, f"machine:{command['machine']}")


def settle_open_command(tx: Tx, job_id: str, *, evidence: str, who: str, now: datetime) -> None:
    """Settle a job's open command, if there is one, by a named person's word; the caller moves the job."""
    command = row(tx, "SELECT command_id FROM commands WHERE job_id = :job AND settlement IS NULL", job=job_id)
    if command is not None:
        settle(tx, command["command_id"], Settlement.PERSON, evidence=evidence, who=who, now=now)


def release_again(tx: Tx, job_id: str, *, who: str, now: datetime) -> None:
    """Release a doubtful job again, since a named person has said that it was not made."""
    move_job(
        tx, job_id, seen=JobState.IN_DOUBT, state=JobState.RELEASED, who=who, evidence=f"not made, says {who}", now=now
    )


def refusals(tx: Tx, job_id: str) -> int:
    """Count refusals and absences since an accepted command or a person's word; want of room is neither."""
    found = row(
        tx,
        "SELECT COUNT(*) AS refusals FROM commands WHERE job_id = :job AND settlement IN ('refused','absent') "
        "AND NOT busy AND command_id > COALESCE((SELECT MAX(command_id) FROM commands WHERE job_id = :job "
        "AND settlement IN ('accepted','person')), 0)",
        job=job_id,
    )
    return int(found["refusals"]) if found is not None else 0


def conclude(tx: Tx, job_id: str, *, state: JobState, finding: Finding, who: str, now: datetime) -> None:
    """Store a job's result, what it used, and its yield for each line, before the machine is cleared (R9).

    Good pieces go to the allocations in order; what is lacking goes back to the plan. After an abort at
    the machine a person decides whether the rest is made again.
    """
    job = row(tx, "SELECT state, quantity FROM jobs WHERE job_id = :job", job=job_id)
    assert job is not None
    good = finding.good or 0
    produced = max(finding.produced or 0, good)
    insert(
        tx,
        "results",
        job_id=job_id,
        produced=produced,
        good=good,
        scrap=produced - good,
        reason=finding.reason,
        started_at=None if finding.started_at is None else to_text(finding.started_at),
        ended_at=None if finding.ended_at is None else to_text(finding.ended_at),
        evidence=finding.evidence,
        confirmed_by=who if who != "kvot" else finding.confirmed_by,
    )
    open_lot(tx, job_id, produced=produced, used=use_up(tx, job_id, produced=produced, now=now))
    start_lines(tx, job_id, now=now)
    if not withhold(tx, job_id, now=now):
        allocate(tx, job_id, good, now=now)
    move_job(tx, job_id, seen=JobState(job["state"]), state=state, who=who, evidence=finding.evidence, now=now)
    if state is JobState.ABORTED and who == "kvot":
        _hold_after_abort(tx, job_id, good, job["quantity"], finding, now=now)
    tell_orders(tx, job_id, now=now)
    ring(tx, "plan")


def cleared(tx: Tx, job_id: str, *, now: datetime) -> None:
    """Write down that the machine has forgotten a job whose result is stored."""
    change(
        tx, "UPDATE jobs SET cleared_at = :at WHERE job_id = :job AND cleared_at IS NULL", at=to_text(now), job=job_id
    )


def size(tx: Tx, job_id: str) -> tuple[str, int]:
    """Give a job's family and its pieces."""
    job = row(
        tx, "SELECT r.family, j.quantity FROM jobs j JOIN runs r USING (run_id) WHERE j.job_id = :job", job=job_id
    )
    assert job is not None
    return job["family"], job["quantity"]


def doubts(tx: Tx, job_id: str) -> frozenset[str]:
    """Give the causes of the open questions whether a job was made."""
    found = rows(
        tx,
        "SELECT cause FROM exceptions WHERE subject = :subject AND state <> 'resolved' "
        "AND actions LIKE '%\"not_made\"%'",
        subject=f"job:{job_id}",
    )
    return frozenset(one["cause"] for one in found)


def hold_job(tx: Tx, job_id: str, *, reason: str | None) -> None:
    """Hold a job, or let it go with None; its state stays as it is."""
    change(tx, "UPDATE jobs SET hold_reason = :reason WHERE job_id = :job", reason=reason, job=job_id)


def raise_doubt(tx: Tx, job_id: str, kind: Kind, *, evidence: str, now: datetime, detail: str = "") -> None:
    """Show a doubt to people: one exception with what is known and what may be done."""
    job = row(tx, "SELECT machine, state, quantity FROM jobs WHERE job_id = :job", job=job_id)
    assert job is not None
    exceptions.open_exception(
        tx,
        kind,
        subject=f"job:{job_id}",
        evidence={"text": evidence, "machine": job["machine"], "state": job["state"], "quantity": job["quantity"]},
        detail=detail,
        at=now,
    )


def _hold_when_refused_too_often(tx: Tx, job_id: str, evidence: str, *, now: datetime) -> None:
    job = row(tx, "SELECT state FROM jobs WHERE job_id = :job", job=job_id)
    assert job is not None
    if refusals(tx, job_id) < REFUSALS or job["state"] in {JobState.COMPLETED, JobState.ABORTED, JobState.CANCELLED}:
        return
    hold_job(tx, job_id, reason=Kind.NOT_ACCEPTED.cause)
    raise_doubt(tx, job_id, Kind.NOT_ACCEPTED, evidence=evidence, now=now)


def _hold_after_abort(tx: Tx, job_id: str, good: int, quantity: int, finding: Finding, *, now: datetime) -> None:
    wanted = row(
        tx,
        "SELECT 1 FROM allocations a JOIN requirements r USING (requirement_id) JOIN order_lines l USING (line_id) "
        "WHERE a.job_id = :job AND l.state <> 'cancelled'",
        job=job_id,
    )
    if good >= quantity or wanted is None:
        return
    change(
        tx,
        "UPDATE requirements SET hold_reason = 'aborted' WHERE requirement_id IN "
        "(SELECT requirement_id FROM allocations WHERE job_id = :job)",
        job=job_id,
    )
    raise_doubt(tx, job_id, Kind.ABORTED, detail=f"{good} of {quantity}", evidence=finding.evidence, now=now)


def _job(tx: Tx, job_id: str) -> Row:
    job = row(tx, "SELECT j.*, r.family FROM jobs j JOIN runs r USING (run_id) WHERE j.job_id = :job", job=job_id)
    assert job is not None
    return job
