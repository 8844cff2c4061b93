"""What a customer may choose from: places in the open run, the next one, a run of one's own."""

from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.pricing import (
    Capacity,
    Costs,
    FamilyRules,
    OpenOrder,
    Published,
    Release,
    Reservation,
    RunInputs,
    RunRules,
    Seen,
    Shipping,
    plan,
)
from gateway.domain.pricing.quotes import (
    HELD_ON,
    VALID,
    Bench,
    Express,
    Kind,
    Option,
    Quoted,
    Wish,
    Withheld,
    quote,
)
from tests.domain.pricing.cases import HOUSE, START, codes, joined, planned, situations

BENCH = Bench(machine="oven-1", usable=True)
EXPRESS = Express(approval=True)
WINDOW = replace(HOUSE, run=RunRules(places=20, threshold=10, release=Release.LATEST_START, window_h=48))
HOUR = timedelta(hours=1)


def quoted(rules: FamilyRules = WINDOW, now: datetime = START, *, units: int = 2, **more: Any) -> Quoted:
    wish = Wish(pieces=more.pop("pieces", units), units=units, **more.pop("wish", {}))
    chosen: dict[str, Any] = {"next_taken": 0, "bench": BENCH, "express": EXPRESS}
    chosen |= {name: more.pop(name) for name in tuple(more) if name in chosen}
    return quote(RunInputs(rules=rules, seen=Seen(**more)), wish, now, **chosen)


def offer(of: Quoted, kind: Kind) -> Option | None:
    return next((one for one in of.options if one.kind is kind), None)


def offered(of: Quoted, kind: Kind) -> Option:
    found = offer(of, kind)
    assert found is not None, [(one.kind, why(of, one.kind)) for one in of.withheld]
    return found


def why(of: Quoted, kind: Kind) -> set[str]:
    every: tuple[Option | Withheld, ...] = (*of.withheld, *of.options)
    return {reason.code for one in every if one.kind is kind for reason in one.reasons}


# The open run and the next


def test_an_empty_run_is_the_next_one() -> None:
    found = quoted(express=None)
    assert [one.kind for one in found.options] == [Kind.WITH_RUN]
    assert why(found, Kind.NEXT_RUN) == {"quote_run_empty"}
    assert (found.valid_until, found.held_until) == (START + VALID, START + VALID + HELD_ON)
    assert offered(found, Kind.WITH_RUN).held == 2


def test_the_last_places_are_quoted_once() -> None:
    run = joined(WINDOW, [(0, 18)])
    first = offered(quoted(orders=run), Kind.WITH_RUN)
    held = Reservation(units=2, promise=first.promise_at, valid_until=START + VALID + HELD_ON)
    second = quoted(orders=run, reserved=(held,))
    assert why(second, Kind.WITH_RUN) == {"quote_no_room"}
    assert offered(second, Kind.NEXT_RUN).promise_at > first.promise_at
    full = quoted(orders=run, reserved=(held,), next_taken=19, express=None)
    assert full.options == ()
    assert {one.kind for one in full.withheld} == {Kind.WITH_RUN, Kind.NEXT_RUN}


def test_what_is_held_is_free_again_from_the_very_moment_on() -> None:
    run = joined(WINDOW, [(0, 18)])
    held = Reservation(units=2, promise=START + 60 * HOUR, valid_until=START + HOUR)
    just_before = quoted(now=START + HOUR - timedelta(microseconds=1), orders=run, reserved=(held,))
    assert offer(just_before, Kind.WITH_RUN) is None
    assert offered(quoted(now=START + HOUR, orders=run, reserved=(held,)), Kind.WITH_RUN).held == 2


