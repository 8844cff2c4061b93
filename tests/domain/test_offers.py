"""An offer changes when that is worth telling, and the log of offers says what binds."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.offers import (
    GRACE,
    Logged,
    Offer,
    Origin,
    binding_promise,
    make_offer,
    moves_of,
    told_lead,
    what_changed,
    whose_price,
)
from tests.domain.pricing.cases import HOUSE, OFFICE, START, joined, planned

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def an_offer(promise_at: datetime, price_minor: int = 10_000) -> Offer:
    return Offer(price_minor=price_minor, currency="SEK", promise_at=promise_at, lead=timedelta(days=3))


def a_log(*hours_and_promises: tuple[float, float], shown_after_h: float | None = 0.0) -> list[Logged]:
    """Make a log of offers: each valid from so many hours on, promising so many; shown some time later, or never."""
    log: list[Logged] = []
    for number, (hours, promise_h) in enumerate(hours_and_promises):
        after = [one[0] for one in hours_and_promises[number + 1 :]]
        log.append(
            Logged(
                offer_id=number + 1,
                offer=an_offer(NOW + promise_h * HOUR),
                valid_from=NOW + hours * HOUR,
                valid_until=NOW + after[0] * HOUR if after else None,
                to_shop=True,
                shown_at=None if shown_after_h is None else NOW + (hours + shown_after_h) * HOUR,
            )
        )
    return log


@given(minutes=st.lists(st.integers(1, 90), max_size=40))
def test_an_offered_promise_is_never_earlier_and_stands_as_long_as_it_holds(minutes: Sequence[int]) -> None:
    now, before, changes = START, None, 0
    for step in minutes:
        now += timedelta(minutes=step)
        plan = planned(HOUSE, now)
        offer = make_offer(plan, before, exact=False)
        assert plan.promise.at <= offer.promise_at <= plan.promise.at + timedelta(hours=12)
        changes += before is not None and before.promise_at != offer.promise_at
        before = offer
    assert changes <= sum(minutes) / 60 / 3 + 1  # three hours is the grain for a lead of some days


@given(hours=st.lists(st.floats(0.1, 6), max_size=20))
def test_a_closing_time_is_never_later_than_the_real_latest_start(hours: Sequence[float]) -> None:
    run, now, before = joined(HOUSE, [(0, 1), (2, 3)]), START + timedelta(hours=2), None
    for step in hours:
        now += timedelta(hours=step)
        plan = planned(HOUSE, now, orders=run)
        before = make_offer(plan, before, exact=False)
        assert plan.latest_start is not None
        if plan.latest_start > now:
            assert before.closes_at is not None
            assert before.closes_at <= plan.latest_start
        else:
            assert before.closes_at is None


def test_goods_that_leave_at_fixed_times_are_promised_exactly() -> None:
    plan = planned(OFFICE)
    assert make_offer(plan, None, exact=True).promise_at == plan.promise.at


def test_the_other_steps_of_a_route_may_take_longer() -> None:
    plan = planned(HOUSE)
    rest = timedelta(days=30)
    assert make_offer(plan, None, exact=True, rest=rest).promise_at >= plan.at + rest


def test_the_same_plan_gives_the_same_offer() -> None:
    plan = planned(HOUSE)
    first = make_offer(plan, None, exact=False)
    assert what_changed(first, make_offer(plan, first, exact=False)) == ()
    assert what_changed(None, first) == ("new",)


@pytest.mark.parametrize(
    ("lead", "told"),
    [
        (timedelta(hours=49), timedelta(days=3)),
        (timedelta(hours=48), timedelta(hours=48)),
        (timedelta(hours=2, minutes=1), timedelta(hours=3)),
        (timedelta(minutes=46), timedelta(hours=1)),
        (timedelta(minutes=1), timedelta(minutes=15)),
        (timedelta(0), timedelta(0)),
        (timedelta(hours=-3), timedelta(0)),
    ],
)
def test_a_lead_is_told_in_what_people_say_and_never_too_short(lead: timedelta, told: timedelta) -> None:
    assert told_lead(lead) == told


def test_moves_are_counted_from_the_list_price() -> None:
    steps = [(NOW, 10_000), (NOW + HOUR, 11_000), (NOW + 2 * HOUR, 11_000), (NOW + 3 * HOUR, 9_000)]
    moves = moves_of(steps, since=NOW, standing=10_000)
    assert [(move.from_minor, move.to_minor) for move in moves] == [(10_000, 11_000), (11_000, 9_000)]
    assert [move.to_minor for move in moves_of(steps, since=NOW + 2 * HOUR, standing=10_000)] == [9_000]


@pytest.mark.parametrize(
    ("seen", "origin"),
    [
        (11_500, Origin.AS_OFFERED),
        (10_000, Origin.ON_ITS_WAY),
        (11_000, Origin.ON_ITS_WAY),
        (10_800, Origin.ON_ITS_WAY),
        (12_345, Origin.OWNER),
    ],
)
def test_a_price_that_is_neither_ours_nor_the_list_price_is_the_owners(seen: int, origin: Origin) -> None:
    known = whose_price(seen, list_minor=10_000, offered_minor=11_500, in_force_minor=11_000, tried=[10_800])
    assert known is origin


def test_without_an_offer_the_list_price_is_as_offered() -> None:
    for seen, origin in ((10_000, Origin.AS_OFFERED), (9_999, Origin.OWNER)):
        assert whose_price(seen, list_minor=10_000, offered_minor=None, in_force_minor=None, tried=()) is origin


@pytest.mark.parametrize(("placed_h", "promise_h"), [(0.5, 70.0), (5.0, 70.0), (5.03, 70.0), (5.04, 80.0), (9.0, 80.0)])
def test_the_offer_in_force_binds_and_in_the_grace_the_earlier(placed_h: float, promise_h: float) -> None:
    log = a_log((0, 70), (5, 80))
    assert binding_promise(log, NOW + placed_h * HOUR) == NOW + promise_h * HOUR


def test_in_the_grace_the_new_promise_binds_when_it_is_the_earlier() -> None:
    assert binding_promise(a_log((0, 90), (5, 60)), NOW + 5.01 * HOUR) == NOW + 60 * HOUR


def test_an_order_from_before_the_first_offer_has_none() -> None:
    assert binding_promise(a_log((0, 70)), NOW - HOUR) is None
    assert binding_promise([], NOW) is None


def test_what_the_shop_showed_binds_until_it_shows_something_else() -> None:
    assert binding_promise(a_log((0, 70), (5, 80), shown_after_h=2), NOW + 6.5 * HOUR) == NOW + 70 * HOUR
    first, later = a_log((0, 70), (5, 80))
    waiting = Logged(offer_id=2, offer=later.offer, valid_from=later.valid_from, to_shop=True)
    assert binding_promise([first, waiting], NOW + 20 * HOUR) == NOW + 70 * HOUR


def test_an_offer_that_was_replaced_before_the_shop_showed_it_binds_nobody() -> None:
    first, _, _ = a_log((0, 70), (5, 60), (6, 80))
    _, never, last = a_log((0, 70), (5, 60), (6, 80), shown_after_h=None)
    shown = Logged(offer_id=3, offer=last.offer, valid_from=last.valid_from, to_shop=True, shown_at=last.valid_from)
    assert binding_promise([first, never, shown], NOW + 6.5 * HOUR) == NOW + 80 * HOUR
    assert binding_promise([first, never, last], NOW + 6.5 * HOUR) == NOW + 70 * HOUR


def test_a_promise_that_is_past_at_placing_is_none() -> None:
    assert binding_promise(a_log((0, 70)), NOW + 71 * HOUR) is None


def test_an_offer_that_ended_binds_no_longer_than_the_grace() -> None:
    ended = Logged(offer_id=1, offer=an_offer(NOW + 70 * HOUR), valid_from=NOW, valid_until=NOW + HOUR)
    assert binding_promise([ended], NOW + HOUR + GRACE / 2) == NOW + 70 * HOUR
    assert binding_promise([ended], NOW + HOUR + GRACE) is None


@given(
    log=st.lists(st.tuples(st.floats(0.01, 5), st.floats(1, 100)), min_size=1, max_size=8),
    placed_h=st.floats(-1, 50),
)
def test_a_binding_promise_is_one_that_was_offered_before_and_lies_ahead(
    log: list[tuple[float, float]], placed_h: float
) -> None:
    at, steps = 0.0, []
    for gap, promise_h in log:
        at += gap
        steps.append((at, at + promise_h))
    offered = a_log(*steps)
    placed = NOW + placed_h * HOUR
    promise = binding_promise(offered, placed)
    if promise is not None:
        assert promise > placed
        assert promise in {one.offer.promise_at for one in offered if one.valid_from <= placed}
        in_force = [one for one in offered if one.valid_from <= placed][-1]
        if in_force.offer.promise_at > placed:
            assert promise <= in_force.offer.promise_at
    assert all(earlier.valid_until == later.valid_from for earlier, later in pairwise(offered))
