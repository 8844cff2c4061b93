"""Proposals over the real ledger: answered once, by name, through the guard rails, and applied once whatever dies."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.domain.exceptions import Kind
from gateway.domain.pricing import Mode, Release, RunRules
from gateway.errors import RefusedError
from gateway.ledger import events, exceptions, pricing_control
from gateway.ledger.runs import hold_run
from gateway.ledger.times import to_text
from tests.stages.answering import ANNA, BERT, approve, open_proposals, reject, state_of, the_proposal
from tests.stages.pricing_house import RULES, SHOP, House, a_house

WHITE = "offer:webshop/WHITE"


@pytest.fixture
async def house(state_dir: Path) -> AsyncIterator[House]:
    """Everything is proposed: an empty run of white is far off, so its price is to be 115.00."""
    async with a_house(state_dir, mode=Mode.ADVISE) as made:
        await made.price()
        yield made


async def _price_of(house: House, sku: str = "WHITE") -> int:
    return int((await house.offers(sku))[-1]["price_minor"])


# Answers


async def test_an_approved_price_is_put_in_force_exactly_and_told_to_the_shop(house: House) -> None:
    proposal = await the_proposal(house, "price", WHITE)
    assert (proposal.body["from_minor"], proposal.body["to_minor"]) == (10_000, 11_500)
    assert "115.00 SEK is in force" in await approve(house, proposal.proposal_id)
    assert await _price_of(house) == 11_500
    await house.tell()
    assert house.shop.price_of("WHITE") == 11_500
    assert house.shop.price_of("BLACK") == 10_000
    await house.price(minutes=5, read=True)
    assert await _price_of(house) == 11_500
    assert await open_proposals(house, "price") == []
    assert [one["price_minor"] for one in await house.read("SELECT * FROM price_log WHERE sku = 'WHITE'")] == [
        10_000,
        11_500,
    ]


async def test_an_answer_is_a_fact_without_a_name_and_an_event_with_one(house: House) -> None:
    proposal = await the_proposal(house, "price", WHITE)
    await approve(house, proposal.proposal_id)
    (fact,) = await house.facts("proposal.approved")
    assert (fact["proposal_id"], fact["kind"], fact["subject"]) == (proposal.proposal_id, "price", WHITE)
    assert ANNA not in orjson.dumps(fact).decode()
    (event,) = await house.ledger.read(lambda tx: events.history(tx, f"proposal:{proposal.proposal_id}", 5))
    assert (event["what"], event["who"]) == ("proposal.approved", ANNA)


async def test_a_rejected_price_is_not_proposed_again_by_this_life_or_the_next(house: House) -> None:
    proposal = await the_proposal(house, "price", WHITE)
    await reject(house, proposal.proposal_id, reason="the fair is next week")
    for _ in range(3):
        house.restart()
        await house.price(minutes=30)
    assert await open_proposals(house, "price") == []
    assert house.shop.offer_writes == []
    await house.price(minutes=24 * 60)
    assert [one.subject for one in await open_proposals(house, "price")] == [WHITE]


async def test_of_two_people_who_answer_one_wins(house: House) -> None:
    proposal = await the_proposal(house, "price", WHITE)
    results = await asyncio.gather(
        approve(house, proposal.proposal_id, who=ANNA),
        reject(house, proposal.proposal_id, who=BERT),
        return_exceptions=True,
    )
    refused = [one for one in results if isinstance(one, RefusedError)]
    assert len(refused) == 1
    assert "was approved by person:anna already" in str(refused[0])
    assert await state_of(house, proposal.proposal_id) == "approved"
    assert len(await house.facts("proposal.rejected")) == 0


async def test_the_same_approval_twice_puts_the_price_in_force_once(house: House) -> None:
    proposal = await the_proposal(house, "price", WHITE)
    await approve(house, proposal.proposal_id)
    with pytest.raises(RefusedError, match="already"):
        await approve(house, proposal.proposal_id)
    assert [one["price_minor"] for one in await house.offers("WHITE")] == [10_000, 11_500]


async def test_nobody_answers_and_nothing_is_done(house: House) -> None:
    first = await the_proposal(house, "price", WHITE)
    house.clock.business += timedelta(hours=24)
    with pytest.raises(RefusedError, match="expired"):  # also before a round has looked
        await approve(house, first.proposal_id)
    await house.price()
    assert await state_of(house, first.proposal_id) == "expired"
    assert [one["proposal_id"] for one in await house.facts("proposal.expired")] == [first.proposal_id]
    assert (await the_proposal(house, "price", WHITE)).proposal_id != first.proposal_id
    assert await _price_of(house) == 10_000
    assert house.shop.offer_writes == []


async def test_a_proposal_that_is_not_wanted_any_more_cannot_be_approved(house: House) -> None:
    proposal = await the_proposal(house, "price", WHITE)
    await house.buy("1", "WHITE", quantity=3)
    await house.price()
    with pytest.raises(RefusedError, match="expired"):
        await approve(house, proposal.proposal_id)


async def test_a_price_proposed_from_another_list_price_is_out_of_date(house: House) -> None:
    proposal = await the_proposal(house, "price", WHITE)
    house.clock.business += timedelta(minutes=1)
    house.shop.sell("WHITE", 9_000)
    await house.rounds.read(SHOP)
    with pytest.raises(RefusedError, match="another list price"):
        await approve(house, proposal.proposal_id)
    await house.price()
    assert (await the_proposal(house, "price", WHITE)).body["list_minor"] == 9_000


# Guard rails once more


async def test_what_costs_more_by_now_is_not_sold_below_the_floor(house: House) -> None:
    await house.buy("1", "WHITE", quantity=3)
    await house.price(minutes=60)
    while not await open_proposals(house, "price"):
        await house.price(minutes=60)
    proposal = await the_proposal(house, "price", WHITE)
    assert proposal.body["to_minor"] < 10_000
    dearer = replace(RULES["white"], costs=replace(RULES["white"].costs, unit_minor=9_500))
    house.rules["white"] = dearer
    with pytest.raises(RefusedError, match="floor"):
        await approve(house, proposal.proposal_id)
    assert await state_of(house, proposal.proposal_id) == "open"
    assert await _price_of(house) == 10_000


async def test_a_band_that_was_drawn_closer_meanwhile_holds(house: House) -> None:
    proposal = await the_proposal(house, "price", WHITE)
    tight = replace(RULES["white"].price, hard=(0.9, 1.1), auto=(0.95, 1.1))
    house.rules["white"] = replace(RULES["white"], price=tight)
    with pytest.raises(RefusedError, match="hard band"):
        await approve(house, proposal.proposal_id)


async def test_a_days_moves_are_not_exceeded_by_approvals(state_dir: Path) -> None:
    async with a_house(state_dir, mode=Mode.ADVISE) as house:
        house.rules["white"] = replace(RULES["white"], price=replace(RULES["white"].price, moves_per_day=1))
        await house.price()
        await approve(house, (await the_proposal(house, "price", WHITE)).proposal_id)
        await house.buy("1", "WHITE", quantity=3)
        await house.price(minutes=60)
        assert await open_proposals(house, "price") == []  # nobody could approve it
        await house.price(minutes=24 * 60)
        assert len(await open_proposals(house, "price")) == 1


async def test_frozen_prices_are_not_moved_by_an_approval(house: House) -> None:
    proposal = await the_proposal(house, "price", WHITE)
    await house.ledger.write(
        lambda tx: pricing_control.freeze(tx, None, who=BERT, now=house.clock.now(), reason="fair")
    )
    with pytest.raises(RefusedError, match="freeze"):
        await approve(house, proposal.proposal_id)
    assert await _price_of(house) == 10_000


async def test_on_stale_inputs_nothing_is_approved(house: House) -> None:
    proposal = await the_proposal(house, "price", WHITE)
    at = house.clock.now()
    await house.ledger.write(
        lambda tx: exceptions.open_exception(tx, Kind.STALE, subject="family:white", evidence={"age_s": 9}, at=at)
    )
    with pytest.raises(RefusedError, match="stale"):
        await approve(house, proposal.proposal_id)


async def test_stale_inputs_let_proposals_go(state_dir: Path) -> None:
    async with a_house(state_dir, mode=Mode.ADVISE, periods_s={"machine:oven-1": 60.0}) as house:
        house.board.put(("link", "machine:oven-1"), {"state": "up"})
        house.rounds.ages.look()
        await house.price()
        proposal = await the_proposal(house, "price", WHITE)
        house.board.put(("link", "machine:oven-1"), {"state": "down"})
        house.clock.advance(121)
        house.rounds.ages.look()
        await house.price()
        assert await state_of(house, proposal.proposal_id) == "expired"


async def test_in_auto_a_price_beyond_the_band_waits_for_a_person_who_may_take_it_there(state_dir: Path) -> None:
    async with a_house(state_dir) as house:
        house.rules["white"] = replace(RULES["white"], price=replace(RULES["white"].price, auto=(0.95, 1.08)))
        await house.price()
        assert await _price_of(house) == 10_800
        proposal = await the_proposal(house, "price", WHITE)
        assert proposal.body["to_minor"] == 11_500
        await approve(house, proposal.proposal_id)
        await house.price(minutes=10)
        await house.tell()
        assert await _price_of(house) == 11_500
        assert house.shop.price_of("WHITE") == 11_500


async def test_in_auto_nothing_is_proposed_that_nobody_could_approve_today(state_dir: Path) -> None:
    async with a_house(state_dir) as house:
        rails = replace(RULES["white"].price, auto=(0.95, 1.08), moves_per_day=1)
        house.rules["white"] = replace(RULES["white"], price=rails)
        await house.price()  # the one move of the day
        await house.price(minutes=1)
        assert await open_proposals(house, "price") == []
        await house.price(minutes=24 * 60)
        assert (await the_proposal(house, "price", WHITE)).body["to_minor"] == 11_500


# Campaigns


async def _near_a_run(house: House) -> Any:
    await house.buy("1", "WHITE", quantity=2)
    await house.price(minutes=1)
    await house.price(minutes=38 * 60)  # its run starts after two days
    for _ in range(20):
        await house.price(minutes=60)
        found = await open_proposals(house, "campaign")
        if found:
            return found[0]
    raise AssertionError("no campaign was proposed")


async def test_an_approved_campaign_opens_for_its_run_and_is_shown_in_the_shop(house: House) -> None:
    proposal = await _near_a_run(house)
    assert "until run 1 starts" in await approve(house, proposal.proposal_id)
    await house.price(minutes=1)
    (opened,) = await house.facts("campaign.opened")
    assert opened["family"] == "white"
    await house.tell()
    assert house.shop.offers["p-WHITE"]["_kvot_campaign"] == "visibility"
    assert house.shop.price_of("WHITE") == 10_000
    house.restart()
    await house.price(minutes=1)
    assert len(await house.facts("campaign.opened")) == 1
    assert await open_proposals(house, "campaign") == []


async def test_a_rejected_campaign_is_not_proposed_again_for_this_run(house: House) -> None:
    proposal = await _near_a_run(house)
    await reject(house, proposal.proposal_id)
    for _ in range(3):
        house.restart()
        await house.price(minutes=20)
    assert await open_proposals(house, "campaign") == []
    assert await house.facts("campaign.opened") == []


async def test_a_campaign_for_a_run_that_has_started_cannot_be_approved(house: House) -> None:
    proposal = await _near_a_run(house)
    await house.ledger.write(lambda tx: tx.exec_driver_sql("UPDATE runs SET prev_state = state, state = 'cancelled'"))
    with pytest.raises(RefusedError, match="does not collect any more"):
        await approve(house, proposal.proposal_id)


# Runs


def _below_break_even() -> Any:
    run = RunRules(places=10, threshold=2, release=Release.THRESHOLD, window_h=48)
    costs = replace(RULES["white"].costs, setup_minor=30_000)
    return replace(RULES["white"], run=run, costs=costs)


async def test_a_release_below_break_even_waits_for_a_person_and_releases_jobs_and_nothing_more(
    state_dir: Path,
) -> None:
    async with a_house(state_dir) as house:
        house.rules["white"] = _below_break_even()
        await house.price()
        await house.buy("1", "WHITE", quantity=2)
        await house.price(minutes=1)
        proposal = await the_proposal(house, "release", "run:1")
        assert (proposal.body["fill"], proposal.body["break_even"]) == (2, 5)
        await house.price(minutes=30)
        assert [one["state"] for one in await house.read("SELECT state FROM jobs")] == ["waiting"]
        assert "released with 1 job" in await approve(house, proposal.proposal_id)
        assert [one["state"] for one in await house.read("SELECT state FROM jobs")] == ["released"]
        assert await house.read("SELECT * FROM commands") == []
        levels = await house.read("SELECT level FROM machine_facts")
        assert {one["level"] for one in levels} == {"read"}  # a release arms nobody
        with pytest.raises(RefusedError, match="already"):
            await approve(house, proposal.proposal_id)


async def test_a_run_that_is_held_meanwhile_is_neither_released_nor_let_go_by_an_approval(state_dir: Path) -> None:
    async with a_house(state_dir) as house:
        house.rules["white"] = _below_break_even()
        await house.price()
        await house.buy("1", "WHITE", quantity=2)
        await house.price(minutes=1)
        proposal = await the_proposal(house, "release", "run:1")
        at = house.clock.now()
        await house.ledger.write(lambda tx: hold_run(tx, 1, reason="colour", who=BERT, now=at))
        with pytest.raises(RefusedError, match="held: colour"):
            await approve(house, proposal.proposal_id)
        assert [one["hold_reason"] for one in await house.read("SELECT hold_reason FROM runs")] == ["colour"]
        with pytest.raises(RefusedError, match="no options"):
            await approve(house, proposal.proposal_id, option="release")


async def test_the_list_price_that_the_shop_shows_decides_whether_a_run_pays(state_dir: Path) -> None:
    async with a_house(state_dir) as house:
        cheap = _below_break_even()
        unknown = replace(cheap.price, list_minor=100_000_000)  # what the planner has before the shop has told
        house.rules["white"] = replace(cheap, price=unknown)
        await house.price()
        await house.buy("1", "WHITE", quantity=2)
        assert [one["state"] for one in await house.read("SELECT state FROM jobs")] == ["waiting"]
        await house.price(minutes=1)
        await approve(house, (await the_proposal(house, "release", "run:1")).proposal_id)
        assert [one["state"] for one in await house.read("SELECT state FROM jobs")] == ["released"]


async def test_a_promise_at_risk_is_asked_about_with_its_options(state_dir: Path) -> None:
    async with a_house(state_dir) as house:
        await house.price()
        await house.buy("1", "WHITE", quantity=2)
        await house.price(minutes=60)
        await house.buy("2", "WHITE", quantity=1)
        bold = replace(RULES["white"].promise, quantile=0.5)
        slow = replace(RULES["white"].capacity, mtbf_h=2.0, mttr_h=40.0)
        house.rules["white"] = replace(RULES["white"], promise=bold, capacity=slow)
        await house.price(minutes=1)
        proposal = await the_proposal(house, "promise", "run:1")
        assert proposal.body["orders"]
        assert "release" in proposal.body["options"]
        for option in ("sing", None):  # nothing that leads to motion is chosen by saying nothing
            with pytest.raises(RefusedError, match="choose one of release"):
                await approve(house, proposal.proposal_id, option=option)
        assert "is released" in await approve(house, proposal.proposal_id, option="release")


async def test_only_what_a_promise_takes_is_started_where_the_rest_has_time(state_dir: Path) -> None:
    async with a_house(state_dir) as house:
        await house.price()
        await house.buy("1", "WHITE", quantity=2)
        await house.buy("2", "WHITE", quantity=3)
        later = to_text(house.clock.now() + timedelta(days=20))
        await house.ledger.write(
            lambda tx: tx.exec_driver_sql("UPDATE order_lines SET promise_at = ? WHERE line_id = 2", (later,))
        )
        bold = replace(RULES["white"].promise, quantile=0.5)
        slow = replace(RULES["white"].capacity, mtbf_h=2.0, mttr_h=20.0)
        house.rules["white"] = replace(RULES["white"], promise=bold, capacity=slow)
        await house.price(minutes=1)
        proposal = await the_proposal(house, "promise", "run:1")
        assert (proposal.body["orders"], proposal.body["keep"]) == (["1"], 2)
        await approve(house, proposal.proposal_id, option="split")
        found = await house.read("SELECT state, quantity FROM jobs ORDER BY job_id")
        assert [(one["state"], one["quantity"]) for one in found] == [("released", 2), ("waiting", 3)]


# Death in the middle


async def test_a_life_that_ends_between_the_answer_and_the_shop_has_it_written_once(state_dir: Path) -> None:
    async with a_house(state_dir, mode=Mode.ADVISE) as house:
        await house.price()
        proposal = await the_proposal(house, "price", WHITE)
        await approve(house, proposal.proposal_id)
        shop, at = house.shop, house.clock.now()
    async with a_house(state_dir, shop=shop, mode=Mode.ADVISE, at=at) as house:
        await house.price(read=True)
        await house.tell()
        await house.price(minutes=1, read=True)
        await house.tell()
        assert await _price_of(house) == 11_500
        with pytest.raises(RefusedError, match="already"):
            await approve(house, proposal.proposal_id)
    assert [price for _, price, _ in shop.offer_writes] == [11_500]


async def test_an_answer_whose_event_is_undone_leaves_the_proposal_open(house: House) -> None:
    proposal = await the_proposal(house, "price", WHITE)

    def torn(tx: Any) -> None:
        from gateway.stages import approvals
        from tests.stages.answering import act

        approvals.approve(tx, house.pricing, proposal.proposal_id, act(house))
        raise OSError("the power went")

    with pytest.raises(OSError, match="power"):
        await house.ledger.write(torn)
    assert await state_of(house, proposal.proposal_id) == "open"
    assert await house.waiting() == []
    await approve(house, proposal.proposal_id)
    assert len(await house.waiting()) == 1


async def test_a_shop_whose_answer_is_lost_gets_the_approved_price_once(house: House) -> None:
    await approve(house, (await the_proposal(house, "price", WHITE)).proposal_id)
    house.shop.fail("offer_done")
    with pytest.raises(Exception, match="told to fail"):
        await house.tell()
    house.restart()
    await house.price(minutes=1, read=True)
    await house.tell()
    assert [price for _, price, _ in house.shop.offer_writes] == [11_500]
    assert await house.waiting() == []


async def test_of_two_lives_that_propose_the_same_one_does(house: House) -> None:
    await reject(house, (await the_proposal(house, "price", WHITE)).proposal_id)
    house.clock.business += timedelta(hours=25)
    first, second = house.another_writer(), house.another_writer()
    for one in (first, second):
        await one.read(SHOP)
    await asyncio.gather(first.once(), second.once())
    assert len(await open_proposals(house, "price")) == 1
    assert len(await house.facts("proposal.opened")) == 2
