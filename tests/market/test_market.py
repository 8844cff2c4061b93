"""The market is no flatterer: buyers and machine follow their figures, and what is counted adds up."""

import math
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from statistics import fmean
from zoneinfo import ZoneInfo

import pytest

from gateway.domain.calendars import parse_calendar
from gateway.domain.pricing import OpenOrder, Policy, Shipping
from gateway.market import (
    BASELINE,
    CAMPAIGN,
    COUNTDOWN,
    DISTANCE,
    Outcome,
    World,
    as_believed,
    contestants,
    simulate,
    summarise,
)
from gateway.market.machine import Machine, arrival
from gateway.market.visitors import everybody
from tests.domain.pricing.cases import OFFICE

MONDAY = datetime(2001, 1, 1, 7, tzinfo=UTC)
DAY = timedelta(days=1)
WORLD = as_believed(OFFICE)
STEADY = replace(WORLD, mttr_h=0.0)


def _orders(*units: int) -> list[OpenOrder]:
    """Give orders whose promises come in the reverse order."""
    return [
        OpenOrder(units=many, placed=MONDAY, promise=MONDAY + (30 - number) * DAY) for number, many in enumerate(units)
    ]


def _machine(world: World, seed: int = 1, calendar: str = "mon-fri 06-22") -> Machine:
    return Machine(world, parse_calendar(calendar, zone=UTC).axis(MONDAY, days=400), seed=seed)


# Buyers


def test_visitors_come_at_their_rate_and_order_sizes_have_their_mean_and_spread() -> None:
    world = replace(WORLD, visitors_h=10.0, campaign_visitors_h=5.0, units=8.0, units_sd=4.0)
    found = list(islice(everybody(world, seed=1, begin=0.0), 15_000))
    hours = found[-1].at / 3600
    assert sum(not one.asked for one in found) / hours == pytest.approx(10, rel=0.04)
    assert sum(one.asked for one in found) / hours == pytest.approx(5, rel=0.06)
    mean = fmean(one.units for one in found)
    assert mean == pytest.approx(8, rel=0.03)
    assert math.sqrt(fmean((one.units - mean) ** 2 for one in found)) == pytest.approx(4, rel=0.06)
    assert [one.at for one in found] == sorted(one.at for one in found)


def test_the_log_odds_of_buying_fall_with_lead_and_price() -> None:
    def log_odds(**offer: float) -> float:
        chance = WORLD.chance(**{"price_minor": 9000, "lead_days": WORLD.lead_days, **offer})
        return math.log(chance / (1 - chance))

    assert WORLD.chance(price_minor=9000, lead_days=WORLD.lead_days) == pytest.approx(0.1)
    assert log_odds(lead_days=WORLD.lead_days + 2) - log_odds() == pytest.approx(-0.24)
    assert log_odds(price_minor=9000 + 400) - log_odds() == pytest.approx(-0.1)


def test_a_campaign_is_heard_less_the_longer_it_was_open() -> None:
    assert [WORLD.interest(hours) for hours in (0, 18, 24, 30)] == [1.0, 0.5, 0.0, 0.0]


# The machine


def test_whoever_was_promised_less_time_is_made_first_after_one_set_up() -> None:
    made = _machine(STEADY).make(_orders(15, 60, 30), MONDAY.timestamp())
    assert [one.units for one, _ in made] == [30, 60, 15]
    assert [(ready - MONDAY.timestamp()) / 3600 for _, ready in made] == pytest.approx([4, 6, 6.5])


def test_a_run_waits_for_the_one_before_and_for_the_shift() -> None:
    machine = _machine(STEADY)
    machine.make(_orders(360), MONDAY.timestamp())  # 3 + 12 h: until 22:00
    assert machine.busy_h(MONDAY.timestamp(), OFFICE) == pytest.approx(15)
    ((_, ready),) = machine.make(_orders(30), MONDAY.timestamp())
    assert ready == (MONDAY + timedelta(hours=23 + 4)).timestamp()  # 06:00 and four hours


def test_repairs_take_the_share_of_time_that_was_stated_and_are_seen() -> None:
    world, calendar = replace(STEADY, mtbf_h=10.0, mttr_h=2.0), "always"
    machine = _machine(world, calendar=calendar)
    ((_, ready),) = machine.make(_orders(30_000), MONDAY.timestamp())  # 1000 h of work
    hours = (ready - MONDAY.timestamp()) / 3600 - 3
    assert hours == pytest.approx(1000 * 1.2, rel=0.08)
    changes = list(machine.changes(MONDAY.timestamp()))
    assert len(changes) == pytest.approx(2 * 100, rel=0.25)
    assert machine.down(changes[0] + 1)
    assert not machine.down(changes[1] + 1)


