"""`kvot runs` as people at the machines use it: what waits, what they say of it, and what is refused."""

import getpass
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.cli import exits
from gateway.domain.pricing import Release, RunRules
from gateway.domain.products import Setup
from tests.api.test_control import Caller, serving
from tests.cli.test_verbs import Kvot
from tests.domain.test_runs import RULES
from tests.eventually import eventually
from tests.shops.fake_shop import an_order
from tests.stages.factory import Factory
from tests.stages.setting_up import BLACK, WHITE, has_looked, is_in, make, two_setups, waits_for

ME = f"person:{getpass.getuser()}"
GATHERS = RunRules(places=100, threshold=50, release=Release.THRESHOLD)


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """Verbs for what is said, the API for what is asked: the stages log to the stdout that a verb answers on."""

    factory: Factory
    kvot: Kvot
    caller: Caller

    async def show(self, run_id: int) -> Any:
        return await self.caller.get(f"/api/v1/runs/{run_id}")

    async def list(self) -> Any:
        return (await self.caller.get("/api/v1/runs"))["items"]


@pytest_asyncio.fixture
async def desk(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """White asks for a set-up and a first piece; black gathers, and its machine changes over by itself."""
    monkeypatch.setenv("COLUMNS", "300")  # no line of a table is broken
    path = state_dir / "kvot.sock"
    black = replace(BLACK, run=GATHERS, setup=Setup(confirm=False))
    async with two_setups(state_dir, white=WHITE, black=black) as plain:
        factory = replace(plain, floor=replace(plain.floor, rules={"pla-black": replace(RULES, run=GATHERS)}))
        async with serving(factory, path):
            yield Desk(factory=factory, kvot=Kvot(path), caller=Caller(path, factory))


async def test_people_set_up_reject_and_approve_in_their_names(desk: Desk) -> None:
    factory = desk.factory
    factory.shop.place(an_order("1001", quantity=3))
    async with factory.running():
        await waits_for(factory, "setup")
        assert "kvot runs setup-done 1" in await desk.kvot("status")
        (listed,) = await desk.list()
        assert (listed["state"], listed["waits_for"], listed["pieces"]) == ("setup", "setup", 3)
        assert "no first piece" in await desk.kvot("runs", "approve", "1", exits_with=exits.REFUSED)
        await desk.kvot("runs", "setup-done", "1")
        assert "waits for no set-up" in await desk.kvot("runs", "setup-done", "1", exits_with=exits.REFUSED)
        assert "not made yet" in await desk.kvot("runs", "approve", "1", exits_with=exits.REFUSED)
        first = await make(factory, quantity=1)
        await waits_for(factory, "approval")
        assert "kvot runs approve 1" in await desk.kvot("status")
        await desk.kvot("runs", "reject", "1", "--reason", "short shot")
        second = await make(factory, quantity=1)
        await waits_for(factory, "approval")
        await desk.kvot("runs", "approve", "1")
        await make(factory, quantity=2)
        await is_in(factory, "finished")
    shown = await desk.show(1)
    assert [(job["job_id"], job["first_piece"], job["good"]) for job in shown["jobs"]][1:] == [
        (first, "rejected", 0),
        (second, "approved", 1),
    ]
    by_me = [event["what"] for event in shown["history"] if event["who"] == ME]
    assert by_me == ["run.setup_done", "run.first_piece", "run.rejected", "run.approved", "run.running"]
    assert "short shot" in await desk.kvot("runs", "show", "1")


async def test_a_person_releases_a_run_below_its_threshold(desk: Desk) -> None:
    factory = desk.factory
    factory.shop.place(an_order("1001", sku="TRAY-13", quantity=2))
    async with factory.running():
        await is_in(factory, "committed")
        await has_looked(factory)
        assert factory.press.received == []
        await desk.kvot("runs", "release", "1")
        await make(factory, quantity=2)
        await is_in(factory, "finished")
    shown = await desk.show(1)
    assert shown["release_reason"] == "by_person"
    assert ("run.releasing", ME) in [(event["what"], event["who"]) for event in shown["history"]]
    assert "is finished" in await desk.kvot("runs", "release", "1", exits_with=exits.REFUSED)


async def test_a_held_run_is_not_released_when_it_is_full_but_once_it_is_let_go(desk: Desk) -> None:
    factory = desk.factory
    factory.shop.place(an_order("1001", sku="TRAY-13", quantity=2))
    async with factory.running():
        await is_in(factory, "committed")
        await desk.kvot("runs", "hold", "1", "--reason", "colour")
        factory.shop.place(an_order("1002", sku="TRAY-13", quantity=98))

        async def full() -> bool:
            return bool((await desk.show(1))["pieces"] == 100)

        await eventually(full)
        assert (await desk.show(1))["state"] == "committed"
        await desk.kvot("runs", "release", "1")
        await make(factory, quantity=2)


async def test_a_run_is_split_and_the_rest_collects_on(desk: Desk) -> None:
    factory = desk.factory
    factory.shop.place(an_order("1001", sku="TRAY-13", quantity=5))
    async with factory.running():
        await is_in(factory, "committed")
        assert "5 pieces" in await desk.kvot("runs", "split", "1", "--keep", "5", exits_with=exits.REFUSED)
        await desk.kvot("runs", "hold", "1", "--reason", "colour")
        assert "held: colour" in await desk.kvot("runs", "split", "1", "--keep", "2", exits_with=exits.REFUSED)
        assert (await desk.caller.post("/api/v1/runs/1/release"))["done"] == "run 1 goes on"
        await desk.kvot("runs", "split", "1", "--keep", "2")
        await make(factory, quantity=2)
        await is_in(factory, "finished")
        (rest,) = await desk.list()
        assert (rest["run_id"], rest["state"], rest["pieces"]) == (2, "committed", 3)
        await desk.kvot("runs", "release", "2")
        await make(factory, quantity=3)
        await eventually(lambda: factory.shop.statuses.get("1001", {}).get("_kvot_state") == "made")
    assert await factory.exceptions() == []


async def test_an_unknown_run_is_a_readable_refusal(desk: Desk) -> None:
    assert "no run 77" in await desk.kvot("runs", "show", "77", exits_with=exits.FAILURE)
    for words in (("approve", "77"), ("setup-done", "77"), ("reject", "77", "--reason", "x"), ("release", "77")):
        assert "there is no run 77" in await desk.kvot("runs", *words, exits_with=exits.REFUSED)
