"""The formulas, checked against simulation and against figures worked out by hand."""

import math
import random
from dataclasses import replace
from statistics import stdev

import pytest

from gateway.domain.pricing.figures import Figures, conversion_at, derive, learnt_level, remember
from gateway.domain.pricing.formulas import collection_window_h, moved_probability, place_value, run_hours, run_sd_hours
from gateway.domain.pricing.inputs import Capacity, Recent, Release
from tests.domain.pricing.cases import HOUSE

BELIEF = HOUSE.demand


def figures(**changes: object) -> Figures:
    return derive(replace(HOUSE, **changes), level=1.0, error_quantile_h=None)  # type: ignore[arg-type]


def test_the_window_is_two_setups_over_what_a_day_of_waiting_loses() -> None:
    window = collection_window_h(setup_cost=1200, units_day=27, loss_day=53 * 0.108, places=10_000, max_window_h=1e9)
    assert window == pytest.approx(24 * math.sqrt(2 * 1200 / (53 * 27 * 0.108)))


def test_the_window_is_never_longer_than_filling_a_run_or_what_the_owner_allows() -> None:
    bounds = {"setup_cost": 1e9, "units_day": 27.0, "loss_day": 5.0}
    assert collection_window_h(**bounds, places=54, max_window_h=192) == 48
    assert collection_window_h(**bounds, places=5400, max_window_h=192) == 192
    assert collection_window_h(setup_cost=1, units_day=0, loss_day=5, places=9, max_window_h=192) == 192
    assert collection_window_h(setup_cost=1, units_day=27, loss_day=0, places=27, max_window_h=192) == 24
    assert collection_window_h(setup_cost=0, units_day=27, loss_day=5, places=27, max_window_h=192) == 0


def test_no_other_window_earns_more_than_the_formula() -> None:
    loss, units_day, setup = 5.7, 27.0, 1200.0
    best = collection_window_h(setup_cost=setup, units_day=units_day, loss_day=loss, places=10_000, max_window_h=1e9)

    def cost_day(window_h: float) -> float:
        return setup / (window_h / 24) + units_day * loss * (window_h / 24) / 2

    assert all(cost_day(best) <= cost_day(best * share) for share in (0.5, 0.9, 1.1, 2.0))


def simulated_lengths(units: float, *, rate: float, mtbf: float, mttr: float) -> list[float]:
    chance, lengths = random.Random(7), []
    for _ in range(4000):
        hours, failing = 3 + units / rate, chance.expovariate(1 / mtbf)
        while failing < units / rate:
            hours += chance.expovariate(1 / mttr)
            failing += chance.expovariate(1 / mtbf)
        lengths.append(hours)
    return lengths


def test_run_length_and_its_spread_are_those_of_simulated_breakdowns() -> None:
    lengths = simulated_lengths(600, rate=10, mtbf=15, mttr=4)
    mean = run_hours(600, setup_h=3, rate_h=10, mtbf_h=15, mttr_h=4)
    assert mean == pytest.approx(sum(lengths) / len(lengths), rel=0.02)
    assert run_sd_hours(600, rate_h=10, mtbf_h=15, mttr_h=4) == pytest.approx(stdev(lengths), rel=0.05)


@pytest.mark.parametrize("units", [5, 20, 60, 200, 600])
def test_the_buffer_without_its_margin_covers_nineteen_of_twenty_runs(units: int) -> None:
    capacity = Capacity(rate_h=10, mtbf_h=15, mttr_h=4, margin_h=0)
    lengths = simulated_lengths(units, rate=10, mtbf=15, mttr=4)
    within = sum(length <= figures(capacity=capacity).need_h(units) for length in lengths) / len(lengths)
    assert within > 0.94


def test_the_bid_is_the_setup_share_times_the_chance_that_places_run_out() -> None:
    chance, hours, free = random.Random(3), 60.0, 70
    rate_h = 27 / 24 / 2  # orders of two units on average: one or three

    def sold() -> int:
        units, at = 0, chance.expovariate(rate_h)
        while at < hours:
            units += chance.choice((1, 3))
            at += chance.expovariate(rate_h)
        return units

    share = sum(sold() > free for _ in range(6000)) / 6000
    bid = place_value(share=10, units_day=27, order_units=2, order_sd=1, hours=hours, free_places=free)
    assert bid == pytest.approx(10 * share, abs=0.3)
    assert place_value(share=10, units_day=27, order_units=2, order_sd=1, hours=-5, free_places=free) == 0


