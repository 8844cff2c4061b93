"""Promises: windows, count-down, departures, full runs, fixed leads; and what a worked day looks like."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from gateway.domain.pricing import (
    Basis,
    Capacity,
    Policy,
    PromiseRules,
    Release,
    Reservation,
    Shipping,
    Source,
    Which,
)
from tests.domain.pricing.cases import HOUSE, OFFICE, START, STOCKHOLM, codes, joined, orders, planned

SURE = replace(HOUSE, capacity=Capacity(rate_h=30, margin_h=2))  # never fails: 3 h set-up, 2 min a unit, 2 h in hand
WINDOW = replace(SURE, run=replace(SURE.run, window_h=48.0))
STALE = (Source(name="orders", age_s=100, period_s=10),)


def local(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=STOCKHOLM).astimezone(UTC)  # type: ignore[misc, arg-type]


def test_an_empty_run_promises_window_setup_pieces_and_what_is_in_hand() -> None:
    promise = planned(WINDOW).promise
    assert promise.basis is Basis.WINDOW
    assert promise.at == START + timedelta(hours=48 + 3 + 2, minutes=2)
    assert promise.start == START + timedelta(hours=48)
    assert planned(WINDOW).promise_for(30).at == START + timedelta(hours=48 + 3 + 2 + 1)


def test_a_promise_counts_down_as_the_latest_start_comes_near() -> None:
    run = joined(WINDOW, [(0, 1)])
    for hours in (0, 10, 47):
        seen = planned(WINDOW, START + timedelta(hours=hours), orders=run)
        assert seen.latest_start == START + timedelta(hours=48)
        assert seen.hours_left == 48 - hours
        assert seen.promise.basis is Basis.COUNTDOWN
        assert seen.promise.at == START + timedelta(hours=48 + 3 + 2, minutes=4)


def test_a_busy_or_broken_machine_makes_the_promise_later() -> None:
    busy = planned(WINDOW, free_h=60)
    assert busy.promise.at == START + timedelta(hours=60 + 3 + 2, minutes=2)
    assert "promise_machine_busy" in codes(busy)
    at_once = replace(HOUSE, run=replace(HOUSE.run, release=Release.AT_ONCE))
    repaired = planned(at_once, down=True).promise.at - planned(at_once).promise.at
    assert timedelta(hours=5) < repaired < timedelta(hours=7)  # 19 of 20 repairs of 2 h on average end within 6 h


def test_however_bold_a_promise_is_it_waits_for_the_average_repair() -> None:
    bold = replace(
        HOUSE,
        run=replace(HOUSE.run, places=1, threshold=1, release=Release.AT_ONCE),
        costs=replace(HOUSE.costs, setup_h=0),
        capacity=Capacity(rate_h=1000, mtbf_h=1e9, mttr_h=8, margin_h=0),
        promise=PromiseRules(quantile=0.5),
    )
    promise = planned(bold, down=True).promise
    assert promise.at >= promise.finish_p50 >= START + timedelta(hours=8)


def test_each_order_sets_the_latest_start_by_its_own_place_in_the_run() -> None:
    late = START + timedelta(hours=100)
    run = (*orders(30, promise=late), *orders(60, promise=late + timedelta(hours=1)))
    seen = planned(SURE, orders=run)
    assert seen.latest_start == late + timedelta(hours=1) - timedelta(hours=2 + 3 + 3)


def test_an_order_without_a_promise_sets_no_latest_start() -> None:
    seen = planned(SURE, orders=orders(3, promise=None))
    assert seen.latest_start is None
    assert not seen.committed
    assert seen.release.until == START + timedelta(hours=seen.window_h)


def test_a_quote_binds_the_run_until_it_expires() -> None:
    quote = Reservation(units=5, promise=START + timedelta(hours=20), valid_until=START + timedelta(minutes=15))
    assert planned(SURE, reserved=(quote,)).reserved == 5
    assert planned(SURE, reserved=(quote,)).latest_start is not None
    later = planned(SURE, START + timedelta(minutes=15), reserved=(quote,))
    assert later.reserved == 0
    assert later.latest_start is None


def test_goods_leave_at_the_cutoff_of_a_working_day_and_arrive_on_one() -> None:
    promise = planned(OFFICE, local(2026, 5, 6, 9, 0)).promise.at.astimezone(STOCKHOLM)
    assert promise.time() == time(14, 0)
    assert promise.weekday() < 5
    express = replace(OFFICE, run=replace(OFFICE.run, release=Release.AT_ONCE))
    assert planned(express, local(2026, 5, 7, 7, 0)).promise.at == local(2026, 5, 8, 14, 0)
    assert planned(express, local(2026, 5, 8, 7, 0)).promise.at == local(2026, 5, 11, 14, 0)  # not on Saturday
    assert planned(express, local(2026, 5, 8, 13, 0)).promise.at == local(2026, 5, 12, 14, 0)


def test_without_a_cutoff_goods_leave_when_ready_and_never_arrive_on_a_day_off() -> None:
    express = replace(OFFICE, run=replace(OFFICE.run, release=Release.AT_ONCE), shipping=Shipping(hours=24))
    friday = planned(express, local(2026, 5, 8, 7, 0)).promise
    assert friday.at.astimezone(STOCKHOLM).weekday() == 0
    assert friday.at.astimezone(STOCKHOLM).time() > time(12, 0)


def test_a_window_takes_the_departure_that_is_nearer_to_it() -> None:
    family = replace(SURE, shipping=Shipping(cutoff=time(14, 0)))
    short = planned(replace(family, run=replace(family.run, window_h=25.0)), local(2026, 5, 4, 9, 0))
    assert short.promise.at == local(2026, 5, 5, 14, 0)  # 24 h instead of 48 h of collecting
    longer = planned(replace(family, run=replace(family.run, window_h=40.0)), local(2026, 5, 4, 9, 0))
    assert longer.promise.at == local(2026, 5, 6, 14, 0)
    busy = planned(replace(family, run=replace(family.run, window_h=25.0)), local(2026, 5, 4, 9, 0), free_h=26)
    assert busy.promise.at == local(2026, 5, 6, 14, 0)  # the machine is not free for the sooner one


def test_who_does_not_fit_is_promised_the_next_run() -> None:
    full = orders(120, promise=planned(WINDOW).promise.at)
    promise = planned(WINDOW, orders=full).promise
    assert promise.which is Which.NEXT
    assert promise.at >= START + timedelta(hours=48 + 5)
    assert "promise_next_run" in codes(planned(WINDOW, orders=full))
    nearly = planned(WINDOW, orders=full[:100])
    assert nearly.promise_for(20).which is Which.OPEN
    assert nearly.promise_for(21).which is Which.SPLIT
    assert nearly.promise_for(2000).at > nearly.promise_for(200).at > nearly.promise_for(21).at


def test_places_held_by_quotes_do_not_start_the_run_that_comes_before() -> None:
    promise = planned(WINDOW).promise.at
    quote = Reservation(units=60, promise=promise, valid_until=START + timedelta(minutes=15))
    sold = planned(WINDOW, orders=orders(120, promise=promise)).promise
    quoted = planned(WINDOW, orders=orders(60, promise=promise), reserved=(quote,)).promise
    assert quoted.which is sold.which is Which.NEXT
    assert quoted.at > sold.at
    split = planned(WINDOW, orders=orders(50, promise=promise), reserved=(quote,)).promise_for(11)
    assert split.which is Which.SPLIT
    assert split.at > sold.at


def test_who_fills_the_run_starts_it_and_is_promised_accordingly() -> None:
    run = orders(119, promise=planned(WINDOW).promise_for(119).at)
    promise = planned(WINDOW, orders=run).promise
    assert promise.basis is Basis.AT_ONCE
    assert promise.at == START + timedelta(hours=3 + 4 + 2)


def test_never_sooner_than_the_least_working_days() -> None:
    slow = replace(OFFICE, run=replace(OFFICE.run, release=Release.AT_ONCE), promise=PromiseRules(min_days=3))
    seen = planned(slow, local(2026, 5, 7, 7, 0))
    assert seen.promise.at == local(2026, 5, 12, 14, 0)
    assert seen.promise.basis is Basis.MIN_DAYS


def test_a_fixed_lead_gives_way_to_what_the_machine_can_do() -> None:
    static = replace(SURE, policy=Policy.STATIC)
    assert planned(static).promise.at == START + timedelta(days=5)
    buried = planned(static, free_h=200)
    assert buried.promise.at == START + timedelta(hours=205, minutes=2)
    assert "static_too_short" in codes(buried)
    assert planned(SURE, sources=STALE).promise.at == START + timedelta(days=5)


def test_orders_that_cannot_be_ready_are_named() -> None:
    tight = orders(2, promise=START + timedelta(hours=3))
    easy = orders(1, promise=START + timedelta(hours=300))
    seen = planned(SURE, orders=(*tight, replace(easy[0], order_id="easy")))
    assert seen.at_risk == ("o0", "o1")
    assert "promise_at_risk" in codes(seen)
    assert planned(SURE, orders=easy).at_risk == ()


def test_a_promise_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one unit"):
        planned(SURE).promise_for(0)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        planned(SURE, datetime(2026, 5, 4))  # noqa: DTZ001
