"""Campaigns open for places the machine makes anyway, while a visitor is worth more than his click."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.domain.pricing import CampaignKind, CampaignRules, CampaignSeen, FamilyRules, Mode, Policy, Release, Source
from tests.domain.pricing.cases import DISTANCE, HOUSE, START, codes, orders, planned

SOME: dict[str, Any] = {"orders": orders(20, promise=START + timedelta(hours=10))}
FAR: dict[str, Any] = {"orders": orders(20, promise=START + timedelta(hours=40))}
# A visitor is worth 0.1 * (9000 - 3700 - bid), some 530; a click costs 200, times 1.5.


def with_campaign(**rules: Any) -> FamilyRules:
    return replace(HOUSE, campaign=replace(HOUSE.campaign, **rules))


def test_a_campaign_opens_while_a_visitor_is_worth_one_and_a_half_clicks() -> None:
    seen = planned(HOUSE, **SOME)
    assert seen.campaign.open
    assert seen.campaign.kind is CampaignKind.VISIBILITY
    assert seen.campaign.depth == 0
    assert seen.campaign.until == seen.latest_start
    assert seen.campaign.units_left == 100
    dear = planned(with_campaign(cost_per_click_minor=360), **SOME)
    assert not dear.campaign.open
    assert "campaign_not_worth" in codes(dear)


def test_a_visitor_is_worth_less_when_the_audience_was_just_asked() -> None:
    assert planned(HOUSE, **SOME, campaign=CampaignSeen(hours_week=12)).campaign.open
    tired = planned(HOUSE, **SOME, campaign=CampaignSeen(hours_week=18))
    assert not tired.campaign.open
    assert planned(HOUSE, **SOME, campaign=CampaignSeen(hours_week=18, freshness=1.0)).campaign.open


def test_a_campaign_opens_when_the_rest_of_the_run_is_as_long_as_its_hours() -> None:
    late = START + timedelta(hours=40 - 24)
    assert not planned(HOUSE, START + timedelta(hours=9), **FAR).campaign.open
    assert planned(HOUSE, late, **FAR).campaign.open
    assert not planned(HOUSE, late, **FAR, campaign=CampaignSeen(hours_week=20, freshness=1.0)).campaign.open


def test_an_open_campaign_does_not_flicker() -> None:
    edge = with_campaign(cost_per_click_minor=360)
    assert not planned(edge, **SOME).campaign.open
    assert planned(edge, **SOME, campaign=CampaignSeen(open=True)).campaign.open


@pytest.mark.parametrize(
    ("rules", "seen", "code"),
    [
        (HOUSE, {"orders": ()}, "campaign_empty"),
        (HOUSE, {"orders": orders(120, promise=START + timedelta(hours=10))}, "campaign_full"),
        (HOUSE, {"orders": orders(5, promise=START)}, "campaign_starting"),
        (HOUSE, SOME | {"held": "no moulds"}, "campaign_starting"),
        (HOUSE, SOME | {"frozen": True}, "campaign_frozen"),
        (HOUSE, SOME | {"sources": (Source(name="shop", age_s=9, period_s=1),)}, "campaign_stale"),
        (HOUSE, SOME | {"mode": Mode.OFF}, "campaign_off"),
        (with_campaign(enabled=False), SOME, "campaign_off"),
        (replace(HOUSE, policy=Policy.STATIC), SOME, "campaign_off"),
        (HOUSE, SOME | {"campaign": CampaignSeen(hours_week=24)}, "campaign_hours_used"),
        (with_campaign(kind=CampaignKind.REDUCTION, depth=0.6), SOME, "campaign_below_floor"),
        (DISTANCE, FAR, "campaign_far"),
        (HOUSE, FAR, "campaign_later"),
        (replace(HOUSE, run=replace(HOUSE.run, release=Release.AT_ONCE)), SOME, "campaign_starting"),
    ],
)
def test_there_is_no_campaign(rules: FamilyRules, seen: dict[str, Any], code: str) -> None:
    result = planned(rules, **seen)
    assert not result.campaign.open
    assert not result.campaign.proposed
    assert code in codes(result)


def test_distance_opens_its_campaign_near_the_run_whatever_it_is_worth() -> None:
    near: dict[str, Any] = {"orders": orders(20, promise=START + timedelta(hours=20))}
    dear = replace(DISTANCE, campaign=CampaignRules(cost_per_click_minor=100_000))
    assert planned(dear, **near).campaign.open


def test_an_announced_reduction_waits_for_a_person() -> None:
    family = with_campaign(kind=CampaignKind.REDUCTION, depth=0.1)
    waits = planned(family, **SOME)
    assert not waits.campaign.open
    assert waits.campaign.proposed
    assert "campaign_approval" in codes(waits)
    agreed = planned(family, **SOME, campaign=CampaignSeen(approved=True))
    assert agreed.campaign.open
    assert agreed.campaign.depth == 0.1


def test_advice_proposes_a_campaign() -> None:
    advised = planned(HOUSE, **SOME, mode=Mode.ADVISE)
    assert advised.campaign.proposed
    assert not advised.campaign.open
