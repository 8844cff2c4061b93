"""Every situation a machine can be in, as far as `decide` can tell them apart, with what it decides."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

from drivers.base import CommandKind, Finding, JobPhase, Look, Permits
from gateway.domain.dispatch import REFUSALS, Ability, OpenCommand, Standing, Step, Work, decide
from gateway.domain.machines import Level
from gateway.domain.states import JobState

JOB = "LUND-1-1"
SETTLE_S = 2.0
BOOT = "boot-1"
PHASES = (None, *JobPhase)
ANSWERS = (True, False, None)
PERMITS = tuple(Permits(remote=r, ready=y, handed_over=h) for r, y, h in product(ANSWERS, repeat=3))
GIVEN = Permits(remote=True, ready=True, handed_over=True)
KINDS = (
    frozenset(CommandKind),
    frozenset(CommandKind) - {CommandKind.LOAD_START},
    frozenset({CommandKind.LOAD_START, CommandKind.LOAD}),
    frozenset({CommandKind.LOAD_START}),
)
_SENDING = frozenset({JobState.RELEASED, JobState.ACCEPTED, JobState.COMPLETED, JobState.ABORTED})


@dataclass(frozen=True, slots=True)
class Case:
    """One situation and the one step that follows from it."""

    standing: Standing
    look: Look
    finding: Finding
    ability: Ability
    step: Step


def an_ability(
    kinds: frozenset[CommandKind] = KINDS[0],
    *,
    persistent: bool = False,
    clears_by_itself: bool = False,
    by_evidence: bool = False,
) -> Ability:
    return Ability(
        kinds=kinds,
        persistent=persistent,
        clears_by_itself=clears_by_itself,
        settle_s=SETTLE_S,
        by_evidence=by_evidence,
    )


def a_look(permits: Permits = GIVEN, *, boot: str = BOOT, **phases: JobPhase) -> Look:
    """Look at a machine that names these jobs (`_` in a name stands for `-`)."""
    jobs = tuple(
        Finding(job_id=name.replace("_", "-"), phase=phase, evidence="in the list") for name, phase in phases.items()
    )
    return Look(boot=boot, permits=permits, jobs=jobs)


def a_finding(phase: JobPhase | None, *, good: int | None = 1, job_id: str = JOB) -> Finding:
    return Finding(job_id=job_id, phase=phase, evidence=f"says {phase}", produced=good, good=good)


def a_command(kind: CommandKind, *, boot: str = BOOT, silent_s: float = SETTLE_S) -> OpenCommand:
    return OpenCommand(command_id=7, job_id=JOB, kind=kind, boot=boot, silent_s=silent_s)


def a_work(state: JobState, *, held: str | None = None, refusals: int = 0) -> Work:
    return Work(job_id=JOB, state=state, held=held, refusals=refusals)


def a_standing(
    work: Work | None = None,
    *,
    level: Level = Level.START,
    held: str | None = None,
    command: OpenCommand | None = None,
    boot: str | None = BOOT,
) -> Standing:
    return Standing(level=level, held=held, command=command, work=work, boot=boot)


@cache
def at_rest() -> tuple[Case, ...]:
    """Every situation without an open command."""
    return tuple(_at_rest())


@cache
def in_doubt() -> tuple[Case, ...]:
    """Every situation with an open command."""
    return tuple(_in_doubt())


def _at_rest() -> Iterator[Case]:
    abilities = [an_ability(kinds) for kinds in KINDS]
    findings = [a_finding(phase) for phase in PHASES]
    looks = {
        (permits, phase): a_look(permits) if phase is None else a_look(permits, LUND_1_1=phase)
        for permits, phase in product(PERMITS, PHASES)
    }
    holds = ((None, None), ("job", None), (None, "machine"))
    for level, (job, machine), boot, state in product(Level, holds, (BOOT, "boot-0"), JobState):
        # What a machine can do matters most where a job begins; refusals matter where something is sent.
        able = abilities if state is JobState.RELEASED else abilities[:2]
        for refusals in (0, REFUSALS) if state in _SENDING else (0,):
            standing = a_standing(a_work(state, held=job, refusals=refusals), level=level, held=machine, boot=boot)
            for (permits, finding), ability in product(product(PERMITS, findings), able):
                look = looks[permits, finding.phase]
                yield Case(standing, look, finding, ability, decide(standing, look, finding, ability))


def _in_doubt() -> Iterator[Case]:
    abilities = [
        an_ability(kinds, persistent=persistent, clears_by_itself=clears)
        for kinds, persistent, clears in product(KINDS[:1], (False, True), (False, True))
    ]
    for kind, silent_s, level, held in product(
        CommandKind, (0.0, SETTLE_S - 0.001, SETTLE_S), Level, (None, "machine")
    ):
        command = a_command(kind, silent_s=silent_s)
        state = JobState.IN_DOUBT if kind in {CommandKind.LOAD, CommandKind.LOAD_START} else JobState.ACCEPTED
        standing = a_standing(a_work(state), level=level, held=held, command=command)
        for phase, good in product(PHASES, (1, None)):
            finding = a_finding(phase, good=good)
            for boot, permits in product(
                (BOOT, "boot-2"), (GIVEN, Permits(remote=None, ready=False, handed_over=None))
            ):
                look = a_look(permits, boot=boot)
                for ability in abilities:
                    yield Case(standing, look, finding, ability, decide(standing, look, finding, ability))
