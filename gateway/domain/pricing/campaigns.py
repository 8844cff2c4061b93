"""Whether a campaign may be open: only for places the machine will make anyway, and only while it pays."""

import math
from datetime import datetime
from typing import Final

from gateway.domain.pricing.figures import conversion_at
from gateway.domain.pricing.formulas import HOURS_DAY
from gateway.domain.pricing.inputs import CampaignKind, CampaignSeen, Mode, Policy, RunInputs
from gateway.domain.pricing.prices import bid
from gateway.domain.pricing.promises import Promise
from gateway.domain.pricing.reasons import About, Param, Reason
from gateway.domain.pricing.result import CampaignDecision, PriceDecision
from gateway.domain.pricing.schedule import HOUR_S, Schedule, moment

KEEPS_OPEN: Final = 0.9  # an open campaign closes only below this share of what opened it


def decide_campaign(
    schedule: Schedule, price: PriceDecision, promise: Promise
) -> tuple[CampaignDecision, tuple[Reason, ...]]:
    """Say whether the campaign may be open, and why; a reduction and everything advised needs a person."""
    rules, seen = schedule.inputs.rules.campaign, schedule.inputs.seen
    depth = rules.depth if rules.kind is CampaignKind.REDUCTION else 0.0
    refusal = _refusal(schedule.inputs, schedule, price, depth)
    wanted, told = (False, refusal) if refusal is not None else _condition(schedule, price, promise, depth)
    needs_person = rules.kind is CampaignKind.REDUCTION or seen.mode is Mode.ADVISE
    waits = wanted and needs_person and not seen.campaign.approved
    reasons = (told, _reason("campaign_approval")) if waits else (told,)
    decision = CampaignDecision(
        open=wanted and not waits,
        kind=rules.kind,
        depth=depth if wanted else 0.0,
        until=None if schedule.latest is None else moment(schedule.latest),
        units_left=schedule.places_left,
        proposed=waits,
    )
    return decision, reasons


def visitor_worth_minor(schedule: Schedule, *, price_minor: float, lead_days: float) -> float:
    """Give P*Eq*(p-c-b)*freshness^0.5, what a visitor brought by the campaign is worth, net.

    P is the conversion at the offer he sees; Eq is the size of an order, at most the free places.
    """
    rules, demand = schedule.inputs.rules, schedule.inputs.rules.demand
    net = price_minor / (1 + rules.price.tax_rate) - rules.price.fees_minor
    place = bid(schedule, units=schedule.fill + schedule.reserved, hours=schedule.hours_left)
    conversion = conversion_at(demand, lead_days=lead_days, dearer_minor=price_minor - rules.price.list_minor)
    units = min(demand.units, float(schedule.places_left))
    return conversion * units * (net - rules.costs.unit_minor - place) * math.sqrt(_freshness(schedule.inputs))


def _refusal(inputs: RunInputs, schedule: Schedule, price: PriceDecision, depth: float) -> Reason | None:
    """Give why there is no campaign whatever it would be worth, or None."""
    rules, seen = inputs.rules.campaign, inputs.seen
    if seen.mode is Mode.OFF or not rules.enabled or inputs.rules.policy is Policy.STATIC:
        return _reason("campaign_off")
    if seen.frozen:
        return _reason("campaign_frozen")
    if seen.stale:
        return _reason("campaign_stale")
    if schedule.fill == 0:
        return _reason("campaign_empty")
    if schedule.places_left == 0:
        return _reason("campaign_full")
    if schedule.hours_left <= 0 or seen.held is not None or schedule.fires(schedule.fill):
        return _reason("campaign_starting")
    if seen.campaign.hours_week >= rules.max_hours_week:
        return _reason("campaign_hours_used", hours=seen.campaign.hours_week, limit=rules.max_hours_week)
    rests = seen.campaign.rests_until
    if rules.kind is CampaignKind.REDUCTION and rests is not None and moment(schedule.now) < rests:
        return _reason("campaign_rests", until=rests)
    if price.price_minor * (1 - _share(seen.campaign, depth)) < price.floor_minor:
        return _reason("campaign_below_floor", depth=depth, floor_minor=price.floor_minor)
    return None


def _condition(schedule: Schedule, price: PriceDecision, promise: Promise, depth: float) -> tuple[bool, Reason]:
    """Decide by the family's policy: near enough in time, or a visitor worth more than his click.

    `countdown` keeps the hours of the week for the last hours before the start: the lead is shortest then, so
    the same click sells more, and what the campaign sells has no buyer without it.
    """
    rules = schedule.inputs.rules
    if rules.policy is Policy.DISTANCE:
        hours, below = schedule.hours_left, rules.distance.campaign_below_h
        if hours >= below:
            return False, _reason("campaign_far", hours=hours, below=below)
        return True, _reason("campaign_near", hours=hours, left=schedule.places_left)
    kept = rules.campaign.max_hours_week - schedule.inputs.seen.campaign.hours_week
    if schedule.hours_left > kept:
        return False, _reason("campaign_later", hours=schedule.hours_left, kept=kept)
    worth = visitor_worth_minor(
        schedule,
        price_minor=price.price_minor * (1 - _share(schedule.inputs.seen.campaign, depth)),
        lead_days=_days(promise.at, moment(schedule.now)),
    )
    cost = rules.campaign.reserve * rules.campaign.cost_per_click_minor
    opens = worth > (KEEPS_OPEN * cost if schedule.inputs.seen.campaign.open else cost)
    return opens, _reason("campaign_worth" if opens else "campaign_not_worth", worth_minor=worth, cost_minor=cost)


def _share(campaign: CampaignSeen, depth: float) -> float:
    """Give what is taken off: the depth counts from the lowest price of 30 days, so it is more where that is lower."""
    return depth if depth == 0 or campaign.share is None else campaign.share


def _freshness(inputs: RunInputs) -> float:
    """Give the share of the audience that has not just been asked."""
    campaign, limit_h = inputs.seen.campaign, inputs.rules.campaign.max_hours_week
    if campaign.freshness is not None:
        return max(0.0, min(1.0, campaign.freshness))
    return max(0.0, 1 - campaign.hours_week / limit_h) if limit_h > 0 else 0.0


def _days(later: datetime, now: datetime) -> float:
    return (later - now).total_seconds() / HOUR_S / HOURS_DAY


def _reason(code: str, **params: Param) -> Reason:
    return Reason(about=About.CAMPAIGN, code=code, params=params)