def test_a_run_that_starts_soon_shortens_the_time_to_order() -> None:
    run = joined(WINDOW, [(0, 5)])
    latest = planned(WINDOW, orders=run).latest_start
    assert latest is not None
    soon = quoted(now=latest - timedelta(minutes=10), orders=run, express=None)
    assert offered(soon, Kind.WITH_RUN).held == 2
    assert soon.valid_until < latest - HELD_ON + timedelta(seconds=1)
    with_it = (*run, OpenOrder(units=2, promise=offered(soon, Kind.WITH_RUN).promise_at, placed=START, order_id="q"))
    assert planned(WINDOW, latest - timedelta(minutes=10), orders=with_it).latest_start >= soon.held_until  # type: ignore[operator]
    late = quoted(now=latest - timedelta(minutes=2), orders=run, express=None)
    assert why(late, Kind.WITH_RUN) == {"quote_run_starts"}
    assert offered(late, Kind.NEXT_RUN).held == 2


def test_a_run_waits_for_its_quotes_but_never_past_its_latest_start() -> None:
    rules = replace(
        WINDOW,
        run=replace(WINDOW.run, release=Release.THRESHOLD, threshold=4),
        costs=Costs(unit_minor=3700, setup_minor=100, setup_h=3),
    )
    run = joined(rules, [(0, 3)])
    promise = offered(quoted(rules, orders=run, units=1), Kind.WITH_RUN).promise_at
    run = (*run, OpenOrder(units=3, promise=START + 200 * HOUR, placed=START, order_id="late"))
    assert planned(rules, orders=run).release.kind.value == "now"
    held = Reservation(units=2, promise=promise, valid_until=START + VALID)
    waits = planned(rules, orders=run, reserved=(held,))
    assert (waits.release.kind.value, waits.release.until) == ("wait", START + VALID)
    assert "release_waits_quotes" in codes(waits)
    assert planned(rules, START + VALID, orders=run, reserved=(held,)).release.kind.value == "now"
    latest = waits.latest_start
    assert latest is not None
    endless = replace(held, valid_until=latest + HOUR)
    assert planned(rules, latest, orders=run, reserved=(endless,)).release.kind.value == "now"


def test_no_promise_given_meanwhile_starts_the_run_before_its_quotes_end() -> None:
    daily = replace(HOUSE, shipping=Shipping(hours=24, cutoff=time(14, 0)))
    first = joined(daily, [(0, 1)])
    latest = planned(daily, orders=first).latest_start
    assert latest is not None
    now = latest - 2 * HOUR
    held = Reservation(units=1, promise=latest + timedelta(days=9), valid_until=now + VALID + HELD_ON)
    starts: list[datetime] = []
    for units in range(1, 100):  # each shares the departure of the first, or takes a later one
        for reserved in ((held,), ()):
            promise = planned(daily, now, orders=first, reserved=reserved).promise_for(units).at
            run = (*first, OpenOrder(units=units, promise=promise, placed=now, order_id="new"))
            start = planned(daily, now, orders=run, reserved=reserved).latest_start
            assert start is not None
            if reserved:
                assert start >= held.valid_until
            starts.append(start)
    assert min(starts) < held.valid_until  # without a quote the run would start so soon


def test_a_held_run_promises_nothing() -> None:
    found = quoted(orders=joined(WINDOW, [(0, 5)]), held="oven broken", express=None)
    assert found.options == ()
    assert why(found, Kind.WITH_RUN) == why(found, Kind.NEXT_RUN) == {"quote_run_held"}


def test_the_price_is_the_one_in_force_and_the_next_run_never_dearer() -> None:
    found = quoted(orders=joined(WINDOW, [(0, 5)]), published=Published(price_minor=8700))
    assert offered(found, Kind.WITH_RUN).price_minor == 8700
    assert offered(found, Kind.NEXT_RUN).price_minor <= 8700


def test_an_order_says_whether_it_comes_in_time_and_waits_for_the_other_steps() -> None:
    wish = {"wanted": START + HOUR, "rest": timedelta(days=30)}
    found = offered(quoted(wish=wish, express=None), Kind.WITH_RUN)
    assert not found.in_time
    assert found.promise_at == START + VALID + timedelta(days=30)
    assert {"quote_too_late", "quote_other_steps"} <= {reason.code for reason in found.reasons}
    assert offered(quoted(wish={"wanted": START + 900 * HOUR}, express=None), Kind.WITH_RUN).in_time


