"""What the policy wants the price to be, and what the guard rails leave of it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.domain.pricing.formulas import HOURS_DAY, place_value
from gateway.domain.pricing.inputs import Band, CampaignKind, Mode, Policy, PriceMove, PriceRules, RunInputs
from gateway.domain.pricing.reasons import About, Param, Reason
from gateway.domain.pricing.result import PriceDecision
from gateway.domain.pricing.schedule import HOUR_S, Schedule, moment

FLOOR_SHARE: Final = 1.05
_DAY: Final = timedelta(hours=24)
_HOUR: Final = timedelta(hours=1)
_SAME: Final = 5e-4  # factors nearer than this are told as the same


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """The factor of the list price a policy asks for, and why."""

    factor: float
    reason: Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rail:
    """A price on its way through the guard rails, with what each of them said."""

    minor: int
    reasons: tuple[Reason, ...] = ()
    proposed: int | None = None

    def moved(self, minor: int, code: str, **params: Param) -> "_Rail":
        """Give the price as this rail leaves it; a rail that changes nothing says nothing."""
        if minor == self.minor:
            return self
        return _Rail(minor=minor, reasons=(*self.reasons, _reason(code, **params)), proposed=self.proposed)


def bid(schedule: Schedule, *, units: float, hours: float) -> float:
    """Give b(n,d), the value of a place in minor units, for so many units taken and hours to the latest start."""
    figures, demand = schedule.figures, schedule.inputs.rules.demand
    return place_value(
        share=figures.share_minor,
        units_day=figures.units_day,
        order_units=demand.units,
        order_sd=demand.units_sd,
        hours=hours,
        free_places=schedule.inputs.rules.run.places - units,
    )


def planned_units(schedule: Schedule) -> float:
    """Give the fill on plan: what demand brings from the first order until now, at most a full run."""
    if schedule.opened is None:
        return 0.0
    days = max(0.0, schedule.now - schedule.opened) / HOUR_S / HOURS_DAY
    return min(float(schedule.inputs.rules.run.places), schedule.figures.units_day * days)


def wanted_factor(schedule: Schedule) -> Wanted:
    """Give the factor that the family's policy asks for."""
    match schedule.inputs.rules.policy:
        case Policy.STATIC:
            return Wanted(factor=1.0, reason=_reason("policy_static"))
        case Policy.DISTANCE:
            return _distance(schedule)
        case Policy.COUNTDOWN:
            return _countdown(schedule)


def decide_price(inputs: RunInputs, wanted: Wanted, now: datetime) -> tuple[PriceDecision, tuple[Reason, ...]]:
    """Send the wanted price through the guard rails, in their order; say what each of them did."""
    rules, seen = inputs.rules.price, inputs.seen
    standing, moves = _standing(inputs, now)
    floor = floor_minor(rules, inputs.rules.costs.unit_minor)
    rail = _Rail(minor=_rounded(rules.list_minor * wanted.factor, rules), reasons=(wanted.reason,))
    rail = _banded(rail, rules, floor=floor)
    if seen.mode is Mode.OFF:
        rail = _Rail(minor=standing, reasons=(_reason("price_off"),))
    elif seen.stale:
        rail = _at_list(rail, inputs, floor=floor)
    else:
        rail = _paced(rail, rules, standing=standing, moves=moves, now=now, mode=seen.mode, floor=floor)
    if seen.mode is not Mode.OFF:
        rail = _held(rail, inputs, standing=standing)
    decision = PriceDecision(
        price_minor=rail.minor,
        factor=rail.minor / rules.list_minor,
        list_minor=rules.list_minor,
        currency=rules.currency,
        wanted_factor=wanted.factor,
        floor_minor=floor,
        moves=len(moves),
        proposed_minor=rail.proposed,
    )
    return decision, rail.reasons


def refusal(inputs: RunInputs, minor: int, now: datetime) -> Reason | None:
    """Say why a price must not stand although a person wants it, None where it may.

    Floor, hard band and the number of moves hold for everybody; the automatic band and the limits of change are
    for what nobody looked at.
    """
    rules, seen = inputs.rules.price, inputs.seen
    _, moves = _standing(inputs, now)
    floor, (low, high) = floor_minor(rules, inputs.rules.costs.unit_minor), _limits(rules, rules.hard)
    if seen.mode is Mode.OFF:
        return _reason("price_off")
    if seen.frozen or _is_reduced(inputs):
        return _held(_Rail(minor=minor), inputs, standing=_standing(inputs, now)[0]).reasons[-1]
    if minor < floor:
        return _reason("price_floor", floor_minor=floor)
    if not low <= minor <= high:
        return _reason("hard_band", wanted_minor=minor, low=rules.hard[0], high=rules.hard[1])
    if len(moves) >= rules.moves_per_day:
        return _reason("moves_used", moves=len(moves))
    return None


