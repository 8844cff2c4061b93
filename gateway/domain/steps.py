"""What `dispatch` is told of a machine, the one next step that it may decide, and how a command ends."""

from dataclasses import dataclass, field
from enum import StrEnum

from drivers.base import CommandKind, Finding
from gateway.domain.exceptions import Kind
from gateway.domain.machines import Level
from gateway.domain.proofs import TRUSTED, Trust
from gateway.domain.states import JobState


class Settlement(StrEnum):
    """How a command ended: by the machine's word, by proof of absence, or by a named person."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    ABSENT = "absent"
    PERSON = "person"


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenCommand:
    """A committed intent whose outcome is not known. `silent_s`: how long nothing can have been sent for it."""

    command_id: int
    job_id: str
    kind: CommandKind
    boot: str  # the machine's boot at the intent
    job_no: int = 0  # the job's number at this machine
    restored: bool = False  # a backup was restored since the intent
    silent_s: float = field(compare=False)  # only time goes by: the command is the same


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """The one job a machine is concerned with: the unfinished one, or the next one released."""

    job_id: str
    state: JobState
    held: str | None
    refusals: int  # commands refused in a row for this job
    tool_code: str | None = None  # the tool that its run needs
    end: CommandKind | None = None  # cancel or abort: it is wanted no more


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What the ledger knows of a machine right now."""

    level: Level  # in force
    held: str | None
    command: OpenCommand | None
    work: Work | None
    boot: str | None  # the machine's boot when it was last seen
    asked: frozenset[str] = frozenset()  # causes of the open doubts about the subject
    mark: int = 0  # the highest job number the machine was ever seen to have accepted
    called: bool = False  # people are asked about the machine itself
    disowned: frozenset[str] = frozenset()  # jobs that a person has said were not made there
    attended: bool = True  # the work would end while somebody is there, or may go on without
    recovering: bool = False  # a backup was restored, and not everything was asked again yet
    trust: Trust = TRUSTED  # whether what its type says of its memory is proven, or accepted by name
    probing: bool = False  # a probe of it has not ended
    commissioned: str | None = None  # it is in commissioning, in words
    in_hand: bool = False  # something of a commissioning or a hand write is to be attended to


@dataclass(frozen=True, kw_only=True, slots=True)
class Ability:
    """What the machine's type and this session can do."""

    kinds: frozenset[CommandKind]
    persistent: bool  # its type says that its memory of jobs survives a restart
    clears_by_itself: bool
    settle_s: float
    by_evidence: bool = False  # it names no jobs: only what it showed before a start tells what became of one


@dataclass(frozen=True, kw_only=True, slots=True)
class Send:
    """Commit an intent for this command, then send it once."""

    kind: CommandKind
    job_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Settle:
    """Write down how a command ended, by what evidence."""

    command: OpenCommand
    settlement: Settlement
    evidence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Follow:
    """The machine's job is in another state than the ledger's: write it down."""

    job_id: str
    seen: JobState
    state: JobState
    evidence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Conclude:
    """The job has ended at the machine: store its result (before anything is cleared there)."""

    job_id: str
    state: JobState  # completed or aborted
    finding: Finding


@dataclass(frozen=True, kw_only=True, slots=True)
class Cleared:
    """The machine has forgotten a job whose result is stored."""

    job_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """Only a person can say what happened: one exception, and nothing more is sent for this job."""

    job_id: str
    kind: Kind
    evidence: str
    detail: str = ""  # added to the cause of the kind

    @property
    def cause(self) -> str:
        """Give the cause in words."""
        return self.kind.because(self.detail)


@dataclass(frozen=True, kw_only=True, slots=True)
class NotEnded:
    """A job is wanted no more, and the machine cannot be asked to end it: a person decides."""

    job_id: str
    evidence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """The machine has answered what a person was asked about this job: the question is closed."""

    job_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldMachine:
    """Send nothing to this machine until a named person hands it over again.

    `asks`: call people to it; not where a job's doubt may do so.
    """

    reason: str
    asks: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Rest:
    """Nothing to do before the machine or the ledger changes; `why` is shown to people."""

    why: str


Step = Send | Settle | Follow | Conclude | Cleared | Doubt | NotEnded | Answered | HoldMachine | Rest
