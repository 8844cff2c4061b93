"""Families, runs and histories for the pricing tests."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from gateway.domain.calendars import parse_calendar
from gateway.domain.pricing import (
    CampaignRules,
    Capacity,
    Costs,
    Demand,
    Distance,
    FamilyRules,
    OpenOrder,
    Policy,
    PriceRules,
    PromiseRules,
    Release,
    RunInputs,
    RunPlan,
    RunRules,
    Seen,
    Shipping,
    plan,
)

STOCKHOLM = ZoneInfo("Europe/Stockholm")
START = datetime(2026, 5, 4, 7, 0, tzinfo=UTC)  # a Monday, 09:00 in Stockholm
CALENDARS = ("always", "mon-fri 06-22", "mon-fri 06-14,14-22; sat 08-12", "mon-fri 22-06")

HOUSE = FamilyRules(
    policy=Policy.COUNTDOWN,
    run=RunRules(places=120, threshold=44, release=Release.LATEST_START),
    price=PriceRules(list_minor=9000, currency="SEK"),
    costs=Costs(unit_minor=3700, setup_minor=120_000, setup_h=3),
    capacity=Capacity(rate_h=30, mtbf_h=60, mttr_h=2),
    calendar=parse_calendar("always", zone=STOCKHOLM),
    demand=Demand(visitors_h=11.25, conversion=0.1, lead_slope_day=0.12, price_slope=0.025),
    campaign=CampaignRules(cost_per_click_minor=200),
)
DISTANCE = replace(
    HOUSE,
    policy=Policy.DISTANCE,
    distance=Distance(far=1.15, near=0.95, campaign_below_h=24),
    price=replace(HOUSE.price, auto=(0.95, 1.15), max_per_day=1.0, moves_per_day=1000),
)
OFFICE = replace(
    HOUSE,
    calendar=parse_calendar("mon-fri 06-22", zone=STOCKHOLM),
    shipping=Shipping(hours=24, cutoff=time(14, 0)),
)


def orders(count: int, *, promise: datetime | None, placed: datetime = START, units: int = 1) -> tuple[OpenOrder, ...]:
    return tuple(OpenOrder(units=units, promise=promise, placed=placed, order_id=f"o{n}") for n in range(count))


def planned(rules: FamilyRules, now: datetime = START, **seen: object) -> RunPlan:
    return plan(RunInputs(rules=rules, seen=Seen(**seen)), now)  # type: ignore[arg-type]


def joined(rules: FamilyRules, steps: Iterable[tuple[float, int]], now: datetime = START) -> tuple[OpenOrder, ...]:
    """Let buyers come one after another (hours later, units), each with the promise that he was shown."""
    run: tuple[OpenOrder, ...] = ()
    for hours, units in steps:
        now += timedelta(hours=hours)
        promise = planned(rules, now, orders=run).promise_for(units).at
        run = (*run, OpenOrder(units=units, promise=promise, placed=now, order_id=f"o{len(run)}"))
    return run


def codes(plan: RunPlan) -> set[str]:
    return {reason.code for reason in plan.reasons}


moments = st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2027, 12, 31)).map(  # noqa: DTZ001
    lambda at: at.replace(tzinfo=UTC, microsecond=0)
)


@st.composite
def families(draw: st.DrawFn, policies: tuple[Policy, ...] = tuple(Policy)) -> FamilyRules:
    """Draw a family whose list price earns something."""
    unit = draw(st.floats(0, 20_000))
    list_minor = int(unit * draw(st.floats(1.1, 4))) + draw(st.integers(50, 5000))
    places = draw(st.integers(1, 300))
    cutoff = draw(st.none() | st.sampled_from([time(8), time(14), time(23, 30)]))
    return FamilyRules(
        policy=draw(st.sampled_from(policies)),
        run=RunRules(
            places=places,
            threshold=draw(st.integers(1, places)),
            release=draw(st.sampled_from(Release)),
            window_h=draw(st.none() | st.floats(0, 200)),
        ),
        price=PriceRules(
            list_minor=list_minor,
            currency="SEK",
            tax_rate=draw(st.sampled_from([0.0, 0.25])),
            fees_minor=draw(st.sampled_from([0.0, 25.0])),
            step_minor=draw(st.sampled_from([1, 50, 100])),
            moves_per_day=draw(st.integers(0, 4)),
            max_per_hour=draw(st.none() | st.floats(0.01, 0.1)),
            max_per_day=draw(st.floats(0.02, 0.3)),
        ),
        costs=Costs(unit_minor=unit, setup_minor=draw(st.floats(0, 1e6)), setup_h=draw(st.floats(0, 8))),
        capacity=Capacity(
            rate_h=draw(st.floats(0.5, 200)),
            mtbf_h=draw(st.floats(5, 500)),
            mttr_h=draw(st.floats(0, 12)),
            queue_h=draw(st.floats(0, 10)),
        ),
        calendar=parse_calendar(draw(st.sampled_from(CALENDARS)), zone=STOCKHOLM),
        demand=Demand(
            visitors_h=draw(st.floats(0, 60)),
            conversion=draw(st.floats(0.01, 0.5)),
            lead_slope_day=draw(st.floats(0, 0.5)),
            price_slope=draw(st.floats(0, 0.1)),
            units=draw(st.floats(1, 5)),
            units_sd=draw(st.floats(0, 5)),
            lead_days=draw(st.none() | st.floats(1, 8)),
        ),
        shipping=Shipping(hours=draw(st.sampled_from([0.0, 24.0, 60.0])), cutoff=cutoff),
        promise=PromiseRules(quantile=draw(st.sampled_from([0.5, 0.9, 0.95, 0.99])), min_days=draw(st.integers(0, 3))),
        campaign=CampaignRules(cost_per_click_minor=draw(st.floats(0, 2000))),
    )


@st.composite
def runs(draw: st.DrawFn, now: datetime, places: int) -> tuple[OpenOrder, ...]:
    """Draw the orders of an open run: promises of any kind, past ones too, some orders without any."""
    count = draw(st.integers(0, min(8, places)))
    return tuple(
        OpenOrder(
            units=draw(st.integers(1, max(1, places // 8))),
            promise=draw(st.none() | st.floats(-50, 500).map(lambda hours: now + timedelta(hours=hours))),
            placed=now - timedelta(hours=draw(st.floats(0, 200))),
            order_id=f"o{number}",
        )
        for number in range(count)
    )


@st.composite
def situations(draw: st.DrawFn, policies: tuple[Policy, ...] = tuple(Policy)) -> tuple[RunInputs, datetime]:
    """Draw a family, its open run and the moment; nothing is stale, frozen or held."""
    rules, now = draw(families(policies)), draw(moments)
    seen = Seen(
        orders=draw(runs(now, rules.run.places)),
        free_h=draw(st.floats(0, 40)),
        down=draw(st.booleans()),
    )
    return RunInputs(rules=rules, seen=seen), now
