"""From an order's commit to the first byte at an idle, armed machine, beside what the disk takes for it."""

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from gateway.cli.bench import floor
from gateway.cli.bench.factory import SITE, Kind
from gateway.cli.bench.figures import Figures, Goal, Say, percentile
from gateway.cli.bench.plant import UP_S, Plant, Tap, plant, simulated, tapped
from gateway.ledger.job_ids import job_id_of

P50_MS = 20.0
COMMITS = 2  # on the way: the plan that releases the job, and the intent
MACHINES = {"press-1": Kind.PRESS, "oven-1": Kind.OVEN}
NAMES = {"press-1": "product, OPC UA press", "oven-1": "product, Modbus oven"}
DISK = f"leanest: {COMMITS} appends with fdatasync"
SPREAD_S = 0.5  # orders come at any moment between two polls


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """How many orders each machine gets in a round, and how many rounds there are."""

    orders: int = 20
    rounds: int = 3
    directory: Path


async def measure(wishes: Wishes, say: Say) -> Figures:
    """Order from each machine in turn, always when it is idle; every round has a gateway of its own."""
    figures = Figures(bench="dispatch")
    with tempfile.TemporaryDirectory(prefix="kvot-bench-", dir=wishes.directory) as place:
        say("starting a press and an oven that do not exist")
        async with simulated(Path(place), MACHINES) as stands, AsyncExitStack() as stack:
            behind = [await stack.enter_async_context(tapped(stand)) for stand in stands]
            taps = {stand.name: tap for tap, stand in behind}
            async with plant(Path(place) / "gateway", [stand for _, stand in behind]) as running:
                await running.arm(list(MACHINES))
                for number in range(wishes.rounds):
                    say(f"round {number + 1} of {wishes.rounds}: {wishes.orders} orders for each machine")
                    await _round(wishes, running, taps, Path(place), figures)
                    figures.end_round()
    for name in NAMES.values():
        figures.compare(name, (DISK,), "ms p50")
    return figures


async def _round(wishes: Wishes, running: Plant, taps: dict[str, Tap], place: Path, figures: Figures) -> None:
    took_ms: dict[str, list[float]] = {name: [] for name in taps}
    disk_ms = []
    for number in range(wishes.orders):
        for name, tap in taps.items():
            await asyncio.sleep(SPREAD_S * (0.618 * number % 1))
            took_ms[name].append(1000 * await _first_byte(running, name, tap))
        disk_ms.append(1000 * await asyncio.to_thread(floor.syncs, place, COMMITS))
    for name, each in took_ms.items():
        figures.add(NAMES[name], "ms p50", median(each), Goal(limit=P50_MS, above=False))
        figures.add(NAMES[name], "ms p99", percentile(each, 0.99))
    figures.add(DISK, "ms p50", median(disk_ms))


async def _first_byte(running: Plant, machine: str, tap: Tap) -> float:
    """Order one piece of an idle machine; give the seconds from the commit to the job's name on the wire."""
    before = await running.completed()
    seen = tap.watch_for(job_id_of(before + 1, site=SITE, epoch=running.ledger.epoch))
    await running.order(machine)
    committed = time.perf_counter()
    async with asyncio.timeout(UP_S):
        first = await seen
    await running.until_made(before + 1)  # the machine is idle again
    return first - committed
