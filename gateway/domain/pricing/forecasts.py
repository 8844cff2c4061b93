"""When the run will start and end, with how many units, and which promises that puts at risk."""

import math
from typing import Final

from gateway.domain.pricing.formulas import HOURS_DAY, quantile_z
from gateway.domain.pricing.inputs import Release
from gateway.domain.pricing.result import CostNow, Forecast, ReleaseDecision, ReleaseKind
from gateway.domain.pricing.schedule import HOUR_S, Group, Schedule, moment

_Z90: Final = quantile_z(0.9)
_ROUNDING_H: Final = 1e-6


def forecast(schedule: Schedule, release: ReleaseDecision) -> Forecast:
    """Give start, finish and units: demand is a compound Poisson process until the run starts."""
    figures, demand, places = schedule.figures, schedule.inputs.rules.demand, schedule.inputs.rules.run.places
    start = _start(schedule, release)
    mean = 0.0 if release.kind is ReleaseKind.NOW else figures.units_day * _days(schedule, start)
    sd = math.sqrt(mean / demand.units * (demand.units**2 + demand.units_sd**2))
    low, middle, high = (
        max(schedule.fill, min(places, round(schedule.fill + mean + z * sd))) for z in (-_Z90, 0.0, _Z90)
    )
    return Forecast(
        start=moment(start),
        finish_p50=moment(schedule.axis.add(start, figures.run_h(middle))),
        finish_p90=moment(schedule.axis.add(start, figures.sure_h(middle, _Z90))),
        units_p10=low,
        units_p50=middle,
        units_p90=high,
    )


def endangered(schedule: Schedule, release: ReleaseDecision) -> tuple[tuple[Group, float], ...]:
    """Give what will not be ready in nine of ten cases, if the run starts when it has to and the machine can.

    With each group comes when it reaches the customer instead, in nine of ten cases (a timestamp).
    """
    start = max(schedule.now, schedule.free)
    if release.kind is not ReleaseKind.NOW and schedule.latest is not None:
        start = max(start, schedule.latest)
    surer = schedule.figures.z >= _Z90 and schedule.figures.error_quantile_h is None
    if schedule.latest is None or (surer and start <= schedule.latest):
        return ()  # a latest start keeps more in hand than the p90 finish needs
    start_h = schedule.axis.hours(start) - _ROUNDING_H
    position, late = 0, []
    for group in schedule.groups:
        position += group.units
        needed_h = schedule.figures.sure_h(position, _Z90)
        if start_h + needed_h > group.ready_by_h or start > group.ready_by:
            late.append((group, schedule.way.arrival(schedule.axis.add(start, needed_h))))
    return tuple(late)


def cost_now(schedule: Schedule, expected: Forecast, *, bid: float) -> CostNow:
    """Give what a unit costs as the run stands, and the set-up's share of it."""
    costs, fill = schedule.inputs.rules.costs, schedule.fill
    return CostNow(
        unit_now_minor=round(costs.unit_minor + costs.setup_minor / fill) if fill else None,
        share_now_minor=round(costs.setup_minor / fill) if fill else None,
        share_forecast_minor=round(costs.setup_minor / max(1, expected.units_p50)),
        setup_minor=round(costs.setup_minor),
        bid_minor=round(bid),
    )


def _start(schedule: Schedule, release: ReleaseDecision) -> float:
    """Give when the run starts on average: at its latest start, or when fill or threshold are there before."""
    earliest = max(schedule.now, schedule.free)
    if release.kind is ReleaseKind.NOW:
        return earliest
    run, units_day = schedule.inputs.rules.run, schedule.figures.units_day
    until_full = run.threshold if run.release is Release.THRESHOLD else run.places
    until_full = 1 if run.release is Release.AT_ONCE else min(until_full, run.places)
    missing = max(0, until_full - schedule.fill)
    filled = schedule.now + missing / units_day * HOURS_DAY * HOUR_S if units_day > 0 else math.inf
    planned = schedule.planned_start
    if run.release is Release.THRESHOLD and schedule.latest is None and schedule.fill > 0:
        planned = max(planned, min(filled, schedule.now + schedule.inputs.rules.run.max_window_h * HOUR_S))
    return max(earliest, min(planned, filled))


def _days(schedule: Schedule, start: float) -> float:
    return (start - schedule.now) / HOUR_S / HOURS_DAY
