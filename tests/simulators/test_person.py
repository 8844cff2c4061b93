"""The simulated person: makes each ticket once, writes an honest journal, and minds no gateway that goes away."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Command, CommandKind
from drivers.station.session import Station
from gateway.api.app import create_app
from gateway.api.desk import Desk
from gateway.api.serve import control_socket, serve
from simulators.journal import Entry, Event, Journal, read
from simulators.person.__main__ import main
from simulators.person.asking import Ticket
from simulators.person.settings import PersonSimulation
from simulators.person.working import next_ticket, work
from tests.api.test_stations import a_served_station
from tests.eventually import eventually
from tests.shops.fake_shop import an_order
from tests.stages.factory import PRESS, Factory, a_factory

START, END, MADE = Event.START, Event.END, Event.MADE


def _settings(directory: Path, **fields: float) -> PersonSimulation:
    values = {"cycle_s": 1.0, "speed": 100.0, "look_s": 0.01} | fields
    return PersonSimulation(
        socket=directory / "kvot.sock",
        station=PRESS,
        journal=directory / "packing.jsonl",
        **values,  # type: ignore[arg-type]
    )


def _story(entries: list[Entry], job: str) -> list[tuple[Event, int, int]]:
    return [(entry.event, entry.good, entry.scrap) for entry in entries if entry.job == job]


@asynccontextmanager
async def a_person(settings: PersonSimulation) -> AsyncIterator[None]:
    """Have a person work in this process until the block ends."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(work(settings, stop), name="person")
        try:
            yield
        finally:
            stop.set()


@asynccontextmanager
async def a_gateway(factory: Factory, station: Station, path: Path) -> AsyncIterator[None]:
    """Serve the control socket over an open station alone: tickets are put up and taken off by the test."""
    desk = Desk(
        ledger=factory.ledger,
        board=factory.board,
        clock=factory.clock,
        machines={},
        shops=(),
        started_at=factory.clock.now(),
        stations={PRESS: station},
    )
    with control_socket(path) as bound:
        async with asyncio.TaskGroup() as group:
            server = group.create_task(serve(create_app(desk), bound), name="api")
            try:
                yield
            finally:
                server.cancel()


def _put_up(job: str, quantity: int) -> Command:
    return Command(
        kind=CommandKind.LOAD_START,
        job_id=job,
        job_no=1,
        recipe="box",
        recipe_version="1",
        parameters={},
        quantity=quantity,
        cycles=quantity,
        deadline_s=1e9,
    )


def _ended(station: Station) -> bool:
    return bool(station.tickets()) and all(ticket.ended_at is not None for ticket in station.tickets())


async def test_a_person_makes_the_orders_of_a_shop_each_once(state_dir: Path) -> None:
    settings = _settings(state_dir)
    async with a_factory(state_dir) as factory, a_served_station(factory, state_dir), a_person(settings):
        for number in ("1001", "1002"):
            factory.shop.place(an_order(number, quantity=2))
        await factory.pull()

        async def made() -> bool:
            return [order["state"] for order in await factory.orders()] == ["made", "made"]

        await eventually(made)
        jobs = [job["job_id"] for job in await factory.jobs()]
    entries = read(settings.journal)
    assert {entry.machine for entry in entries} == {PRESS}
    assert len(jobs) == 2
    for job in jobs:
        assert _story(entries, job) == [(START, 0, 0), (MADE, 1, 0), (END, 2, 0)]


async def test_scrap_is_told_with_its_reason_and_made_again_by_the_gateway(state_dir: Path) -> None:
    settings = _settings(state_dir, scrap_rate=0.3, seed=6)
    async with a_factory(state_dir) as factory, a_served_station(factory, state_dir), a_person(settings):
        factory.shop.place(an_order("1001", quantity=4))
        await factory.pull()

        async def made() -> bool:
            return bool((await factory.order())["state"] == "made")

        await eventually(made)
        jobs = await factory.jobs()
    entries = read(settings.journal)
    last = {entry.job: (entry.good, entry.scrap) for entry in entries}
    assert {job["job_id"]: (job["good"], job["scrap"]) for job in jobs} == last
    assert sum(good for good, _ in last.values()) == 4
    assert sum(scrap for _, scrap in last.values()) > 0


async def test_a_gateway_that_comes_late_and_goes_away_changes_nothing(state_dir: Path) -> None:
    settings = _settings(state_dir)
    path = state_dir / "board.jsonl"
    async with a_factory(state_dir) as factory, a_person(settings):
        now = factory.clock.now
        station = Station(name=PRESS, path=path, now=now)
        async with station.session(lambda: None) as session:
            await session.send(_put_up("J1", 12))
            async with a_gateway(factory, station, settings.socket):
                await eventually(lambda: len(read(settings.journal)) >= 4)
        # A restarted gateway: the socket is there before its station is open.
        again = Station(name=PRESS, path=path, now=now)
        async with a_gateway(factory, again, settings.socket):
            for _ in range(2):
                async with again.session(lambda: None):
                    good = again.tickets()[0].good
                    await eventually(lambda good=good: again.tickets()[0].good > good)  # type: ignore[misc]
            async with again.session(lambda: None):
                await eventually(lambda: _ended(again))
                (ticket,) = again.tickets()
    assert (ticket.good, ticket.scrap) == (12, 0)
    events = [entry.event for entry in read(settings.journal)]
    assert events == [START, *[MADE] * 11, END]


