"""At a station the ticket says it all: begun is set up, good approves the first piece, scrap rejects it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from drivers.base import JobPhase
from drivers.station.book import Ticket
from drivers.station.session import Station
from gateway.domain.products import Setup
from gateway.ledger.sql import rows
from gateway.stages.plan import planning_stage
from gateway.stages.tend import tend
from tests.eventually import eventually
from tests.ledger.work import one
from tests.shops.fake_shop import an_order
from tests.stages.factory import LOG, PRESS, Factory
from tests.stages.setting_up import WHITE, WHO, is_in, run_of, two_setups

AT_A_BENCH = replace(WHITE, station=True, setup=Setup(first_piece=True))


@asynccontextmanager
async def a_bench(state_dir: Path) -> AsyncIterator[tuple[Factory, Station]]:
    """Put a person in the place of the press, with an order of three trays to make."""
    async with two_setups(state_dir, white=AT_A_BENCH) as factory:
        station = Station(name=PRESS, path=state_dir / "stations" / "bench.jsonl", now=factory.clock.now)
        machine = replace(factory.machine, by_hand=True)
        floor = replace(factory.floor, by_hand=frozenset({PRESS}))
        ledger, clock = factory.ledger, factory.clock
        factory.shop.place(an_order("1001", quantity=3))
        await factory.pull()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(planning_stage(ledger, floor, clock=clock, log=LOG)),
                group.create_task(tend(machine, station, ledger=ledger, board=factory.board, clock=clock, log=LOG)),
            ]
            try:
                yield factory, station
            finally:
                for task in tasks:
                    task.cancel()


async def _ticket(station: Station, quantity: int) -> Ticket:
    """Wait for the one ticket on the board."""
    await eventually(lambda: [one.phase for one in station.tickets()] == [JobPhase.ALLOWED_TO_START])
    (ticket,) = station.tickets()
    assert ticket.quantity == quantity
    return ticket


async def _say(station: Station, quantity: int, *, good: int, scrap: int = 0) -> str:
    job_id = (await _ticket(station, quantity)).job_id
    station.start(job_id, who=WHO)
    station.report(job_id, good=good, scrap=scrap, reason="burr" if scrap else None, who=WHO)
    station.done(job_id, who=WHO)
    await eventually(lambda: job_id not in [one.job_id for one in station.tickets()])
    return job_id


async def test_a_station_is_asked_for_one_piece_first_and_its_ticket_approves_it(state_dir: Path) -> None:
    async with a_bench(state_dir) as (factory, station):
        first = await _say(station, 1, good=1)
        await _say(station, 2, good=2)
        await is_in(factory, "finished")
        run = await run_of(factory)
        assert (run["first_piece"], run["good"]) == (first, 3)
        assert ("run.approved", WHO) in [(event["what"], event["who"]) for event in run["history"]]
        lot = await factory.ledger.read(lambda tx: one(tx, "SELECT approver FROM lots WHERE lot = :lot", lot=first))
        assert lot == WHO


async def test_a_first_piece_that_a_ticket_calls_scrap_is_made_again_first(state_dir: Path) -> None:
    async with a_bench(state_dir) as (factory, station):
        first = await _say(station, 1, good=0, scrap=1)
        await _say(station, 1, good=1)
        await _say(station, 2, good=2)
        await is_in(factory, "finished")
        assert (await run_of(factory))["good"] == 3
        results = await factory.ledger.read(
            lambda tx: rows(tx, "SELECT scrap, reason FROM results WHERE job_id = :job", job=first)
        )
        assert [(result["scrap"], result["reason"]) for result in results] == [(1, "burr")]
