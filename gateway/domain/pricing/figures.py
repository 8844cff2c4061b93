"""The figures of a family that follow from its rules and its demand level, before any order is looked at."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from gateway.domain.pricing.formulas import (
    HOURS_DAY,
    RARE_FAILURES,
    collection_window_h,
    moved_probability,
    quantile_z,
    run_hours,
    run_sd_hours,
    skew_hours,
)
from gateway.domain.pricing.inputs import Demand, FamilyRules, Recent, Release

LEVEL_STEP: Final = 1.25
LEVEL_HYSTERESIS: Final = 1.15
LEVEL_BAND: Final = (0.05, 20.0)
FADE_H: Final = 240.0  # ten days
_CREDIBLE_ORDERS: Final = 20.0  # so many expected orders weigh as much as the belief
_ROUNDS: Final = 8
_SUREST: Final = 0.995


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """u, P, g, p-c, D*, break-even: what the formulas of a run need. Money is net, in minor units."""

    rules: FamilyRules
    level: float
    units_day: float
    conversion: float
    loss_day: float  # what a day of lead costs on each unit
    margin_minor: float  # p - c at the list price
    window_h: float
    z: float  # the standard normal quantile of the promise
    error_quantile_h: float | None

    @property
    def share_minor(self) -> float:
        """Give K/C, the set-up's share of a place in a full run."""
        return self.rules.costs.setup_minor / self.rules.run.places

    @property
    def break_even_units(self) -> int | None:
        """Give the units from which a run earns its set-up, None where no number does."""
        if self.margin_minor <= 0:
            return None
        return max(1, math.ceil(self.rules.costs.setup_minor / self.margin_minor))

    def run_h(self, units: float) -> float:
        """Give the working hours that a run of so many units takes on average."""
        capacity = self.rules.capacity
        return run_hours(
            units,
            setup_h=self.rules.costs.setup_h,
            rate_h=capacity.rate_h,
            mtbf_h=capacity.mtbf_h,
            mttr_h=capacity.mttr_h,
        )

    def sd_h(self, units: float) -> float:
        """Give the standard deviation of that."""
        capacity = self.rules.capacity
        return run_sd_hours(units, rate_h=capacity.rate_h, mtbf_h=capacity.mtbf_h, mttr_h=capacity.mttr_h)

    def buffer_h(self, units: float) -> float:
        """Give the hours a promise keeps in hand: z*sd + skew + queue + margin, or what was measured instead."""
        capacity = self.rules.capacity
        if self.error_quantile_h is not None:
            return max(0.0, self.error_quantile_h)
        return self.z * self.sd_h(units) + self._skew_h(units, self.z) + capacity.queue_h + capacity.margin_h

    def need_h(self, units: float) -> float:
        """Give run length and buffer together."""
        return self.run_h(units) + self.buffer_h(units)

    def sure_h(self, units: float, z: float) -> float:
        """Give the run length that is not passed with the certainty of this normal quantile."""
        return self.run_h(units) + z * self.sd_h(units) + self._skew_h(units, z)

    def needs_h(self, positions: Iterable[int]) -> Iterator[float]:
        """Give `need_h` of each position; the same numbers, written out because there may be thousands."""
        fixed, slope = self.need_h(0), self.run_h(1) - self.run_h(0)
        root, skew = self.z * self.sd_h(1), max(0.0, self.z**2 - 1) / 2 * self.rules.capacity.mttr_h
        if self.error_quantile_h is not None:
            root = skew = 0.0
        rare = RARE_FAILURES * self.rules.capacity.rate_h * self.rules.capacity.mtbf_h
        if math.isinf(rare):
            return (fixed + slope * units for units in positions)
        return (fixed + slope * units + root * math.sqrt(units) + skew * units / (units + rare) for units in positions)

    def _skew_h(self, units: float, z: float) -> float:
        capacity = self.rules.capacity
        return skew_hours(units, rate_h=capacity.rate_h, mtbf_h=capacity.mtbf_h, mttr_h=capacity.mttr_h, z=z)


