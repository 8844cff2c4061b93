"""A machine that is set up, makes one unit after another, fails now and then, and works by a calendar."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gateway.domain.calendars import Axis, Calendar
from gateway.domain.pricing import FamilyRules, OpenOrder, Shipping
from gateway.market.world import World


@dataclass(kw_only=True, slots=True)
class _Run:
    """A run under way, in working hours of the axis: when its set-up begins and ends, and each unit is done."""

    begins_h: float
    made_from_h: float
    done_h: list[float] = field(default_factory=list)
    failures: list[tuple[float, float]] = field(default_factory=list)


class Machine:
    """Takes runs one after another; what befalls it follows from the seed alone, not from what is asked of it."""

    def __init__(self, world: World, axis: Axis, *, seed: int) -> None:
        self._world, self._axis = world, axis
        self._dice = random.Random(f"machine {seed}")  # noqa: S311 - breakdowns are no secret
        self._runs: list[_Run] = []
        self._free_h = 0.0
        self._lasts_h = self._next_failure_h()

    def make(self, orders: Sequence[OpenOrder], now: float) -> list[tuple[OpenOrder, float]]:
        """Make a run, whoever was promised less time first; give each order with when it is ready (timestamp)."""
        made: list[tuple[OpenOrder, float]] = []
        begins_h = max(self._axis.hours(now), self._free_h)
        run = _Run(begins_h=begins_h, made_from_h=begins_h + self._world.setup_h)
        at_h = run.made_from_h
        for order in sorted(orders, key=_turn):
            for _ in range(order.units):
                at_h = self._unit(run, at_h)
                run.done_h.append(at_h)
            made.append((order, self._axis.earliest(at_h)))
        self._free_h = at_h
        self._runs.append(run)
        return made

    def changes(self, now: float) -> Iterator[float]:
        """Give every later moment at which a failure begins or is repaired, or a run is done (timestamps)."""
        hours = self._axis.hours(now)
        for run in self._runs:
            moments = (*(one for failure in run.failures for one in failure), run.done_h[-1])
            yield from (self._axis.earliest(one) for one in moments if one > hours)

    def down(self, now: float) -> bool:
        """Say whether it stands still now because something broke."""
        hours = self._axis.hours(now)
        return any(begins <= hours < ends for run in self._runs for begins, ends in run.failures)

    def busy_h(self, now: float, rules: FamilyRules) -> float:
        """Give the working hours until it is free, as the rules believe: what is left of set-ups and units."""
        hours, left = self._axis.hours(now), 0.0
        self._runs = [run for run in self._runs if run.done_h[-1] > hours]
        for run in self._runs:
            left += min(rules.costs.setup_h, max(0.0, run.made_from_h - hours))
            left += sum(1 for done in run.done_h if done > hours) / rules.capacity.rate_h
        return left

    def _unit(self, run: _Run, at_h: float) -> float:
        needs_h = 1 / self._world.rate_h
        while self._lasts_h < needs_h:
            at_h, needs_h = at_h + self._lasts_h, needs_h - self._lasts_h
            repair_h = self._dice.expovariate(1 / self._world.mttr_h)
            run.failures.append((at_h, at_h + repair_h))
            at_h, self._lasts_h = at_h + repair_h, self._next_failure_h()
        self._lasts_h -= needs_h
        return at_h + needs_h

    def _next_failure_h(self) -> float:
        if self._world.mttr_h <= 0 or self._world.mtbf_h == float("inf"):
            return float("inf")
        return self._dice.expovariate(1 / self._world.mtbf_h)


def _turn(order: OpenOrder) -> tuple[datetime, datetime]:
    assert order.promise is not None
    return order.promise, order.placed


def arrival(ready: float, shipping: Shipping, calendar: Calendar) -> datetime:
    """Give when goods reach the customer: by the next departure of a working day, never on a day off.

    Written apart from `gateway.domain.pricing.shipping`, so that a promise is not judged by its own mistakes.
    """
    leaves = datetime.fromtimestamp(ready, UTC)
    if shipping.cutoff is not None:
        day = leaves.astimezone(calendar.zone).date()
        while not calendar.is_working_day(day) or calendar.local(day, shipping.cutoff) < leaves:
            day += timedelta(days=1)
        leaves = calendar.local(day, shipping.cutoff)
    comes = leaves + timedelta(hours=shipping.hours)
    local = comes.astimezone(calendar.zone)
    day = local.date()
    while not calendar.is_working_day(day):
        day += timedelta(days=1)
    return comes if day == local.date() else calendar.local(day, local.time())
