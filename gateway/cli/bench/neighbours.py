"""What two good machines make beside a frozen, a black-holed and a flapping one, against what they make alone."""

import asyncio
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from gateway.cli.bench.factory import Kind, Stand
from gateway.cli.bench.figures import Figures, Goal, Say
from gateway.cli.bench.plant import Plant, Tap, plant, simulated

SHARE = 0.95
GOOD = ("good-1", "good-2")
FROZEN, BLACK_HOLE, FLAPPING = "frozen", "black-hole", "flapping"
BAD = (FROZEN, BLACK_HOLE, FLAPPING)
ALONE, BESIDE = "good machines alone", "good machines beside bad ones"
UP_AT_A_TIME_S = 0.3  # so long a connection to the flapping machine holds
MADE_S = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """How many orders each good machine gets in a round, and how many rounds there are."""

    orders: int = 20
    rounds: int = 3
    directory: Path


async def measure(wishes: Wishes, say: Say) -> Figures:
    """Let the good machines work off their orders without bad neighbours and with them, in turn."""
    figures = Figures(bench="neighbours")
    for number in range(wishes.rounds):
        for name, bad in ((ALONE, False), (BESIDE, True)):
            say(f"round {number + 1} of {wishes.rounds}: {name}")
            with tempfile.TemporaryDirectory(prefix="kvot-bench-", dir=wishes.directory) as place:
                async with neighbourhood(Path(place), bad=bad) as running:
                    figures.add(name, "jobs/s", await rate(running, wishes.orders))
        figures.end_round()
    figures.compare(BESIDE, (ALONE,), "jobs/s")
    figures.goals[f"{BESIDE} / {ALONE}", "jobs/s"] = Goal(limit=SHARE, above=True)
    return figures


async def rate(running: Plant, orders: int) -> float:
    """Order so much from each good machine at once; give the jobs made a second until all are."""
    began = time.perf_counter()
    for _ in range(orders):
        for name in GOOD:
            await running.order(name)
    await running.until_made(orders * len(GOOD), timeout_s=MADE_S)
    return orders * len(GOOD) / (time.perf_counter() - began)


@asynccontextmanager
async def neighbourhood(place: Path, *, bad: bool) -> AsyncIterator[Plant]:
    """Run a gateway with two good machines that are armed, and where asked with bad ones, each seen to be bad."""
    wanted = dict.fromkeys((*GOOD, FLAPPING) if bad else GOOD, Kind.OVEN)
    async with simulated(place, wanted) as stands, AsyncExitStack() as stack:
        placed = {stand.name: stand for stand in stands}
        if bad:
            placed[FLAPPING] = await stack.enter_async_context(_flapping(placed[FLAPPING]))
            for name, opened in ((FROZEN, _frozen()), (BLACK_HOLE, _black_hole())):
                port = await stack.enter_async_context(opened)
                placed[name] = Stand(name=name, kind=Kind.OVEN, url=f"modbus://127.0.0.1:{port}/1")
        async with plant(place / "gateway", list(placed.values())) as running:
            await running.arm(GOOD)
            if bad:
                for name in BAD:
                    await running.until(partial(running.is_down, name), f"{name} is seen as bad")
            yield running


@asynccontextmanager
async def _frozen() -> AsyncIterator[int]:
    """Listen, take every connection, and never say a word."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError):
            while await reader.read(1024):
                pass

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def _black_hole() -> AsyncIterator[int]:
    """Listen without ever taking a connection, with no room for one more: who connects now hears nothing at all."""
    with socket.socket() as listening, ExitStack() as stack:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = int(listening.getsockname()[1])
        for _ in range(3):  # a backlog of 0 still holds one or two
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


@asynccontextmanager
async def _flapping(stand: Stand) -> AsyncIterator[Stand]:
    """Lay a cable to a good machine that is pulled a moment after each connection."""
    parts = urlsplit(stand.url)
    assert parts.port is not None
    tap = Tap(parts.port)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(UP_AT_A_TIME_S):
                await tap.accept(reader, writer)
        except TimeoutError:
            writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield replace(stand, url=parts._replace(netloc=f"127.0.0.1:{port}").geturl())
