"""The press itself: jobs, permits, panel and cycles as steps in business time, without any protocol."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from simulators.controls import PRODUCTION
from simulators.journal import Event
from simulators.press.jobs import FINAL, MOVED, WAITING, Job, JobOrder, JobState, Result, Status
from simulators.press.settings import Duplicates, PressSimulation


class Diary(Protocol):
    """Writes down a physical event; it has happened only when this has returned."""

    def __call__(self, event: Event, *, job: str, good: int, scrap: int) -> object:
        """Write one event of one job with its counts so far."""
        ...


@dataclass(kw_only=True, slots=True)
class Controls:
    """What a person has set at the panel."""

    remote: bool = True
    guard_shut: bool = True
    reset_done: bool = False
    fault: str = ""
    mode: str = PRODUCTION
    tool: str = ""
    handed_over: bool = False  # Start was pressed since the last fall; lost at every boot


class PressMachine:
    """One press. Every method takes the business time at which it happens; `update` lets time pass.

    `diary` is called before motion begins, `remember` before anything is answered or moves.
    """

    def __init__(
        self,
        settings: PressSimulation,
        *,
        diary: Diary,
        remember: Callable[[Iterable[Job]], None] = lambda _jobs: None,
        jobs: Iterable[Job] = (),
    ) -> None:
        self.controls = Controls(tool=settings.tool)
        self.jobs: list[Job] = sorted(jobs, key=lambda job: job.arrival)
        self.scrap_next = 0  # that many of the next pieces will be scrap
        self.cycles_total = 0
        self._settings = settings
        self._diary = diary
        self._remember = remember
        self._arrivals = max((job.arrival for job in self.jobs), default=0)
        self._work_master: str | None = None
        self._random = random.Random(settings.seed)  # noqa: S311
        for job in self.jobs:
            _wake_up(job)

    # What the press says of itself

    @property
    def remote(self) -> bool:
        """Say whether the selector stands on remote."""
        return self.controls.remote

    @property
    def ready(self) -> bool:
        """Say whether the guard is shut, the reset done, no fault there and the mode production."""
        controls = self.controls
        return controls.guard_shut and controls.reset_done and not controls.fault and controls.mode == PRODUCTION

    @property
    def handed_over(self) -> bool:
        """Say whether Start was pressed at the panel since a permit last fell."""
        return self.controls.handed_over

    @property
    def current(self) -> Job | None:
        """Give the job that lies in the press: running or interrupted."""
        return next((job for job in self.jobs if job.state in MOVED), None)

    @property
    def state(self) -> str:
        """Give the press's state in one word."""
        job = self.current
        if job is None:
            return "idle" if self.ready else "not_ready"
        return "running" if job.state is JobState.RUNNING else "interrupted"

    @property
    def wants_a_person(self) -> bool:
        """Say whether a reset and a press of Start would let work go on, and the panel allows them."""
        controls = self.controls
        if not (controls.remote and controls.guard_shut and controls.mode == PRODUCTION):
            return False
        if not self.handed_over:
            return True
        return not self._settings.may_start_itself and self.current is None and any(self._waiting())

    def find(self, job_id: str) -> Job | None:
        """Give the entry of a job, the unfinished one where there are two."""
        entries = [job for job in self.jobs if job.job_id == job_id]
        return next((job for job in entries if job.state not in FINAL), entries[-1] if entries else None)

    # Time

    def update(self, now: datetime) -> datetime | None:
        """Let time pass until now, and say when to call again; None means not before something changes."""
        while (job := self.current) and job.cycle_ends and job.cycle_ends <= now:
            self._end_cycle(job, job.cycle_ends)
        if self.current is None:
            self._start_next(now)
        return self.current.cycle_ends if self.current else None

    # Methods of the job list (OPC 10031-4)

    def store(self, order: JobOrder, now: datetime, *, release: bool) -> Status:
        """Take an order into the list, released where that is asked and permitted."""
        self.update(now)
        if not self.remote or order.cycles < 1 or not order.job_id:
            return Status.UNABLE_TO_ACCEPT
        if self.find(order.job_id) and self._settings.duplicates is not Duplicates.RUN:
            accepts = self._settings.duplicates is Duplicates.ACCEPT
            return Status.OK if accepts else Status.UNABLE_TO_ACCEPT
        if len(self.jobs) >= self._settings.max_jobs:
            return Status.UNABLE_TO_ACCEPT
        released = release and self._may_move()
        state = JobState.ALLOWED_TO_START if released else JobState.NOT_ALLOWED_TO_START
        self._arrivals += 1
        self.jobs.append(Job(order=order, state=state, arrival=self._arrivals))
        return self._done(now)

    def change(self, order: JobOrder, now: datetime) -> Status:
        """Replace an order that has not started (Update)."""
        job, refusal = self._job(order.job_id, WAITING, now)
        if job is None:
            return refusal
        if not self.remote or order.cycles < 1:
            return Status.UNABLE_TO_ACCEPT
        job.order = order
        return self._done(now)

    def start(self, job_id: str, now: datetime) -> Status:
        """Release a loaded job; without hand-over only a person at the panel can."""
        job, refusal = self._job(job_id, {JobState.NOT_ALLOWED_TO_START}, now)
        if job is None:
            return refusal
        if not self._may_move():
            return Status.UNABLE_TO_ACCEPT
        job.state = JobState.ALLOWED_TO_START
        return self._done(now)

    def revoke_start(self, job_id: str, now: datetime) -> Status:
        """Withdraw the release of a job that has not started."""
        job, refusal = self._job(job_id, {JobState.ALLOWED_TO_START}, now)
        if job is None:
            return refusal
        job.state = JobState.NOT_ALLOWED_TO_START
        return self._done(now)

    def pause(self, job_id: str, now: datetime) -> Status:
        """Interrupt a running job."""
        job, refusal = self._job(job_id, {JobState.RUNNING}, now)
        if job is None:
            return refusal
        self._interrupt(job, now, "paused by a method")
        return self._done(now)

    def resume(self, job_id: str, now: datetime) -> Status:
        """Let a paused job go on; after a fall or a boot there is no hand-over, and only a person resumes."""
        job, refusal = self._job(job_id, {JobState.INTERRUPTED}, now)
        if job is None:
            return refusal
        if not self._may_move():
            return Status.UNABLE_TO_ACCEPT
        self._run(job, now)
        return self._done(now)

    def stop(self, job_id: str, now: datetime) -> Status:
        """End a running or interrupted job early; what is made counts."""
        job, refusal = self._job(job_id, MOVED, now)
        if job is None:
            return refusal
        self._finish(job, now, JobState.ENDED, Event.END, "stopped by a method")
        return self._done(now)

    def abort(self, job_id: str, now: datetime) -> Status:
        """Abort a job that is not finished."""
        job, refusal = self._job(job_id, WAITING | MOVED, now)
        if job is None:
            return refusal
        self._finish(job, now, JobState.ABORTED, Event.ABORT, "aborted by a method")
        return self._done(now)

    def cancel(self, job_id: str, now: datetime) -> Status:
        """Remove a job that has not started."""
        return self._remove(job_id, WAITING, now)

    def clear(self, job_id: str, now: datetime) -> Status:
        """Forget an ended or aborted job."""
        return self._remove(job_id, FINAL, now)

    # The panel

    def select(self, now: datetime, *, remote: bool) -> None:
        """Turn the selector; leaving remote is a fall."""
        self.update(now)
        self.controls.remote = remote
        if not remote:
            self._fall(now, "selector turned to local")

    def open_guard(self, now: datetime) -> None:
        """Open the guard: everything stops, and a reset is needed."""
        self.update(now)
        self.controls.guard_shut = False
        self.controls.reset_done = False
        self._fall(now, "guard opened")

    def shut_guard(self, now: datetime) -> None:
        """Shut the guard; nothing moves for that."""
        self.update(now)
        self.controls.guard_shut = True

    def reset(self, now: datetime) -> None:
        """Press Reset: with the guard shut the fault is gone; nothing moves for that."""
        self.update(now)
        if self.controls.guard_shut:
            self.controls.reset_done = True
            self.controls.fault = ""

    def fail(self, now: datetime, fault: str) -> None:
        """Break down; a reset is needed."""
        self.update(now)
        self.controls.fault = fault
        self._fall(now, fault)

    def set_mode(self, now: datetime, mode: str) -> None:
        """Change the mode; anything but production is a fall."""
        self.update(now)
        self.controls.mode = mode
        if mode != PRODUCTION:
            self._fall(now, f"mode changed to {mode}")

    def fit_tool(self, now: datetime, tool: str) -> None:
        """Fit another tool."""
        self.update(now)
        self.controls.tool = tool

    def press_start(self, now: datetime) -> None:
        """Press Start: hand the press over, resume what lies in it and release what is loaded."""
        self.update(now)
        if not (self.remote and self.ready):
            return
        self.controls.handed_over = True
        job = self.current
        if job and job.state is JobState.INTERRUPTED:
            self._run(job, now)
        loaded = [entry for entry in self._waiting() if entry.state is JobState.NOT_ALLOWED_TO_START]
        if not self._settings.may_start_itself:
            loaded = loaded[:1] if job is None else []  # one press, one job
        for entry in loaded:
            entry.state = JobState.ALLOWED_TO_START
        self._done(now)

    # Steps

    def _may_move(self) -> bool:
        return self.remote and self.ready and self.handed_over and self._settings.may_start_itself

    def _waiting(self) -> list[Job]:
        waiting = (job for job in self.jobs if job.state in WAITING)
        return sorted(waiting, key=lambda job: (-job.order.priority, job.arrival))

    def _job(self, job_id: str, states: Iterable[JobState], now: datetime) -> tuple[Job | None, Status]:
        self.update(now)
        job = self.find(job_id)
        if job is None:
            return None, Status.UNKNOWN_JOB
        if job.state not in states:
            return None, Status.INVALID_JOB_STATUS
        return job, Status.OK

    def _done(self, now: datetime) -> Status:
        self._remember(self.jobs)
        self.update(now)
        return Status.OK

    def _remove(self, job_id: str, states: Iterable[JobState], now: datetime) -> Status:
        job, refusal = self._job(job_id, states, now)
        if job is None:
            return refusal
        self.jobs.remove(job)
        return self._done(now)

    def _start_next(self, now: datetime) -> None:
        if not (self.remote and self.ready and self.handed_over):
            return
        job = next((entry for entry in self._waiting() if entry.state is JobState.ALLOWED_TO_START), None)
        if job is None:
            return
        setup_s = 0.0 if job.order.work_master == self._work_master else self._settings.setup_s
        self._work_master = job.order.work_master
        job.left_s = setup_s + self._settings.cycle_s
        job.started_at = now
        self._run(job, now)

    def _run(self, job: Job, now: datetime) -> None:
        """Begin or resume motion: first the memory, then the journal, then the state, then the motion."""
        before, job.state = job.state, JobState.INTERRUPTED
        self._remember(self.jobs)
        job.state = before
        event = Event.RESUME if job.journalled else Event.START
        self._diary(event, job=job.job_id, good=job.good, scrap=job.scrap)
        job.journalled = True
        job.state, job.reason = JobState.RUNNING, ""
        job.started_at = job.started_at or now
        job.cycle_ends = now + timedelta(seconds=job.left_s)

    def _interrupt(self, job: Job, now: datetime, why: str) -> None:
        job.left_s = max(0.0, (job.cycle_ends - now).total_seconds()) if job.cycle_ends else job.left_s
        job.cycle_ends, job.state, job.reason = None, JobState.INTERRUPTED, why
        self._diary(Event.INTERRUPT, job=job.job_id, good=job.good, scrap=job.scrap)

    def _fall(self, now: datetime, why: str) -> None:
        """A permit has fallen: releases are withdrawn, motion stops, and only Start at the panel helps."""
        self.controls.handed_over = False
        for job in self.jobs:
            if job.state is JobState.ALLOWED_TO_START:
                job.state = JobState.NOT_ALLOWED_TO_START
            if job.state is JobState.RUNNING:
                self._interrupt(job, now, why)
            if job.state is JobState.INTERRUPTED:
                job.reason = why
        self._remember(self.jobs)

    def _end_cycle(self, job: Job, now: datetime) -> None:
        pieces = self._settings.pieces_per_cycle
        job.cycles_done += 1
        job.produced += pieces
        job.good += sum(not self._is_scrap() for _ in range(pieces))
        self.cycles_total += 1
        job.left_s = self._settings.cycle_s
        job.cycle_ends = now + timedelta(seconds=job.left_s)
        if job.cycles_done >= job.order.cycles:
            self._finish(job, now, JobState.ENDED, Event.END, "")
        self._remember(self.jobs)

    def _is_scrap(self) -> bool:
        if self.scrap_next > 0:
            self.scrap_next -= 1
            return True
        return self._random.random() < self._settings.scrap_rate

    def _finish(self, job: Job, now: datetime, state: JobState, event: Event, why: str) -> None:
        has_moved = job.state in MOVED
        job.cycle_ends, job.ended_at, job.state, job.reason = None, now, state, why
        job.result = Result.SUCCESSFUL if job.cycles_done >= job.order.cycles else Result.UNSUCCESSFUL
        if has_moved:
            self._diary(event, job=job.job_id, good=job.good, scrap=job.scrap)


def _wake_up(job: Job) -> None:
    """Bring a remembered job back as a controller does at boot: nothing is released, nothing moves."""
    if job.state is JobState.ALLOWED_TO_START:
        job.state = JobState.NOT_ALLOWED_TO_START
    if job.state is JobState.INTERRUPTED:
        job.reason = job.reason or "controller restarted"
