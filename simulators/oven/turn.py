"""What one scan of the oven's program works on, and what it gives."""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Final

from simulators.controls import Inputs
from simulators.journal import Event
from simulators.oven.memory import Kept
from simulators.oven.registers import Permit
from simulators.oven.settings import OvenSimulation
from simulators.scanning import Now

GATEWAY_SILENT_S: Final = 10.0  # machine seconds after which no new job may start


class JobState(IntEnum):
    """The numbers of ISA-95 Job Control."""

    EMPTY = 0
    NOT_ALLOWED_TO_START = 1
    ALLOWED_TO_START = 2
    RUNNING = 3
    INTERRUPTED = 4
    ENDED = 5
    ABORTED = 6


class Reason(IntEnum):
    """JOB_REASON: why a job stands as it stands."""

    NONE = 0
    PAUSED = 1
    STOPPED = 2
    ABORTED = 3
    SELECTOR = 10
    GUARD = 11
    FAULT = 12
    MODE = 13
    POWER = 14
    TOOL = 15


@dataclass(frozen=True, kw_only=True, slots=True)
class Deed:
    """Something the oven does. `good` and `scrap` are how much the counters rise by it."""

    event: Event
    job_no: int
    order_id: tuple[int, ...]
    good: int = 0
    scrap: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Plc:
    """The controller between two scans: the retentive memory, and what is lost with the power."""

    kept: Kept
    handed_over: bool = False
    reset_done: bool = False
    tool: str | None = None  # as seen in the scan before
    gateway_beat: int = 0
    gateway_beat_s: float | None = None  # machine time of its last change; None: not yet seen to change
    heartbeat: int = 0
    beat_due_s: float = 0.0
    cycle_ends_s: float | None = None  # business time; None: nothing moves
    left_s: float = 0.0
    seen_s: float = 0.0  # business time of the scan before
    scrap_next: int = 0

    @property
    def moves(self) -> bool:
        """Say whether the oven moves."""
        return self.cycle_ends_s is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """What one scan gives: the controller after it, what the oven does, the memory after each assignment."""

    plc: Plc
    deeds: tuple[Deed, ...] = ()
    writes: tuple[Kept, ...] = ()


class Turn:
    """The work of one scan. `put` assigns retentive values, `set` volatile ones."""

    def __init__(self, plc: Plc, inputs: Inputs, now: Now, settings: OvenSimulation) -> None:
        self.plc = plc
        self.inputs = inputs
        self.now = now
        self.settings = settings
        self.deeds: list[Deed] = []
        self.writes: list[Kept] = []

    @property
    def kept(self) -> Kept:
        """Give the retentive memory as it stands."""
        return self.plc.kept

    @property
    def permits(self) -> Permit:
        """Give the permits as they stand."""
        return permits(self.plc, self.inputs, self.settings)

    @property
    def may_start_itself(self) -> bool:
        """Say whether a command may lead to motion."""
        wanted = Permit.HANDED_OVER | Permit.MAY_START_ITSELF | Permit.SETUP_OK
        return wanted in self.permits

    def put(self, **changes: Any) -> None:
        """Assign retentive values at once."""
        kept = replace(self.kept, **changes)
        if kept != self.kept:
            self.plc = replace(self.plc, kept=kept)
            self.writes.append(kept)

    def set(self, **changes: Any) -> None:
        """Assign volatile values."""
        self.plc = replace(self.plc, **changes)

    def do(self, event: Event, *, good: int = 0, scrap: int = 0) -> None:
        """Note what the oven does with the slot's job."""
        kept = self.kept
        self.deeds.append(Deed(event=event, job_no=kept.slot_job, order_id=kept.order_id, good=good, scrap=scrap))

    def halt(self, state: JobState, reason: Reason, event: Event) -> None:
        """End or interrupt the slot's job; the journal hears of it where the oven has moved for it."""
        was_moving = self.plc.moves
        if was_moving:
            left_s = max(0.0, (self.plc.cycle_ends_s or 0.0) - self.now.work_s)
            self.set(cycle_ends_s=None, left_s=left_s)
        self.put(job_state=state, job_reason=reason)
        if was_moving or (self.kept.moved and event is not Event.INTERRUPT):
            self.do(event)

    def finish(self) -> Scan:
        """Give what the scan has come to."""
        return Scan(plc=self.plc, deeds=tuple(self.deeds), writes=tuple(self.writes))


def permits(plc: Plc, inputs: Inputs, settings: OvenSimulation) -> Permit:
    """Give the PERMIT bits. SETUP_OK: a known tool is fitted, the one that the slot's recipe needs."""
    ready = inputs.guard_shut and plc.reset_done and not inputs.fault and inputs.production
    needed = settings.tools.get(plc.kept.recipe) if plc.kept.slot_job else None
    bits = {
        Permit.REMOTE: inputs.remote,
        Permit.READY: ready,
        Permit.SETUP_OK: int(inputs.tool) == needed if needed is not None else inputs.tool != "0",
        Permit.MAY_START_ITSELF: settings.may_start_itself,
        Permit.HANDED_OVER: plc.handed_over,
    }
    return Permit(sum(bit for bit, given in bits.items() if given))


def gateway_alive(plc: Plc, now: Now) -> bool:
    """Say whether GW_HEARTBEAT has changed in the last 10 s."""
    return plc.gateway_beat_s is not None and now.machine_s - plc.gateway_beat_s <= GATEWAY_SILENT_S
