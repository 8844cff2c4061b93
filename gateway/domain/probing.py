"""A probe proves what a machine remembers or shows, without starting it: what to do next (pure).

A machine that remembers is sent one job twice, never a start: its second answer is the proof. Then the job is
taken back. A machine that only shows its work is watched while a person runs one cycle at the panel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from drivers.base import CommandKind, Finding, JobPhase, Look, Scalar
from drivers.profile import Effect, Limit, Memory, Recipe
from gateway.domain.machines import may_load
from gateway.domain.steps import Settlement

PERSON_S = 600.0  # so long a probe waits for a person before it gives up
_TRIES = 3  # of each command that takes the job back
_MOVED = frozenset({JobPhase.RUNNING, JobPhase.INTERRUPTED})
_FINAL = frozenset({JobPhase.ENDED, JobPhase.ABORTED})
_TEXT = "probe"


class Stage(StrEnum):
    """Where a probe stands."""

    LOADING = "loading"  # remembered: the job goes down
    REPEATING = "repeating"  # the same job goes down once more
    POWER = "power"  # a person cuts the power and puts it on again
    CLEARING = "clearing"  # the job is taken back; the verdict stands already
    RESTING = "resting"  # observable: until the machine is at rest
    PRESSING = "pressing"  # until the person has started a cycle
    WORKING = "working"  # until that cycle ends
    COUNTED = "counted"  # the same, and a counter was seen to move
    ENDED = "ended"


class Verdict(StrEnum):
    """What came out of a probe."""

    PROVEN = "proven"
    REFUTED = "refuted"  # the machine does not do what its profile says
    UNCLEAR = "unclear"  # nothing was shown: try again
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """One command of a probe; `answered`: the machine itself answered it, `known`: that it knew the job already."""

    command_id: int
    kind: CommandKind
    settlement: Settlement | None
    answered: bool
    known: bool
    evidence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """A probe as the ledger keeps it."""

    probe_id: int
    effect: Effect
    memory_declared: Memory
    power_cycle: bool
    stage: Stage
    job_id: str
    job_no: int
    recipe: str
    recipe_version: str
    parameters: Mapping[str, Scalar]
    identity: str
    machine_boot: str | None  # at its start
    counted: int | None  # observable: pieces before the cycle
    gateway_boot: int
    sent: tuple[Sent, ...] = ()

    @property
    def loads(self) -> tuple[Sent, ...]:
        """Give the loads, in order."""
        return tuple(one for one in self.sent if one.kind is CommandKind.LOAD)

    @property
    def open(self) -> Sent | None:
        """Give the command that nothing is known of yet."""
        return next((one for one in self.sent if one.settlement is None), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What is true now: the look, what the machine says of the probe's job, who it is, and how long all waits.

    `kinds` are the commands that may be written: none where the configuration lets Kvot only watch.
    """

    look: Look
    finding: Finding | None
    kinds: frozenset[CommandKind]
    identity: str
    gateway_boot: int
    silent_s: float  # since this session was opened
    settle_s: float
    waited_s: float  # in this stage


@dataclass(frozen=True, kw_only=True, slots=True)
class Tell:
    """Send this command of the probe."""

    kind: CommandKind


@dataclass(frozen=True, kw_only=True, slots=True)
class Learn:
    """A command whose answer was lost is settled by what the machine shows."""

    command_id: int
    settlement: Settlement
    evidence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """The probe goes on to another stage; a verdict given once stays."""

    stage: Stage
    text: str
    verdict: Verdict | None = None
    memory: Memory | None = None
    counted: int | None = None
    asks: bool = False  # people are called


@dataclass(frozen=True, kw_only=True, slots=True)
class Await:
    """Nothing to do until the machine or a person does something; `asks`: people are called."""

    text: str
    asks: bool = False


Step = Tell | Learn | Move | Await


def least(recipe: Recipe) -> dict[str, Scalar]:
    """Give the smallest values that a recipe allows: what a probe sends down, and nobody makes."""
    return {name: _least(limit) for name, limit in recipe.parameters.items()}


def decide(probe: Probe, seen: Seen) -> Step:
    """Name the one next step of a probe that has not ended."""
    if (stopped := _stopped(probe, seen)) is not None:
        return stopped
    if probe.effect is Effect.OBSERVABLE:
        return _watch(probe, seen)
    assert seen.finding is not None
    if probe.open is not None:
        return _learn(probe.open, seen, seen.finding)
    match probe.stage:
        case Stage.LOADING:
            return _load(probe, seen, seen.finding)
        case Stage.REPEATING:
            return _repeat(probe, seen, seen.finding)
        case Stage.POWER:
            return _after_power(probe, seen, seen.finding)
        case _:
            return _clear(probe, seen, seen.finding)


