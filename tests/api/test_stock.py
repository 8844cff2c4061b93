"""Stock over the control socket and by the command line: counted in somebody's name, refused where it is nonsense."""

import getpass
import json
from typing import Any

import pytest

from gateway.cli import exits
from gateway.cli.client import AskError
from gateway.ledger import events
from gateway.ledger.sql import change
from tests.api.test_control import Caller, caller
from tests.cli.test_verbs import Kvot
from tests.ledger.shop_floor import ShopFloor

__all__ = ["caller"]  # the fixture


async def test_stock_is_counted_in_the_callers_name(caller: Caller) -> None:
    assert await caller.post("/api/v1/stock/set", item="BLANK 12", quantity=10, lot="L-1") == {
        "item": "BLANK 12",
        "quantity": 10,
        "lots": ["L-1"],
    }
    await caller.post("/api/v1/stock/add", item="BLANK 12", quantity=2.5)
    found = await caller.get("/api/v1/stock")
    assert found["material"] == [{"item": "BLANK 12", "quantity": 12.5, "reserved": 0, "free": 12.5, "lots": ["L-1"]}]
    assert (found["tools"], found["waiting"], found["shelf"]) == ([], [], [])
    story: list[dict[str, Any]] = await caller.factory.ledger.read(lambda tx: events.history(tx, "stock:BLANK 12", 5))
    assert {event["who"] for event in story} == {f"person:{getpass.getuser()}"}


@pytest.mark.parametrize(
    "body",
    [
        {"item": "BLANK", "quantity": -1},
        {"item": "BLANK", "quantity": 1e300},
        {"item": "", "quantity": 1},
        {"item": "BLANK"},
        {"item": "BLANK", "quantity": 1, "colour": "red"},
    ],
)
async def test_what_is_no_count_is_refused(caller: Caller, body: dict[str, object]) -> None:
    with pytest.raises(AskError):
        await caller.post("/api/v1/stock/set", **body)
    assert (await caller.get("/api/v1/stock"))["material"] == []


async def test_a_person_counts_and_writes_off_by_the_command_line(caller: Caller) -> None:
    kvot = Kvot(caller.path)
    assert await kvot("stock", "list") == ""
    assert await kvot("stock", "set", "BLANK", "10", "--lot", "4711") == ""
    assert json.loads(await kvot("stock", "add", "BLANK", "0.5", "--output", "json"))["quantity"] == 10.5
    assert "BLANK" in await kvot("stock", "list")
    await kvot("stock", "set", "BLANK", "-1", exits_with=exits.USAGE)
    refusal = await kvot("stock", "discard", "LUND-1-1", "1", exits_with=exits.REFUSED)
    assert "0 pieces of lot" in refusal


async def test_goods_on_the_shelf_are_listed_and_written_off(caller: Caller) -> None:
    def make(tx: Any) -> None:
        floor = ShopFloor(tx=tx)
        floor.order(1)
        (job,) = floor.plan()
        floor.make(job, good=4)

    await caller.factory.ledger.write(make)
    kvot = Kvot(caller.path)
    found = json.loads(await kvot("stock", "list", "--output", "json"))
    (lying,) = found["shelf"]
    assert (lying["product"], lying["pieces"]) == ("TRAY-12", 3)
    assert "TRAY-12" in await kvot("stock", "list")
    await kvot("stock", "discard", lying["lot"], "2")
    assert (await caller.get("/api/v1/stock"))["shelf"][0]["pieces"] == 1
    assert "discard" in await kvot("trace", lying["lot"])


async def test_a_suppliers_lot_that_is_a_number_is_traced_by_name(caller: Caller) -> None:
    def make(tx: Any) -> None:
        floor = ShopFloor(tx=tx)
        floor.order(1)
        (job,) = floor.plan()
        floor.make(job, good=1)
        used = '[{"item":"BLANK","quantity":1,"lots":["4711"]}]'
        change(tx, "UPDATE lots SET material_lots = :used", used=used)

    await caller.factory.ledger.write(make)
    assert "no order 4711" in await Kvot(caller.path)("trace", "4711", exits_with=exits.FAILURE)
    assert "TRAY-12" in await Kvot(caller.path)("trace", "lot:4711")
