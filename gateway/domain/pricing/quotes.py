"""What a customer may choose from: places in the open run or in the next, or a run of his own at its honest price."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from gateway.domain.calendars import aware
from gateway.domain.pricing.figures import derive
from gateway.domain.pricing.inputs import CampaignSeen, FamilyRules, Policy, Release, RunInputs, Seen
from gateway.domain.pricing.planning import plan
from gateway.domain.pricing.prices import floor_minor, priced_up
from gateway.domain.pricing.promises import Basis, Promise, Which
from gateway.domain.pricing.reasons import About, Param, Reason
from gateway.domain.pricing.result import RunPlan

VALID: Final = timedelta(minutes=15)
HELD_ON: Final = timedelta(minutes=2)  # an order that was placed in time is read from its shop a little later
SHORTEST: Final = timedelta(minutes=1)  # nobody can answer a quote that is valid for less
_DAY: Final = timedelta(days=1)


class Kind(StrEnum):
    """The run that would make it."""

    WITH_RUN = "with_run"
    NEXT_RUN = "next_run"
    OWN_RUN = "own_run"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What is asked for: pieces, the units they take of a run, and what other steps of the route take at least.

    wanted: when the customer would like to have it; it changes no offer, each only says whether it is in time.
    """

    pieces: int
    units: int
    rest: timedelta = timedelta(0)
    wanted: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a wish for nothing, and a time without a zone."""
        if self.pieces < 1 or self.units < 1:
            raise ValueError("a quote is for at least one piece")
        if self.wanted is not None:
            aware(self.wanted)


@dataclass(frozen=True, kw_only=True, slots=True)
class Express:
    """That a family makes runs for one customer, and whether a person approves each."""

    approval: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """The machine that a run of one's own would go to; beside: the other families whose open runs it will make.

    What was released on it is in the hours until it is free. None of that comes too late by another run: the
    machine works by promise, so what is promised sooner goes first, and for the rest there is time until all is done,
    which is before the promise of the run itself.
    """

    machine: str
    usable: bool
    beside: tuple[tuple[str, RunInputs], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One way to have it. price_minor: a piece, as the list price is written; net_minor: without tax.

    held: units kept for it. approval: a person must agree before it may be ordered. machine_h: what a run of one's
    own takes of the machine, as surely as a promise needs; 0 for the others.
    """

    kind: Kind
    price_minor: int
    net_minor: int
    promise_at: datetime
    ship_by: datetime
    confidence: float
    in_time: bool
    held: int
    reasons: tuple[Reason, ...]
    approval: bool = False
    machine_h: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Withheld:
    """A way that is not offered, and why."""

    kind: Kind
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Quoted:
    """What may be ordered before `valid_until`; what is held for it is held until `held_until`."""

    valid_until: datetime
    held_until: datetime
    options: tuple[Option, ...]
    withheld: tuple[Withheld, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """A wish beside the open run as it is now."""

    inputs: RunInputs
    wish: Wish
    now: datetime
    until: datetime
    planned: RunPlan

    @property
    def held_until(self) -> datetime:
        return self.until + HELD_ON

    @property
    def price_minor(self) -> int:
        """Give the price in force; it has passed the guard rails and whoever had to approve it."""
        published = self.inputs.seen.published
        return self.planned.price.price_minor if published is None else published.price_minor

    def why(self, promise: Promise) -> tuple[Reason, ...]:
        """Say why price and promise are what they are; the promise is for all units, not for one more."""
        rules, hours = self.inputs.rules.promise, (promise.start - self.now) / timedelta(hours=1)
        took = {"run_h": promise.run_h, "buffer_h": promise.buffer_h}
        match promise.basis:
            case Basis.AT_ONCE:
                told = _reason("promise_at_once", **took)
            case Basis.FIXED:
                told = _reason("promise_static", days=rules.static_days)
            case Basis.NO_SOONER:
                told = _reason("static_too_short", days=rules.static_days)
            case Basis.MIN_DAYS:
                told = _reason("promise_min_days", days=rules.min_days)
            case _:
                told = _reason("promise_countdown", start=promise.start, hours=hours, **took)
        return (*(one for one in self.planned.reasons if one.about is About.PRICE), told)

    def option(
        self, kind: Kind, promise: Promise, price_minor: int, reasons: tuple[Reason, ...], *, held: int = 0
    ) -> Option:
        """Give an offer whose promise holds for the other steps of the route too."""
        at, rules = promise.at, self.inputs.rules.price
        if self.until + self.wish.rest > at:
            at = self.until + self.wish.rest
            reasons = (*reasons, _reason("quote_other_steps", at=at))
        in_time = self.wish.wanted is None or at <= self.wish.wanted
        if self.wish.wanted is not None and not in_time:
            reasons = (*reasons, _reason("quote_too_late", wanted=self.wish.wanted))
        return Option(
            kind=kind,
            price_minor=price_minor,
            net_minor=round(price_minor / (1 + rules.tax_rate)),
            promise_at=at,
            ship_by=promise.ship_by + (at - promise.at),
            confidence=self.planned.confidence,
            in_time=in_time,
            held=held,
            reasons=reasons,
        )


def quote(
    inputs: RunInputs, wish: Wish, now: datetime, *, next_taken: int, bench: Bench, express: Express | None
) -> Quoted:
    """Give everything that may be offered for a wish, and why the rest is not.

    next_taken: units that quotes hold of the run after the open one. The same state at the same time gives the same
    quote; an offer is never earlier than its mean finish, the next run never dearer than the open one. Raise
    ValueError as `plan` does.
    """
    case = _Case(inputs=inputs, wish=wish, now=now, until=now + VALID, planned=plan(inputs, now))
    if inputs.rules.run.release is Release.AT_ONCE:
        promise = case.planned.promise_for(wish.units, not_before=case.held_until)
        only = case.option(Kind.WITH_RUN, promise, case.price_minor, case.why(promise))
        return _quoted(case, (only,))
    case, with_run = _with_run(case)
    shared = (with_run, _next_run(case, next_taken, with_run))
    soonest = min((one.promise_at for one in shared if isinstance(one, Option)), default=None)
    return _quoted(case, (*shared, _own_run(case, soonest, bench, express)))


def _with_run(case: _Case) -> tuple[_Case, Option | Withheld]:
    """Offer places in the open run; a run that starts soon shortens the time in which they may be ordered."""
    planned, units, held = case.planned, case.wish.units, case.inputs.seen.held
    free = max(0, planned.places - planned.fill - planned.reserved)
    if held is not None:
        return case, _withheld(Kind.WITH_RUN, _reason("quote_run_held", why=held))
    if units > free:
        return case, _withheld(Kind.WITH_RUN, _reason("quote_no_room", units=units, free=free))
    promise = planned.promise_for(units, run=Which.OPEN, not_before=case.held_until)
    closes = _closes(planned, promise)
    if closes is not None and closes < case.held_until:
        shorter = replace(case, until=closes - HELD_ON)
        promise = planned.promise_for(units, run=Which.OPEN, not_before=max(case.now, shorter.held_until))
        closes = _closes(planned, promise)
        if shorter.until < case.now + SHORTEST or (closes is not None and closes < shorter.held_until):
            start = case.now if closes is None else closes
            return case, _withheld(Kind.WITH_RUN, _reason("quote_run_starts", start=start))
        case = shorter
    told = _reason(
        "quote_places",
        units=units,
        until=case.held_until,
        taken=planned.fill + planned.reserved,
        places=planned.places,
    )
    return case, case.option(Kind.WITH_RUN, promise, case.price_minor, (told, *case.why(promise)), held=units)


def _closes(planned: RunPlan, promise: Promise) -> datetime | None:
    """Give when the open run starts at the latest, with these units or without them."""
    known = [at for at in (planned.latest_start, promise.closes) if at is not None]
    return min(known, default=None)


def _next_run(case: _Case, taken: int, with_run: Option | Withheld) -> Option | Withheld:
    """Offer the run after the open one, for no more than the price in force; more than a run takes all of it."""
    planned, seen, units = case.planned, case.inputs.seen, case.wish.units
    if seen.held is not None:
        return _withheld(Kind.NEXT_RUN, _reason("quote_run_held", why=seen.held))
    if planned.fill + planned.reserved == 0 and isinstance(with_run, Option):
        return _withheld(Kind.NEXT_RUN, _reason("quote_run_empty"))
    held, over = min(units, planned.places), max(0, planned.fill - planned.places)
    free = max(0, planned.places - taken - over)
    if held > free:
        return _withheld(Kind.NEXT_RUN, _reason("quote_no_room", units=units, free=free))
    fresh = replace(seen, orders=(), reserved=(), campaign=CampaignSeen())
    later = plan(RunInputs(rules=case.inputs.rules, seen=fresh), case.now)
    price_minor = min(case.price_minor, later.price.price_minor)
    promise = planned.promise_for(taken + over + units, run=Which.NEXT, not_before=case.held_until)
    told = _reason("quote_next_run", price_minor=price_minor)
    return case.option(Kind.NEXT_RUN, promise, price_minor, (told, case.why(promise)[-1]), held=held)


def _own_run(case: _Case, soonest: datetime | None, bench: Bench, express: Express | None) -> Option | Withheld | None:
    """Offer a run for this customer alone, if it is sooner and every promise given stays kept in nine of ten cases."""
    if express is None:
        return None
    rules, wish = case.inputs.rules, case.wish
    if wish.units > rules.run.places:
        told = _reason("express_too_large", units=wish.units, places=rules.run.places)
        return _withheld(Kind.OWN_RUN, told)
    if not bench.usable:
        return _withheld(Kind.OWN_RUN, _reason("express_no_machine"))
    promise, machine_h = _alone(case)
    option = case.option(Kind.OWN_RUN, promise, case.price_minor, ())
    if soonest is not None and option.promise_at >= soonest:
        return _withheld(Kind.OWN_RUN, _reason("express_not_sooner", at=option.promise_at))
    displaced_minor, late = 0.0, []
    for name, inputs in (("", case.inputs), *bench.beside):
        before = plan(inputs, case.now)
        after = plan(RunInputs(rules=inputs.rules, seen=_busier(inputs.seen, machine_h)), case.now)
        displaced_minor += _displaced_minor(inputs.rules, before, after)
        if not after.keeps:
            late += [f"order {order}" for order in after.at_risk] or [f"a quote for {name}" if name else "a quote"]
    if late:
        return _withheld(Kind.OWN_RUN, _reason("express_moves", which=", ".join(dict.fromkeys(late))))
    price_minor, reasons = _express_price(case, displaced_minor)
    start = _reason("express_start", machine=bench.machine, run_h=promise.run_h)
    asks = (_reason("express_approval"),) if express.approval else ()
    option = case.option(Kind.OWN_RUN, promise, price_minor, (*reasons, start, *asks))
    return replace(option, approval=express.approval, machine_h=machine_h)


def _alone(case: _Case) -> tuple[Promise, float]:
    """Give the promise of a run that holds this wish alone and starts when it is ordered, and its sure length."""
    rules, seen = case.inputs.rules, case.inputs.seen
    alone = replace(
        rules,
        policy=Policy.COUNTDOWN,
        run=replace(rules.run, release=Release.AT_ONCE, threshold=1),
        promise=replace(rules.promise, min_days=0),
    )
    empty = Seen(free_h=seen.free_h, down=seen.down, level=seen.level, error_quantile_h=seen.error_quantile_h)
    planned = plan(RunInputs(rules=alone, seen=empty), case.now)
    figures = derive(alone, level=planned.level, error_quantile_h=seen.error_quantile_h)
    promise = planned.promise_for(case.wish.units, run=Which.OPEN, not_before=case.held_until)
    return promise, figures.sure_h(case.wish.units, figures.z)


def _displaced_minor(rules: FamilyRules, before: RunPlan, after: RunPlan) -> float:
    """Give what it costs that everybody who comes until the run starts is promised later, and waits longer."""
    days = max(timedelta(0), after.promise.at - before.promise.at) / _DAY
    loss_day = derive(rules, level=before.level, error_quantile_h=None).loss_day
    coming = max(0, before.forecast.units_p50 - before.fill)
    return days * (loss_day * coming + rules.costs.waiting_minor_day * before.fill)


def _express_price(case: _Case, displaced_minor: float) -> tuple[int, tuple[Reason, ...]]:
    """Give c + (K + displaced contribution) / q with fees and tax, rounded up; never below the price in force."""
    rules, costs, pieces = case.inputs.rules.price, case.inputs.rules.costs, case.wish.pieces
    net = costs.unit_minor + (costs.setup_minor + displaced_minor) / pieces + rules.fees_minor
    honest = max(priced_up(net * (1 + rules.tax_rate), rules), floor_minor(rules, costs.unit_minor))
    told = _reason(
        "express_price",
        unit_minor=costs.unit_minor,
        setup_minor=costs.setup_minor,
        displaced_minor=displaced_minor,
        pieces=pieces,
    )
    if honest >= case.price_minor:
        return honest, (told,)
    return case.price_minor, (told, _reason("express_not_cheaper", price_minor=case.price_minor))


def _busier(seen: Seen, hours: float) -> Seen:
    return replace(seen, free_h=seen.free_h + hours)


def _quoted(case: _Case, found: tuple[Option | Withheld | None, ...]) -> Quoted:
    return Quoted(
        valid_until=case.until,
        held_until=case.held_until,
        options=tuple(one for one in found if isinstance(one, Option)),
        withheld=tuple(one for one in found if isinstance(one, Withheld)),
    )


def _withheld(kind: Kind, *reasons: Reason) -> Withheld:
    return Withheld(kind=kind, reasons=reasons)


def _reason(code: str, **params: Param) -> Reason:
    about = About.PRICE if code in _OF_PRICE else About.PROMISE
    return Reason(about=about, code=code, params=params)


_OF_PRICE: Final = frozenset({"quote_next_run", "express_price", "express_not_cheaper"})
