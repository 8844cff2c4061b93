"""Jobs become commands; a doubtful start is never repeated.

`decide` is the whole of dispatch: it looks at what the ledger knows and what the machine says, and
names the one next step. Rules R1-R9 are those of docs/explanation/delivery.md.
"""

from dataclasses import replace

from drivers.base import Absence, CommandKind, Finding, JobPhase, Look
from gateway.domain.exceptions import Kind
from gateway.domain.machines import Level, fallen, may_load, may_start
from gateway.domain.setups import wrong_tool
from gateway.domain.states import JobState
from gateway.domain.steps import (
    Ability,
    Answered,
    Cleared,
    Conclude,
    Doubt,
    Follow,
    HoldMachine,
    NotEnded,
    OpenCommand,
    Rest,
    Send,
    Settle,
    Settlement,
    Standing,
    Step,
    Work,
)

__all__ = [
    "REFUSALS",
    "Ability",
    "Answered",
    "Cleared",
    "Conclude",
    "Doubt",
    "Follow",
    "HoldMachine",
    "NotEnded",
    "OpenCommand",
    "Rest",
    "Send",
    "Settle",
    "Settlement",
    "Standing",
    "Step",
    "Work",
    "decide",
    "subject",
]

REFUSALS = 3  # after so many refusals in a row a person decides
_MOVED = frozenset({JobPhase.RUNNING, JobPhase.INTERRUPTED, JobPhase.ENDED, JobPhase.ABORTED})
_FOLLOW = {
    JobPhase.NOT_ALLOWED_TO_START: JobState.ACCEPTED,
    JobPhase.ALLOWED_TO_START: JobState.ACCEPTED,
    JobPhase.RUNNING: JobState.RUNNING,
    JobPhase.INTERRUPTED: JobState.INTERRUPTED,
}


def subject(standing: Standing) -> str | None:
    """Name the job whose full finding `decide` needs: the open command's, else the work at hand."""
    if standing.command is not None:
        return standing.command.job_id
    return standing.work.job_id if standing.work is not None else None


def decide(standing: Standing, look: Look, finding: Finding | None, ability: Ability) -> Step:
    """Name the one next step at a machine.

    `finding` is the machine's full answer about `subject(standing)`, read after `look`; None only
    where there is no subject. Sending is the last resort: first a lost hand-over is written down, then
    doubts are settled, then the machine is followed, then results are stored, then the next job is sent.
    A doubt is put to people once, and taken back when the machine names the job after all. A lost memory
    is one question: about the job that was at the machine, and only where there is none about the machine.
    """
    if standing.recovering:
        return Rest(why="recovering: a backup was restored, and nothing is sent before all was asked again")
    if standing.commissioned is not None:
        return Rest(why=standing.commissioned)
    lost = _lost_memory(standing, look)
    if lost is not None and standing.held is None:
        return HoldMachine(reason=lost, asks=False)
    if (fell := _lost_hand(standing, look)) is not None:
        return fell
    if there := sorted(job.job_id for job in look.jobs if job.job_id in standing.disowned and job.phase is not None):
        text = "it may have been made besides the one that replaces it: look at the machine, and remove it there"
        return Doubt(job_id=there[0], kind=Kind.THERE_AFTER_ALL, evidence=text)
    if finding is None:
        assert subject(standing) is None
        step: Step = Rest(why="no job")
    else:
        step = _once(standing, look, finding, _about(standing, look, finding, ability))
    return step if lost is None else _with_lost_memory(standing, lost, step)


def _once(standing: Standing, look: Look, finding: Finding, step: Step) -> Step:
    """Ask people one question about a job at a time, and none that the machine has answered."""
    if isinstance(step, Doubt) and standing.asked:
        return Rest(why=f"a person must decide: {min(standing.asked)}")
    if standing.asked and not isinstance(step, Doubt) and _knows(look, finding):
        return Answered(job_id=finding.job_id)
    return step


def _with_lost_memory(standing: Standing, lost: str, step: Step) -> Step:
    """Say in a job's doubt what happened to the machine; call people to the machine where no job does."""
    if isinstance(step, Doubt):
        return replace(step, evidence=f"{step.evidence}; {lost}")
    nobody = standing.command is None and not standing.asked and not standing.called
    return HoldMachine(reason=lost) if nobody and isinstance(step, Rest) else step