def approved(minor: int) -> Reason:
    """Say that a person has put a price in force."""
    return _reason("price_approved", price_minor=minor)


def floor_minor(rules: PriceRules, unit_minor: float) -> int:
    """Give the lowest price Kvot ever asks: 1.05*c + fees, with tax, rounded up to the price step."""
    net = FLOOR_SHARE * unit_minor + rules.fees_minor
    return priced_up(net * (1 + rules.tax_rate), rules)


def _distance(schedule: Schedule) -> Wanted:
    """Follow the customer's rule: near + (far - near)*x; x = 1 when empty, else the nearer of fill and time."""
    rule, run = schedule.inputs.rules.distance, schedule.inputs.rules.run
    if schedule.fill == 0:
        return Wanted(factor=rule.far, reason=_reason("distance_empty", factor=rule.far))
    by_fill = 1 - min(schedule.fill / run.threshold, 1.0)
    hours, window_h = max(0.0, schedule.hours_left), schedule.figures.window_h
    by_time = min(hours / window_h, 1.0) if window_h > 0 else 0.0
    factor = rule.near + (rule.far - rule.near) * min(by_fill, by_time)
    return Wanted(
        factor=factor,
        reason=_reason(
            "distance_factor", fill=schedule.fill, threshold=run.threshold, hours=schedule.hours_left, factor=factor
        ),
    )


def _countdown(schedule: Schedule) -> Wanted:
    """Give base + (1-P) * (b(n,d) - b on plan at d): exactly the list price on plan, dearer ahead of it.

    The policy asks for no more than the guard rails let pass: its prices lie within half a day's change of the
    list price, and the last move of a day is kept for the way back.
    """
    rules, figures = schedule.inputs.rules.price, schedule.figures
    planned, hours = planned_units(schedule), schedule.hours_left
    taken = float(schedule.fill + schedule.reserved)
    gap = bid(schedule, units=taken, hours=hours) - bid(schedule, units=planned, hours=hours)
    if schedule.fill == 0:
        gap = 0.0  # an empty run is on plan: its window begins with the first order
    factor = 1 + (1 - figures.conversion) * gap * (1 + rules.tax_rate) / rules.list_minor
    factor = min(max(factor, rules.auto[0], 1 - rules.max_per_day / 2), rules.auto[1], 1 + rules.max_per_day / 2)
    standing, moves = _standing(schedule.inputs, moment(schedule.now))
    homeward = min(max(factor, min(1.0, standing / rules.list_minor)), max(1.0, standing / rules.list_minor))
    if len(moves) >= max(1, rules.moves_per_day - 1) and homeward != factor:
        return Wanted(factor=homeward, reason=_reason("price_rests", moves=len(moves)))
    code = "on_plan" if abs(factor - 1) < _SAME else "ahead_of_plan" if factor > 1 else "behind_plan"
    reason = _reason(code, fill=schedule.fill + schedule.reserved, planned=planned, factor=factor)
    return Wanted(factor=factor, reason=reason)


def _standing(inputs: RunInputs, now: datetime) -> tuple[int, tuple[PriceMove, ...]]:
    """Give the price in force and its moves of the last 24 hours."""
    published = inputs.seen.published
    if published is None:
        return inputs.rules.price.list_minor, ()
    return published.price_minor, tuple(move for move in published.moves if now - move.at < _DAY)


def _banded(rail: _Rail, rules: PriceRules, *, floor: int) -> _Rail:
    """Hold the price above the floor and inside the hard band; the floor wins."""
    if floor > rules.list_minor:
        told = _reason("list_below_floor", list_minor=rules.list_minor, floor_minor=floor)
        rail = _Rail(minor=rail.minor, reasons=(*rail.reasons, told))
    rail = rail.moved(max(rail.minor, floor), "price_floor", floor_minor=floor)
    low, high = _limits(rules, rules.hard)
    banded = min(max(rail.minor, low), max(high, floor))
    return rail.moved(banded, "hard_band", wanted_minor=rail.minor, low=rules.hard[0], high=rules.hard[1])


def _at_list(rail: _Rail, inputs: RunInputs, *, floor: int) -> _Rail:
    """Go back to the list price while we do not know what goes on; no rail of pace holds this up."""
    told = tuple(stale_reason(inputs, About.PRICE))
    at_list = max(floor, inputs.rules.price.list_minor)
    kept = tuple(reason for reason in rail.reasons if reason.code in {"price_floor", "list_below_floor"})
    return _Rail(minor=at_list, reasons=(*told, *kept))


def _held(rail: _Rail, inputs: RunInputs, *, standing: int) -> _Rail:
    """Let the price stand through a freeze and an open reduction; a person's list price goes before both."""
    if inputs.seen.at_list:
        at_list = inputs.rules.price.list_minor
        return _Rail(minor=at_list, reasons=(*rail.reasons, _reason("price_undone", list_minor=at_list)))
    if inputs.seen.frozen:
        return _Rail(minor=standing, reasons=(*rail.reasons, _reason("price_frozen", price_minor=standing)))
    if _is_reduced(inputs) and not inputs.seen.stale:
        return _Rail(minor=standing, reasons=(*rail.reasons, _reason("price_reduced", price_minor=standing)))
    return rail