class _Mute(Station):
    """Takes every word, writes it down, and fails before it has said so."""

    def start(self, job_id: str, **words: Any) -> Any:
        super().start(job_id, **words)
        raise RuntimeError("gone")

    def report(self, job_id: str, **words: Any) -> Any:
        super().report(job_id, **words)
        raise RuntimeError("gone")

    def done(self, job_id: str, **words: Any) -> Any:
        super().done(job_id, **words)
        raise RuntimeError("gone")


async def test_what_was_heard_without_an_answer_is_not_said_twice(state_dir: Path) -> None:
    settings = _settings(state_dir)
    async with a_factory(state_dir) as factory:
        station = _Mute(name=PRESS, path=state_dir / "board.jsonl", now=factory.clock.now)
        async with station.session(lambda: None) as session, a_gateway(factory, station, settings.socket):
            await session.send(_put_up("J1", 3))
            async with a_person(settings):
                await eventually(lambda: _ended(station))
            (ticket,) = station.tickets()
    assert (ticket.good, ticket.scrap) == (3, 0)
    assert [entry.event for entry in read(settings.journal)] == [START, MADE, MADE, END]


async def test_a_person_goes_on_where_they_stopped(state_dir: Path) -> None:
    settings = _settings(state_dir)
    async with a_factory(state_dir) as factory:
        station = Station(name=PRESS, path=state_dir / "board.jsonl", now=factory.clock.now)
        async with station.session(lambda: None) as session, a_gateway(factory, station, settings.socket):
            await session.send(_put_up("J1", 8))
            async with a_person(settings):
                await eventually(lambda: len(read(settings.journal)) >= 3)
            stopped = len(read(settings.journal))
            assert stopped < 9
            async with a_person(settings):
                await eventually(lambda: _ended(station))
            assert station.tickets()[0].good == 8
    assert [entry.event for entry in read(settings.journal)] == [START, *[MADE] * 7, END]


async def test_pieces_made_and_not_told_yet_are_told_after_a_restart(state_dir: Path) -> None:
    settings = _settings(state_dir)
    with Journal(settings.journal, machine=PRESS) as journal:
        journal.write(START, job="J1")
        journal.write(MADE, job="J1", good=1)
        journal.write(END, job="J1", good=1, scrap=1)
    async with a_factory(state_dir) as factory:
        station = Station(name=PRESS, path=state_dir / "board.jsonl", now=factory.clock.now)
        async with station.session(lambda: None) as session, a_gateway(factory, station, settings.socket):
            await session.send(_put_up("J1", 2))
            station.start("J1", who="person:tester")
            async with a_person(settings):
                await eventually(lambda: _ended(station))
            (ticket,) = station.tickets()
    assert (ticket.good, ticket.scrap, ticket.reason) == (1, 1, settings.scrap_reason)
    assert len(read(settings.journal)) == 3


async def test_a_ticket_that_is_put_up_twice_is_made_twice_and_the_journal_says_so(state_dir: Path) -> None:
    settings = _settings(state_dir)
    async with a_factory(state_dir) as factory:
        station = Station(name=PRESS, path=state_dir / "board.jsonl", now=factory.clock.now)
        async with (
            station.session(lambda: None) as session,
            a_gateway(factory, station, settings.socket),
            a_person(settings),
        ):
            for _ in range(2):
                await session.send(_put_up("J1", 1))
                await eventually(lambda: _ended(station))
                await session.send(replace(_put_up("J1", 1), kind=CommandKind.CLEAR))
    assert _story(read(settings.journal), "J1") == [(START, 0, 0), (END, 1, 0), (START, 1, 0), (END, 2, 0)]


def test_what_is_begun_comes_before_what_is_not() -> None:
    waiting, running, over = (
        Ticket(job=job, phase=phase, quantity=1, good=0, scrap=0)
        for job, phase in (("A", "allowed_to_start"), ("B", "running"), ("C", "ended"))
    )
    assert next_ticket([waiting, running, over]) == running
    assert next_ticket([over, waiting]) == waiting
    assert next_ticket([over]) is None


@pytest.mark.factory
async def test_as_a_process_it_says_that_it_is_ready_and_ends_cleanly(state_dir: Path) -> None:
    journal = state_dir / "packing.jsonl"
    epoch = datetime(2026, 5, 4, 8, 0, tzinfo=UTC).isoformat()
    words = ["--socket", str(state_dir / "kvot.sock"), "--station", PRESS, "--journal", str(journal), "--seed", "7"]
    words += ["--speed", "6000", "--wall-epoch", epoch, "--business-epoch", epoch, "--cycle-s", "30"]
    async with a_factory(state_dir) as factory:
        station = Station(name=PRESS, path=state_dir / "board.jsonl", now=factory.clock.now)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulators.person", *words, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(20):
                ready = json.loads(await process.stdout.readline())
            assert (ready["ready"], ready["station"]) == (True, PRESS)
            async with station.session(lambda: None) as session, a_gateway(factory, station, state_dir / "kvot.sock"):
                await session.send(_put_up("J1", 2))
                await eventually(lambda: _ended(station))
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(8):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
    assert [entry.event for entry in read(journal)] == [START, MADE, END]


def test_arguments_that_do_not_fit_are_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--socket", "s", "--station", "packing", "--journal", str(tmp_path / "j")]
    for more, text in ((["--cycle-s", "0"], "must be above 0"), (["--scrap-rate", "2"], "scrap is a share")):
        assert main([*words, *more]) == 2
        assert text in capsys.readouterr().err
