"""One shop, one machine, some weeks: `plan` is driven as it documents, and what it earns is counted."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.domain.pricing import (
    FamilyRules,
    OpenOrder,
    Recent,
    ReleaseKind,
    RunInputs,
    RunPlan,
    Seen,
    plan,
    remember,
)
from gateway.market.machine import Machine, arrival
from gateway.market.visitors import Visitor, everybody
from gateway.market.window import ShopWindow
from gateway.market.world import HOUR_S, World

LOOK_S: Final = 3600.0  # `plan` is asked this often, and on every order, machine change and latest start
CLIPS: Final = frozenset({"price_floor", "list_below_floor", "hard_band", "auto_band", "change_limit", "moves_used"})
_DAY_S: Final = 24 * HOUR_S
_WEEK_S: Final = 7 * _DAY_S
_OVER_S: Final = 6 * _WEEK_S  # so much longer may the last run collect
_SPARE_DAYS: Final = 120
_MOMENT_S: Final = 1.0


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What came of it. Money is in minor units, net. Whole runs: the last one is the one that was open at the end.

    lost: visitors who would have bought at the list price and the usual lead, and did not. clip_h: hours in which
    a guard rail stood in the way of a price. most_moves: price moves within the worst seven days. lead_days: the sum
    of what buyers were promised.
    """

    weeks: float = 0.0
    visitors: int = 0
    clicks: int = 0
    orders: int = 0
    units: int = 0
    runs: int = 0
    promises: int = 0
    kept: int = 0
    lost: int = 0
    moves: int = 0
    most_moves: int = 0
    clip_h: float = 0.0
    campaign_h: float = 0.0
    lead_days: float = 0.0
    sales: float = 0.0
    unit_costs: float = 0.0
    setup_costs: float = 0.0
    click_costs: float = 0.0
    late_costs: float = 0.0

    @property
    def margin(self) -> float:
        """Give sales less what units, set-ups, clicks and lateness cost."""
        return self.sales - self.unit_costs - self.setup_costs - self.click_costs - self.late_costs


def simulate(rules: FamilyRules, world: World, *, seed: int, weeks: float, begin: datetime) -> Outcome:
    """Let customers come for so many weeks, and until the run that is open then has started; count what is earned.

    The same seed brings the same people under every policy. A person agrees to every campaign that is proposed,
    and to no price beyond the automatic band.
    """
    return _Simulation(rules, world, seed=seed, weeks=weeks, begin=begin).played()


class _Simulation:
    def __init__(self, rules: FamilyRules, world: World, *, seed: int, weeks: float, begin: datetime) -> None:
        self._rules, self._world = rules, world
        self._begin = self._now = begin.timestamp()
        self._end = self._begin + weeks * _WEEK_S
        axis = rules.calendar.axis(begin, days=int((weeks * _WEEK_S + _OVER_S) / _DAY_S) + _SPARE_DAYS)
        self._machine = Machine(world, axis, seed=seed)
        self._everybody = everybody(world, seed=seed, begin=self._begin)
        self._window = ShopWindow(price_minor=rules.price.list_minor)
        self._open: list[OpenOrder] = []
        self._recent, self._told = Recent(), (0, 0)  # visitors and units that `recent` knows of
        self._found = Outcome()
        self._plan = self._decided(level=1.0)
        self._wake = self._now + LOOK_S

    def played(self) -> Outcome:
        """Play to the end."""
        for visitor in self._everybody:
            while self._wake <= visitor.at:
                self._look(self._wake)
                if self._over():
                    return self._counted()
            self._come(visitor)
        raise AssertionError("people never stop coming")

    def _over(self) -> bool:
        return self._now >= self._end and (not self._open or self._now >= self._end + _OVER_S)

    def _look(self, at: float) -> None:
        """Plan, and start what is due; then an empty run collects."""
        self._learn(at)
        if any(reason.code in CLIPS for reason in self._plan.reasons):
            self._found.clip_h += (at - self._now) / HOUR_S
        self._now = at
        self._plan = self._decided(level=self._plan.level)
        while self._plan.release.kind is ReleaseKind.NOW:
            self._start()
            self._plan = self._decided(level=self._plan.level)
        until = self._plan.release.until
        begins = [] if until is None else [until.timestamp()]
        self._wake = max(at + _MOMENT_S, min([at + LOOK_S, *begins, *self._machine.changes(at)]))

    def _decided(self, *, level: float) -> RunPlan:
        seen = Seen(
            orders=tuple(self._open),
            free_h=self._machine.busy_h(self._now, self._rules),
            down=self._machine.down(self._now),
            published=self._window.published(self._now),
            campaign=self._window.campaign(self._now),
            recent=self._recent,
            level=level,
        )
        planned = plan(RunInputs(rules=self._rules, seen=seen), _moment(self._now))
        self._window.show(planned, self._now)
        return planned

    def _learn(self, at: float) -> None:
        visitors, units = self._found.visitors + self._found.clicks, self._found.units
        self._recent = remember(
            self._recent,
            hours=(at - self._now) / HOUR_S,
            visitors=visitors - self._told[0],
            units=units - self._told[1],
        )
        self._told = visitors, units

    def _come(self, visitor: Visitor) -> None:
        """Let somebody look, and buy or leave."""
        if visitor.asked and not self._window.campaign_open:
            return
        promise = (self._plan.promise if visitor.units == 1 else self._plan.promise_for(visitor.units)).at
        lead_days = (promise.timestamp() - visitor.at) / _DAY_S
        chance = self._world.chance(price_minor=self._window.asked_minor, lead_days=lead_days)
        if visitor.asked:
            self._found.clicks += 1
            chance *= self._world.interest(self._window.open_h(visitor.at))
        else:
            self._found.visitors += 1
        if visitor.doubt < chance:
            self._buy(visitor, promise)
        elif not visitor.asked and visitor.doubt < self._world.conversion:
            self._found.lost += 1

    def _buy(self, visitor: Visitor, promise: datetime) -> None:
        """Take an order; what does not fit into the open run fills it, so that it starts, and joins the next one."""
        found, world, left = self._found, self._world, visitor.units
        net = self._window.asked_minor / (1 + world.tax_rate) - world.fees_minor
        found.orders, found.units = found.orders + 1, found.units + left
        found.sales += left * net
        found.unit_costs += left * world.unit_minor
        found.lead_days += (promise.timestamp() - visitor.at) / _DAY_S
        while left:
            fits = min(left, self._rules.run.places - sum(one.units for one in self._open))
            self._open.append(OpenOrder(units=fits, placed=_moment(visitor.at), promise=promise))
            left -= fits
            self._look(visitor.at)

    def _start(self) -> None:
        """Have the machine make the open run, and see who gets his goods in time."""
        found, rules = self._found, self._rules
        found.runs += 1
        found.setup_costs += self._world.setup_minor
        for order, ready in self._machine.make(self._open, self._now):
            assert order.promise is not None
            late_s = (arrival(ready, rules.shipping, rules.calendar) - order.promise).total_seconds()
            found.promises += 1
            if late_s > _MOMENT_S:
                found.late_costs += order.units * self._world.late_minor_day * late_s / _DAY_S
            else:
                found.kept += 1
        self._open = []

    def _counted(self) -> Outcome:
        found = self._found
        found.weeks = (self._now - self._begin) / _WEEK_S
        found.moves, found.most_moves = self._window.moves, self._window.most_moves
        found.campaign_h = self._window.open_h(self._now, since=self._begin)
        found.click_costs = found.clicks * self._world.click_minor
        return found


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
