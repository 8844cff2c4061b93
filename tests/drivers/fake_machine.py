"""A machine in memory that implements the driver port, remembers jobs like a press and fails on request."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

from drivers.base import (
    Answer,
    Command,
    CommandKind,
    DriverError,
    Finding,
    Identity,
    JobPhase,
    Look,
    MonotonicClock,
    Permits,
    Receipt,
    Session,
)

ALLOWED = Permits(remote=True, ready=True, handed_over=True)
_FINAL = (JobPhase.ENDED, JobPhase.ABORTED)


class Fault(StrEnum):
    """What goes wrong with the next command."""

    LOSE_ANSWER = "lose_answer"  # executed, but no answer comes back
    LOSE_COMMAND = "lose_command"  # the connection breaks before the machine sees it
    REFUSE = "refuse"  # the machine says no
    BUSY = "busy"  # the machine says no because it is busy with work of its own
    LATE = "late"  # the connection breaks, and the command reaches the machine only at `arrive`
    RESTART = "restart"  # executed, then the machine restarts and forgets everything before it answers


@dataclass(slots=True)
class FakeJob:
    """One job as the machine keeps it."""

    command: Command
    phase: JobPhase
    good: int = 0
    scrap: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = None


class FakeMachine:
    """A machine with job memory, permits and a journal of physical starts; also its own driver.

    Loaded jobs move only by `run` (the machine decides) or `press_start` (a person at the panel), and
    only while every permit stands. A fallen permit withdraws allowed jobs, interrupts running ones and
    takes `handed_over` back until `press_start`. `starts` lists the job id of each physical start, also
    of repeated ones: the machine does not hide a mistake of the gateway. With `duplicates` "run" it takes
    a job whose id it lists once more, as a machine without any check would.
    """

    def __init__(
        self,
        *,
        kinds: Iterable[CommandKind] = tuple(CommandKind),
        permits: Permits = ALLOWED,
        slots: int = 1,
        duplicates: Literal["refuse", "run"] = "refuse",
        monotonic: MonotonicClock = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.identity = Identity(text="fake machine, serial 1", kinds=frozenset(kinds))
        self.permits = permits
        self.setup_code: str | None = None
        self.names_orders = False  # whether its list shows the order numbers of each job
        self.mark: int | None = None  # the highest job number it says it ever accepted
        self.boot = "boot-1"
        self.jobs: dict[str, FakeJob] = {}
        self.starts: list[str] = []
        self.received: list[Command] = []
        self.sessions_opened = 0
        self._boots = 1
        self._slots = slots
        self._duplicates = duplicates
        self._monotonic = monotonic
        self._now = now
        self._faults: list[Fault] = []
        self._late: list[Command] = []
        self._reachable = True
        self._open: set[_FakeSession] = set()

    def session(self, on_change: Callable[[], None]) -> AbstractAsyncContextManager[Session]:
        """Connect; usable again and again, also several times at once."""
        return self._session(on_change)

    # What happens at the machine -------------------------------------------------------------------

    def run(self, job_id: str) -> None:
        """Let the machine start a job it is allowed to start."""
        job = self.jobs[job_id]
        if job.phase is not JobPhase.ALLOWED_TO_START or not self._may_move():
            raise AssertionError(f"the machine may not start {job_id}: {job.phase.name}, {self.permits}")
        self._start(job)

    def finish(self, job_id: str, *, good: int, scrap: int = 0) -> None:
        """Let a running job end with these pieces."""
        job = self.jobs[job_id]
        if job.phase is not JobPhase.RUNNING:
            raise AssertionError(f"{job_id} is not running: {job.phase.name}")
        job.good, job.scrap = good, scrap
        self._end(job, JobPhase.ENDED)

    def abort(self, job_id: str, *, good: int = 0, scrap: int = 0, reason: str = "aborted at the panel") -> None:
        """Let a person abort an unfinished job at the panel."""
        job = self.jobs[job_id]
        if job.phase in _FINAL:
            raise AssertionError(f"{job_id} is over: {job.phase.name}")
        job.good, job.scrap, job.reason = good, scrap, reason
        self._end(job, JobPhase.ABORTED)

    def open_guard(self) -> None:
        """Open the guard: ready falls, nothing moves any more."""
        self._fall(replace(self.permits, ready=False))

    def close_guard(self) -> None:
        """Close the guard and reset: ready again, but Start must be pressed before anything moves."""
        self.permits = replace(self.permits, ready=True)
        self._touch()

    def turn_selector(self, *, remote: bool) -> None:
        """Turn the selector; leaving remote is a falling permit."""
        if remote:
            self.permits = replace(self.permits, remote=True)
            self._touch()
        else:
            self._fall(replace(self.permits, remote=False))

    def press_start(self) -> None:
        """Press Start at the panel: an interrupted job goes on, else the first loaded one starts."""
        if not (self.permits.ready and self.permits.remote):
            return
        self.permits = replace(self.permits, handed_over=True)
        self._touch()
        interrupted = [job for job in self.jobs.values() if job.phase is JobPhase.INTERRUPTED]
        loaded = [job for job in self.jobs.values() if job.phase < JobPhase.RUNNING]
        if interrupted:
            interrupted[0].phase = JobPhase.RUNNING
        elif loaded and not any(job.phase is JobPhase.RUNNING for job in self.jobs.values()):
            self._start(loaded[0])

    def start_own_work(self, job_id: str = "BY-HAND") -> None:
        """Let a person run work at the machine that the gateway knows nothing of."""
        command = Command(
            kind=CommandKind.LOAD,
            job_id=job_id,
            job_no=0,
            recipe="",
            recipe_version="",
            parameters={},
            quantity=1,
            cycles=1,
            deadline_s=0,
        )
        self.jobs[job_id] = FakeJob(command=command, phase=JobPhase.RUNNING, started_at=self._now())
        self._touch()

    def forget(self, job_id: str) -> None:
        """Let a person remove a job at the panel, whatever its phase."""
        del self.jobs[job_id]
        self._touch()

    def restart(self, *, forget: bool = True) -> None:
        """Restart the machine: every session breaks, memory is lost unless `forget` is False."""
        self._boots += 1
        self.boot = f"boot-{self._boots}"
        self._late.clear()
        if forget:
            self.jobs.clear()
        self._fall(self.permits)
        self._break_sessions("the machine restarted")

    def unplug(self) -> None:
        """Cut the network: sessions break and none can be opened."""
        self._reachable = False
        self._break_sessions("the network was cut")

    def plug_in(self) -> None:
        """Restore the network."""
        self._reachable = True

    def fail_next(self, mode: Fault | str) -> None:
        """Make the next command fail; calls queue up, one per command."""
        self._faults.append(Fault(mode))

    def arrive(self) -> None:
        """Let the commands that were delayed on their way reach the machine now."""
        while self._late:
            command = self._late.pop(0)
            self.received.append(command)
            self._execute(command)

    def no_more_faults(self) -> None:
        """Forget the failures that were asked for and have not come to pass."""
        self._faults.clear()

    # What a session asks ---------------------------------------------------------------------------

    def findings(self) -> tuple[Finding, ...]:
        """Name every job, without counts, as a job list does."""
        return tuple(
            Finding(
                job_id=name,
                phase=job.phase,
                evidence=f"in the list: {job.phase.name}",
                orders=self._orders(job) if self.names_orders else None,
            )
            for name, job in self.jobs.items()
        )

    @staticmethod
    def _orders(job: FakeJob) -> tuple[str, ...]:
        numbers = job.command.labels.get("order_numbers", ())
        return (numbers,) if isinstance(numbers, str) else numbers

    def finding(self, job_id: str) -> Finding:
        """Tell all about one job."""
        job = self.jobs.get(job_id)
        if job is None:
            return Finding(job_id=job_id, phase=None, evidence="unknown job, not in the list")
        return Finding(
            job_id=job_id,
            phase=job.phase,
            evidence=f"response: {job.phase.name}",
            produced=job.good + job.scrap,
            good=job.good,
            started_at=job.started_at,
            ended_at=job.ended_at,
            reason=job.reason,
        )

    def take(self, command: Command) -> Receipt:
        """Execute one command that reached the machine, with the fault that is due."""
        fault = self._faults.pop(0) if self._faults else None
        if fault is Fault.LOSE_COMMAND:
            raise DriverError("the connection broke before the command was sent")
        if fault is Fault.LATE:
            self._late.append(command)
            raise DriverError("no answer in time")
        self.received.append(command)
        if fault is Fault.REFUSE:
            return _refused("unable to accept the job order (bit 4)")
        if fault is Fault.BUSY:
            return _refused("unable to accept the job order (bit 4): busy with other work", busy=True)
        receipt = self._execute(command)
        if fault is Fault.LOSE_ANSWER:
            raise DriverError("no answer in time")
        if fault is Fault.RESTART:
            self.restart()
            raise DriverError("the machine restarted")
        return receipt

    # Inside ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _session(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        if not self._reachable:
            raise DriverError("cannot connect: no route to the machine")
        session = _FakeSession(self, self._monotonic, on_change)
        self.sessions_opened += 1
        self._open.add(session)
        try:
            yield session
        finally:
            self._open.discard(session)
            session.broken = session.broken or "the session is closed"

    def _execute(self, command: Command) -> Receipt:
        job = self.jobs.get(command.job_id)
        if command.kind in (CommandKind.LOAD, CommandKind.LOAD_START):
            return self._load(command)
        if job is None:
            return _refused("unknown job order (bit 1)")
        match command.kind, job.phase:
            case CommandKind.START, JobPhase.NOT_ALLOWED_TO_START if self._may_move():
                job.phase = JobPhase.ALLOWED_TO_START
            case CommandKind.WITHDRAW, JobPhase.ALLOWED_TO_START:
                job.phase = JobPhase.NOT_ALLOWED_TO_START
            case CommandKind.CANCEL, JobPhase.NOT_ALLOWED_TO_START | JobPhase.ALLOWED_TO_START:
                del self.jobs[command.job_id]
            case CommandKind.STOP, JobPhase.RUNNING | JobPhase.INTERRUPTED:
                self._end(job, JobPhase.ENDED)
            case CommandKind.ABORT, phase if phase not in _FINAL:
                self._end(job, JobPhase.ABORTED)
            case CommandKind.CLEAR, JobPhase.ENDED | JobPhase.ABORTED:
                del self.jobs[command.job_id]
            case _:
                return _refused(f"not possible in the job's state {job.phase.name} (bit 3)")
        self._touch()
        return _accepted()

    def _load(self, command: Command) -> Receipt:
        unfinished = sum(job.phase not in _FINAL for name, job in self.jobs.items() if name != command.job_id)
        if command.job_id in self.jobs and self._duplicates == "refuse":
            return _refused("unable to accept the job order (bit 4): the id exists")
        if unfinished >= self._slots or not self.permits.remote:
            return _refused("unable to accept the job order (bit 4): no room, or not in remote", busy=True)
        released = command.kind is CommandKind.LOAD_START and self._may_move()
        phase = JobPhase.ALLOWED_TO_START if released else JobPhase.NOT_ALLOWED_TO_START
        self.jobs[command.job_id] = FakeJob(command=command, phase=phase)
        self._touch()
        return _accepted()

    def _may_move(self) -> bool:
        # A machine without a panel (handed_over None) needs remote and ready only.
        return bool(self.permits.remote and self.permits.ready and self.permits.handed_over is not False)

    def _start(self, job: FakeJob) -> None:
        self.starts.append(job.command.job_id)
        job.phase, job.started_at = JobPhase.RUNNING, self._now()
        self._touch()

    def _end(self, job: FakeJob, phase: JobPhase) -> None:
        job.phase, job.ended_at = phase, self._now()
        self._touch()

    def _fall(self, permits: Permits) -> None:
        handed_over = None if permits.handed_over is None else False
        self.permits = replace(permits, handed_over=handed_over)
        fallen = {
            JobPhase.ALLOWED_TO_START: JobPhase.NOT_ALLOWED_TO_START,
            JobPhase.RUNNING: JobPhase.INTERRUPTED,
        }
        for job in self.jobs.values():
            job.phase = fallen.get(job.phase, job.phase)
        self._touch()

    def _break_sessions(self, why: str) -> None:
        for session in self._open:
            session.broken = why
        self._touch()

    def _touch(self) -> None:
        for session in tuple(self._open):
            session.on_change()


class _FakeSession:
    """One connection to a fake machine; after a `DriverError` it answers nothing any more."""

    def __init__(self, machine: FakeMachine, monotonic: MonotonicClock, on_change: Callable[[], None]) -> None:
        self.broken: str | None = None
        self.on_change = on_change
        self._machine = machine
        self._monotonic = monotonic

    @property
    def identity(self) -> Identity:
        return self._machine.identity

    async def look(self) -> Look:
        await self._alive()
        machine = self._machine
        return Look(
            boot=machine.boot,
            permits=machine.permits,
            jobs=machine.findings(),
            setup_code=machine.setup_code,
            mark=machine.mark,
        )

    async def ask(self, job_id: str) -> Finding:
        await self._alive()
        return self._machine.finding(job_id)

    async def send(self, command: Command) -> Receipt:
        await self._alive()
        if command.kind not in self.identity.kinds:
            return _refused(f"not sent: the machine has no way to {command.kind.value}")
        if self._monotonic() >= command.deadline_s:
            raise DriverError("not sent: the command's deadline has passed")
        try:
            return self._machine.take(command)
        except DriverError as error:
            self.broken = str(error)
            raise

    async def _alive(self) -> None:
        await asyncio.sleep(0)
        if self.broken is not None:
            raise DriverError(self.broken)


def _accepted() -> Receipt:
    return Receipt(answer=Answer.ACCEPTED, evidence="no error (bit 0)")


def _refused(evidence: str, *, busy: bool = False) -> Receipt:
    return Receipt(answer=Answer.REFUSED, evidence=evidence, busy=busy)