def test_what_is_made_at_once_has_one_offer_and_holds_nothing() -> None:
    at_once = replace(WINDOW, run=RunRules(places=1_000_000, release=Release.AT_ONCE))
    (only,) = quoted(at_once).options
    assert (only.kind, only.held) == (Kind.WITH_RUN, 0)


def test_the_reasons_are_those_of_all_units_and_not_of_one_more() -> None:
    rules = replace(WINDOW, run=replace(WINDOW.run, release=Release.THRESHOLD, threshold=4))
    rules = replace(rules, costs=Costs(unit_minor=3700, setup_minor=100, setup_h=3))
    assert "promise_countdown" in why(quoted(rules, units=3), Kind.WITH_RUN)
    at_once = quoted(rules, units=4)
    assert "promise_at_once" in why(at_once, Kind.WITH_RUN)
    assert offered(at_once, Kind.WITH_RUN).promise_at < offered(quoted(rules, units=3), Kind.WITH_RUN).promise_at


# A run of one's own


def test_a_run_of_ones_own_costs_what_it_costs_and_is_sooner() -> None:
    found = quoted(units=4)
    own, with_run = offered(found, Kind.OWN_RUN), offered(found, Kind.WITH_RUN)
    assert own.promise_at < with_run.promise_at
    displaced = next(one for one in own.reasons if one.code == "express_price").params["displaced_minor"]
    assert displaced == 0  # it is over long before the open run has to start
    assert own.price_minor == 3700 + 120_000 // 4
    assert own.approval
    assert own.machine_h > 3
    assert own.held == 0


def test_tax_and_fees_are_in_its_price_and_what_others_lose() -> None:
    taxed = replace(WINDOW, price=replace(WINDOW.price, tax_rate=0.25, fees_minor=100, step_minor=50))
    own = offered(quoted(taxed, units=4), Kind.OWN_RUN)
    assert own.price_minor == 42_250  # (3700 + 120000 / 4 + 100) * 1.25, in steps of 0.50 from the list price
    assert own.net_minor == 33_800
    slow = replace(WINDOW, run=replace(WINDOW.run, window_h=2), capacity=Capacity(rate_h=4))
    later = offered(quoted(slow, units=4, wish={"wanted": START}), Kind.OWN_RUN)
    lost = next(one for one in later.reasons if one.code == "express_price").params["displaced_minor"]
    assert isinstance(lost, float)
    assert lost > 0
    assert later.price_minor > 3700 + 120_000 // 4


def test_sooner_is_never_cheaper() -> None:
    cheap = replace(WINDOW, costs=Costs(unit_minor=100, setup_minor=10, setup_h=1))
    own = offered(quoted(cheap, units=4), Kind.OWN_RUN)
    assert own.price_minor == cheap.price.list_minor
    assert "express_not_cheaper" in why(quoted(cheap, units=4), Kind.OWN_RUN)


def test_it_is_offered_only_when_every_promise_stays_kept() -> None:
    run = joined(WINDOW, [(0, 5)])
    latest = planned(WINDOW, orders=run).latest_start
    assert latest is not None
    near = quoted(now=latest - HOUR, orders=run)
    assert why(near, Kind.OWN_RUN) == {"express_moves"}
    (told,) = next(one for one in near.withheld if one.kind is Kind.OWN_RUN).reasons
    assert told.params["which"] == "order o0"
    held = Reservation(units=2, promise=planned(WINDOW, START).promise_for(2).at, valid_until=latest + HOUR)
    quotes_too = quoted(now=latest - HOUR, reserved=(held,))
    assert next(one for one in quotes_too.withheld if one.kind is Kind.OWN_RUN).reasons[0].params["which"] == "a quote"


