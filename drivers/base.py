"""The port between the gateway and a machine: sessions, commands, receipts, findings, permits."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

Scalar = bool | int | float | str


class DriverError(Exception):
    """The machine cannot be talked to right now: close the session, back off, start over.

    Raised from `Session.send` it says nothing about whether the command was executed.
    """


class TicketError(Exception):
    """What a person said at a station does not fit the ticket, or the station is not open; the text says why."""


class JobPhase(IntEnum):
    """A job as its machine sees it, with the state numbers of ISA-95 Job Control (OPC 10031-4)."""

    NOT_ALLOWED_TO_START = 1
    ALLOWED_TO_START = 2
    RUNNING = 3
    INTERRUPTED = 4
    ENDED = 5
    ABORTED = 6


class CommandKind(StrEnum):
    """What one instruction asks of the machine.

    `LOAD_START` and `START` ask; whether anything moves is decided by the machine's own permits.
    """

    LOAD = "load"
    LOAD_START = "load_start"
    START = "start"
    WITHDRAW = "withdraw"  # take back the permission to start; the job stays loaded
    CANCEL = "cancel"  # remove a job that has not started
    STOP = "stop"
    ABORT = "abort"
    CLEAR = "clear"  # forget an ended job whose result is stored


class Quality(StrEnum):
    """How far a value can be trusted (OPC UA Part 8 severity)."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """One instruction carrying the job's id; `labels` holds what a machine may want to show.

    `job_no` is the job's number on this machine (u32, for protocols without texts); `deadline_s` is
    a reading of the monotonic clock after which the command must not be sent; `baseline` is the
    `Look.baseline` that was stored with the intent.
    """

    kind: CommandKind
    job_id: str
    job_no: int
    recipe: str
    recipe_version: str
    parameters: Mapping[str, Scalar]
    quantity: int  # pieces
    cycles: int  # machine cycles: ceil(quantity / pieces per cycle)
    deadline_s: float
    labels: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    baseline: str | None = None


class Answer(StrEnum):
    """The machine's own word on a command."""

    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """The machine's answer to one command; `evidence` is what it said, word for word.

    `known`: it says that it had accepted the same load before, and did nothing more.
    `busy`, only with a refused load: nothing is wrong with the job, the machine has no room for it now.
    """

    answer: Answer
    evidence: str
    known: bool = False
    busy: bool = False


class Absence(StrEnum):
    """What a machine's memory proves about a job that it does not name."""

    UNTOLD = "untold"  # it keeps no mark: only its boot and its habit of forgetting can tell
    NEVER = "never"  # it has not accepted the job, as long as it has not restarted since the intent
    GONE = "gone"  # it accepted the job once and no longer has it: somebody cleared it
    LOST = "lost"  # its memory went back or is another machine's: it proves nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What the machine knows of one job. `phase` None means: it does not know the job.

    Counts are pieces as the machine counts them, None where it does not tell. `mark` is the highest job
    number that the machine has ever accepted, from the same reading; None where it keeps no such number.
    `confirmed_by` names the person who said it, None where the machine says it itself; `evidence` names nobody.
    `unproven`, only without a phase, says why this is no proof that the job was never started. `orders` are the
    order numbers that the machine shows with the job, None where it does not tell.
    """

    job_id: str
    phase: JobPhase | None
    evidence: str
    produced: int | None = None
    good: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = None
    mark: int | None = None
    confirmed_by: str | None = None
    unproven: str | None = None
    orders: tuple[str, ...] | None = None

    def absence(self, *, job_no: int, known_mark: int) -> Absence:
        """Say what it proves that the machine does not name the job; only for a finding without a phase.

        `job_no` is the job's number on this machine, `known_mark` the highest mark ever seen there.
        """
        if self.mark is None:
            return Absence.UNTOLD
        if self.mark < known_mark:
            return Absence.LOST
        return Absence.NEVER if self.mark < job_no else Absence.GONE


@dataclass(frozen=True, kw_only=True, slots=True)
class Permits:
    """What the machine allows right now; None means the machine does not say, which is not a yes."""

    remote: bool | None
    ready: bool | None
    handed_over: bool | None  # Start was pressed at the panel since the last fall of a permit


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """One consistent look at a machine: its permits and every job it names.

    `boot` changes whenever the machine may have lost its memory; `setup_code` names the tool fitted;
    `mark` is the highest job number ever accepted, which only a lost memory makes fall. `baseline` is what
    a machine without memory of jobs shows before a start: it is stored with the intent, and what the
    machine shows later is compared with it. None where it remembers, or where nothing can be started now.
    `counted` are all pieces, good and scrap, that its counters show now; None where it remembers.
    """

    boot: str
    permits: Permits
    jobs: tuple[Finding, ...]
    setup_code: str | None = None
    mark: int | None = None
    baseline: str | None = None
    counted: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who the machine says it is; a change ends its arming. `kinds` are the commands it knows."""

    text: str
    kinds: frozenset[CommandKind]


