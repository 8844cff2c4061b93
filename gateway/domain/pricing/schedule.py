"""The open run on the time line: its orders by promise, and its latest start."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Final, NamedTuple

from gateway.domain.calendars import DAYS_MAX, Axis
from gateway.domain.pricing.figures import Figures
from gateway.domain.pricing.inputs import Release, RunInputs
from gateway.domain.pricing.shipping import Way, way

HOUR_S: Final = 3600.0
_SPARE_DAYS: Final = 35


class Group(NamedTuple):
    """Units that must be ready by the same moment: a timestamp, the same in working hours, units."""

    ready_by: float
    ready_by_h: float
    units: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """An open run with its orders laid out by promise; moments are timestamps (s).

    groups: what must be ready when, the earliest first. fill: units ordered; reserved: units in quotes, for which
    the run waits until held, if its latest start lets it.
    opened: when the first order was placed. latest: the latest start for what was promised, None without
    promises. free: when the machine is free on average; free_sure: as surely as a promise needs.
    """

    inputs: RunInputs
    figures: Figures
    now: float
    axis: Axis
    way: Way
    groups: tuple[Group, ...]
    fill: int
    reserved: int
    held: float
    opened: float | None
    latest: float | None
    free: float
    free_sure: float

    @property
    def places_left(self) -> int:
        """Give the places neither ordered nor reserved."""
        return max(0, self.inputs.rules.run.places - self.fill - self.reserved)

    @property
    def planned_start(self) -> float:
        """Give when the run starts at the latest: by promise, else when its window ends."""
        if self.latest is not None:
            return self.latest
        opened = self.now if self.opened is None else self.opened
        return opened + self.figures.window_h * HOUR_S

    @property
    def hours_left(self) -> float:
        """Give d, the hours to the latest start, negative when it has passed; D* for an empty run."""
        return (self.planned_start - self.now) / HOUR_S

    def fires(self, fill: int) -> bool:
        """Say whether so many units start the run by themselves: full, at once, or past an earning threshold."""
        run = self.inputs.rules.run
        if self.inputs.seen.held is not None or fill <= 0:
            return False
        if fill >= run.places or run.release is Release.AT_ONCE:
            return True
        return run.release is Release.THRESHOLD and fill >= run.threshold and self.earns(fill)

    def earns(self, fill: int) -> bool:
        """Say whether so many units earn the set-up at the list price."""
        needed = self.figures.break_even_units
        return needed is not None and fill >= needed

    def latest_with(self, units: int, ready_by: float) -> float:
        """Give the latest start if so many more units had to be ready by this moment, after those before it."""
        joined = Group(ready_by=ready_by, ready_by_h=self.axis.hours(ready_by), units=units)
        place = bisect_right(self.groups, ready_by, key=_ready_by)
        groups = (*self.groups[:place], joined, *self.groups[place:])
        latest = _latest_start(groups, axis=self.axis, figures=self.figures)
        assert latest is not None
        return latest


def lay_out(inputs: RunInputs, figures: Figures, now: datetime, *, more_units: int = 0) -> Schedule:
    """Lay an open run out in time, with room for so many more units beyond two runs."""
    rules, seen, at = inputs.rules, inputs.seen, now.timestamp()
    capacity = rules.capacity
    repair_h = capacity.mttr_h if seen.down else 0.0
    # An exponential time passes its mean in 37 % only, so a quantile below 0.63 would be sooner than the average.
    sure_repair_h = max(1.0, -math.log(1 - rules.promise.quantile)) * repair_h
    needed_h = seen.free_h + sure_repair_h + 2 * figures.need_h(rules.run.places)
    needed_h += figures.need_h(more_units) + more_units / rules.run.places * rules.costs.setup_h
    promises = [(order.promise.timestamp(), order.units) for order in seen.orders if order.promise is not None]
    live = [one for one in seen.reserved if one.valid_until > now]
    promises += [(one.promise.timestamp(), one.units) for one in live]
    axis = _axis(inputs, now, needed_h=needed_h, until=max([at, *(promise for promise, _ in promises)]))
    goods = way(rules.shipping, rules.calendar, axis)
    groups = _groups(promises, goods, axis)
    return Schedule(
        inputs=inputs,
        figures=figures,
        now=at,
        axis=axis,
        way=goods,
        groups=groups,
        fill=sum(order.units for order in seen.orders),
        reserved=sum(one.units for one in live),
        held=max([at, *(one.valid_until.timestamp() for one in live)]),
        opened=min(order.placed for order in seen.orders).timestamp() if seen.orders else None,
        latest=_latest_start(groups, axis=axis, figures=figures),
        free=axis.add(at, seen.free_h + repair_h),
        free_sure=axis.add(at, seen.free_h + sure_repair_h),
    )


def moment(at: float) -> datetime:
    """Give a timestamp as aware UTC."""
    return datetime.fromtimestamp(at, UTC)


def _groups(promises: list[tuple[float, int]], goods: Way, axis: Axis) -> tuple[Group, ...]:
    units: dict[float, int] = {}
    for promise, more in promises:
        ready_by = goods.ready_by(promise)
        units[ready_by] = units.get(ready_by, 0) + more
    return tuple(Group(ready_by, axis.hours(ready_by), units[ready_by]) for ready_by in sorted(units))


def _latest_start(groups: Sequence[Group], *, axis: Axis, figures: Figures) -> float | None:
    """Give min over orders(promise - ship - run_h(position) - buffer(position)), on a full second.

    Groups come by promise: what is needed until a group is ready is the set-up and all units up to it.
    """
    if not groups:
        return None
    needs_h = figures.needs_h(accumulate(group.units for group in groups))
    least_h = min(group.ready_by_h - need_h for group, need_h in zip(groups, needs_h, strict=True))
    return float(math.floor(min(groups[0].ready_by, axis.latest(least_h))))


def _ready_by(group: Group) -> float:
    return group.ready_by


def _axis(inputs: RunInputs, now: datetime, *, needed_h: float, until: float) -> Axis:
    """Lay out working time far enough for the run, its window, the fixed lead and every promise."""
    rules = inputs.rules
    wall_h = rules.run.max_window_h + (rules.run.window_h or 0.0) + rules.shipping.hours
    days = math.ceil((until - now.timestamp()) / HOUR_S / 24 + wall_h / 24) + _SPARE_DAYS
    days += 2 * (rules.promise.static_days + rules.promise.min_days)
    while days < DAYS_MAX:
        axis = rules.calendar.axis(now, days=days)
        busy_from = axis.hours(max(until, now.timestamp() + wall_h * HOUR_S))
        if axis.hours((now + timedelta(days=days - _SPARE_DAYS)).timestamp()) - busy_from > needed_h:
            return axis
        days *= 2
    return rules.calendar.axis(now, days=DAYS_MAX)