def test_it_displaces_no_other_family() -> None:
    run = joined(WINDOW, [(0, 5)])
    latest = planned(WINDOW, orders=run).latest_start
    assert latest is not None
    beside = (("black", RunInputs(rules=WINDOW, seen=Seen(orders=run))),)
    near = quoted(now=latest - HOUR, bench=replace(BENCH, beside=beside))
    assert why(near, Kind.OWN_RUN) == {"express_moves"}
    (told,) = next(one for one in near.withheld if one.kind is Kind.OWN_RUN).reasons
    assert told.params["which"] == "order o0"


def test_whatever_the_machine_has_is_done_before_the_promise_of_a_run_of_ones_own() -> None:
    for free_h in (0.0, 5.0, 20.0):
        own = offered(quoted(free_h=free_h), Kind.OWN_RUN)
        assert planned(WINDOW, free_h=free_h + own.machine_h).machine_done_at < own.promise_at


def test_it_needs_a_machine_room_in_one_run_and_to_be_sooner() -> None:
    assert why(quoted(bench=replace(BENCH, usable=False)), Kind.OWN_RUN) == {"express_no_machine"}
    assert why(quoted(units=21), Kind.OWN_RUN) == {"express_too_large"}
    assert why(quoted(wish={"rest": timedelta(days=30)}), Kind.OWN_RUN) == {"express_not_sooner"}
    assert offer(quoted(express=None), Kind.OWN_RUN) is None
    assert why(quoted(express=None), Kind.OWN_RUN) == set()


# Whatever the state


@st.composite
def _cases(draw: st.DrawFn) -> tuple[RunInputs, Wish, datetime, int]:
    inputs, now = draw(situations())
    places = inputs.rules.run.places
    left = max(0, places - sum(order.units for order in inputs.seen.orders))
    held = draw(st.integers(0, left))
    promise = now + timedelta(hours=draw(st.floats(10, 400)))
    until = now + timedelta(minutes=draw(st.integers(-5, 17)))
    reserved = (Reservation(units=held, promise=promise, valid_until=until),) if held else ()
    published = draw(
        st.none()
        | st.floats(0.9, 1.1).map(lambda share: Published(price_minor=round(share * inputs.rules.price.list_minor)))
    )
    seen = replace(inputs.seen, reserved=reserved, published=published)
    wish = Wish(pieces=draw(st.integers(1, places)), units=draw(st.integers(1, 2 * places)))
    return RunInputs(rules=inputs.rules, seen=seen), wish, now, draw(st.integers(0, places))


@settings(max_examples=120, deadline=None)
@given(case=_cases())
def test_quotes_hold_together_whatever_the_state(case: tuple[RunInputs, Wish, datetime, int]) -> None:
    inputs, wish, now, next_taken = case
    found = quote(inputs, wish, now, next_taken=next_taken, bench=BENCH, express=EXPRESS)
    assert found == quote(inputs, wish, now, next_taken=next_taken, bench=BENCH, express=EXPRESS)
    assert now < found.valid_until <= now + VALID
    assert found.held_until - found.valid_until == HELD_ON
    planning, places = plan(inputs, now), inputs.rules.run.places
    by_kind = {one.kind: one for one in found.options}
    for one in found.options:
        assert one.promise_at > now
        assert one.ship_by <= one.promise_at
        assert one.reasons
    with_run, next_run = by_kind.get(Kind.WITH_RUN), by_kind.get(Kind.NEXT_RUN)
    if with_run is not None and with_run.held:
        assert planning.fill + planning.reserved + with_run.held <= places
        promise = planning.promise_for(wish.units, not_before=found.held_until)
        assert with_run.promise_at >= promise.finish_p50
    if next_run is not None:
        assert next_run.price_minor <= (
            inputs.seen.published.price_minor if inputs.seen.published else planning.price.price_minor
        )
        assert next_run.held + next_taken <= places
        if with_run is not None:
            assert next_run.price_minor <= with_run.price_minor
    if (own := by_kind.get(Kind.OWN_RUN)) is not None:
        assert all(one.promise_at > own.promise_at for one in (with_run, next_run) if one is not None)
        assert all(one.price_minor <= own.price_minor for one in (with_run, next_run) if one is not None)
        assert plan(inputs, now).keeps
