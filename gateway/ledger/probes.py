"""Probes in the ledger: each byte a probe writes has its intent here, and its outcome becomes a machine's proof."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from drivers.base import CommandKind, Receipt, Scalar
from drivers.profile import Effect, Memory
from gateway.domain.exceptions import Kind
from gateway.domain.machines import Level
from gateway.domain.probing import Move, Probe, Sent, Stage, Verdict
from gateway.domain.proofs import Proof
from gateway.domain.steps import Settlement
from gateway.errors import RefusedError
from gateway.ledger import events, exceptions, facts, machines, recovery
from gateway.ledger.counters import next_number
from gateway.ledger.database import Tx, ring
from gateway.ledger.job_ids import new_job_id
from gateway.ledger.jobs import Wire
from gateway.ledger.sql import Row, change, insert, row, rows
from gateway.ledger.times import to_text

_OPEN = "machine = :machine AND stage <> 'ended'"
View = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What is probed: the machine as it answers now, what its profile says, and what goes down."""

    machine: str
    effect: Effect
    memory: Memory
    identity: str
    profile: str  # fingerprint
    recipe: str
    recipe_version: str
    parameters: Mapping[str, Scalar]
    power_cycle: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Which gateway asks, in whose name, and when: what ids, intents and the audit trail need."""

    site: str
    epoch: int
    boot: int
    who: str
    now: datetime


def proof(tx: Tx, machine: str) -> Proof:
    """Give what the last probe of a machine has proven."""
    known = row(
        tx,
        "SELECT effect_proven, memory_proven, proven_identity, proven_profile FROM machine_facts "
        "WHERE machine = :machine",
        machine=machine,
    )
    if known is None or known["effect_proven"] is None:
        return Proof()
    return Proof(
        effect=Effect(known["effect_proven"]),
        memory=None if known["memory_proven"] is None else Memory(known["memory_proven"]),
        identity=known["proven_identity"],
        profile=known["proven_profile"],
    )


def is_open(tx: Tx, machine: str) -> bool:
    """Say whether a probe of this machine has not ended."""
    return row(tx, f"SELECT 1 FROM probes WHERE {_OPEN}", machine=machine) is not None  # noqa: S608 - a constant


def refuse_while_open(tx: Tx, machine: str) -> None:
    """Raise `RefusedError` while a machine is being probed: it must not be sent work."""
    if is_open(tx, machine):
        raise RefusedError(f"{machine} is being probed: wait for its end, or `kvot probe stop {machine}`")


def begin(tx: Tx, subject: Subject, origin: Origin) -> View:
    """Write a probe down, in a person's name; its machine's task takes it from there.

    Raise `RefusedError` where the machine is armed, at work, in doubt or probed already.
    """
    machine = subject.machine
    refuse_while_open(tx, machine)
    if recovery.pending(tx):
        raise RefusedError(
            f"{machine} cannot be probed now: a backup was restored, and not everything was asked again yet"
        )
    if (fault := _not_free(tx, machine)) is not None:
        raise RefusedError(f"{machine} cannot be probed now: {fault}")
    known = row(tx, "SELECT hwm_job FROM machine_facts WHERE machine = :machine", machine=machine)
    assert known is not None
    remembers = subject.effect is Effect.REMEMBERED
    text = orjson.dumps(subject.parameters, option=orjson.OPT_SORT_KEYS).decode()
    probe_id = insert(
        tx,
        "probes",
        machine=machine,
        effect=subject.effect,
        memory_declared=subject.memory,
        power_cycle=int(subject.power_cycle),
        stage=Stage.LOADING if remembers else Stage.RESTING,
        job_id=new_job_id(tx, site=origin.site, epoch=origin.epoch) if remembers else "",
        job_no=next_number(tx, f"job_no:{machine}", above=known["hwm_job"]) if remembers else 0,
        recipe=subject.recipe,
        recipe_version=subject.recipe_version,
        parameters=text,
        parameters_hash=facts.fingerprint(text),
        identity=subject.identity,
        profile=subject.profile,
        gateway_boot=origin.boot,
        who=origin.who,
        started_at=to_text(origin.now),
    )
    _tell(tx, probe_id, machine, "begun", who=origin.who, now=origin.now, effect=subject.effect)
    found = view(tx, machine)
    assert found is not None
    return found


def stop(tx: Tx, machine: str, *, who: str, now: datetime) -> None:
    """Stop a probe in a person's name: its job is taken back. Raise `RefusedError` where there is none to stop."""
    known = _row(tx, machine)
    if known is None:
        raise RefusedError(f"{machine} is not being probed")
    if known["stage"] == Stage.CLEARING:
        raise RefusedError(f"the probe of {machine} is ending already: {known['text']}")
    last = Stage.ENDED if known["effect"] == Effect.OBSERVABLE else Stage.CLEARING
    text = f"stopped by {who}"
    go_on(tx, machine, Stage(known["stage"]), Move(stage=last, verdict=Verdict.STOPPED, text=text), now=now)