def _about(standing: Standing, look: Look, finding: Finding, ability: Ability) -> Step:
    """Name the next step about the subject."""
    if standing.command is not None:
        return _settle(standing, standing.command, look, finding, ability)
    assert standing.work is not None
    match standing.work.state:
        case JobState.RELEASED:
            return _begin(standing, standing.work, look, finding, ability)
        case JobState.ACCEPTED | JobState.RUNNING | JobState.INTERRUPTED:
            return _accompany(standing, standing.work, look, finding, ability)
        case JobState.COMPLETED | JobState.ABORTED:
            return _clear(standing, standing.work, finding, ability)
        case JobState.IN_DOUBT:
            return Rest(why="in doubt: look at the machine")
        case JobState.WAITING | JobState.CANCELLED:
            return Rest(why=f"job {standing.work.job_id} is {standing.work.state}")


def _settle(standing: Standing, command: OpenCommand, look: Look, finding: Finding, ability: Ability) -> Step:
    """Settle a doubtful command by reading only (R3, R4): accepted, absent, or a person decides."""

    def settled(settlement: Settlement) -> Settle:
        return Settle(command=command, settlement=settlement, evidence=finding.evidence)

    early = command.silent_s < ability.settle_s
    match command.kind:
        case CommandKind.LOAD | CommandKind.LOAD_START:
            # Counters that moved since a baseline of the lost life may have moved for another job.
            if _knows(look, finding) and not (command.restored and ability.by_evidence):
                return settled(Settlement.ACCEPTED)
            if early:
                return Rest(why="waiting until a late command would show")
            return _absent_or_doubt(standing, command, look, finding, ability)
        case CommandKind.START:
            done = finding.phase is not None and finding.phase is not JobPhase.NOT_ALLOWED_TO_START
        case CommandKind.WITHDRAW:
            if finding.phase in _MOVED:
                return settled(Settlement.REFUSED)
            done = finding.phase is JobPhase.NOT_ALLOWED_TO_START
        case CommandKind.CANCEL:
            if finding.phase in _MOVED:
                return settled(Settlement.REFUSED)
            done = finding.phase is None and _why_unproven(standing, command, look, finding, ability) is None
        case CommandKind.CLEAR:
            done = finding.phase is None
        case CommandKind.STOP | CommandKind.ABORT:
            done = finding.phase in {None, JobPhase.ENDED, JobPhase.ABORTED}
    if done:
        return settled(Settlement.ACCEPTED)
    if finding.phase is None:
        return _vanished(command.job_id, finding)
    return Rest(why="waiting until a late command would show") if early else settled(Settlement.ABSENT)


def _absent_or_doubt(standing: Standing, command: OpenCommand, look: Look, finding: Finding, ability: Ability) -> Step:
    """Absence is proven only while the machine cannot have forgotten the job (R4)."""
    cause = _why_unproven(standing, command, look, finding, ability)
    if cause is None:
        return Settle(command=command, settlement=Settlement.ABSENT, evidence=finding.evidence)
    return Doubt(
        job_id=command.job_id,
        kind=Kind.UNCLEAR_WHETHER_MADE,
        detail=cause,
        evidence=f"{finding.evidence}; boot {look.boot}, at the intent {command.boot}",
    )


def _why_unproven(
    standing: Standing, command: OpenCommand, look: Look, finding: Finding, ability: Ability
) -> str | None:
    """Say why the machine's silence on a job proves nothing, or None where it is proof of absence."""
    if finding.unproven is not None:
        return finding.unproven
    if finding.mark is not None and standing.asked:
        return "its mark was in doubt, and may have been taken over since"  # by `kvot machines baseline`
    match finding.absence(job_no=command.job_no, known_mark=standing.mark):
        case Absence.GONE:
            return "the machine had accepted it, and somebody has cleared it there"
        case Absence.LOST:
            return "the machine's memory went back, or is another machine's"
        case Absence.UNTOLD if command.restored:
            return "a backup was restored since, and the job may have been made and cleared"
        case Absence.UNTOLD if ability.clears_by_itself:
            return "the machine may clear jobs by itself"
        case Absence.UNTOLD | Absence.NEVER:
            pass
    if look.boot != command.boot and not (ability.persistent and standing.trust.memory_kept):
        return "the machine restarted since, and may have forgotten the job"
    return None


