"""The plain machine's program, pure: one scan takes inputs and time, and gives what follows.

It knows no job: a rising edge of the start bit starts a batch, if it is free, ready and remote in that very
scan; else the edge is forgotten. After a fall only Start at the panel lets an interrupted batch go on.
"""

import random
from dataclasses import dataclass, replace

from simulators.controls import Inputs
from simulators.journal import Event
from simulators.plain.settings import Counters, PlainSimulation
from simulators.scanning import Now


@dataclass(frozen=True, kw_only=True, slots=True)
class Deed:
    """Something the machine does in the batch with that number; the counts are how much they rise by it."""

    event: Event
    start_no: int
    good: int = 0
    scrap: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Plc:
    """The controller between two scans. `good` and `scrap` are the counters that it shows."""

    starts: int = 0
    busy: bool = False
    done: bool = False
    target: int = 0
    produced: int = 0
    good: int = 0
    scrap: int = 0
    start_seen: bool = False
    reset_done: bool = False
    scrap_next: int = 0
    cycle_ends_s: float | None = None  # business time; None: nothing moves
    left_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What the client has written."""

    start: bool
    quantity: int


def may_move(plc: Plc, inputs: Inputs) -> bool:
    """Say whether the machine is ready and remote."""
    return inputs.remote and is_ready(plc, inputs)


def is_ready(plc: Plc, inputs: Inputs) -> bool:
    """Say whether the guard is shut, the reset done, no fault there and the mode production."""
    return inputs.guard_shut and plc.reset_done and not inputs.fault and inputs.production


def scan(plc: Plc, asked: Asked, inputs: Inputs, now: Now, settings: PlainSimulation) -> tuple[Plc, tuple[Deed, ...]]:
    """Go once around: time, permits, Start button, start bit; give what the machine does meanwhile."""
    if inputs.scrap_next:
        plc = replace(plc, scrap_next=inputs.scrap_next)
    plc, deeds = _let_time_pass(plc, now, settings)
    plc = replace(plc, reset_done=inputs.guard_shut and (plc.reset_done or inputs.reset))
    may = may_move(plc, inputs)
    if not may and plc.cycle_ends_s is not None:
        plc = replace(plc, cycle_ends_s=None, left_s=max(0.0, plc.cycle_ends_s - now.work_s))
        deeds += (Deed(event=Event.INTERRUPT, start_no=plc.starts),)
    elif may and inputs.start and plc.busy and plc.cycle_ends_s is None:
        plc = replace(plc, cycle_ends_s=now.work_s + plc.left_s)
        deeds += (Deed(event=Event.RESUME, start_no=plc.starts),)
    elif may and asked.start and not plc.start_seen and not plc.busy and asked.quantity > 0:
        plc = _started(plc, asked, now, settings)
        deeds += (Deed(event=Event.START, start_no=plc.starts),)
    return replace(plc, start_seen=asked.start and not settings.start_clears), deeds


def _started(plc: Plc, asked: Asked, now: Now, settings: PlainSimulation) -> Plc:
    plc = replace(
        plc,
        starts=plc.starts + 1,
        busy=True,
        done=False,
        target=asked.quantity,
        produced=0,
        cycle_ends_s=now.work_s + settings.cycle_s,
        left_s=settings.cycle_s,
    )
    return replace(plc, good=0, scrap=0) if settings.counters is Counters.BATCH else plc


def _let_time_pass(plc: Plc, now: Now, settings: PlainSimulation) -> tuple[Plc, tuple[Deed, ...]]:
    deeds: tuple[Deed, ...] = ()
    while plc.cycle_ends_s is not None and plc.cycle_ends_s <= now.work_s:
        made = min(settings.units_per_cycle, plc.target - plc.produced)
        wanted = min(plc.scrap_next, made)
        scrap = wanted + sum(_is_scrap(plc, place, settings) for place in range(wanted, made))
        ended = plc.produced + made >= plc.target
        event = Event.END if ended else Event.MADE
        deeds += (Deed(event=event, start_no=plc.starts, good=made - scrap, scrap=scrap),)
        plc = replace(
            plc,
            produced=plc.produced + made,
            good=plc.good + made - scrap,
            scrap=plc.scrap + scrap,
            scrap_next=plc.scrap_next - wanted,
            busy=not ended,
            done=ended,
            cycle_ends_s=None if ended else plc.cycle_ends_s + settings.cycle_s,
            left_s=settings.cycle_s,
        )
    return plc, deeds


def _is_scrap(plc: Plc, place: int, settings: PlainSimulation) -> bool:
    if settings.scrap_rate <= 0:
        return False
    piece = f"{settings.seed}:{plc.starts}:{plc.produced + place}"
    return random.Random(piece).random() < settings.scrap_rate  # noqa: S311