def current(tx: Tx, machine: str) -> Probe | None:
    """Give the probe of a machine that has not ended, with all it has sent."""
    known = _row(tx, machine)
    if known is None:
        return None
    sent = rows(
        tx,
        "SELECT command_id, kind, settlement, answered, known, evidence FROM probe_commands "
        "WHERE probe_id = :probe ORDER BY command_id",
        probe=known["probe_id"],
    )
    return Probe(
        probe_id=known["probe_id"],
        effect=Effect(known["effect"]),
        memory_declared=Memory(known["memory_declared"]),
        power_cycle=bool(known["power_cycle"]),
        stage=Stage(known["stage"]),
        job_id=known["job_id"],
        job_no=known["job_no"],
        recipe=known["recipe"],
        recipe_version=known["recipe_version"],
        parameters=orjson.loads(known["parameters"]),
        identity=known["identity"],
        machine_boot=known["machine_boot"],
        counted=known["counted"],
        gateway_boot=known["gateway_boot"],
        sent=tuple(
            Sent(
                command_id=one["command_id"],
                kind=CommandKind(one["kind"]),
                settlement=None if one["settlement"] is None else Settlement(one["settlement"]),
                answered=bool(one["answered"]),
                known=bool(one["known"]),
                evidence=one["evidence"] or "",
            )
            for one in sent
        ),
    )


def intend(tx: Tx, probe: Probe, kind: CommandKind, wire: Wire, *, now: datetime) -> int | None:
    """Commit the intent to send a command of a probe (R1); give its id.

    None where the probe has gone on or the machine is no longer free for it: then nothing may be sent. The
    database refuses a second unsettled command of probes at the same machine.
    """
    known = _row(tx, wire.machine)
    if known is None or (known["probe_id"], known["stage"]) != (probe.probe_id, probe.stage):
        return None
    if _not_free(tx, wire.machine) is not None:
        return None
    command_id = insert(
        tx,
        "probe_commands",
        probe_id=probe.probe_id,
        machine=wire.machine,
        kind=kind,
        attempt=1 + sum(one.kind is kind for one in probe.sent),
        endpoint=wire.endpoint,
        session=wire.session,
        machine_boot=wire.boot,
        parameters_hash=known["parameters_hash"],
        intended_at=to_text(now),
    )
    change(
        tx,
        "UPDATE probes SET machine_boot = :boot WHERE probe_id = :probe AND machine_boot IS NULL",
        boot=wire.boot,
        probe=probe.probe_id,
    )
    events.record(
        tx,
        what=f"probe.{kind}",
        who="kvot",
        subject=f"machine:{wire.machine}",
        at=now,
        after={"probe": probe.probe_id, "job": probe.job_id, "endpoint": wire.endpoint, "boot": wire.boot},
    )
    return command_id


def answered(tx: Tx, command_id: int, settlement: Settlement, receipt: Receipt, *, now: datetime) -> None:
    """Write the machine's own answer down."""
    _settle(tx, command_id, settlement, receipt.evidence, answered=True, known=receipt.known, now=now)


def learnt(tx: Tx, command_id: int, settlement: Settlement, *, evidence: str, now: datetime) -> None:
    """Write down what became of a command whose answer was lost, as the machine shows it."""
    _settle(tx, command_id, settlement, evidence, answered=False, known=False, now=now)


def go_on(tx: Tx, machine: str, seen: Stage, move: Move, *, boot: str | None = None, now: datetime) -> bool:
    """Move a probe from the stage it was seen in; say whether it still was there.

    The first verdict stays. With the end the machine's proof is written, or taken away.
    """
    moved = change(
        tx,
        "UPDATE probes SET stage = :stage, text = :text, verdict = COALESCE(verdict, :verdict), "  # noqa: S608
        "verdict_text = CASE WHEN verdict IS NULL AND :verdict IS NOT NULL THEN :text ELSE verdict_text END, "
        "memory = COALESCE(memory, :memory), counted = COALESCE(counted, :counted), "
        "machine_boot = COALESCE(machine_boot, :boot), "
        f"ended_at = CASE WHEN :stage = 'ended' THEN :at END WHERE {_OPEN} AND stage = :seen",
        stage=move.stage,
        text=move.text,
        verdict=move.verdict,
        memory=move.memory,
        counted=move.counted,
        boot=boot,
        at=to_text(now),
        machine=machine,
        seen=seen,
    )
    if not moved:
        return False
    if move.stage is Stage.ENDED:
        _conclude(tx, machine, now=now)
    ring(tx, f"machine:{machine}")
    return True


