"""What a plan becomes for the customer: an offer, changed only when that is worth telling, and what a shop is told."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from gateway.domain.calendars import aware
from gateway.domain.pricing import PriceMove, RunPlan
from gateway.domain.products import Family, Product

GRACE: Final = timedelta(seconds=120)  # who ordered so soon after a change saw the offer before it
_DAY: Final = timedelta(days=1)
_GRAINS: Final = tuple(timedelta(minutes=minutes) for minutes in (360, 180, 60, 15, 5, 1))
_SHARE: Final = 16  # a promise is rounded to at most this part of its lead
_STALE_GRAINS: Final = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """What a customer is told of one article: price, arrival, lead, when the run closes, the kind of campaign.

    `lead` is the time to the promise as it is told: whole days, hours or quarters of an hour, rounded up.
    """

    price_minor: int
    currency: str
    promise_at: datetime
    lead: timedelta
    closes_at: datetime | None = None
    campaign: str | None = None

    def __post_init__(self) -> None:
        """Refuse a time without a zone."""
        aware(self.promise_at)

    @property
    def lead_days(self) -> int:
        """Give the lead in whole days, rounded up."""
        return max(0, math.ceil(self.lead / _DAY))


@dataclass(frozen=True, kw_only=True, slots=True)
class Logged:
    """An offer as it stands in the log. `shown_at`: when the shop took it; None where it has not, or need not.

    `family` prices it; `product_id` is the shop's name for the article.
    """

    offer_id: int
    offer: Offer
    valid_from: datetime
    valid_until: datetime | None = None
    to_shop: bool = False
    shown_at: datetime | None = None
    family: str = ""
    product_id: str = ""

    @property
    def seen_from(self) -> datetime | None:
        """Give from when on customers surely saw it, None while the shop has yet to take it."""
        return self.shown_at if self.to_shop else self.valid_from


class Origin(StrEnum):
    """Who set the price a shop shows."""

    AS_OFFERED = "as_offered"
    ON_ITS_WAY = "on_its_way"  # a price of ours that was in force before, or is being written
    OWNER = "owner"


def make_offer(plan: RunPlan, before: Offer | None, *, exact: bool, rest: timedelta = timedelta(0)) -> Offer:
    """Turn a plan into an offer; `rest` is what the other steps of the route take at least.

    A promise is rounded up and a closing time down, to a grain that suits the lead, and both stand while they
    hold, so that minutes make no noise; `exact` promises (goods leave at fixed times) stay as they are.
    """
    stood, closed = (None, None) if before is None else (before.promise_at, before.closes_at)
    promise = plan.promise.at
    if not exact or plan.at + rest > promise:
        promise = _held_up(max(promise, plan.at + rest), stood, now=plan.at)
    closes = None
    if plan.latest_start is not None and plan.latest_start > plan.at:
        closes = _held_down(plan.latest_start, closed, now=plan.at)
    return Offer(
        price_minor=plan.price.price_minor,
        currency=plan.price.currency,
        promise_at=promise,
        lead=told_lead(promise - plan.at),
        closes_at=closes,
        campaign=plan.campaign.kind.value if plan.campaign.open else None,
    )


def what_changed(before: Offer | None, after: Offer) -> tuple[str, ...]:
    """Name what a customer would see differently; nothing means that the offer stands."""
    if before is None:
        return ("new",)
    told = ("price_minor", "currency", "promise_at", "lead", "closes_at", "campaign")
    return tuple(name for name in told if getattr(before, name) != getattr(after, name))


def rest_of(product: Product, families: Mapping[str, Family]) -> timedelta:
    """Give the fixed lead of the steps besides the one that drives the price: the longest of them."""
    others = [families[step.family].static_days for step in product.route if step.family != product.priced_by]
    return timedelta(days=max(others, default=0))


def told_lead(lead: timedelta) -> timedelta:
    """Round a lead up to what people say: days from two days on, hours from two hours on, else quarters."""
    unit = timedelta(minutes=15)
    if lead > timedelta(hours=48):
        unit = _DAY
    elif lead > timedelta(hours=2):
        unit = timedelta(hours=1)
    return max(timedelta(0), unit * math.ceil(lead / unit))


def moves_of(steps: Iterable[tuple[datetime, int]], *, since: datetime, standing: int) -> tuple[PriceMove, ...]:
    """Give the moves from a time on among offers' times and prices, oldest first; `standing` was before them all."""
    moves: list[PriceMove] = []
    for at, price_minor in steps:
        if price_minor != standing and at >= since:
            moves.append(PriceMove(at=at, from_minor=standing, to_minor=price_minor))
        standing = price_minor
    return tuple(moves)


def whose_price(
    seen_minor: int, *, list_minor: int, offered_minor: int | None, in_force_minor: int | None, tried: Collection[int]
) -> Origin:
    """Say who set the price a shop shows.

    `offered_minor` is what we want it to be, `in_force_minor` what the shop last took from us, `tried` what was
    offered since then: any of them may stand there while writes are under way.
    """
    if seen_minor == (list_minor if offered_minor is None else offered_minor):
        return Origin.AS_OFFERED
    if seen_minor in {list_minor, in_force_minor, *tried}:
        return Origin.ON_ITS_WAY
    return Origin.OWNER


def binding_promise(log: Collection[Logged], placed_at: datetime) -> datetime | None:
    """Give the promise that binds for an order placed then, from the log of its article (oldest first).

    It is that of the offer in force; one that was still on the customers' screens less than the grace before
    takes part, and the earlier promise wins. A promise already past at placing is none.
    """
    promises: list[datetime] = []
    for logged in sorted(log, key=lambda one: (one.valid_from, one.offer_id), reverse=True):
        if logged.valid_from > placed_at:
            continue
        in_force = logged.valid_until is None or logged.valid_until > placed_at - GRACE
        if not promises and not in_force:
            return None
        seen_from = logged.seen_from
        if seen_from is None and promises:
            continue  # replaced before the shop ever showed it
        promises.append(logged.offer.promise_at)
        if seen_from is not None and seen_from <= placed_at - GRACE:
            break
    lasting = [promise for promise in promises if promise > placed_at]
    return min(lasting, default=None)


def _held_up(wanted: datetime, before: datetime | None, *, now: datetime) -> datetime:
    grain = _grain(wanted - now)
    if before is not None and wanted <= before <= _ceil(wanted, grain) + (_STALE_GRAINS - 1) * grain:
        return before
    return _ceil(wanted, grain)


def _held_down(wanted: datetime, before: datetime | None, *, now: datetime) -> datetime:
    grain = _grain(wanted - now)
    if before is not None and wanted - _STALE_GRAINS * grain <= before <= wanted:
        return before
    return _ceil(wanted, grain) - grain if _ceil(wanted, grain) != wanted else wanted


def _grain(lead: timedelta) -> timedelta:
    return next((grain for grain in _GRAINS if grain * _SHARE <= lead), _GRAINS[-1])


def _ceil(moment: datetime, grain: timedelta) -> datetime:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return datetime(1970, 1, 1, tzinfo=UTC) + grain * -(-since // grain)
