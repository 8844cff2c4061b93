"""A gateway's own stages in this process, before simulated machines as children: no shop, no broker, no API."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from gateway.cli.bench.factory import SHOP, SITE, Kind, Stand, an_order, intake_for, settings_for
from gateway.cli.demo.children import OUR_CODE, Child, running
from gateway.clock import SystemClock
from gateway.domain.machines import Level
from gateway.house import House
from gateway.ledger import views
from gateway.ledger.database import Ledger, open_ledger
from gateway.ledger.orders import bind_shop
from gateway.shops.base import Batch
from gateway.stages.board import Board
from gateway.stages.intake import Intake, store
from gateway.stages.report import drain

CYCLE_S = 0.05  # of a simulated machine: what is measured is the gateway
UP_S = 60.0
CHUNK = 65536
_PROGRAM = {Kind.PRESS: "press", Kind.OVEN: "oven"}


class _OverError(Exception):
    """The bench is over: leave in order."""


class Plant:
    """A running gateway without a shop: orders are taken as if one had been read from a shop's answer."""

    def __init__(self, ledger: Ledger, board: Board, house: House, source: Intake, clock: SystemClock) -> None:
        self.ledger, self.board = ledger, board
        self._desk, self._source, self._clock = house.desk(), source, clock
        self._orders = 0

    async def arm(self, names: Sequence[str]) -> None:
        """Hand machines over to the gateway, as soon as each has said who it is."""
        for name in names:
            await self.until(partial(self._known, name), f"{name} says who it is")
            await self._desk.arm(name, Level.START, who="person:bench")

    async def order(self, machine: str) -> int:
        """Commit an order of one piece for one machine; give how many there are by now."""
        self._orders += 1
        batch = Batch(orders=(an_order(self._orders, machine, clock=self._clock),), cursor=str(self._orders))
        await self.ledger.write(partial(store, source=self._source, batch=batch, clock=self._clock))
        return self._orders

    def is_down(self, machine: str) -> bool:
        """Say whether a machine was tried and does not answer."""
        return self.board.get(("link", f"machine:{machine}")).get("state") == "down"

    async def completed(self) -> int:
        """Count the jobs that are made."""
        counts = await self.ledger.read(views.counts)
        return int(counts["jobs"].get("completed", 0))

    async def until_made(self, jobs: int, *, timeout_s: float = UP_S) -> None:
        """Wait until so many jobs are made; raise `TimeoutError` when they are not in time."""
        stamp = -1
        try:
            async with asyncio.timeout(timeout_s):
                while await self.completed() < jobs:
                    await self.board.changed(stamp)
                    stamp = self.board.stamp
        except TimeoutError:
            raise TimeoutError(f"not within {timeout_s:g} s: {jobs} jobs are made") from None

    async def until(self, condition: Callable[[], bool], what: str, *, timeout_s: float = UP_S) -> None:
        """Wait until something holds of the board; raise `TimeoutError` that names it when it does not in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await self.board.changed(self.board.stamp)
        except TimeoutError:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}") from None

    def _known(self, machine: str) -> bool:
        return bool(self.board.get(("state", machine)).get("identity"))


@asynccontextmanager
async def plant(place: Path, stands: Sequence[Stand]) -> AsyncIterator[Plant]:
    """Open a ledger in a directory and run every stage of these machines."""
    settings, clock, board = settings_for(place, stands), SystemClock(), Board()
    log = structlog.get_logger("bench")
    state = place / "state"
    commit_s = settings.ledger.commit_interval_ms / 1000
    async with open_ledger(state, site=SITE, commit_interval_s=commit_s, batch=settings.ledger.batch) as ledger:
        house = House(settings, state_dir=state, ledger=ledger, board=board, clock=clock, log=log)
        await ledger.write(house.enrol)
        await ledger.write(lambda tx: bind_shop(tx, shop=SHOP, site=SHOP, at=clock.now()))
        try:
            async with asyncio.TaskGroup() as group:
                house.start(group, {}, None)
                group.create_task(drain(f"shop:{SHOP}", ledger=ledger, clock=clock), name="drain")
                yield Plant(ledger, board, house, intake_for(settings), clock)
                raise _OverError  # noqa: TRY301 - it ends the stages
        except* _OverError:
            pass


@asynccontextmanager
async def simulated(place: Path, wanted: Mapping[str, Kind]) -> AsyncIterator[list[Stand]]:
    """Start a simulated machine for each name, handed over by a simulated person; give where they stand."""
    children: dict[str, Child] = {}
    async with AsyncExitStack() as stack:
        for name, kind in wanted.items():
            argv = [sys.executable, "-m", f"simulators.{_PROGRAM[kind]}", "--name", name, "--panel", "auto"]
            argv += ["--cycle-s", str(CYCLE_S), "--journal", str(place / f"{name}.journal")]
            child = Child(name, argv, directory=place, environment=OUR_CODE)
            children[name] = await stack.enter_async_context(running(child))
        ready = {name: await child.ready() for name, child in children.items()}
        urls = {name: said.get("endpoint") or f"{said['url']}/1" for name, said in ready.items()}
        yield [Stand(name=name, kind=kind, url=urls[name]) for name, kind in wanted.items()]


class Tap:
    """Stands between the gateway and one machine, and notes when a text first goes to the machine."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._text = b""
        self._seen: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def watch_for(self, text: str) -> asyncio.Future[float]:
        """Look out for a text from now on; the future gets the time (`perf_counter`) of its first byte."""
        self._text, self._seen = text.encode(), asyncio.get_running_loop().create_future()
        return self._seen

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection until either end hangs up."""
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            async with asyncio.TaskGroup() as group:
                ways = (group.create_task(self._out(reader, back)), group.create_task(_copy(there, writer)))
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        finally:
            back.transport.abort()
            writer.transport.abort()

    async def _out(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if self._text and self._text in chunk and not self._seen.done():
                    self._seen.set_result(time.perf_counter())
                writer.write(chunk)
                await writer.drain()


@asynccontextmanager
async def tapped(stand: Stand) -> AsyncIterator[tuple[Tap, Stand]]:
    """Put a tap before a machine; give it with the machine as it stands behind the tap."""
    parts = urlsplit(stand.url)
    assert parts.port is not None
    tap = Tap(parts.port)
    server = await asyncio.start_server(tap.accept, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        url = parts._replace(netloc=f"127.0.0.1:{port}").geturl()
        yield tap, Stand(name=stand.name, kind=stand.kind, url=url)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
