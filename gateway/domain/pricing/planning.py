"""`plan`: one pure function from what is seen of an open run to everything that is published about it."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from gateway.domain.calendars import aware
from gateway.domain.pricing.campaigns import decide_campaign
from gateway.domain.pricing.figures import derive, learnt_level
from gateway.domain.pricing.forecasts import cost_now, endangered, forecast
from gateway.domain.pricing.inputs import RunInputs
from gateway.domain.pricing.prices import bid, decide_price, stale_reason, wanted_factor
from gateway.domain.pricing.promises import Basis, Promise, promise_for
from gateway.domain.pricing.reasons import About, Param, Reason
from gateway.domain.pricing.releases import decide_release
from gateway.domain.pricing.result import Forecast, ReleaseDecision, RunPlan
from gateway.domain.pricing.schedule import HOUR_S, Schedule, lay_out, moment


def plan(inputs: RunInputs, now: datetime) -> RunPlan:
    """Decide price, promise, campaign and release of a family's open run.

    The same inputs at the same time give the same plan; nothing is read, written or remembered. Feed
    `RunPlan.level` back as `Seen.level`. Raise ValueError for a time without a zone, or a calendar that
    has no working time left.
    """
    rules, seen = inputs.rules, inputs.seen
    level = learnt_level(rules.demand, seen.recent, seen.level)
    figures = derive(rules, level=level, error_quantile_h=seen.error_quantile_h)
    schedule = lay_out(inputs, figures, aware(now))
    release, why_release = decide_release(schedule)
    promise = promise_for(schedule, 1)
    why_promise = _why_promise(schedule, promise)
    price, why_price = decide_price(inputs, wanted_factor(schedule), now)
    campaign, why_campaign = decide_campaign(schedule, price, promise)
    expected = forecast(schedule, release)
    late, why_risk = _at_risk(schedule, release, expected)
    place = bid(schedule, units=schedule.fill + schedule.reserved, hours=schedule.hours_left)
    return RunPlan(
        at=now,
        policy=rules.policy,
        mode=seen.mode,
        fill=schedule.fill,
        reserved=schedule.reserved,
        places=rules.run.places,
        full=schedule.fill >= rules.run.places,
        committed=any(order.promise is not None for order in seen.orders),
        threshold_reached=schedule.fill >= rules.run.threshold,
        break_even_units=figures.break_even_units,
        earns=schedule.earns(schedule.fill),
        window_h=figures.window_h,
        latest_start=None if schedule.latest is None else moment(schedule.latest),
        hours_left=schedule.hours_left,
        units_day=figures.units_day,
        level=level,
        price=price,
        promise=promise,
        campaign=campaign,
        release=release,
        forecast=expected,
        cost=cost_now(schedule, expected, bid=place),
        confidence=0.0 if seen.stale else min([1.0, *seen.confidence.values()]),
        at_risk=tuple(late),
        late=late,
        keeps=not why_risk,
        machine_done_at=moment(schedule.way.arrival(schedule.free)),
        reasons=(*why_release, *why_price, *why_promise, *why_campaign, *why_risk, *_why_level(level, seen.level)),
        promise_for=partial(promise_for, schedule),
    )


def _why_promise(schedule: Schedule, promise: Promise) -> Iterator[Reason]:
    rules, params = schedule.inputs.rules, {"run_h": promise.run_h, "buffer_h": promise.buffer_h}
    if schedule.inputs.seen.stale:
        yield from stale_reason(schedule.inputs, About.PROMISE)
    match promise.basis:
        case Basis.WINDOW:
            yield _promise("promise_window", hours=schedule.figures.window_h, **params)
        case Basis.COUNTDOWN:
            hours = (promise.start.timestamp() - schedule.now) / HOUR_S
            yield _promise("promise_countdown", start=promise.start, hours=hours, **params)
        case Basis.AT_ONCE:
            yield _promise("promise_at_once", **params)
        case Basis.NEXT_RUN:
            yield _promise("promise_next_run", fill=schedule.fill + schedule.reserved, places=rules.run.places)
        case Basis.FIXED:
            yield _promise("promise_static", days=rules.promise.static_days)
        case Basis.NO_SOONER:
            yield _promise("static_too_short", days=rules.promise.static_days)
        case Basis.MIN_DAYS:
            yield _promise("promise_min_days", days=rules.promise.min_days)
    if schedule.free > max(schedule.now, schedule.planned_start):
        yield _promise("promise_machine_busy", free=moment(schedule.free))


def _at_risk(
    schedule: Schedule, release: ReleaseDecision, expected: Forecast
) -> tuple[dict[str, datetime], tuple[Reason, ...]]:
    """Name the orders whose p90 finish is later than their promise needs, with when they arrive, and say so."""
    late = {group.ready_by: arrival for group, arrival in endangered(schedule, release)}
    if not late:
        return {}, ()
    orders: dict[str, datetime] = {}
    for order in schedule.inputs.seen.orders:
        arrival = None if order.promise is None else late.get(schedule.way.ready_by(order.promise.timestamp()))
        if arrival is not None:
            orders[order.order_id] = max(moment(arrival), orders.get(order.order_id, moment(arrival)))
    due = moment(min(late))
    return orders, (_promise("promise_at_risk", orders=len(orders), finish=expected.finish_p90, due=due),)


def _why_level(level: float, before: float) -> tuple[Reason, ...]:
    if level == before:
        return ()
    return (Reason(about=About.DEMAND, code="demand_level", params={"level": level, "before": before}),)


def _promise(code: str, **params: Param) -> Reason:
    return Reason(about=About.PROMISE, code=code, params=params)
