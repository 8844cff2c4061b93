"""What can be promised for some more units: when they arrive, by which run, and how that comes about."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from gateway.domain.pricing.inputs import Policy
from gateway.domain.pricing.schedule import HOUR_S, Schedule, lay_out, moment


class Which(StrEnum):
    """The run that makes an order: the open one, the next one, or both in part."""

    OPEN = "open"
    NEXT = "next"
    SPLIT = "split"


class Basis(StrEnum):
    """What a promise rests on."""

    WINDOW = "window"  # a run that begins to collect
    COUNTDOWN = "countdown"  # the latest start of a run that collects
    AT_ONCE = "at_once"  # the order itself starts the run
    NEXT_RUN = "next_run"
    FIXED = "fixed"  # the lead of `static`, or of stale inputs
    NO_SOONER = "no_sooner"  # the fixed lead is shorter than what the machine needs
    MIN_DAYS = "min_days"


@dataclass(frozen=True, kw_only=True, slots=True)
class Promise:
    """A promise for some units: when they reach the customer. finish_p50: when they are ready on average.

    start: when their run starts at the latest. run_h, buffer_h: working hours of production and in hand.
    ship_by: when the goods have to leave. closes: when the open run is released at the latest with these units in
    it, None where they are not in it, or release it themselves.
    """

    units: int
    at: datetime
    which: Which
    basis: Basis
    start: datetime
    finish_p50: datetime
    run_h: float
    buffer_h: float
    ship_by: datetime
    closes: datetime | None = None


class PromiseFor(Protocol):
    """What `RunPlan.promise_for` is."""

    def __call__(self, units: int, *, run: Which | None = None, not_before: datetime | None = None) -> Promise:
        """Give the promise for so many more units, as `promise_for` does."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What the machine can do: the arrival to promise, the soonest that would hold, and the run's start."""

    which: Which
    basis: Basis
    arrival: float
    soonest: float
    start: float


def promise_for(
    schedule: Schedule, units: int, *, run: Which | None = None, not_before: datetime | None = None
) -> Promise:
    """Give the promise for so many more units, in the run that has room for them, or in the one that is named.

    not_before: nothing of it starts sooner. Raise ValueError for no units, for more than years of work, and where
    the open run is named and has no room.
    """
    if units <= 0:
        raise ValueError("a promise is for at least one unit")
    if units > schedule.inputs.rules.run.places:
        schedule = lay_out(schedule.inputs, schedule.figures, moment(schedule.now), more_units=units)
    fits = min(units, schedule.places_left)
    if run is Which.NEXT:
        fits = 0
    elif run is Which.OPEN and fits < units:
        raise ValueError(f"the open run has room for {fits} units, not for {units}")
    ordered = schedule.held if not_before is None else max(schedule.held, not_before.timestamp())
    earliest = max(schedule.now, schedule.free_sure, ordered)
    if run is not Which.NEXT and fits == units:
        found = _open_run(schedule, units, earliest=earliest)
    else:
        found = _next_run(schedule, units - fits, fits=fits, earliest=earliest)
    arrival, basis = _bounded(schedule, found)
    return _promise(schedule, units, found=found, arrival=arrival, basis=basis, ordered=ordered)


def _open_run(schedule: Schedule, units: int, *, earliest: float) -> _Found:
    """Promise in the open run: now + max(d, machine free) + run_h(n+q) + buffer + ship, rounded up."""
    ahead = schedule.fill + schedule.reserved + units
    need_h = schedule.figures.need_h(ahead)
    soonest = schedule.way.arrival(schedule.axis.add(earliest, need_h))
    if schedule.fires(schedule.fill + units):
        return _Found(which=Which.OPEN, basis=Basis.AT_ONCE, arrival=soonest, soonest=soonest, start=earliest)
    start = max(schedule.planned_start, earliest)
    arrival = schedule.way.arrival(schedule.axis.add(start, need_h))
    if schedule.latest is None:
        arrival = _nearest_to_window(schedule, arrival, need_h=need_h, earliest=earliest)
    elif schedule.way.departures is not None:
        arrival = min([arrival, *_shared(schedule, units, earliest=earliest)])
    basis = Basis.WINDOW if schedule.opened is None else Basis.COUNTDOWN
    return _Found(which=Which.OPEN, basis=basis, arrival=arrival, soonest=min(soonest, arrival), start=start)


