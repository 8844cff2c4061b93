"""Modes, freezes and the list price put back: said by name, kept over restarts, the strictest holds."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.pricing import Mode
from gateway.errors import RefusedError
from gateway.ledger import events, pricing_control
from gateway.stages import price_views
from tests.stages.answering import ANNA, BERT, open_proposals
from tests.stages.pricing_house import House, a_house


@pytest.fixture
async def house(state_dir: Path) -> AsyncIterator[House]:
    """A run of white with two orders, near enough to its start to have moved in price."""
    async with a_house(state_dir) as made:
        await made.price()
        await made.tell()
        yield made


async def _say(house: House, act: Any, family: str | None, **more: Any) -> None:
    now = house.clock.now()
    await house.ledger.write(lambda tx: act(tx, family, who=more.pop("who", ANNA), now=now, **more))


async def _price_of(house: House, sku: str = "WHITE") -> int:
    return int((await house.offers(sku))[-1]["price_minor"])


async def _shown(house: House, family: str = "white") -> Any:
    shown: Any = await house.ledger.read(lambda tx: price_views.show_pricing(tx, house.pricing, now=house.clock.now()))
    return next(one for one in shown["families"] if one["family"] == family)


async def test_a_frozen_price_stands_over_restarts_until_a_person_unfreezes_it(house: House) -> None:
    await _say(house, pricing_control.freeze, "white", reason="fair")
    await house.buy("1", "WHITE", quantity=3)
    for _ in range(3):
        house.restart()
        await house.price(minutes=6 * 60)
        await house.tell()
    assert await _price_of(house) == 11_500
    assert await _price_of(house, "BLACK") == 10_000
    assert house.board.get(("run", "white"))["frozen"] is True
    shown = await _shown(house)
    assert shown["frozen"] == "where it stands"
    assert any(ANNA in line and "fair" in line for line in shown["why"])
    await _say(house, pricing_control.unfreeze, "white")
    await house.price(minutes=1)
    assert await _price_of(house) < 11_500
    with pytest.raises(RefusedError, match="not frozen"):
        await _say(house, pricing_control.unfreeze, "white")


async def test_the_promise_counts_down_while_the_price_is_frozen(house: House) -> None:
    await _say(house, pricing_control.freeze, None)
    before = (await house.offers("BLACK"))[-1]["promise_at"]
    await house.price(minutes=10 * 60)
    assert (await house.offers("BLACK"))[-1]["promise_at"] > before


async def test_a_freeze_of_all_and_one_of_a_family_are_taken_back_one_by_one(house: House) -> None:
    await _say(house, pricing_control.freeze, None)
    await _say(house, pricing_control.freeze, "white", who=BERT)
    await _say(house, pricing_control.unfreeze, None)
    assert (await _shown(house))["frozen"] == "where it stands"
    assert (await _shown(house, "black"))["frozen"] is None


async def test_an_open_campaign_closes_at_a_freeze(house: House) -> None:
    await house.buy("1", "WHITE", quantity=2)
    while not await house.facts("campaign.opened"):
        await house.price(minutes=60)
    await _say(house, pricing_control.freeze, "white")
    await house.price(minutes=1)
    assert len(await house.facts("campaign.closed")) == 1


async def test_undo_puts_the_list_price_back_and_holds_it_there(house: House) -> None:
    assert house.shop.price_of("WHITE") == 11_500
    await _say(house, pricing_control.freeze, "white", reason="customers call", at_list=True)
    house.restart()
    await house.price(minutes=1)
    await house.tell()
    assert house.shop.price_of("WHITE") == 10_000
    await house.buy("1", "WHITE", quantity=2)
    for _ in range(20):
        await house.price(minutes=60, read=True)
        await house.tell()
    assert house.shop.price_of("WHITE") == 10_000
    assert await _price_of(house) == 10_000
    for family in ("white", None):  # another freeze does not bring the moved price back
        await _say(house, pricing_control.freeze, family)
        assert (await _shown(house))["frozen"] == "at the list price"
    await _say(house, pricing_control.unfreeze, None)
    await house.price(minutes=1)
    assert await _price_of(house) == 10_000
    await _say(house, pricing_control.unfreeze, "white")
    house.clock.business += timedelta(days=1)
    for _ in range(30):
        await house.price(minutes=60)
    assert len({one["price_minor"] for one in await house.offers("WHITE")}) > 2


async def test_undo_comes_before_the_limits_of_pace_and_follows_the_owner(state_dir: Path) -> None:
    async with a_house(state_dir) as house:
        rails = replace(house.rules["white"].price, moves_per_day=1)
        house.rules["white"] = replace(house.rules["white"], price=rails)
        await house.price()
        await house.tell()
        await _say(house, pricing_control.freeze, "white", at_list=True)
        await house.price(minutes=1)
        await house.tell()
        assert house.shop.price_of("WHITE") == 10_000
        house.clock.business += timedelta(minutes=1)
        house.shop.sell("WHITE", 9_500)
        await house.price(minutes=1, read=True)
        assert await _price_of(house) == 9_500


async def test_the_strictest_mode_holds_and_it_is_said_why(house: House) -> None:
    await _say(house, pricing_control.set_mode, None, mode=Mode.ADVISE)
    await _say(house, pricing_control.set_mode, "white", mode=Mode.AUTO)
    shown = await _shown(house)
    assert shown["mode"] == "advise"
    assert [line.partition(":")[0] for line in shown["why"]] == ["auto", "advise", "auto"]
    assert shown["why"][0] == "auto: kvot.yaml"
    await house.buy("1", "WHITE", quantity=3)
    await house.price(minutes=60)
    await house.tell()
    assert house.shop.price_of("WHITE") == 11_500
    assert [one.body["family"] for one in await open_proposals(house, "price")] == ["white"]
    told = [values["_kvot_promise"] for _, _, values in house.shop.offer_writes]
    assert len(set(told)) > 1  # promises do not depend on the mode


async def test_yaml_is_not_loosened_by_an_act(state_dir: Path) -> None:
    async with a_house(state_dir, mode=Mode.ADVISE) as house:
        await _say(house, pricing_control.set_mode, None, mode=Mode.AUTO)
        await house.price()
        assert (await _shown(house))["mode"] == "advise"
        assert await house.waiting() == []


async def test_a_family_that_is_off_keeps_its_price_and_what_was_promised(house: House) -> None:
    line = await house.buy("1", "WHITE", quantity=1)
    await _say(house, pricing_control.set_mode, "white", mode=Mode.OFF)
    house.restart()
    writes = len(house.shop.offer_writes)
    for _ in range(5):
        await house.price(minutes=60, read=True)
        await house.tell()
    assert house.shop.price_of("WHITE") == 11_500
    assert set(house.shop.offers["p-WHITE"].values()) == {""}  # no promise that nobody keeps true
    assert all(product != "p-WHITE" or price is None for product, price, _ in house.shop.offer_writes[writes:])
    assert (await house.offers("WHITE"))[-1]["valid_until"] is not None
    assert (await house.offers("BLACK"))[-1]["valid_until"] is None
    (kept,) = await house.read("SELECT promise_at, state FROM order_lines")
    assert (kept["promise_at"], kept["state"]) == (line["promise_at"], line["state"])
    assert [one["state"] for one in await house.read("SELECT state FROM runs")] == ["committed"]


async def test_the_first_weeks_of_a_family_are_proposals_also_with_auto(state_dir: Path) -> None:
    async with a_house(state_dir, advise_for=timedelta(days=28)) as house:
        await house.price()
        assert (await _shown(house))["mode"] == "advise"
        assert any("first weeks" in line for line in (await _shown(house))["why"])
        assert len(await open_proposals(house, "price")) == 1
        house.restart()
        await house.price(minutes=28 * 24 * 60 - 1)
        assert await _price_of(house) == 10_000
        await house.price(minutes=1)
        assert await _price_of(house) == 11_500
        assert (await _shown(house))["mode"] == "auto"
        assert await open_proposals(house, "price") == []


async def test_each_act_stands_in_the_audit_trail(house: House) -> None:
    await _say(house, pricing_control.set_mode, "white", mode=Mode.ADVISE)
    await _say(house, pricing_control.freeze, "white", who=BERT, reason="fair")
    await _say(house, pricing_control.unfreeze, "white")
    story = await house.ledger.read(lambda tx: events.history(tx, "pricing:white", 10))
    assert [(one["what"], one["who"]) for one in story] == [
        ("pricing.mode", ANNA),
        ("pricing.frozen", BERT),
        ("pricing.unfrozen", ANNA),
    ]
