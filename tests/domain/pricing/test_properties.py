"""What holds in every situation: floors, promises, on-plan prices, pace, and reasons for everything."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gateway.domain.pricing import (
    About,
    FamilyRules,
    Mode,
    OpenOrder,
    Policy,
    PriceMove,
    Published,
    Release,
    ReleaseKind,
    RunInputs,
    RunPlan,
    Source,
    plan,
)
from gateway.domain.pricing.formulas import place_value
from tests.domain.pricing.cases import DISTANCE, HOUSE, OFFICE, START, codes, families, joined, planned, situations

STALE = Source(name="orders", age_s=61, period_s=30)
FRESH = Source(name="orders", age_s=60, period_s=30)
ATTENTION = settings(max_examples=60, deadline=None)


@ATTENTION
@given(situation=situations(), published=st.floats(0.5, 2.0), stale=st.booleans())
def test_the_price_is_an_integer_never_below_the_floor(
    situation: tuple[RunInputs, datetime], published: float, stale: bool
) -> None:
    inputs, now = situation
    standing = Published(price_minor=int(inputs.rules.price.list_minor * published))
    sources = (STALE,) if stale else (FRESH,)
    price = plan(replace(inputs, seen=replace(inputs.seen, published=standing, sources=sources)), now).price
    assert type(price.price_minor) is int
    rules = inputs.rules
    floor = (1.05 * rules.costs.unit_minor + rules.price.fees_minor) * (1 + rules.price.tax_rate)
    assert price.price_minor >= floor - 1e-6 * rules.price.list_minor


@ATTENTION
@given(situation=situations(), units=st.integers(1, 40))
def test_a_promise_is_never_earlier_than_the_finish_to_expect(
    situation: tuple[RunInputs, datetime], units: int
) -> None:
    inputs, now = situation
    promise = plan(inputs, now).promise_for(units)
    assert promise.at >= promise.finish_p50 + timedelta(hours=inputs.rules.shipping.hours)
    assert promise.finish_p50 >= now


@ATTENTION
@given(
    rules=families((Policy.COUNTDOWN, Policy.DISTANCE)),
    steps=st.lists(st.tuples(st.floats(0, 12), st.integers(1, 6)), min_size=1, max_size=8),
)
def test_a_promise_just_given_can_be_kept_with_all_those_before_it(
    rules: FamilyRules, steps: list[tuple[float, int]]
) -> None:
    now, run = START, tuple[OpenOrder, ...]()
    for hours, units in steps:
        now += timedelta(hours=hours)
        before = planned(rules, now, orders=run)
        if before.release.kind is ReleaseKind.NOW or units > rules.run.places - before.fill:
            return
        run = (*run, OpenOrder(units=units, promise=before.promise_for(units).at, placed=now))
        latest = planned(rules, now, orders=run).latest_start
        assert latest is not None
        assert latest >= now - timedelta(seconds=1)


@ATTENTION
@given(rules=families((Policy.COUNTDOWN,)), fill=st.integers(1, 100))
def test_on_plan_the_countdown_price_is_the_list_price(rules: FamilyRules, fill: int) -> None:
    rules = replace(rules, run=replace(rules.run, places=fill + 20, release=Release.LATEST_START))
    empty = planned(rules)
    assume(empty.units_day > 0.1)
    assert empty.price.wanted_factor == 1.0
    now = START + timedelta(days=fill / empty.units_day)
    run = (OpenOrder(units=fill, promise=empty.promise_for(1).at, placed=START),)
    assert planned(rules, now, orders=run).price.wanted_factor == pytest.approx(1.0, abs=1e-6)


@given(
    share=st.floats(0.1, 1e5),
    units_day=st.floats(0, 500),
    order_units=st.floats(1, 10),
    order_sd=st.floats(0, 10),
    hours=st.floats(0, 500),
    free=st.floats(0, 300),
    less=st.floats(0, 1),
)
def test_a_place_loses_value_as_time_passes_and_gains_as_places_go(
    *, share: float, units_day: float, order_units: float, order_sd: float, hours: float, free: float, less: float
) -> None:
    def value(hours: float, free: float) -> float:
        return place_value(
            share=share, units_day=units_day, order_units=order_units, order_sd=order_sd, hours=hours, free_places=free
        )

    now = value(hours, free)
    assert 0 <= now <= share
    assert value(hours * less, free) <= now + 1e-9 * share
    assert value(hours, free * less) >= now - 1e-9 * share


@ATTENTION
@given(situation=situations(), data=st.data())
def test_the_same_state_gives_the_same_plan_whatever_the_order_of_its_orders(
    situation: tuple[RunInputs, datetime], data: st.DataObject
) -> None:
    inputs, now = situation
    first = plan(inputs, now)
    assert plan(inputs, now) == first
    mixed = tuple(data.draw(st.permutations(inputs.seen.orders)))
    other = plan(replace(inputs, seen=replace(inputs.seen, orders=mixed)), now)
    assert replace(other, at_risk=first.at_risk) == first
    assert set(other.at_risk) == set(first.at_risk)


@ATTENTION
@given(situation=situations((Policy.DISTANCE,)))
def test_distance_stays_between_near_and_far(situation: tuple[RunInputs, datetime]) -> None:
    inputs, now = situation
    rule = inputs.rules.distance
    assert rule.near - 1e-9 <= plan(inputs, now).price.wanted_factor <= rule.far + 1e-9


@ATTENTION
@given(fills=st.lists(st.integers(1, 43), min_size=2, max_size=2), hours=st.lists(st.floats(0, 80), min_size=2))
def test_distance_is_dearer_and_longer_far_from_the_run(fills: list[int], hours: list[float]) -> None:
    few, many = sorted(fills)
    early, late = min(hours), max(hours)
    promise = planned(DISTANCE).promise.at

    def at(fill: int, later: float) -> RunPlan:
        run = (OpenOrder(units=fill, promise=promise, placed=START),)
        return planned(DISTANCE, START + timedelta(hours=later), orders=run)

    assert at(few, late).price.wanted_factor >= at(many, late).price.wanted_factor
    assert at(few, early).price.wanted_factor >= at(few, late).price.wanted_factor
    lead = {later: at(few, later).promise.at - START - timedelta(hours=later) for later in (early, late)}
    assert lead[early] >= lead[late]


@ATTENTION
@given(situation=situations())
def test_a_release_is_never_later_than_the_latest_start(situation: tuple[RunInputs, datetime]) -> None:
    inputs, now = situation
    first = plan(inputs, now)
    assume(first.fill > 0 and first.latest_start is not None)
    assert first.latest_start is not None
    if first.latest_start <= now:
        assert first.release.kind is ReleaseKind.NOW
    elif first.release.kind is ReleaseKind.WAIT:
        assert first.release.until is not None
        assert first.release.until <= first.latest_start
        assert plan(inputs, first.latest_start).release.kind is ReleaseKind.NOW


@ATTENTION
@given(situation=situations(), factor=st.floats(0.8, 1.2))
def test_stale_inputs_give_the_list_price_and_the_fixed_lead(
    situation: tuple[RunInputs, datetime], factor: float
) -> None:
    inputs, now = situation
    inputs = replace(
        inputs,
        seen=replace(
            inputs.seen,
            free_h=0,
            down=False,
            orders=(),
            sources=(STALE,),
            published=Published(price_minor=int(inputs.rules.price.list_minor * factor)),
        ),
    )
    stale = plan(inputs, now)
    assert stale.price.price_minor == max(inputs.rules.price.list_minor, stale.price.floor_minor)
    assert not stale.campaign.open
    assert stale.confidence == 0
    assert "stale" in codes(stale)
    static = plan(replace(inputs, rules=replace(inputs.rules, policy=Policy.STATIC)), now)
    assert stale.promise.at == static.promise.at


@ATTENTION
@given(
    rules=families((Policy.DISTANCE, Policy.COUNTDOWN)),
    steps=st.lists(st.tuples(st.floats(0.01, 9), st.integers(0, 40), st.floats(0, 3)), min_size=2, max_size=20),
)
def test_deadband_and_limits_of_pace_hold_over_any_history(
    rules: FamilyRules, steps: list[tuple[float, int, float]]
) -> None:
    now, moves = START, list[PriceMove]()
    standing = rules.price.list_minor
    promise = START + timedelta(days=30)
    for hours, fill, share in steps:
        now += timedelta(hours=hours)
        louder = replace(rules, costs=replace(rules.costs, setup_minor=rules.costs.setup_minor * share))
        run = () if fill == 0 else (OpenOrder(units=fill, promise=promise, placed=START),)
        seen = planned(louder, now, orders=run, published=Published(price_minor=standing, moves=tuple(moves)))
        assume(seen.price.floor_minor <= rules.price.list_minor)
        if seen.price.price_minor != standing:
            moves.append(PriceMove(at=now, from_minor=standing, to_minor=seen.price.price_minor))
            standing = seen.price.price_minor
    width, day = rules.price.list_minor, timedelta(hours=24)
    for move in moves:
        assert abs(move.to_minor - move.from_minor) >= rules.price.deadband * width
        recent = [other for other in moves if move.at - day < other.at <= move.at]
        assert len(recent) <= rules.price.moves_per_day
        for span, share_or_none in ((day, rules.price.max_per_day), (day / 24, rules.price.max_per_hour)):
            for other in recent:
                if share_or_none is not None and move.at - other.at < span:
                    assert abs(move.to_minor - other.from_minor) <= share_or_none * width + 1


@ATTENTION
@given(
    situation=situations(),
    mode=st.sampled_from(Mode),
    frozen=st.booleans(),
    stale=st.booleans(),
    held=st.none() | st.just("no material"),
)
def test_every_field_comes_with_its_reason(
    *, situation: tuple[RunInputs, datetime], mode: Mode, frozen: bool, stale: bool, held: str | None
) -> None:
    inputs, now = situation
    sources = (STALE,) if stale else ()
    seen = replace(inputs.seen, mode=mode, frozen=frozen, sources=sources, held=held)
    result = plan(replace(inputs, seen=seen), now)
    assert {reason.about for reason in result.reasons} >= {About.PRICE, About.PROMISE, About.CAMPAIGN, About.RELEASE}


@ATTENTION
@given(situation=situations())
def test_forecasts_are_in_order(situation: tuple[RunInputs, datetime]) -> None:
    inputs, now = situation
    forecast = plan(inputs, now).forecast
    assert now - timedelta(seconds=1) <= forecast.start <= forecast.finish_p50 <= forecast.finish_p90
    assert forecast.units_p10 <= forecast.units_p50 <= forecast.units_p90


@given(hours=st.lists(st.floats(0, 30), min_size=1, max_size=10))
@example(hours=[0, 1, 2, 20, 30, 1, 1])
def test_those_who_join_a_run_share_its_day_of_departure(hours: list[float]) -> None:
    run = joined(OFFICE, [(0.0, 1)])
    now = START
    for step in hours:
        now += timedelta(hours=step)
        seen = planned(OFFICE, now, orders=run)
        if seen.hours_left < 1:
            return
        assert seen.promise.at == run[0].promise
        run = (*run, OpenOrder(units=1, promise=seen.promise.at, placed=now))


def test_the_house_family_is_what_its_documentation_says() -> None:
    empty = planned(HOUSE)
    assert empty.units_day == pytest.approx(27)
    assert empty.break_even_units == 23