@pytest.mark.parametrize(
    ("ready", "arrives"),
    [
        ("2026-05-04T13:59", "2026-05-05T14:00"),  # Monday, just in time
        ("2026-05-04T14:01", "2026-05-06T14:00"),  # too late: leaves on Tuesday
        ("2026-05-07T10:00", "2026-05-08T14:00"),
        ("2026-05-08T10:00", "2026-05-11T14:00"),  # leaves on Friday: arrives on Monday, not on a day off
        ("2026-05-08T15:00", "2026-05-12T14:00"),  # leaves on Monday
    ],
)
def test_goods_leave_on_working_days_and_arrive_on_working_days(ready: str, arrives: str) -> None:
    zone = ZoneInfo("Europe/Stockholm")
    calendar, shipping = parse_calendar("mon-fri 06-22", zone=zone), Shipping(hours=24, cutoff=time(14))
    moment = datetime.fromisoformat(ready).replace(tzinfo=zone).timestamp()
    assert arrival(moment, shipping, calendar) == datetime.fromisoformat(arrives).replace(tzinfo=zone)


def test_without_a_cut_off_goods_leave_when_they_are_ready() -> None:
    calendar = parse_calendar("always", zone=UTC)
    assert arrival(MONDAY.timestamp(), Shipping(hours=5), calendar) == MONDAY + timedelta(hours=5)


# What is counted


def test_what_is_earned_adds_up() -> None:
    world = replace(WORLD, units=3.0, units_sd=2.0, late_minor_day=100.0, tax_rate=0.25, fees_minor=50.0)
    rules = contestants(OFFICE, static_days=5)[BASELINE]
    found = simulate(rules, world, seed=1, weeks=2, begin=MONDAY)
    assert found.sales == pytest.approx(found.units * (9000 / 1.25 - 50))
    assert found.unit_costs == found.units * 3700
    assert found.setup_costs == found.runs * 120_000
    assert found.moves == found.clicks == 0
    assert found.weeks >= 2
    assert found.promises >= found.orders  # an order larger than what is left of a run is made in two
    assert found.margin == found.sales - found.unit_costs - found.setup_costs - found.late_costs


def test_the_same_seed_gives_the_same_outcome_and_another_one_another() -> None:
    rules = contestants(OFFICE, static_days=5)[CAMPAIGN]
    one, again, other = (simulate(rules, WORLD, seed=seed, weeks=1, begin=MONDAY) for seed in (3, 3, 4))
    assert one == again != other
    assert one.clicks > 0
    assert one.click_costs == one.clicks * 200
    assert 0 < one.campaign_h <= 25


def test_a_machine_that_is_far_slower_than_believed_breaks_promises_and_pays_for_it() -> None:
    world = replace(WORLD, rate_h=3.0, setup_h=12.0, late_minor_day=500.0)
    found = simulate(contestants(OFFICE, static_days=5)[COUNTDOWN], world, seed=1, weeks=2, begin=MONDAY)
    assert found.kept < 0.7 * found.promises
    assert found.late_costs > 0


def test_each_policy_does_what_it_is() -> None:
    competing = contestants(OFFICE, static_days=5)
    assert list(competing) == [BASELINE, DISTANCE, COUNTDOWN, CAMPAIGN]
    found = {name: simulate(rules, WORLD, seed=1, weeks=2, begin=MONDAY) for name, rules in competing.items()}
    assert found[BASELINE].lead_days / found[BASELINE].orders > 7  # five working days are a week
    assert found[COUNTDOWN].lead_days / found[COUNTDOWN].orders < 5
    assert found[DISTANCE].moves > 0
    assert [name for name, one in found.items() if one.clicks] == [DISTANCE, CAMPAIGN]
    assert competing[BASELINE].policy is Policy.STATIC


def test_gains_are_compared_seed_by_seed() -> None:
    base = [Outcome(weeks=2, runs=4, units=200, sales=sales) for sales in (1000, 3000)]
    steady = [replace(one, sales=1.5 * one.sales) for one in base]
    lucky = [replace(one, sales=3000) for one in base]
    baseline, same, chance = summarise({"baseline": base, "steady": steady, "lucky": lucky}, places=120)
    assert (same.gain, same.gain_low, same.gain_high) == pytest.approx((0.5, 0.5, 0.5))  # half more in each market
    assert chance.gain == pytest.approx(0.5)
    assert chance.gain_low < 0
    assert chance.gain_high > 1
    assert (baseline.margin, baseline.margin_p10, baseline.margin_p90) == pytest.approx((1000, 600, 1400))
    assert baseline.fill == pytest.approx(400 / 8 / 120)


def test_a_world_in_which_nobody_comes_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody comes"):
        replace(WORLD, visitors_h=0.0)