def _is_reduced(inputs: RunInputs) -> bool:
    """Say whether a reduction is announced, or about to be: what it is counted from does not move."""
    campaign = inputs.seen.campaign
    return inputs.rules.campaign.kind is CampaignKind.REDUCTION and (campaign.open or campaign.approved)


def _paced(
    rail: _Rail,
    rules: PriceRules,
    *,
    standing: int,
    moves: tuple[PriceMove, ...],
    now: datetime,
    mode: Mode,
    floor: int,
) -> _Rail:
    """Hold the price inside the automatic band, the limits of change, the number of moves and the deadband."""
    wanted = rail.minor
    if mode is Mode.AUTO:
        rail = _automatic(rail, rules, standing=standing)
    for share, span in ((rules.max_per_hour, _HOUR), (rules.max_per_day, _DAY)):
        if share is not None:
            rail = _within(rail, share, span, rules=rules, standing=standing, moves=moves, now=now)
    small = abs(rail.minor - standing) < rules.deadband * rules.list_minor
    if small:
        rail = rail.moved(standing, "deadband", wanted_minor=rail.minor, price_minor=standing, share=rules.deadband)
    elif len(moves) >= rules.moves_per_day:
        rail = rail.moved(standing, "moves_used", moves=len(moves))
    near, used = abs(wanted - rail.minor) < rules.deadband * rules.list_minor, len(moves) >= rules.moves_per_day
    if rail.proposed is not None and (near or used):  # where no move is left nobody could approve it
        rail = _Rail(minor=rail.minor, reasons=rail.reasons)
    if mode is Mode.ADVISE and rail.minor != standing:
        told = _reason("price_advised", wanted_minor=rail.minor)
        return _Rail(minor=standing, reasons=(*rail.reasons, told), proposed=rail.minor)
    return rail.moved(max(rail.minor, floor), "price_floor", floor_minor=floor)


def _automatic(rail: _Rail, rules: PriceRules, *, standing: int) -> _Rail:
    """Stop at the automatic band; beyond it the price is proposed. What was approved before may stand."""
    low, high = _limits(rules, rules.auto)
    inside = min(max(rail.minor, min(low, standing)), max(high, standing))
    moved = rail.moved(inside, "auto_band", wanted_minor=rail.minor, low=rules.auto[0], high=rules.auto[1])
    return moved if moved is rail else _Rail(minor=moved.minor, reasons=moved.reasons, proposed=rail.minor)


def _within(
    rail: _Rail,
    share: float,
    span: timedelta,
    *,
    rules: PriceRules,
    standing: int,
    moves: tuple[PriceMove, ...],
    now: datetime,
) -> _Rail:
    """Keep all prices within any such span of time inside a band as wide as the share."""
    recent = [standing]
    for move in moves:
        if now - move.at < span:
            recent += [move.from_minor, move.to_minor]
    width = share * rules.list_minor
    low, high = priced_up(max(recent) - width, rules), _down(min(recent) + width, rules)
    allowed = standing if low > high else min(max(rail.minor, low), high)
    hours = round(span / _HOUR)
    return rail.moved(allowed, "change_limit", wanted_minor=rail.minor, share=share, hours=hours)


def stale_reason(inputs: RunInputs, about: About) -> Iterator[Reason]:
    """Give one reason for each source that is too old."""
    for source in inputs.seen.stale:
        params: dict[str, Param] = {"source": source.name, "age_s": source.age_s, "period_s": source.period_s}
        yield Reason(about=about, code="stale", params=params)


def _limits(rules: PriceRules, band: Band) -> tuple[int, int]:
    return priced_up(rules.list_minor * band[0], rules), _down(rules.list_minor * band[1], rules)


def _rounded(minor: float, rules: PriceRules) -> int:
    """Give the nearest price that is whole steps away from the list price, so that its ending stays."""
    return rules.list_minor + math.floor((minor - rules.list_minor) / rules.step_minor + 0.5) * rules.step_minor


def priced_up(minor: float, rules: PriceRules) -> int:
    """Give the lowest price from an amount on that is whole steps away from the list price."""
    steps = round((minor - rules.list_minor) / rules.step_minor, 6)
    return rules.list_minor + math.ceil(steps) * rules.step_minor


def _down(minor: float, rules: PriceRules) -> int:
    steps = round((minor - rules.list_minor) / rules.step_minor, 6)
    return rules.list_minor + math.floor(steps) * rules.step_minor


def _reason(code: str, **params: Param) -> Reason:
    return Reason(about=About.PRICE, code=code, params=params)
