"""Prices by policy, and each guard rail with what it says."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.domain.pricing import Distance, Mode, Policy, PriceMove, Published, Reservation, Source
from tests.domain.pricing.cases import DISTANCE, HOUSE, START, codes, orders, planned

STATIC = replace(HOUSE, policy=Policy.STATIC)
FAR = planned(HOUSE).promise.at
# A set-up so dear that the value of a place moves the price as far as the policy lets it.
SCARCE = replace(HOUSE, costs=replace(HOUSE.costs, setup_minor=1_000_000))
EARLY: dict[str, Any] = {"orders": orders(110, promise=planned(SCARCE).promise.at)}
# A policy that asks for half as much again, to run into every guard rail.
LOUD = replace(HOUSE, policy=Policy.DISTANCE, distance=Distance(far=1.5), price=replace(HOUSE.price, max_per_day=1.0))
HOUR = timedelta(hours=1)


def moved(*factors: float, every: timedelta = HOUR) -> Published:
    """Give a price that moved through these factors, the last move an hour ago."""
    minor = [int(9000 * factor) for factor in factors]
    count = len(minor) - 1
    moves = tuple(
        PriceMove(at=START - every * (count - n), from_minor=minor[n], to_minor=minor[n + 1]) for n in range(count)
    )
    return Published(price_minor=minor[-1], moves=moves)


def test_static_keeps_the_list_price() -> None:
    assert planned(STATIC, **EARLY).price.price_minor == 9000


def test_distance_goes_from_far_to_near_with_fill_and_time() -> None:
    assert planned(DISTANCE).price.price_minor == 10350
    half = planned(DISTANCE, orders=orders(22, promise=FAR)).price
    assert half.wanted_factor == pytest.approx(0.95 + 0.2 * 0.5)
    assert planned(DISTANCE, orders=orders(60, promise=FAR)).price.price_minor == 8550


def test_countdown_is_dearer_ahead_of_plan_and_cheaper_behind() -> None:
    ahead = planned(SCARCE, **EARLY)
    assert ahead.price.wanted_factor == 1.04
    assert "ahead_of_plan" in codes(ahead)
    late = START + timedelta(hours=60)
    behind = planned(SCARCE, late, orders=orders(20, promise=late + timedelta(hours=40)))
    assert behind.price.wanted_factor < 1
    assert "behind_plan" in codes(behind)


def test_countdown_moves_by_the_value_of_the_places() -> None:
    dear = replace(HOUSE, costs=replace(HOUSE.costs, setup_minor=30_000), run=replace(HOUSE.run, window_h=106.0))
    now = START + timedelta(hours=50)
    result = planned(dear, now, orders=orders(75, promise=planned(dear).promise.at))
    share = 30_000 / 120
    value = result.cost.bid_minor / share  # the chance that the places run out: sure by now
    assert value > 0.9
    assert 1 < result.price.wanted_factor < 1 + 0.9 * share / 9000


def test_countdown_keeps_the_last_move_of_a_day_for_the_way_back() -> None:
    resting = planned(SCARCE, **EARLY, published=moved(1.04, 1.0))
    assert resting.price.wanted_factor == 1.0
    assert "price_rests" in codes(resting)
    home = planned(SCARCE, published=moved(1.0, 1.04))
    assert home.price.price_minor == 9000


def test_a_reserved_place_is_as_scarce_as_a_sold_one() -> None:
    family = replace(HOUSE, costs=replace(HOUSE.costs, setup_minor=30_000), run=replace(HOUSE.run, window_h=48.0))
    promise = planned(family).promise.at
    quote = Reservation(units=45, promise=promise, valid_until=START + HOUR)
    some = orders(30, promise=promise)
    factor = planned(family, orders=some, reserved=(quote,)).price.wanted_factor
    assert factor > planned(family, orders=some, reserved=(replace(quote, valid_until=START),)).price.wanted_factor
    assert factor == planned(family, orders=orders(75, promise=promise)).price.wanted_factor


def test_the_floor_wins_over_the_list_price_and_is_told() -> None:
    poor = replace(HOUSE, costs=replace(HOUSE.costs, unit_minor=8800))
    result = planned(poor)
    assert result.price.price_minor == result.price.floor_minor == 9240
    assert {"list_below_floor", "price_floor"} <= codes(result)


def test_the_floor_carries_fees_tax_and_the_price_step() -> None:
    rules = replace(HOUSE.price, fees_minor=100, tax_rate=0.25, step_minor=100)
    assert planned(replace(HOUSE, price=rules)).price.floor_minor == 5000  # 1.25 * (1.05 * 3700 + 100), up to 50.00


def test_prices_keep_the_ending_of_the_list_price() -> None:
    rules = replace(DISTANCE.price, list_minor=9990, step_minor=500)
    assert planned(replace(DISTANCE, price=rules)).price.price_minor == 10990  # 11490 is above 1.15


def test_the_hard_band_bounds_what_is_proposed_and_the_auto_band_what_is_done() -> None:
    result = planned(LOUD)
    assert result.price.wanted_factor == 1.5
    assert result.price.price_minor == 9900
    assert result.price.proposed_minor == 10800
    assert {"hard_band", "auto_band"} <= codes(result)


def test_an_approved_price_outside_the_auto_band_may_stand() -> None:
    result = planned(LOUD, published=Published(price_minor=10800))
    assert result.price.price_minor == 10800
    assert result.price.proposed_minor is None


def test_a_day_changes_the_price_by_no_more_than_its_share() -> None:
    slow = replace(LOUD, price=replace(LOUD.price, max_per_day=0.08))
    result = planned(slow)
    assert result.price.price_minor == 9720
    assert "change_limit" in codes(result)
    again = planned(slow, published=moved(1.0, 1.08))
    assert again.price.price_minor == 9720
    narrow = replace(LOUD, price=replace(LOUD.price, max_per_day=0.05))
    assert planned(narrow, published=moved(1.0, 1.05)).price.price_minor == 9450
    yesterday = moved(1.0, 1.05, every=timedelta(hours=24))
    assert planned(narrow, published=yesterday).price.price_minor == 9900


def test_an_hour_may_have_a_limit_of_its_own() -> None:
    slow = replace(LOUD, price=replace(LOUD.price, max_per_hour=0.05))
    assert planned(slow).price.price_minor == 9450
    assert planned(slow, published=moved(1.0, 1.05)).price.price_minor == 9900


def test_no_more_moves_than_allowed_within_24_hours() -> None:
    result = planned(LOUD, published=moved(1.0, 1.05, 1.0))
    assert result.price.price_minor == 9000
    assert result.price.moves == 2
    assert "moves_used" in codes(result)


def test_a_small_change_is_no_move() -> None:
    result = planned(LOUD, published=Published(price_minor=9600))
    assert result.price.price_minor == 9600
    assert "deadband" in codes(result)


def test_advice_changes_nothing_and_proposes() -> None:
    result = planned(LOUD, mode=Mode.ADVISE)
    assert result.price.price_minor == 9000
    assert result.price.proposed_minor == 10800
    assert "price_advised" in codes(result)


def test_switched_off_and_frozen_leave_the_price_as_it_stands() -> None:
    for seen, code in (({"mode": Mode.OFF}, "price_off"), ({"frozen": True}, "price_frozen")):
        result = planned(LOUD, published=Published(price_minor=9400), **seen)
        assert result.price.price_minor == 9400
        assert result.price.proposed_minor is None
        assert code in codes(result)


def test_a_freeze_holds_even_while_inputs_are_stale() -> None:
    old = (Source(name="press-2", age_s=100, period_s=1),)
    assert planned(LOUD, published=Published(price_minor=9400), sources=old).price.price_minor == 9000
    assert planned(LOUD, published=Published(price_minor=9400), sources=old, frozen=True).price.price_minor == 9400