def test_the_loop_over_positions_gives_the_same_need_as_the_formula() -> None:
    sturdy = replace(HOUSE, capacity=Capacity(rate_h=30))
    for rules, error_h in ((HOUSE, None), (HOUSE, 5.5), (sturdy, None)):
        family = derive(rules, level=1.0, error_quantile_h=error_h)
        assert list(family.needs_h([1, 17, 120])) == pytest.approx([family.need_h(units) for units in (1, 17, 120)])


def test_measured_forecast_errors_replace_the_parametric_buffer() -> None:
    measured = derive(HOUSE, level=1.0, error_quantile_h=5.5)
    assert measured.buffer_h(50) == 5.5
    assert derive(HOUSE, level=1.0, error_quantile_h=-3.0).buffer_h(50) == 0


def test_costly_lateness_makes_a_promise_surer_and_never_less_sure() -> None:
    late = replace(HOUSE.costs, late_minor_day=1e6)
    assert figures(costs=late).z > figures().z
    assert figures(costs=replace(HOUSE.costs, late_minor_day=1.0)).z == figures().z


def test_costly_waiting_shortens_the_window() -> None:
    assert figures(costs=replace(HOUSE.costs, waiting_minor_day=2000)).window_h < figures().window_h


def test_orders_that_are_made_at_once_wait_for_no_others() -> None:
    assert figures(run=replace(HOUSE.run, release=Release.AT_ONCE)).window_h == 0
    assert figures(run=replace(HOUSE.run, window_h=30.0)).window_h == 30
    assert figures(run=replace(HOUSE.run, window_h=300.0)).window_h == HOUSE.run.max_window_h


def test_a_belief_that_knows_its_lead_settles_window_and_demand_together() -> None:
    known = figures(demand=replace(BELIEF, lead_days=5.0))
    lead = (known.window_h / 2 + known.need_h(known.units_day * known.window_h / 24)) / 24
    conversion = conversion_at(replace(BELIEF, lead_days=5.0), lead_days=lead)
    assert known.conversion == pytest.approx(conversion, rel=1e-3)
    assert known.units_day > figures().units_day  # it promises less than five days


def test_a_longer_lead_and_a_higher_price_sell_less() -> None:
    belief = replace(BELIEF, lead_days=5.0)
    assert conversion_at(belief, lead_days=5.0) == pytest.approx(0.1)
    assert conversion_at(belief, lead_days=6.0) == pytest.approx(0.1 - 0.12 * 0.1 * 0.9, abs=1e-3)
    assert conversion_at(belief, lead_days=5.0, dearer_minor=400) == pytest.approx(moved_probability(0.1, -0.1))


def test_the_level_moves_in_steps_and_stays_within_its_hysteresis() -> None:
    def seen(share: float) -> Recent:
        return Recent(hours=240, visitors=2700, units=270 * share)

    assert learnt_level(BELIEF, seen(1.1), 1.0) == 1.0
    assert learnt_level(BELIEF, seen(1.3), 1.0) == 1.25
    assert learnt_level(BELIEF, seen(1.12), 1.25) == 1.25  # up at 15 % above, but not down again at once
    assert learnt_level(BELIEF, seen(0.6), 1.0) == pytest.approx(0.64)
    assert learnt_level(replace(BELIEF, learn=False), seen(3), 1.0) == 1.0
    assert learnt_level(BELIEF, None, 1.0) == 1.0
    assert learnt_level(BELIEF, Recent(), 1.0) == 1.0
    assert learnt_level(BELIEF, seen(1000), 1.0) <= 20


def test_few_orders_do_not_move_the_level() -> None:
    assert learnt_level(BELIEF, Recent(hours=4, visitors=45, units=7), 1.0) == 1.0


def test_old_sales_fade_with_ten_days() -> None:
    sums = Recent()
    for _ in range(24 * 60):
        sums = remember(sums, hours=1, visitors=11, units=1)
    assert sums.hours == pytest.approx(240, rel=0.02)
    assert sums.units / sums.hours == pytest.approx(1)