def _stopped(probe: Probe, seen: Seen) -> Move | None:
    """End what cannot go on: another machine, another process, nobody there."""
    if seen.identity != probe.identity:
        left = f". Job {probe.job_id} may still lie in the first" if probe.loads else ""
        text = f"another machine answers: {seen.identity} (begun with {probe.identity}){left}"
        return Move(stage=Stage.ENDED, verdict=Verdict.UNCLEAR, text=text, asks=bool(probe.loads))
    if probe.stage is Stage.CLEARING:
        return None
    last = Stage.ENDED if probe.effect is Effect.OBSERVABLE else Stage.CLEARING
    if seen.gateway_boot != probe.gateway_boot:
        return Move(stage=last, verdict=Verdict.STOPPED, text="the gateway was started again meanwhile")
    if seen.waited_s >= PERSON_S:
        text = f"nothing happened for {PERSON_S / 60:g} minutes"
        return Move(stage=last, verdict=Verdict.UNCLEAR, text=text)
    return None


# A machine that remembers -----------------------------------------------------------------------------


def _learn(command: Sent, seen: Seen, finding: Finding) -> Step:
    """Settle a command whose answer was lost, by reading only."""
    if command.kind is CommandKind.LOAD:
        done = finding.phase is not None
    else:
        done = finding.phase is None or (command.kind is CommandKind.ABORT and finding.phase in _FINAL)
    if done:
        return Learn(command_id=command.command_id, settlement=Settlement.ACCEPTED, evidence=finding.evidence)
    if seen.silent_s < seen.settle_s:
        return Await(text="waiting until a late command would show")
    return Learn(command_id=command.command_id, settlement=Settlement.ABSENT, evidence=finding.evidence)


def _load(probe: Probe, seen: Seen, finding: Finding) -> Step:
    """Send the job down the first time."""
    if not probe.loads:
        foreign = [job.job_id for job in seen.look.jobs if job.phase is not None and job.phase not in _FINAL]
        if foreign:
            text = f"the machine has work of its own: {foreign[0]}"
            return Move(stage=Stage.ENDED, verdict=Verdict.UNCLEAR, text=text)
        if not may_load(seen.look.permits):
            return Await(text="turn the selector to remote")
        return Tell(kind=CommandKind.LOAD)
    first = probe.loads[0]
    if (lost := _lost(first)) is not None:
        return lost
    if first.settlement is not Settlement.ACCEPTED:
        return Move(stage=Stage.CLEARING, verdict=Verdict.UNCLEAR, text=f"it did not take the job: {first.evidence}")
    if first.known:
        return Move(
            stage=Stage.CLEARING, verdict=Verdict.REFUTED, text=f"it claims to know a new job: {first.evidence}"
        )
    if (moved := _moved(finding)) is not None:
        return moved
    if finding.phase is None:
        text = f"it took the job and does not name it: {finding.evidence}"
        return Move(stage=Stage.CLEARING, verdict=Verdict.REFUTED, text=text)
    return Move(stage=Stage.REPEATING, text=f"the machine has taken job {probe.job_id}: {first.evidence}")


def _repeat(probe: Probe, seen: Seen, finding: Finding) -> Step:
    """Send the same job down once more; what the machine answers is the proof."""
    if (moved := _moved(finding)) is not None:
        return moved
    if len(probe.loads) == 1:
        return Tell(kind=CommandKind.LOAD)
    second = probe.loads[1]
    if (lost := _lost(second)) is not None:
        return lost
    if (fault := _forgetful(probe, second, seen.look, finding)) is not None:
        return Move(stage=Stage.CLEARING, verdict=Verdict.REFUTED, text=fault)
    text = f"the machine knows job {probe.job_id} when it comes again: {second.evidence}"
    if probe.power_cycle:
        return Move(stage=Stage.POWER, text=text)
    return Move(stage=Stage.CLEARING, verdict=Verdict.PROVEN, text=text)


def _forgetful(probe: Probe, second: Sent, look: Look, finding: Finding) -> str | None:
    """Say why the answer to the second load proves nothing good, or None."""
    if finding.phase is None:
        return f"it no longer names the job after it came twice: {finding.evidence}"
    if sum(job.job_id == probe.job_id for job in look.jobs) > 1:
        return f"it took the same job twice, and would make it twice: {second.evidence}"
    if second.known:
        return None
    if second.settlement is Settlement.ACCEPTED:
        return f"it took the same job again as if it were new: {second.evidence}"
    if finding.mark is not None:  # whoever keeps a mark answers by it; any other refusal says nothing of memory
        return f"it refused the job for another reason than that it knows it: {second.evidence}"
    return None


