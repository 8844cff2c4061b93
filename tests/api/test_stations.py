"""Stations over the control socket: what people may say of a ticket, in whose name, and what is refused."""

import asyncio
import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog

from drivers.station.session import Station
from gateway.api.app import create_app
from gateway.api.desk import Desk
from gateway.api.serve import control_socket, serve
from gateway.cli import exits
from gateway.cli.client import AskError
from gateway.ledger import events
from gateway.ledger.sql import rows
from gateway.stages.plan import Floor, planning_stage
from gateway.stages.tend import Machine, tend
from tests.api.test_control import Caller
from tests.eventually import eventually
from tests.shops.fake_shop import an_order
from tests.stages.factory import FLOOR, PRESS, PROFILE, SHOP, Factory, a_factory

QUIET = structlog.wrap_logger(structlog.ReturnLogger(), processors=[])  # a verb's stdout is for its answer alone
ME = f"person:{getpass.getuser()}"
TICKETS = f"/api/v1/stations/{PRESS}/tickets"


@asynccontextmanager
async def a_served_station(factory: Factory, state_dir: Path) -> AsyncIterator[Station]:
    """Serve the small factory with a person in the place of its press: the plan releases, the board shows."""
    station = Station(name=PRESS, path=state_dir / "stations" / "packing.jsonl", now=factory.clock.now)
    desk = Desk(
        ledger=factory.ledger,
        board=factory.board,
        clock=factory.clock,
        machines={},
        shops=(SHOP,),
        started_at=factory.clock.now(),
        stations={PRESS: station},
    )
    machine = Machine(
        name=PRESS,
        endpoint="station:packing",
        profile=PROFILE,
        profile_hash="p1",
        configured=factory.configured,
        pieces_per_cycle={"pla-white": 1},
        by_hand=True,
    )
    floor = Floor(families=FLOOR.families, machines=(PRESS,), by_hand=frozenset({PRESS}))
    more: dict[str, Any] = {"ledger": factory.ledger, "clock": factory.clock, "log": QUIET}
    with control_socket(state_dir / "kvot.sock") as bound:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(serve(create_app(desk), bound), name="api"),
                group.create_task(planning_stage(factory.ledger, floor, clock=factory.clock, log=QUIET), name="plan"),
                group.create_task(tend(machine, station, board=factory.board, **more), name="tend"),
            ]
            try:
                yield station
            finally:
                for task in tasks:
                    task.cancel()


@pytest_asyncio.fixture
async def bench(state_dir: Path) -> AsyncIterator[Caller]:
    """A station with one ticket of three pieces on its board."""
    async with a_factory(state_dir) as factory, a_served_station(factory, state_dir) as station:
        factory.shop.place(an_order("1001", quantity=3))
        await factory.pull()
        await eventually(lambda: len(station.tickets()) == 1)
        yield Caller(state_dir / "kvot.sock", factory)


async def _job(bench: Caller) -> str:
    (ticket,) = (await bench.get(TICKETS))["items"]
    return str(ticket["job_id"])


async def test_the_board_shows_what_is_to_be_done(bench: Caller) -> None:
    (station,) = (await bench.get("/api/v1/stations"))["items"]
    assert station["station"] == PRESS
    (ticket,) = station["tickets"]
    assert (ticket["phase"], ticket["quantity"], ticket["recipe"]) == ("allowed_to_start", 3, "tray")
    assert (ticket["labels"]["order_numbers"], ticket["labels"]["sku"]) == (["1001"], "TRAY-12")
    assert (ticket["good"], ticket["scrap"], ticket["started_at"], ticket["by"]) == (0, 0, None, None)


async def test_a_person_makes_an_order_by_a_ticket(bench: Caller) -> None:
    job = await _job(bench)
    begun = await bench.post(f"{TICKETS}/{job}/start")
    assert (begun["phase"], begun["by"]) == ("running", ME)
    await eventually(bench.factory.job_state)
    await bench.post(f"{TICKETS}/{job}/report", good=2)
    counted = await bench.post(f"{TICKETS}/{job}/report", good=1)
    assert (counted["good"], counted["scrap"]) == (3, 0)
    ended = await bench.post(f"{TICKETS}/{job}/done")
    assert ended["phase"] == "ended"

    async def made() -> bool:
        return bool((await bench.factory.order())["state"] == "made")

    await eventually(made)
    (made_job,) = await bench.factory.jobs()
    assert (made_job["good"], made_job["confirmed_by"]) == (3, ME)


async def test_what_is_done_is_no_longer_open(bench: Caller) -> None:
    job = await _job(bench)
    await bench.post(f"{TICKETS}/{job}/start")
    await bench.post(f"{TICKETS}/{job}/report", good=3)
    await bench.post(f"{TICKETS}/{job}/done")
    assert (await bench.get("/api/v1/stations"))["items"] == [{"station": PRESS, "tickets": []}]


async def test_each_confirmation_is_in_the_audit_trail_in_the_name_of_the_peer(bench: Caller) -> None:
    job = await _job(bench)
    await bench.post(f"{TICKETS}/{job}/start")
    await bench.post(f"{TICKETS}/{job}/report", good=2, scrap=1, reason="torn box")
    with pytest.raises(AskError):
        await bench.post(f"{TICKETS}/{job}/start")
    await bench.post(f"{TICKETS}/{job}/done")
    history = await bench.factory.ledger.read(lambda tx: events.history(tx, f"job:{job}", 50))
    said = [(event["what"], event["who"], event["after"]) for event in history if event["what"].startswith("ticket.")]
    assert said == [
        ("ticket.started", ME, {"station": PRESS, "good": 0, "scrap": 0}),
        ("ticket.reported", ME, {"station": PRESS, "good": 2, "scrap": 1, "reason": "torn box"}),
        ("ticket.done", ME, {"station": PRESS, "good": 2, "scrap": 1}),
    ]


