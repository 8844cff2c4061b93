"""Announced reductions: approved by a person, counted from 30 days of our own log, a coupon in the shop, then gone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.pricing import CampaignKind, CampaignRules, Mode
from gateway.errors import RefusedError
from gateway.ledger import outbox, pricing_control
from gateway.stages.report import report_coupons
from tests.eventually import eventually
from tests.stages.answering import ANNA, approve, open_proposals, reject
from tests.stages.factory import LOG
from tests.stages.pricing_house import RULES, SHOP, House, a_house

REDUCTION = CampaignRules(kind=CampaignKind.REDUCTION, depth=0.1, max_hours_week=100)


def _reducing(house: House, **more: Any) -> None:
    house.rules["white"] = replace(RULES["white"], campaign=replace(REDUCTION, **more))


@pytest.fixture
async def house(state_dir: Path) -> AsyncIterator[House]:
    """Prices were followed for 31 days, and a run of white holds two pieces."""
    async with a_house(state_dir) as made:
        _reducing(made)
        await made.price()
        await made.tell()
        await made.price(minutes=31 * 24 * 60, read=True)
        await made.tell()
        await made.buy("1", "WHITE", quantity=2)
        yield made


async def _proposed(house: House) -> Any:
    await house.price(minutes=1)
    await house.price(minutes=38 * 60)  # its run starts after two days
    for _ in range(20):
        await house.price(minutes=60)
        await house.tell()
        found = await open_proposals(house, "reduction")
        if found:
            return found[0]
    raise AssertionError("no reduction was proposed")


async def _letters(house: House) -> list[outbox.Fact]:
    now = house.clock.now()
    return await house.ledger.read(
        partial(outbox.pending, destination=f"shop:{SHOP}", limit=100, now=now, kind="coupon:")
    )


async def _telling(house: House, until: Callable[[], Awaitable[bool]]) -> None:
    """Run the real stage until something holds."""
    telling = asyncio.ensure_future(
        report_coupons(SHOP, house.shop, ledger=house.ledger, board=house.board, clock=house.clock, log=LOG)
    )
    try:
        await eventually(until)
    finally:
        telling.cancel()


async def _told(house: House) -> None:
    """Let the shop hear of every coupon."""

    async def nothing_waits() -> bool:
        return not await _letters(house)

    await _telling(house, nothing_waits)


async def test_an_approved_reduction_is_a_coupon_that_is_true_for_every_article(house: House) -> None:
    proposal = await _proposed(house)
    (article,) = proposal.body["articles"]
    price, prior = article["price_minor"], article["prior_minor"]
    assert await house.facts("campaign.opened") == []
    assert house.shop.coupons == {}
    await approve(house, proposal.proposal_id)
    await house.price(minutes=1)
    await _told(house)
    (coupon,) = house.shop.coupons.values()
    paid = price * (1 - coupon.percent / 100)
    assert Decimal(prior) * Decimal("0.9") - 2 <= paid <= Decimal(prior) * Decimal("0.9")
    assert (coupon.code, coupon.product_ids, coupon.uses) == ("kvot-white-1", ("p-WHITE",), 8)
    (opened,) = await house.facts("campaign.opened")
    assert (opened["kind"], opened["depth"], opened["units_left"]) == ("reduction", 0.1, 8)
    run: Any = house.board.get(("run", "white"))
    assert run["latest_start"].startswith(f"{coupon.until:%Y-%m-%dT%H:%M}")
    assert f"WHITE: {prior / 100:.2f} SEK" in coupon.text


async def test_the_price_stands_while_a_reduction_is_announced(house: House) -> None:
    restless = replace(house.rules["white"].price, deadband=0.001)
    house.rules["white"] = replace(house.rules["white"], price=restless)
    await approve(house, (await _proposed(house)).proposal_id)
    await house.price(minutes=1)
    before = (await house.offers("WHITE"))[-1]["price_minor"]
    await house.buy("2", "WHITE", quantity=1)
    await house.price(minutes=60)
    await house.price(minutes=60)
    assert (await house.offers("WHITE"))[-1]["price_minor"] == before
    assert await house.facts("campaign.closed") == []


async def test_the_coupon_is_removed_when_the_run_starts_and_the_next_rests_30_days(house: House) -> None:
    await approve(house, (await _proposed(house)).proposal_id)
    await house.price(minutes=1)
    await house.buy("2", "WHITE", quantity=8)
    await house.price(minutes=1)
    await _told(house)
    assert house.shop.coupons == {}
    assert house.shop.coupon_writes == ["kvot-white-1", "-kvot-white-1"]
    assert len(await house.facts("campaign.closed")) == 1
    ended = house.clock.now()
    await house.buy("3", "WHITE", quantity=2)
    seen = set()
    for _ in range(12):
        await house.price(minutes=60)
        seen |= set(house.board.get(("campaign", "white"))["why"])  # type: ignore[call-overload]
        assert await open_proposals(house, "reduction") == []
    assert "campaign_rests" in seen
    house.clock.business = ended + timedelta(days=30)
    await house.buy("4", "WHITE", quantity=2)  # what waited is released, and the next run begins
    await house.buy("5", "WHITE", quantity=2)
    assert await _proposed(house)


async def test_no_reduction_is_announced_before_the_log_knows_30_days(state_dir: Path) -> None:
    async with a_house(state_dir) as house:
        _reducing(house)
        await house.price()
        await house.buy("1", "WHITE", quantity=2)
        rests = set()
        await house.price(minutes=38 * 60)
        for _ in range(12):
            await house.price(minutes=60)
            run: Any = house.board.get(("run", "white"))
            rests |= {one["params"]["until"][:10] for one in run["reasons"] if one["code"] == "campaign_rests"}
        assert rests == {"2026-06-03"}
        assert await open_proposals(house, "reduction") == []


async def test_a_reduction_below_the_floor_is_not_proposed(house: House) -> None:
    dear = replace(RULES["white"].costs, unit_minor=8_900)
    house.rules["white"] = replace(RULES["white"], campaign=REDUCTION, costs=dear)
    await house.price(minutes=38 * 60)
    for _ in range(12):
        await house.price(minutes=60)
    assert await open_proposals(house, "reduction") == []


async def test_a_rejected_reduction_is_not_proposed_again_for_this_run(house: House) -> None:
    await reject(house, (await _proposed(house)).proposal_id)
    for _ in range(3):
        house.restart()
        await house.price(minutes=10)
    assert await open_proposals(house, "reduction") == []
    assert await _letters(house) == []


async def test_an_approved_campaign_is_no_approval_of_a_reduction(house: House) -> None:
    house.rules["white"] = replace(RULES["white"], campaign=replace(REDUCTION, kind=CampaignKind.VISIBILITY, depth=0))
    house.mode = Mode.ADVISE
    house.restart()
    await house.price(minutes=38 * 60)
    while not await open_proposals(house, "campaign"):
        await house.price(minutes=60)
    (proposal,) = await open_proposals(house, "campaign")
    await approve(house, proposal.proposal_id)
    _reducing(house)
    await house.price(minutes=1)
    assert await house.facts("campaign.opened") == []
    assert len(await open_proposals(house, "reduction")) == 1


async def test_a_freeze_takes_the_coupon_back(house: House) -> None:
    await approve(house, (await _proposed(house)).proposal_id)
    await house.price(minutes=1)
    await _told(house)
    assert len(house.shop.coupons) == 1
    await house.ledger.write(lambda tx: pricing_control.freeze(tx, "white", who=ANNA, now=house.clock.now()))
    await house.price(minutes=1)
    await _told(house)
    assert house.shop.coupons == {}


async def test_a_reduction_cannot_be_approved_while_prices_are_frozen(house: House) -> None:
    proposal = await _proposed(house)
    await house.ledger.write(lambda tx: pricing_control.freeze(tx, None, who=ANNA, now=house.clock.now()))
    with pytest.raises(RefusedError, match="frozen"):
        await approve(house, proposal.proposal_id)


async def test_lives_that_end_at_each_step_have_one_coupon(state_dir: Path) -> None:
    """Killed after the answer, after the opening, and after the shop took it but before we knew."""
    async with a_house(state_dir) as house:
        _reducing(house)
        await house.price()
        await house.tell()
        await house.price(minutes=31 * 24 * 60, read=True)
        await house.tell()
        await house.buy("1", "WHITE", quantity=2)
        await approve(house, (await _proposed(house)).proposal_id)
        shop, at = house.shop, house.clock.now()
    async with a_house(state_dir, shop=shop, at=at) as house:
        _reducing(house)
        await house.price(minutes=1)
        assert len(await _letters(house)) == 1
        at = house.clock.now()
    async with a_house(state_dir, shop=shop, at=at) as house:
        _reducing(house)
        await house.price(minutes=1)
        (letter,) = await _letters(house)
        shop.fail("coupon_done")  # it is there, and nobody heard of it

        async def tried() -> bool:
            return (await _letters(house))[0].attempts == 1

        await _telling(house, tried)
        assert shop.coupon_writes == ["kvot-white-1"]
        at = house.clock.now()
        assert letter.body["code"] == "kvot-white-1"
    async with a_house(state_dir, shop=shop, at=at) as house:
        _reducing(house)
        await house.price(minutes=1)
        await _told(house)
        assert len(await house.facts("campaign.opened")) == 1
    assert shop.coupon_writes == ["kvot-white-1"]