def derive(rules: FamilyRules, *, level: float, error_quantile_h: float | None) -> Figures:
    """Compute the figures in force at a demand level.

    Where the belief says at which lead its conversion holds, demand and window depend on each other;
    a few rounds settle both.
    """
    figures = Figures(
        rules=rules,
        level=level,
        units_day=0.0,
        conversion=rules.demand.conversion,
        loss_day=0.0,
        margin_minor=rules.price.net_minor - rules.price.fees_minor - rules.costs.unit_minor,
        window_h=rules.run.max_window_h / 2,
        z=quantile_z(rules.promise.quantile),
        error_quantile_h=error_quantile_h,
    )
    rounds = 1 if rules.demand.lead_days is None else _ROUNDS
    for _ in range(rounds):
        figures = _settled(figures)
    return replace(figures, z=quantile_z(_quantile(figures)))


def conversion_at(demand: Demand, *, lead_days: float | None, dearer_minor: float = 0.0) -> float:
    """Give P at a lead in days and at a price so much above the list price."""
    late = 0.0 if lead_days is None or demand.lead_days is None else lead_days - demand.lead_days
    dearer = dearer_minor / demand.minor_per_major
    return moved_probability(demand.conversion, -demand.lead_slope_day * late - demand.price_slope * dearer)


def learnt_level(demand: Demand, recent: Recent | None, level: float) -> float:
    """Give the demand level after looking at sales: steps of 25 %, and only past a hysteresis of 15 %.

    Few orders prove little: the measured level is drawn towards the one in force by the number of orders
    that were to be expected. The slopes are never learnt.
    """
    if recent is None or not demand.learn or demand.visitors_h <= 0:
        return level
    expected = demand.visitors_h * demand.conversion * demand.units * recent.hours * level
    if expected <= 0:
        return level
    orders = expected / demand.units
    weight = orders / (orders + _CREDIBLE_ORDERS)
    measured = level * (1 + weight * (recent.units / expected - 1))
    while measured > level * LEVEL_HYSTERESIS and level * LEVEL_STEP <= LEVEL_BAND[1]:
        level *= LEVEL_STEP
    while measured < level / LEVEL_HYSTERESIS and level / LEVEL_STEP >= LEVEL_BAND[0]:
        level /= LEVEL_STEP
    return level


def remember(recent: Recent, *, hours: float, visitors: float, units: float) -> Recent:
    """Add what was seen in the last hours to sums that fade with a time constant of ten days."""
    kept = math.exp(-hours / FADE_H)
    return Recent(
        hours=recent.hours * kept + hours,
        visitors=recent.visitors * kept + visitors,
        units=recent.units * kept + units,
    )


def _settled(figures: Figures) -> Figures:
    rules, demand = figures.rules, figures.rules.demand
    units = min(float(rules.run.places), figures.units_day * figures.window_h / HOURS_DAY)
    lead_h = figures.window_h / 2 + figures.need_h(units) + rules.shipping.hours
    conversion = conversion_at(demand, lead_days=lead_h / HOURS_DAY)
    units_day = demand.visitors_h * HOURS_DAY * conversion * demand.units * figures.level
    loss_day = max(0.0, figures.margin_minor) * demand.lead_slope_day * (1 - conversion)
    loss_day += rules.costs.waiting_minor_day
    window_h = _window_h(rules, units_day=units_day, loss_day=loss_day)
    return replace(figures, conversion=conversion, units_day=units_day, loss_day=loss_day, window_h=window_h)


def _window_h(rules: FamilyRules, *, units_day: float, loss_day: float) -> float:
    if rules.run.window_h is not None:
        return min(rules.run.window_h, rules.run.max_window_h)
    if rules.run.release is Release.AT_ONCE:
        return 0.0
    return collection_window_h(
        setup_cost=rules.costs.setup_minor,
        units_day=units_day,
        loss_day=loss_day,
        places=rules.run.places,
        max_window_h=rules.run.max_window_h,
    )


def _quantile(figures: Figures) -> float:
    """Give how sure a promise is: where lateness has a cost, until a day of buffer costs more than it saves."""
    chosen = figures.rules.promise.quantile
    late = figures.rules.costs.late_minor_day
    if late <= 0:
        return chosen
    return max(chosen, min(_SUREST, 1 - figures.loss_day / late))
