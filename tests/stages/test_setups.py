"""A run waits for its set-up and its first piece, and nothing but a named person or the machine ends the wait."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from drivers.profile import Recipe
from gateway.domain.products import Setup
from gateway.errors import RefusedError
from gateway.ledger.runs import hold_run, let_run_go
from gateway.ledger.sql import rows
from tests.eventually import eventually
from tests.ledger.work import one
from tests.shops.fake_shop import an_order
from tests.stages.factory import PRESS, Factory
from tests.stages.setting_up import (
    BLACK,
    WHITE,
    WHO,
    approve,
    has_looked,
    is_in,
    make,
    reject,
    run_of,
    set_up,
    two_setups,
    waits_for,
)


@pytest_asyncio.fixture
async def factory(state_dir: Path) -> AsyncIterator[Factory]:
    async with two_setups(state_dir) as made:
        yield made


async def test_nothing_of_a_run_is_sent_before_a_named_person_has_confirmed_its_setup(factory: Factory) -> None:
    factory.shop.place(an_order("1001", sku="TRAY-13", quantity=2))
    async with factory.running():
        await waits_for(factory, "setup")
        await has_looked(factory)
        assert factory.press.received == []
        shown = factory.board.get(("state", PRESS))
        assert shown["waits"] == {"run": 1, "for": "setup", "text": shown["why"]}
        assert shown["why"] == "run 1 waits for its set-up: pla-black (set up now: not known)"
        await set_up(factory)
        await make(factory, quantity=2)
        await is_in(factory, "finished")
    history = [(event["what"], event["who"]) for event in (await run_of(factory))["history"]]
    assert ("run.setup_done", WHO) in history
    assert ("run.running", WHO) in history


async def _three_days_with_somebody_there(factory: Factory) -> None:
    for _ in range(9):
        factory.clock.advance(8 * 3600)
        await factory.arm()


async def test_time_alone_never_confirms_a_setup_or_approves_a_piece(factory: Factory) -> None:
    factory.shop.place(an_order("1001", quantity=3))
    async with factory.running():
        await waits_for(factory, "setup")
        await _three_days_with_somebody_there(factory)
        await has_looked(factory)
        assert factory.press.received == []
        await set_up(factory)
        await make(factory, quantity=1)
        await waits_for(factory, "approval")
        await _three_days_with_somebody_there(factory)
        await has_looked(factory)
        assert len(factory.press.starts) == 1


async def test_the_first_piece_is_made_alone_and_the_rest_once_it_is_approved(factory: Factory) -> None:
    factory.shop.place(an_order("1001", quantity=5))
    async with factory.running():
        await waits_for(factory, "setup")
        await set_up(factory)
        first = await make(factory, quantity=1)
        await waits_for(factory, "approval")
        await has_looked(factory)
        assert factory.press.starts == [first]
        assert (await factory.order())["lines"][0]["good"] == 0
        await approve(factory)
        await make(factory, quantity=4)
        await eventually(lambda: factory.shop.statuses.get("1001", {}).get("_kvot_state") == "made")
    run = await run_of(factory)
    assert (run["state"], run["first_piece"], run["good"]) == ("finished", first, 5)
    lot = await factory.ledger.read(lambda tx: one(tx, "SELECT approver FROM lots WHERE lot = :lot", lot=first))
    assert lot == WHO


async def test_a_rejected_first_piece_is_scrap_by_a_correction_and_another_is_made_first(factory: Factory) -> None:
    factory.shop.place(an_order("1001", quantity=5))
    async with factory.running():
        await waits_for(factory, "setup")
        await set_up(factory)
        first = await make(factory, quantity=1)
        await waits_for(factory, "approval")
        second = await reject(factory)
        assert await make(factory, quantity=1) == second
        await waits_for(factory, "approval")
        await approve(factory)
        await make(factory, quantity=4)
        await eventually(lambda: factory.shop.statuses.get("1001", {}).get("_kvot_state") == "made")
    results = await factory.ledger.read(
        lambda tx: rows(tx, "SELECT good, scrap, reason, confirmed_by FROM results WHERE job_id = :job", job=first)
    )
    assert [(result["good"], result["scrap"], result["reason"], result["confirmed_by"]) for result in results] == [
        (1, 0, None, None),
        (0, 1, "short shot", WHO),
    ]
    assert len(factory.press.starts) == len(set(factory.press.starts)) == 3
    assert (await run_of(factory))["good"] == 5
    assert len(await factory.ledger.read(lambda tx: rows(tx, "SELECT run_id FROM runs"))) == 1
    assert await factory.exceptions() == []


async def test_an_order_of_one_piece_is_not_made_before_its_first_piece_is_approved(factory: Factory) -> None:
    factory.shop.place(an_order("1001"))
    async with factory.running():
        await waits_for(factory, "setup")
        await set_up(factory)
        await make(factory, quantity=1)
        await waits_for(factory, "approval")
        assert (await factory.order())["state"] == "in_production"
        second = await reject(factory)
        assert await make(factory, quantity=1) == second
        await waits_for(factory, "approval")
        await approve(factory)
        await is_in(factory, "finished")
    assert (await factory.order())["state"] == "made"


async def test_a_setup_that_stands_is_passed_over_and_so_is_its_approved_first_piece(factory: Factory) -> None:
    factory.shop.place(an_order("1001", quantity=2))
    async with factory.running():
        await waits_for(factory, "setup")
        await set_up(factory)
        await make(factory, quantity=1)
        await waits_for(factory, "approval")
        await approve(factory)
        await make(factory, quantity=1)
        await is_in(factory, "finished")
        factory.shop.place(an_order("1002", quantity=3))
        await make(factory, quantity=3)
        await is_in(factory, "finished", 2)
    assert not {"run.setup", "run.first_piece"} & {event["what"] for event in (await run_of(factory, 2))["history"]}


async def test_another_version_of_the_recipe_needs_another_first_piece(factory: Factory) -> None:
    def changed(_machine: str, _recipe: str) -> Recipe:
        return recipe

    factory.shop.place(an_order("1001"))
    async with factory.running():
        await waits_for(factory, "setup")
        await set_up(factory)
        await make(factory, quantity=1)
        await waits_for(factory, "approval")
        await approve(factory)
        await is_in(factory, "finished")
    recipe = replace(factory.profile.recipes["tray"], version="2")
    newer = replace(
        factory.with_profile(recipes={"tray": recipe}), catalogue=replace(factory.catalogue, recipe=changed)
    )
    newer.shop.place(an_order("1002", quantity=3))
    async with newer.running():
        await make(newer, quantity=1)
        await waits_for(newer, "approval", 2)
        await approve(newer, 2)
        await make(newer, quantity=2)
        await is_in(newer, "finished", 2)


async def test_a_machine_makes_one_setup_after_the_other_and_asks_for_the_next_when_the_first_has_ended(
    factory: Factory,
) -> None:
    factory.shop.place(an_order("1001", sku="TRAY-12"))
    factory.shop.place(an_order("1002", sku="TRAY-13"))
    async with factory.running():
        await waits_for(factory, "setup", 1)
        await waits_for(factory, "setup", 2)
        run = {view["family"]: view["run_id"] for view in [await run_of(factory, 1), await run_of(factory, 2)]}
        await set_up(factory, run["pla-white"])
        with pytest.raises(RefusedError, match="has not ended: its set-up stands until then"):
            await set_up(factory, run["pla-black"])
        await make(factory, quantity=1)
        await waits_for(factory, "approval", run["pla-white"])
        with pytest.raises(RefusedError, match="has not ended"):
            await set_up(factory, run["pla-black"])
        await approve(factory, run["pla-white"])
        await set_up(factory, run["pla-black"])
        await make(factory, quantity=1)
        await is_in(factory, "finished", run["pla-black"])


async def test_a_matching_tool_confirms_a_setup_by_itself_and_a_wrong_one_is_shown(state_dir: Path) -> None:
    white = replace(WHITE, setup=Setup(tool_code="T-7"))
    async with two_setups(state_dir, white=white) as factory:
        factory.press.setup_code = "T-1"
        factory.shop.place(an_order("1001", quantity=2))
        async with factory.running():
            await waits_for(factory, "setup")
            await eventually(
                lambda: "fitted tool T-1, needed T-7" in str(factory.board.get(("state", PRESS)).get("why"))
            )
            with pytest.raises(RefusedError, match="the machine names tool T-1 as fitted, and tool T-7 is needed"):
                await set_up(factory, code="T-1")
            assert factory.press.received == []
            factory.press.setup_code = "T-7"
            await make(factory, quantity=2)
        history = [(event["what"], event["who"]) for event in (await run_of(factory))["history"]]
        assert ("run.setup_done", f"machine:{PRESS}") in history


async def test_a_tool_that_is_taken_out_in_a_run_stops_what_is_still_to_be_sent(state_dir: Path) -> None:
    white = replace(WHITE, setup=Setup(tool_code="T-7", first_piece=True))
    async with two_setups(state_dir, white=white) as factory:
        factory.press.setup_code = "T-7"
        factory.shop.place(an_order("1001", quantity=2))
        async with factory.running():
            await make(factory, quantity=1)
            await waits_for(factory, "approval")
            factory.press.setup_code = "T-1"
            await eventually(lambda: factory.board.get(("state", PRESS)).get("setup_code") == "T-1")
            await approve(factory)
            await eventually(lambda: "tool T-7 is needed" in str(factory.board.get(("state", PRESS)).get("why")))
            assert len(factory.press.starts) == 1
            factory.press.setup_code = "T-7"
            await make(factory, quantity=1)


async def test_a_machine_that_changes_over_by_itself_asks_nobody(state_dir: Path) -> None:
    by_itself = {
        "white": replace(WHITE, setup=Setup(confirm=False)),
        "black": replace(BLACK, setup=Setup(confirm=False)),
    }
    async with two_setups(state_dir, **by_itself) as factory:
        factory.shop.place(an_order("1001", sku="TRAY-12"))
        factory.shop.place(an_order("1002", sku="TRAY-13"))
        async with factory.running():
            await make(factory, quantity=1)
            await make(factory, quantity=1)
            await is_in(factory, "finished", 2)
        fitted = await factory.ledger.read(lambda tx: one(tx, "SELECT last_setup_key FROM machine_facts"))
        assert fitted == "pla-black"


async def test_a_held_run_waits_whatever_it_waited_for_and_goes_on_where_it_was(factory: Factory) -> None:
    factory.shop.place(an_order("1001", quantity=3))
    async with factory.running():
        await waits_for(factory, "setup")
        await set_up(factory)
        await make(factory, quantity=1)
        await waits_for(factory, "approval")
        now = factory.clock.now()
        await factory.ledger.write(lambda tx: hold_run(tx, 1, reason="colour is off", who=WHO, now=now))
        await approve(factory)
        await has_looked(factory)
        assert len(factory.press.starts) == 1
        assert factory.board.get(("state", PRESS))["why"] == "held: run 1: colour is off"
        assert await factory.ledger.write(lambda tx: let_run_go(tx, 1, who=WHO, now=now))
        await make(factory, quantity=2)
        await is_in(factory, "finished")


async def test_a_gateway_that_starts_again_waits_as_before(state_dir: Path) -> None:
    async with two_setups(state_dir) as factory:
        factory.shop.place(an_order("1001", quantity=3))
        async with factory.running():
            await waits_for(factory, "setup")
            await set_up(factory)
            await make(factory, quantity=1)
            await waits_for(factory, "approval")
        shop, press = factory.shop, factory.press
    async with two_setups(state_dir, shop=shop, press=press) as factory, factory.running():
        await waits_for(factory, "approval")
        await has_looked(factory)
        assert len(press.starts) == 1
        await reject(factory)
        await make(factory, quantity=1)
        await waits_for(factory, "approval")
        await approve(factory)
        await make(factory, quantity=2)
        await eventually(lambda: shop.statuses.get("1001", {}).get("_kvot_state") == "made")
    assert len(press.starts) == 3