def _next_run(schedule: Schedule, units: int, *, fits: int, earliest: float) -> _Found:
    """Promise in the run after the open one, which starts now when what fits of this order fills it."""
    rules, figures = schedule.inputs.rules, schedule.figures
    begins = earliest
    if schedule.fill + fits < rules.run.places:  # quotes hold the rest, and they do not start it
        begins = max(begins, schedule.planned_start)
    over = schedule.axis.add(begins, figures.run_h(rules.run.places) + figures.z * figures.sd_h(rules.run.places))
    start = max(over, schedule.now + figures.window_h * HOUR_S)
    arrival = schedule.way.arrival(schedule.axis.add(start, figures.need_h(units) + _more_setups_h(schedule, units)))
    which = Which.SPLIT if fits else Which.NEXT
    return _Found(which=which, basis=Basis.NEXT_RUN, arrival=arrival, soonest=arrival, start=start)


def _nearest_to_window(schedule: Schedule, arrival: float, *, need_h: float, earliest: float) -> float:
    """Take the departure before, when the window it leaves is nearer to D* than that of the rounded-up one.

    A window D costs in proportion to x + 1/x with x = D/D*, so the departure before is the better one when
    the product of both windows is above D* squared.
    """
    sooner = schedule.way.sooner(arrival)
    if sooner is None:
        return arrival
    early, late = (
        schedule.axis.subtract(schedule.way.ready_by(one), need_h) - schedule.now for one in (sooner, arrival)
    )
    window_s = schedule.figures.window_h * HOUR_S
    return sooner if early + schedule.now >= earliest and early * late > window_s**2 else arrival


def _shared(schedule: Schedule, units: int, *, earliest: float) -> Iterator[float]:
    """Give the first arrival already promised in this run that these units can share by an earlier start.

    Without it, rounding up to departures would put each joiner one working day after the first.
    """
    for group in schedule.groups:
        if group.ready_by > earliest and schedule.latest_with(units, group.ready_by) >= earliest:
            yield schedule.way.arrival(group.ready_by)
            return


def _bounded(schedule: Schedule, found: _Found) -> tuple[float, Basis]:
    """Apply the fixed lead, or the least working days; never sooner than the machine can."""
    rules, now = schedule.inputs.rules, moment(schedule.now)
    if rules.policy is Policy.STATIC or schedule.inputs.seen.stale:
        lead = schedule.way.arrival_from(rules.calendar.add_working_days(now, rules.promise.static_days).timestamp())
        return (lead, Basis.FIXED) if lead >= found.soonest else (found.soonest, Basis.NO_SOONER)
    if rules.promise.min_days == 0:
        return found.arrival, found.basis
    least = schedule.way.arrival_from(rules.calendar.add_working_days(now, rules.promise.min_days).timestamp())
    return (found.arrival, found.basis) if found.arrival >= least else (least, Basis.MIN_DAYS)


def _promise(schedule: Schedule, units: int, *, found: _Found, arrival: float, basis: Basis, ordered: float) -> Promise:
    figures, ready_by, closes = schedule.figures, schedule.way.ready_by(arrival), None
    if found.which is Which.OPEN:
        position = units + sum(group.units for group in schedule.groups if group.ready_by <= ready_by)
        closes = schedule.latest_with(units, ready_by)
        start = max(schedule.now, schedule.free, closes)
        if found.basis is Basis.AT_ONCE:
            start, closes = max(schedule.now, schedule.free, ordered), None
    else:
        position, start = units - (schedule.places_left if found.which is Which.SPLIT else 0), found.start
    run_h = figures.run_h(position) + _more_setups_h(schedule, position)
    return Promise(
        units=units,
        at=moment(arrival),
        which=found.which,
        basis=basis,
        start=moment(start),
        finish_p50=moment(schedule.axis.add(start, run_h)),
        run_h=run_h,
        buffer_h=figures.buffer_h(position),
        ship_by=moment(ready_by),
        closes=None if closes is None else moment(closes),
    )


def _more_setups_h(schedule: Schedule, units: int) -> float:
    """Give the set-up hours beyond the first where so many units take several runs."""
    return (math.ceil(units / schedule.inputs.rules.run.places) - 1) * schedule.inputs.rules.costs.setup_h