def _after_power(probe: Probe, seen: Seen, finding: Finding) -> Step:
    """Judge the memory once the machine has come up again."""
    if seen.look.boot == probe.machine_boot:
        return Await(text="cut the machine's power NOW, wait ten seconds, put it on again")
    if (moved := _moved(finding)) is not None:
        return moved
    kept = finding.phase is not None and (finding.mark is None or finding.mark >= probe.job_no)
    memory = Memory.PERSISTENT if kept else Memory.VOLATILE
    if not kept and probe.memory_declared is Memory.PERSISTENT:
        text = f"it lost the job with its power: write memory: volatile into its profile ({finding.evidence})"
        return Move(stage=Stage.CLEARING, verdict=Verdict.REFUTED, memory=memory, text=text)
    text = f"after its power was cut: memory {memory} ({finding.evidence})"
    return Move(stage=Stage.CLEARING, verdict=Verdict.PROVEN, memory=memory, text=text)


def _clear(probe: Probe, seen: Seen, finding: Finding) -> Step:
    """Take the job back, so that nobody can start it; what cannot be taken back is a person's."""
    if finding.phase is None:
        return Move(stage=Stage.ENDED, text="the machine is as it was")
    if finding.phase in _MOVED:
        return Await(text=f"job {probe.job_id} moves: end it at the panel", asks=True)
    final = finding.phase in _FINAL
    if final and CommandKind.CLEAR not in seen.kinds:
        return Move(stage=Stage.ENDED, text=f"job {probe.job_id} stays in its list, ended")
    for kind in (CommandKind.CLEAR,) if final else (CommandKind.CANCEL, CommandKind.ABORT):
        answers = [one.settlement for one in probe.sent if one.kind is kind]
        helps = kind is not CommandKind.CANCEL or set(answers) <= {Settlement.ACCEPTED}  # else another way is tried
        if kind in seen.kinds and len(answers) < _TRIES and helps:
            return Tell(kind=kind)
    return Await(text=f"job {probe.job_id} of a probe is still in the machine: delete it at the panel", asks=True)


def _lost(command: Sent) -> Move | None:
    if command.answered:
        return None
    text = f"the answer to the load was lost, so nothing is proven: {command.evidence}"
    return Move(stage=Stage.CLEARING, verdict=Verdict.UNCLEAR, text=text)


def _moved(finding: Finding) -> Move | None:
    """A job that was only loaded must not move, unless somebody pressed Start."""
    if finding.phase is None or finding.phase <= JobPhase.NOT_ALLOWED_TO_START:
        return None
    text = f"it was released or started although it was only loaded, unless somebody did so: {finding.evidence}"
    return Move(stage=Stage.CLEARING, verdict=Verdict.REFUTED, text=text)


# A machine that shows its work ------------------------------------------------------------------------


def _watch(probe: Probe, seen: Seen) -> Step:
    """Follow one cycle that a person runs: at rest, busy, a counter moves, at rest."""
    look = seen.look
    rests, busy = look.baseline is not None, bool(look.jobs)
    if look.counted is None:
        return Move(stage=Stage.ENDED, verdict=Verdict.REFUTED, text="it shows no counter")
    moved = probe.stage is not Stage.RESTING and look.counted != probe.counted
    if probe.stage is not Stage.RESTING and look.boot != probe.machine_boot:
        return Move(stage=Stage.ENDED, verdict=Verdict.UNCLEAR, text="the machine was started again meanwhile")
    match probe.stage:
        case Stage.RESTING if rests:
            return Move(stage=Stage.PRESSING, counted=look.counted, text=f"it is at rest, {look.counted} counted")
        case Stage.RESTING:
            return Await(text="waiting until the machine is at rest")
        case Stage.PRESSING if busy:
            return Move(stage=Stage.WORKING, text="it shows that it is busy")
        case Stage.PRESSING if moved:
            text = "it counted, and was never seen busy: look more often (poll_s), or run a longer cycle"
            return Move(stage=Stage.ENDED, verdict=Verdict.UNCLEAR, text=text)
        case Stage.PRESSING:
            return Await(text="run one cycle of one piece at the panel now: press Start")
        case Stage.WORKING if busy and moved:
            return Move(stage=Stage.COUNTED, text=f"its counter moves: {look.counted}")
        case Stage.WORKING if rests and not moved:
            text = f"it was busy, and its counters did not move ({look.counted})"
            return Move(stage=Stage.ENDED, verdict=Verdict.REFUTED, text=text)
        case _ if rests:
            text = f"it showed busy, counted from {probe.counted} to {look.counted}, and came to rest"
            return Move(stage=Stage.ENDED, verdict=Verdict.PROVEN, text=text)
    return Await(text="waiting until the cycle ends")


def _least(limit: Limit) -> Scalar:
    if limit.one_of:
        return limit.one_of[0]
    if limit.max_length is not None:
        return _TEXT[: limit.max_length]
    if limit.min is not None:
        return limit.min
    return limit.max if limit.max is not None else 0.0
