"""The control socket: what the command line asks and does, over a real Unix socket."""

import asyncio
import getpass
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.api.app import create_app
from gateway.api.desk import Desk, Place
from gateway.api.serve import control_socket, serve
from gateway.cli import exits
from gateway.cli.client import AskError, ask
from gateway.errors import SettingsError
from gateway.ledger import events
from tests.eventually import eventually
from tests.shops.fake_shop import an_order
from tests.stages.factory import PRESS, SHOP, Factory, a_factory


class Caller:
    """Asks as the command line does, from a thread of its own."""

    def __init__(self, path: Path, factory: Factory) -> None:
        self.path = path
        self.factory = factory

    async def get(self, path: str, **query: object) -> Any:
        return await asyncio.to_thread(ask, "GET", path, socket=self.path, params=query, timeout_s=60)

    async def post(self, path: str, **body: object) -> Any:
        return await asyncio.to_thread(ask, "POST", path, socket=self.path, json=body, timeout_s=60)


@asynccontextmanager
async def serving(factory: Factory, path: Path) -> AsyncIterator[None]:
    desk = Desk(
        ledger=factory.ledger,
        board=factory.board,
        clock=factory.clock,
        machines={
            PRESS: Place(
                endpoint="opc.tcp://127.0.0.1:1",
                profile="test-press",
                configured=factory.configured,
                type=factory.profile,
                accepted=factory.accepted,
            )
        },
        shops=(SHOP,),
        started_at=factory.clock.now(),
        floor=factory.floor,
    )
    with control_socket(path) as bound:
        async with asyncio.TaskGroup() as group:
            server = group.create_task(serve(create_app(desk), bound))
            try:
                yield
            finally:
                server.cancel()


@pytest_asyncio.fixture
async def caller(state_dir: Path) -> AsyncIterator[Caller]:
    path = state_dir / "kvot.sock"
    async with a_factory(state_dir) as factory, serving(factory, path):
        yield Caller(path, factory)


async def test_only_its_owner_and_group_can_open_the_socket(caller: Caller) -> None:
    mode = caller.path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


async def test_the_socket_is_gone_afterwards(state_dir: Path) -> None:
    path = state_dir / "kvot.sock"
    with control_socket(path):
        assert path.exists()
    assert not path.exists()


async def test_a_socket_left_behind_by_a_kill_is_replaced(state_dir: Path) -> None:
    path = state_dir / "kvot.sock"
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(path))
    left.close()
    with control_socket(path):
        assert path.exists()


async def test_who_connects_before_anything_is_served_waits_and_is_not_refused(state_dir: Path) -> None:
    path = state_dir / "kvot.sock"
    with control_socket(path), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as early:
        early.connect(str(path))


async def test_a_path_longer_than_the_kernel_takes_is_refused_in_words(state_dir: Path) -> None:
    with pytest.raises(SettingsError, match=r"api\.socket"), control_socket(state_dir / ("x" * 120)):
        pass


async def test_an_order_is_shown_with_its_lines_jobs_and_history(caller: Caller) -> None:
    caller.factory.shop.place(an_order("1001", quantity=2))
    await caller.factory.pull()
    async with caller.factory.running("plan"):
        await eventually(caller.factory.jobs)
    (listed,) = (await caller.get("/api/v1/orders"))["items"]
    assert (listed["number"], listed["state"]) == ("1001", "planned")
    order = await caller.get(f"/api/v1/orders/{listed['order_id']}")
    assert order["lines"][0]["quantity"] == 2
    assert order["jobs"][0]["state"] == "released"
    assert [event["what"] for event in order["history"]] == ["order.received"]


async def test_long_lists_come_in_pages_without_gap_or_repeat(caller: Caller) -> None:
    for number in range(5):
        caller.factory.shop.place(an_order(f"10{number}"))
    await caller.factory.pull()
    seen: list[str] = []
    cursor: int | None = 0
    while cursor is not None:
        page = await caller.get("/api/v1/orders", cursor=cursor, limit=2)
        seen += [order["number"] for order in page["items"]]
        cursor = page["next"]
    assert seen == ["100", "101", "102", "103", "104"]


async def test_an_unknown_order_is_a_readable_refusal(caller: Caller) -> None:
    with pytest.raises(AskError, match="no order 77") as refused:
        await caller.get("/api/v1/orders/77")
    assert refused.value.code == exits.FAILURE


async def test_a_machine_that_does_not_answer_cannot_be_armed(caller: Caller) -> None:
    with pytest.raises(AskError, match="does not answer") as refused:
        await caller.post(f"/api/v1/machines/{PRESS}/arm", level="start")
    assert refused.value.code == exits.REFUSED


async def test_arming_is_a_named_act_of_the_user_at_the_other_end(caller: Caller) -> None:
    async with caller.factory.running("tend"):
        await eventually(lambda: caller.factory.board.get(("state", PRESS)).get("identity"))
        await caller.post(f"/api/v1/machines/{PRESS}/arm", level="load")
    (machine,) = (await caller.get("/api/v1/machines"))["items"]
    assert (machine["level"], machine["armed_by"]) == ("load", f"person:{getpass.getuser()}")
    history = await caller.factory.ledger.read(lambda tx: events.history(tx, f"machine:{PRESS}", 10))
    assert [event["who"] for event in history] == [f"person:{getpass.getuser()}"]


async def test_anyone_may_take_a_machine_back_at_any_time(caller: Caller) -> None:
    await caller.factory.arm()
    await caller.post(f"/api/v1/machines/{PRESS}/disarm")
    (machine,) = (await caller.get("/api/v1/machines"))["items"]
    assert machine["level"] == "read"


