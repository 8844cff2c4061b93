"""`kvot proposals` and `kvot pricing` as an owner uses them: asked, answered by name, refused in words."""

import asyncio
import getpass
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.api.app import create_app
from gateway.api.desk import Desk
from gateway.api.serve import control_socket, serve
from gateway.cli import exits
from gateway.domain.pricing import Mode
from gateway.ledger import events
from tests.cli.test_verbs import Kvot
from tests.stages.pricing_house import SHOP, House, a_house

ME = f"person:{getpass.getuser()}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """A house that proposes, and its verbs."""

    house: House
    kvot: Kvot


@pytest_asyncio.fixture
async def owner(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Owner]:
    monkeypatch.setenv("COLUMNS", "300")
    path = state_dir / "kvot.sock"
    async with a_house(state_dir, mode=Mode.ADVISE) as house:
        desk = Desk(
            ledger=house.ledger,
            board=house.board,
            clock=house.clock,
            machines={},
            shops=(SHOP,),
            started_at=house.clock.now(),
            floor=house.pricing.floor,
            pricing=house.pricing,
        )
        await house.price()
        with control_socket(path) as bound:
            async with asyncio.TaskGroup() as group:
                server = group.create_task(serve(create_app(desk), bound))
                try:
                    yield Owner(house=house, kvot=Kvot(path))
                finally:
                    server.cancel()


async def test_a_price_is_proposed_shown_and_approved_in_the_owners_name(owner: Owner) -> None:
    assert json.loads(await owner.kvot("status", "--output", "json"))["proposals_open"] == 1
    assert "115 % of the list price" in await owner.kvot("proposals", "list")
    (listed,) = json.loads(await owner.kvot("proposals", "list", "--output", "json"))
    number = str(listed["proposal_id"])
    assert (listed["kind"], listed["to_minor"], listed["state"]) == ("price", 11_500, "open")
    assert "webshop" in await owner.kvot("proposals", "show", number)
    answer = json.loads(await owner.kvot("proposals", "approve", number, "--output", "json"))
    assert (answer["state"], answer["decided_by"]) == ("approved", ME)
    assert "approved by" in await owner.kvot("proposals", "reject", number, "--reason", "x", exits_with=exits.REFUSED)
    await owner.house.tell()
    assert owner.house.shop.price_of("WHITE") == 11_500
    (event,) = await owner.house.ledger.read(lambda tx: events.history(tx, f"proposal:{number}", 5))
    assert event["who"] == ME


async def test_a_price_is_rejected_with_a_reason(owner: Owner) -> None:
    (listed,) = json.loads(await owner.kvot("proposals", "list", "--output", "json"))
    await owner.kvot("proposals", "reject", str(listed["proposal_id"]), "--reason", "the fair")
    (rejected,) = json.loads(await owner.kvot("proposals", "list", "--state", "rejected", "--output", "json"))
    assert (rejected["reason"], rejected["decided_by"]) == ("the fair", ME)
    assert await owner.kvot("proposals", "list") == ""


async def test_what_is_not_there_is_a_readable_refusal(owner: Owner) -> None:
    assert "no proposal 77" in await owner.kvot("proposals", "show", "77", exits_with=exits.FAILURE)
    assert "there is no proposal 77" in await owner.kvot("proposals", "approve", "77", exits_with=exits.REFUSED)
    assert "no family called 'blue'" in await owner.kvot("pricing", "freeze", "blue", exits_with=exits.REFUSED)
    assert "advise" in await owner.kvot("pricing", "mode", "wild", exits_with=exits.USAGE)
    assert "not frozen" in await owner.kvot("pricing", "unfreeze", exits_with=exits.REFUSED)


async def test_an_owner_sees_what_holds_and_why(owner: Owner) -> None:
    await owner.kvot("pricing", "mode", "auto")
    await owner.kvot("pricing", "freeze", "white", "--reason", "fair")
    shown = await owner.kvot("pricing", "show")
    for words in ("where it stands", "fair", ME, "advise: kvot.yaml", "WHITE", "10000"):
        assert words in shown
    (white,) = [
        one
        for one in json.loads(await owner.kvot("pricing", "show", "--output", "json"))["families"]
        if one["family"] == "white"
    ]
    assert (white["mode"], white["articles"][0]["lowest_30d_minor"]) == ("advise", 10_000)
    await owner.kvot("pricing", "unfreeze", "white")
    assert "fair" not in await owner.kvot("pricing", "show")


async def test_the_list_price_is_put_back_but_not_where_prices_are_off(owner: Owner) -> None:
    await owner.kvot("pricing", "undo", "white", "--reason", "customers call")
    assert "at the list price" in await owner.kvot("pricing", "show")
    await owner.kvot("pricing", "mode", "off", "black")
    assert "are off" in await owner.kvot("pricing", "undo", "black", exits_with=exits.REFUSED)