def _knows(look: Look, finding: Finding) -> bool:
    """Say whether the machine names the job, in its answer or in the list read just before it."""
    return finding.phase is not None or any(job.job_id == finding.job_id and job.phase is not None for job in look.jobs)


def _vanished(job_id: str, finding: Finding) -> Doubt:
    if finding.unproven is not None:
        return Doubt(
            job_id=job_id,
            kind=Kind.UNCLEAR_WHAT_BECAME,
            detail=finding.unproven,
            evidence=finding.evidence,
        )
    return Doubt(
        job_id=job_id,
        kind=Kind.FORGOTTEN,
        evidence=finding.evidence,
    )


def _lost_memory(standing: Standing, look: Look) -> str | None:
    """Say that a mark went back: the controller was replaced or lost its retentive memory."""
    if look.mark is None or look.mark >= standing.mark:
        return None
    return (
        f"the machine's job mark went back from {standing.mark} to {look.mark}: its memory was lost. "
        "Look at the machine, then `kvot machines baseline`, and arm it again"
    )


def _lost_hand(standing: Standing, look: Look) -> HoldMachine | None:
    """A panel that cannot tell `handed_over`: after a fall or a restart a named person hands the machine over."""
    if standing.level is not Level.START or standing.held is not None or look.permits.handed_over is not None:
        return None
    if standing.boot is not None and standing.boot != look.boot:
        return HoldMachine(reason="the machine restarted, or may have: hand it over again")
    if (missing := fallen(look.permits)) is not None:
        return HoldMachine(reason=f"the permit {missing} fell: hand the machine over again")
    return None


def _begin(standing: Standing, work: Work, look: Look, finding: Finding, ability: Ability) -> Step:
    """Send a released job down, as far as level and permits allow (R8)."""
    if _knows(look, finding):
        return Doubt(
            job_id=work.job_id,
            kind=Kind.NEVER_SENT,
            evidence=finding.evidence,
        )
    if (held := work.held or standing.held or wrong_tool(work.tool_code, look.setup_code)) is not None:
        return Rest(why=f"held: {held}")
    if standing.level is Level.READ:
        return Rest(why=f"control level is read: would have sent {work.job_id}")
    if standing.trust.unproven is not None:
        return Rest(why=standing.trust.unproven)
    foreign = [job.job_id for job in look.jobs if job.job_id != work.job_id and job.phase is not None]
    if busy := [name for name in foreign if _unfinished(look, name)]:
        return Rest(why=f"busy with its own work: {busy[0]}")
    if not may_load(look.permits):
        return Rest(why="the selector is not on remote")
    if ability.by_evidence and look.baseline is None:
        return Rest(why="the machine does not stand still: nothing to tell a start by")
    asked_to_start = standing.level is Level.START and standing.attended and may_start(look.permits)
    if asked_to_start and CommandKind.LOAD_START in ability.kinds:
        return Send(kind=CommandKind.LOAD_START, job_id=work.job_id)
    if CommandKind.LOAD in ability.kinds:
        return Send(kind=CommandKind.LOAD, job_id=work.job_id)
    return Rest(why="the machine can only be asked to load and start at once, which is not allowed now")


def _unfinished(look: Look, job_id: str) -> bool:
    return any(job.job_id == job_id and job.phase not in {None, JobPhase.ENDED, JobPhase.ABORTED} for job in look.jobs)