async def test_a_level_above_the_configured_one_is_refused(state_dir: Path) -> None:
    async with a_factory(state_dir) as factory, serving(factory, state_dir / "kvot.sock"):
        caller = Caller(state_dir / "kvot.sock", factory)
        with pytest.raises(AskError, match="no machine is called 'press-9'"):
            await caller.post("/api/v1/machines/press-9/arm", level="start")
        with pytest.raises(AskError, match="level") as refused:
            await caller.post(f"/api/v1/machines/{PRESS}/arm", level="full")
        assert refused.value.code == exits.USAGE


async def test_a_held_machine_gets_nothing_until_it_is_let_go(caller: Caller) -> None:
    factory = caller.factory
    await factory.arm()
    await caller.post(f"/api/v1/machines/{PRESS}/hold", reason="cleaning")
    factory.shop.place(an_order("1001"))
    await factory.pull()
    async with factory.running("plan", "tend"):
        await eventually(lambda: factory.board.get(("state", PRESS)).get("why") == "held: cleaning")
        assert factory.press.received == []
        await caller.post(f"/api/v1/machines/{PRESS}/release")
        await eventually(lambda: factory.press.received)


async def test_an_exception_is_decided_by_one_of_its_actions_and_in_a_name(caller: Caller) -> None:
    caller.factory.shop.place(an_order("1001", sku="NEW-1"))
    await caller.factory.pull()
    (question,) = (await caller.get("/api/v1/exceptions"))["items"]
    number = question["exception_id"]
    with pytest.raises(AskError, match="choose one of retry, close"):
        await caller.post(f"/api/v1/exceptions/{number}/resolve", action="explode")
    await caller.post(f"/api/v1/exceptions/{number}/ack")
    await caller.post(f"/api/v1/exceptions/{number}/resolve", action="close", note="bought from elsewhere")
    assert (await caller.get("/api/v1/exceptions"))["items"] == []
    assert (await caller.factory.order())["state"] == "not_made"
    (resolved,) = (await caller.get("/api/v1/exceptions", state="resolved"))["items"]
    assert resolved["resolved_by"] == f"person:{getpass.getuser()}"


async def test_an_order_is_cancelled_and_a_job_rerouted_or_aborted_only_where_that_is_possible(caller: Caller) -> None:
    caller.factory.shop.place(an_order("1001"))
    await caller.factory.pull()
    async with caller.factory.running("plan"):
        await eventually(caller.factory.jobs)
    (job,) = await caller.factory.jobs()
    with pytest.raises(AskError, match="is released") as refused:
        await caller.post(f"/api/v1/jobs/{job['job_id']}/abort")
    assert refused.value.code == exits.REFUSED
    with pytest.raises(AskError, match="makes no pla-white"):
        await caller.post(f"/api/v1/jobs/{job['job_id']}/reroute", machine="oven-1")
    with pytest.raises(AskError, match="nothing of order 1 is set aside"):
        await caller.post("/api/v1/orders/1/retry")
    with pytest.raises(AskError, match="nothing about order:1 was given up"):
        await caller.post("/api/v1/outbox/replay", destination=f"shop:{SHOP}", subject="order:1")
    assert (await caller.post("/api/v1/orders/1/cancel"))["done"] == "order 1 is cancelled"
    assert await caller.factory.job_state() == "cancelled"
    events_of = (await caller.get("/api/v1/orders/1"))["history"]
    assert f"person:{getpass.getuser()}" in {
        event["who"] for event in events_of if event["what"] == "order.cancel_asked"
    }


async def test_ready_means_that_an_order_can_be_taken_now(caller: Caller) -> None:
    with pytest.raises(AskError) as refused:
        await caller.get("/readyz")
    assert refused.value.code == exits.TEMPORARY
    async with caller.factory.running("intake"):
        await eventually(lambda: caller.factory.board.get(("link", f"shop:{SHOP}")))
        assert await caller.get("/readyz") == {"ready": True}
    assert await caller.get("/healthz") is None


async def test_status_counts_what_there_is(caller: Caller) -> None:
    caller.factory.shop.place(an_order("1001"))
    caller.factory.shop.place(an_order("1002", status="pending"))
    await caller.factory.pull()
    status = await caller.get("/api/v1/status")
    assert status["orders"] == {"received": 1, "not_due": 1}
    assert status["exceptions_open"] == 0
    assert {one["destination"]: one["pending"] for one in status["outbox"]} == {"mqtt": 4, f"shop:{SHOP}": 2}


async def test_a_gateway_that_is_not_there_is_said_in_one_line(state_dir: Path) -> None:
    with pytest.raises(AskError, match="Is it running") as missing:
        ask("GET", "/healthz", socket=state_dir / "none.sock")
    assert missing.value.code == exits.UNREACHABLE


async def test_a_replaced_controller_is_taken_as_it_is_only_while_it_answers(caller: Caller) -> None:
    with pytest.raises(AskError, match="no job mark") as refused:
        await caller.post(f"/api/v1/machines/{PRESS}/baseline")
    assert refused.value.code == exits.REFUSED
    caller.factory.press.mark = 7
    async with caller.factory.running("tend"):
        await eventually(lambda: caller.factory.board.get(("state", PRESS)).get("mark") == 7)
        await caller.post(f"/api/v1/machines/{PRESS}/baseline")
    history = await caller.factory.ledger.read(lambda tx: events.history(tx, f"machine:{PRESS}", 10))
    assert "machine.baselined" in [event["what"] for event in history]