class Session(Protocol):
    """One connection to one machine, owned by one task; every call has a deadline of its own.

    Every method raises `DriverError` when the machine does not answer properly; the session is then
    finished and must be closed.
    """

    @property
    def identity(self) -> Identity:
        """Give who the machine said it was when the session was opened."""
        ...

    async def look(self) -> Look:
        """Read the permits and all jobs the machine names."""
        ...

    async def ask(self, job_id: str) -> Finding:
        """Read all the machine knows of one job, with counts and times."""
        ...

    async def send(self, command: Command) -> Receipt:
        """Send one command once, without retries; refuse a kind not in `identity.kinds`.

        Raise `DriverError` where the machine gave no answer: the command may have been executed.
        """
        ...


@runtime_checkable
class Beating(Protocol):
    """What a session also has where the machine starts jobs only while its owner shows signs of life."""

    async def beat(self) -> None:
        """Show that the owner is alive, at most once a second on the wire; never while only watching (R8).

        Call it before each look while the control level in force is above `read`.
        """
        ...


@runtime_checkable
class Reconciling(Protocol):
    """What a session also has where the machine knows no jobs, and only evidence tells what became of one."""

    async def reconcile(self, command: Command, *, begun: bool) -> Finding:
        """Tell from what the machine shows now what became of a loading command, instead of `Session.ask`.

        `command` is as it was at the intent, `baseline` included; `begun` says that its start is known to
        have been executed. A start that still lies at the machine, not executed, is taken back first.
        """
        ...


@runtime_checkable
class Writable(Protocol):
    """What a session also has where a person may write single tags by hand: those of the profile's `writable`."""

    async def read_tag(self, name: str) -> Scalar | None:
        """Read one of these tags now, in its unit; None where what the machine shows is no value."""
        ...

    async def write_tag(self, name: str, value: Scalar, *, deadline_s: float) -> Receipt:
        """Write one of these tags once, without retries; after `deadline_s` nothing is sent.

        Refused: the machine says that it did not take it, or it cannot carry the value and nothing was sent.
        Raise `DriverError` where the machine gave no answer: it may have taken the value.
        """
        ...


class Driver(Protocol):
    """Opens sessions to one machine, each with fresh client objects."""

    def session(self, on_change: Callable[[], None]) -> AbstractAsyncContextManager[Session]:
        """Connect and check that the peer is the kind of machine the profile says.

        `on_change` is called, on the event loop, each time the machine reports that its jobs or
        permits may have changed. It is a hint to look: the owner of the session polls as well.
        Raise `DriverError` when the machine cannot be reached or is not what the profile says.
        """
        ...


MonotonicClock = Callable[[], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Security:
    """How a connection is protected: by the peer's certificate, known by its fingerprint, and our own.

    `server_fingerprint` is `sha256:` and 64 hexadecimal digits; None means no protection at all, only
    for networks that are trusted. The own certificate (DER) and key (PEM) are needed with a fingerprint.
    """

    server_fingerprint: str | None = None
    own_certificate: Path | None = None
    own_key: Path | None = None