def _accompany(standing: Standing, work: Work, look: Look, finding: Finding, ability: Ability) -> Step:
    """Follow a job the machine has accepted; ask for its start when all permits are there (R6)."""
    phase = finding.phase
    if phase is None:
        return _vanished(work.job_id, finding)
    if phase is JobPhase.ENDED and finding.good is None:
        return Doubt(
            job_id=work.job_id,
            kind=Kind.NO_COUNT,
            evidence=finding.evidence,
        )
    if phase in {JobPhase.ENDED, JobPhase.ABORTED}:
        state = JobState.COMPLETED if phase is JobPhase.ENDED else JobState.ABORTED
        return Conclude(job_id=work.job_id, state=state, finding=finding)
    state = _FOLLOW[phase]
    if state is JobState.ACCEPTED and work.state is not JobState.ACCEPTED:
        return Doubt(
            job_id=work.job_id,
            kind=Kind.BEGIN_FORGOTTEN,
            evidence=finding.evidence,
        )
    if state is not work.state and state is not JobState.ACCEPTED:
        if work.state is JobState.ACCEPTED and state is JobState.INTERRUPTED:
            state = JobState.RUNNING  # it has moved: seen late, it passes through running
        return Follow(job_id=work.job_id, seen=work.state, state=state, evidence=finding.evidence)
    if work.end is not None:
        return _ask_end(standing, work, work.end, phase, ability)
    if work.state is not JobState.ACCEPTED:
        return Rest(why=f"job {work.job_id} is {work.state}")
    return _ask_start(standing, work, look, phase, ability)


def _ask_start(standing: Standing, work: Work, look: Look, phase: JobPhase, ability: Ability) -> Step:
    if phase is JobPhase.ALLOWED_TO_START:
        may_write = standing.level is not Level.READ and work.refusals < REFUSALS
        if fallen(look.permits) is not None and may_write and CommandKind.WITHDRAW in ability.kinds:
            return Send(kind=CommandKind.WITHDRAW, job_id=work.job_id)
        return Rest(why=f"job {work.job_id} waits for the machine to start it")
    if (held := work.held or standing.held or wrong_tool(work.tool_code, look.setup_code)) is not None:
        return Rest(why=f"loaded, held: {held}")
    if standing.level is not Level.START:
        return Rest(why=f"job {work.job_id} is loaded: press Start at the panel")
    if standing.trust.unproven is not None:
        return Rest(why=f"job {work.job_id} is loaded: {standing.trust.unproven}")
    if not standing.attended:
        return Rest(why=f"job {work.job_id} is loaded: it would end when nobody is here")
    if not may_start(look.permits):
        return Rest(why=f"job {work.job_id} is loaded: {fallen(look.permits) or 'Start was not pressed at the panel'}")
    if CommandKind.START not in ability.kinds:
        return Rest(why=f"job {work.job_id} is loaded: press Start at the panel")
    return Send(kind=CommandKind.START, job_id=work.job_id)


def _ask_end(standing: Standing, work: Work, end: CommandKind, phase: JobPhase, ability: Ability) -> Step:
    """Ask the machine to end a job that is wanted no more; what has moved ends by a named person's wish only."""
    kind = CommandKind.STOP if end is CommandKind.ABORT and end not in ability.kinds else end
    if kind not in ability.kinds:
        return NotEnded(job_id=work.job_id, evidence=f"it cannot be asked to {end.value} a job: end it at the panel")
    if end is CommandKind.CANCEL and phase in _MOVED:
        return NotEnded(job_id=work.job_id, evidence="it has begun meanwhile")
    needed = Level.LOAD if end is CommandKind.CANCEL else Level.START
    if standing.level.rank < needed.rank:
        return Rest(why=f"job {work.job_id} is wanted no more here: end it at the panel, or arm the machine")
    if standing.held is not None:
        return Rest(why=f"job {work.job_id} is wanted no more here; held: {standing.held}")
    return Send(kind=kind, job_id=work.job_id)


def _clear(standing: Standing, work: Work, finding: Finding, ability: Ability) -> Step:
    """Let the machine forget a job whose result is stored (R9)."""
    if finding.phase is None:
        return Cleared(job_id=work.job_id)
    if CommandKind.CLEAR not in ability.kinds:
        return Cleared(job_id=work.job_id)  # its memory is its own affair
    if work.refusals >= REFUSALS:
        return Cleared(job_id=work.job_id)
    if standing.level is Level.READ:  # its slot stays taken, so the next job must not come before
        return Rest(why=f"job {work.job_id} is done: the machine may forget it once it is armed again")
    if standing.held is not None:
        return Rest(why=f"held: {standing.held}")
    if finding.phase not in {JobPhase.ENDED, JobPhase.ABORTED}:
        return Rest(why=f"job {work.job_id} is settled, but the machine still works on it: end it at the panel")
    return Send(kind=CommandKind.CLEAR, job_id=work.job_id)