def call_people(tx: Tx, machine: str, probe: Probe, text: str, *, now: datetime) -> None:
    """Show that a probe's job is still in the machine: one exception, closed when it is gone."""
    if exceptions.is_asked(tx, _subject(probe.probe_id)):
        return
    exceptions.open_exception(
        tx,
        Kind.PROBE_LEFT,
        subject=_subject(probe.probe_id),
        evidence={"text": text, "machine": machine, "job": probe.job_id},
        at=now,
    )


def view(tx: Tx, machine: str) -> View | None:
    """Give the newest probe of a machine with its commands, as people see it."""
    known = row(
        tx,
        "SELECT probe_id, machine, effect, power_cycle, stage, text, verdict, verdict_text, memory, job_id, recipe, "
        "who, started_at, ended_at FROM probes WHERE machine = :machine ORDER BY probe_id DESC LIMIT 1",
        machine=machine,
    )
    if known is None:
        return None
    sent = rows(
        tx,
        "SELECT kind, attempt, intended_at, settlement, settled_at, evidence FROM probe_commands "
        "WHERE probe_id = :probe ORDER BY command_id",
        probe=known["probe_id"],
    )
    return {**known, "power_cycle": bool(known["power_cycle"]), "commands": [dict(one) for one in sent]}


def _not_free(tx: Tx, machine: str) -> str | None:
    """Say why a machine cannot be probed: armed for work, or a job of ours is there or in doubt."""
    known = row(tx, "SELECT level FROM machine_facts WHERE machine = :machine", machine=machine)
    if known is None:
        return "it is not known"
    if known["level"] != Level.READ:
        return f"it is armed ({known['level']}): `kvot machines disarm {machine}` first"
    return machines.at_work(tx, machine)


def _settle(
    tx: Tx, command_id: int, settlement: Settlement, evidence: str, *, answered: bool, known: bool, now: datetime
) -> None:
    change(
        tx,
        "UPDATE probe_commands SET settlement = :settlement, settled_at = :at, evidence = :evidence, "
        "answered = :answered, known = :known WHERE command_id = :id AND settlement IS NULL",
        settlement=settlement,
        at=to_text(now),
        evidence=evidence,
        answered=int(answered),
        known=int(known),
        id=command_id,
    )


def _conclude(tx: Tx, machine: str, *, now: datetime) -> None:
    """Write what a probe that has just ended proved of its machine; a refuted level counts no more."""
    ended = row(tx, "SELECT * FROM probes WHERE machine = :machine ORDER BY probe_id DESC LIMIT 1", machine=machine)
    assert ended is not None
    verdict, probe_id = ended["verdict"] or Verdict.UNCLEAR, ended["probe_id"]
    if verdict == Verdict.PROVEN:
        change(
            tx,
            "UPDATE machine_facts SET effect_proven = :effect, memory_proven = :memory, proven_by = :who, "
            "proven_at = :at, proven_identity = :identity, proven_profile = :profile WHERE machine = :machine",
            effect=ended["effect"],
            memory=ended["memory"],
            who=ended["who"],
            at=to_text(now),
            identity=ended["identity"],
            profile=ended["profile"],
            machine=machine,
        )
    elif verdict == Verdict.REFUTED:
        change(
            tx,
            "UPDATE machine_facts SET effect_proven = NULL, memory_proven = NULL WHERE machine = :machine",
            machine=machine,
        )
    exceptions.settle(tx, subject=_subject(probe_id), at=now)
    _tell(tx, probe_id, machine, "ended", who=ended["who"], now=now, verdict=verdict, text=ended["verdict_text"])


def _row(tx: Tx, machine: str) -> Row | None:
    return row(tx, f"SELECT * FROM probes WHERE {_OPEN}", machine=machine)  # noqa: S608 - a constant


def _subject(probe_id: int) -> str:
    return f"probe:{probe_id}"


def _tell(tx: Tx, probe_id: int, machine: str, what: str, *, who: str, now: datetime, **more: object) -> None:
    after = {"probe": probe_id, **more}
    events.record(tx, what=f"probe.{what}", who=who, subject=f"machine:{machine}", at=now, after=after)
    ring(tx, f"machine:{machine}")