async def test_no_fact_for_the_world_names_the_person(bench: Caller) -> None:
    job = await _job(bench)
    await bench.post(f"{TICKETS}/{job}/start")
    await bench.post(f"{TICKETS}/{job}/report", good=3)
    await bench.post(f"{TICKETS}/{job}/done")

    async def completed() -> bool:
        return await bench.factory.job_state() == "completed"

    await eventually(completed)
    facts = await bench.factory.ledger.read(lambda tx: [one["body"] for one in rows(tx, "SELECT body FROM outbox")])
    assert any("job.completed" in fact for fact in facts)
    assert not any(ME in fact for fact in facts)
    assert ME not in str(bench.factory.board.since(0))


@pytest.mark.parametrize(
    ("act", "body", "words"),
    [
        ("report", {"good": 1}, "not begun"),
        ("done", {}, "not begun"),
    ],
)
async def test_what_does_not_fit_the_ticket_is_refused_in_its_words(
    bench: Caller, act: str, body: dict[str, int], words: str
) -> None:
    with pytest.raises(AskError, match=words) as refused:
        await bench.post(f"{TICKETS}/{await _job(bench)}/{act}", **body)
    assert refused.value.code == exits.REFUSED


async def test_scrap_needs_a_reason_and_counts_are_whole_and_not_negative(bench: Caller) -> None:
    job = await _job(bench)
    await bench.post(f"{TICKETS}/{job}/start")
    with pytest.raises(AskError, match="needs a reason") as refused:
        await bench.post(f"{TICKETS}/{job}/report", scrap=1)
    assert refused.value.code == exits.REFUSED
    for body in ({"good": -1}, {"good": 1.5}, {"good": True}, {"good": 10**9}, {"goods": 1}):
        with pytest.raises(AskError) as refused:
            await bench.post(f"{TICKETS}/{job}/report", **body)
        assert refused.value.code == exits.USAGE
    (ticket,) = (await bench.get(TICKETS))["items"]
    assert (ticket["good"], ticket["scrap"]) == (0, 0)


async def test_an_unknown_station_or_ticket_is_a_readable_refusal(bench: Caller) -> None:
    with pytest.raises(AskError, match="no station packing-9"):
        await bench.get("/api/v1/stations/packing-9/tickets")
    with pytest.raises(AskError, match=f"no station is called 'packing-9'; there is {PRESS}"):
        await bench.post("/api/v1/stations/packing-9/tickets/J/start")
    with pytest.raises(AskError, match="no open ticket LUND-9-9") as refused:
        await bench.post(f"{TICKETS}/LUND-9-9/start")
    assert refused.value.code == exits.REFUSED


class _FullDisk(Station):
    def start(self, *_: object, **__: object) -> Any:
        raise OSError(28, "No space left on device")


async def test_a_station_that_cannot_write_or_is_not_open_says_so(state_dir: Path) -> None:
    async with a_factory(state_dir) as factory:
        closed, full = (
            kind(name=name, path=state_dir / name, now=factory.clock.now)
            for kind, name in ((Station, "closed"), (_FullDisk, "full"))
        )
        desk = Desk(
            ledger=factory.ledger,
            board=factory.board,
            clock=factory.clock,
            machines={},
            shops=(),
            started_at=factory.clock.now(),
            stations={"closed": closed, "full": full},
        )
        with control_socket(state_dir / "kvot.sock") as bound:
            async with asyncio.TaskGroup() as group:
                server = group.create_task(serve(create_app(desk), bound))
                caller = Caller(state_dir / "kvot.sock", factory)
                with pytest.raises(AskError, match="not open right now"):
                    await caller.post("/api/v1/stations/closed/tickets/J/start")
                with pytest.raises(AskError, match="could not write it down"):
                    await caller.post("/api/v1/stations/full/tickets/J/start")
                assert (await caller.get("/api/v1/stations/closed/tickets"))["items"] == []
                server.cancel()


async def test_an_order_and_a_lot_are_traced_both_ways(bench: Caller) -> None:
    job = await _job(bench)
    await bench.post(f"{TICKETS}/{job}/start")
    await bench.post(f"{TICKETS}/{job}/report", good=3)
    await bench.post(f"{TICKETS}/{job}/done")

    async def completed() -> bool:
        return await bench.factory.job_state() == "completed"

    await eventually(completed)
    order = await bench.get("/api/v1/trace/order/1")
    (made,) = order["lines"][0]["steps"][0]["jobs"]
    assert (made["lot"], made["counted_by"]) == (job, "person")
    assert [one["what"] for one in made["confirmations"]] == ["ticket.started", "ticket.reported", "ticket.done"]
    lot = await bench.get(f"/api/v1/trace/lot/{job}")
    assert [one["order_id"] for one in lot["orders"]] == [1]
    for trace in (order, lot):
        assert getpass.getuser() not in str(trace).replace("person", "")
    with pytest.raises(AskError, match="no order 7"):
        await bench.get("/api/v1/trace/order/7")
    with pytest.raises(AskError, match="no lot LUND-9-9"):
        await bench.get("/api/v1/trace/lot/LUND-9-9")
