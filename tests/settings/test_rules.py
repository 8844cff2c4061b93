"""The rules that `plan` decides by are those of the configuration, in minor units and hours."""

from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest

from gateway.domain.pricing import (
    CampaignKind,
    Capacity,
    Costs,
    Distance,
    Policy,
    PromiseRules,
    Release,
    RunInputs,
    RunRules,
    Shipping,
    plan,
)
from gateway.domain.products import MAKE_TO_ORDER, Changeover, Needs, Setup
from gateway.settings.build_rules import to_calendar
from tests.settings.site import FACTORY, FULL, changed, good

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


def test_a_family_becomes_the_rules_of_its_runs(tmp_path: Path) -> None:
    rules = good(tmp_path, FULL).rules("cure-black")
    assert rules.policy is Policy.COUNTDOWN
    assert rules.run == RunRules(
        places=120, threshold=44, release=Release.LATEST_START, window_h=None, max_window_h=192
    )
    assert rules.shipping == Shipping(hours=24, cutoff=time(14, 0))
    assert rules.promise == PromiseRules(quantile=0.9, min_days=2, static_days=8)
    assert (rules.demand.visitors_h, rules.demand.conversion, rules.demand.minor_per_major) == (11.25, 0.1, 100)
    assert (rules.demand.price_slope, rules.demand.lead_slope_day, rules.demand.learn) == (0.025, 0.12, True)
    assert (rules.campaign.kind, rules.campaign.cost_per_click_minor) == (CampaignKind.VISIBILITY, 700)
    assert (rules.campaign.enabled, rules.campaign.reserve, rules.campaign.max_hours_week) == (True, 1.5, 24)


def test_costs_are_those_of_a_good_piece_in_minor_units(tmp_path: Path) -> None:
    rules = good(tmp_path, FULL).rules("cure-black")
    assert rules.capacity.rate_h == pytest.approx(3600 / 480 * 4 * 0.8)
    assert rules.costs.unit_minor == pytest.approx(100 * ((31 + 0.5 * 1.2) / 0.8 + 2 + (45 + 15) / 24))
    assert (rules.costs.setup_minor, rules.costs.setup_h) == (120_000, 3)


def test_the_price_is_the_shops_with_its_tax_between_the_guard_rails(tmp_path: Path) -> None:
    price = good(tmp_path, FULL).rules("cure-black").price
    assert (price.list_minor, price.currency, price.tax_rate, price.fees_minor, price.step_minor) == (
        14_900,
        "SEK",
        0.25,
        300,
        1,
    )
    assert (price.auto, price.hard, price.max_per_day, price.moves_per_day, price.deadband) == (
        (0.95, 1.10),
        (0.85, 1.20),
        0.08,
        2,
        0.04,
    )
    text = changed("tax_rate: 0.25", "tax_rate: 0.25\n    rounding: 5\n    price_includes_tax: false", FULL)
    net = good(tmp_path, text).rules("cure-black", list_minor=9900).price
    assert (net.list_minor, net.tax_rate, net.step_minor) == (9900, 0, 500)


def test_a_currency_without_minor_unit_is_counted_whole(tmp_path: Path) -> None:
    text = FULL.replace("currency: SEK", "currency: JPY")
    rules = good(tmp_path, text).rules("cure-black")
    assert (rules.price.list_minor, rules.costs.setup_minor, rules.demand.minor_per_major) == (149, 1200, 1)


def test_without_a_price_from_the_shop_there_are_no_rules_yet(tmp_path: Path) -> None:
    settings = good(tmp_path, FULL)
    with pytest.raises(ValueError, match=r"families\.cure-white: the shop has not told its list price yet"):
        settings.rules("cure-white")
    rules = settings.rules("cure-white", list_minor=12_900, shop="webshop")
    assert (rules.policy, rules.distance) == (Policy.DISTANCE, Distance(far=1.15, near=0.95, campaign_below_h=24))
    assert (rules.run.window_h, rules.campaign.enabled) == (96, True)


def test_the_word_distance_alone_takes_its_usual_numbers(tmp_path: Path) -> None:
    text = changed("{distance: {far: 1.15, near: 0.95, campaign_below_h: 24}}", "distance", FULL)
    assert good(tmp_path, text).rules("cure-white", list_minor=1).distance == Distance()


def test_without_a_shop_and_a_currency_there_is_no_price(tmp_path: Path) -> None:
    text = FACTORY.replace(FACTORY[FACTORY.index("shops:") : FACTORY.index("products:")], "")
    with pytest.raises(ValueError, match="no shop sells it, and pricing: names no currency"):
        good(tmp_path, text).rules("pla-white", list_minor=1)


def test_what_has_been_measured_wins(tmp_path: Path) -> None:
    costs, capacity = Costs(unit_minor=1, setup_minor=2, setup_h=3), Capacity(rate_h=9, mtbf_h=50, mttr_h=2)
    rules = good(tmp_path, FULL).rules("cure-black", costs=costs, capacity=capacity, visitors_h=5.0)
    assert (rules.costs, rules.capacity, rules.demand.visitors_h) == (costs, capacity, 5.0)


def test_make_to_order_is_planned_at_once_at_its_fixed_lead(tmp_path: Path) -> None:
    rules = good(tmp_path, FULL).rules("pla-white", list_minor=14_900)
    assert (rules.policy, rules.run) == (Policy.STATIC, MAKE_TO_ORDER)
    decided = plan(RunInputs(rules=rules), NOW)
    assert decided.price.price_minor == 14_900
    assert (decided.promise.at - NOW).days == 7  # five working days


def test_a_plan_is_made_from_what_the_configuration_says(tmp_path: Path) -> None:
    settings = good(tmp_path, FULL)
    empty = plan(RunInputs(rules=settings.rules("cure-white", list_minor=12_900)), NOW)
    assert empty.price.factor > 1
    assert plan(RunInputs(rules=settings.rules("cure-black")), NOW).window_h == pytest.approx(81.03, abs=0.01)


def test_the_calendar_is_the_familys_else_the_machines_else_the_sites(tmp_path: Path) -> None:
    settings = good(tmp_path, FULL)
    saturday, evening = datetime(2026, 5, 9, 8, tzinfo=UTC), datetime(2026, 5, 4, 18, tzinfo=UTC)
    assert to_calendar(settings, family="cure-black").is_open(saturday)
    assert not to_calendar(settings, family="cure-white").is_open(evening)
    assert to_calendar(settings, family="pla-white").is_open(evening)
    assert not to_calendar(settings, machine="oven-1").is_open(evening)
    assert to_calendar(settings).is_open(evening)
    assert to_calendar(settings).closed == {date(2026, 12, 24)}


def test_a_family_carries_what_planning_and_tending_need(tmp_path: Path) -> None:
    families = good(tmp_path, FULL).range().families
    white, black = families["cure-white"], families["cure-black"]
    assert white.setup == Setup(first_piece=False, tool_code="7", confirm=True)
    assert white.changeover == Changeover(default_s=1800, from_s={"cure-black": 5400})
    assert [white.changeover.seconds(before) for before in (None, "cure-black", "pla-white")] == [1800, 5400, 1800]
    assert black.needs == Needs(material={"BLANK-12": 1}, tools=("RACK-1",))
    assert (black.policy, black.run.release, black.pieces_per_cycle) == (Policy.COUNTDOWN, Release.LATEST_START, 4)
    assert (families["pla-white"].run, families["pla-white"].setup) == (MAKE_TO_ORDER, None)
