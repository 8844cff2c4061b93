"""Orders into the ledger: lines a second and how long one takes, beside a plain script and the bare disk."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from gateway.cli.bench import floor
from gateway.cli.bench.factory import SITE, Kind, Stand, an_order, intake_for, settings_for
from gateway.cli.bench.figures import Figures, Goal, Say, percentile
from gateway.clock import SystemClock
from gateway.domain.machines import Level
from gateway.domain.orders import ShopOrder
from gateway.ledger import machines
from gateway.ledger.database import Ledger, Tx, open_ledger
from gateway.ledger.orders import bind_shop
from gateway.shops.base import Batch
from gateway.stages.intake import Intake, store
from gateway.stages.plan import Floor, planning_stage

LINES_S, P99_MS = 500.0, 100.0
PRODUCT, PLANNED = "product", "product, planning beside it"
SCRIPT, APPEND = "plain: a sqlite3 transaction each", "leanest: append and fdatasync each"
STAND = Stand(name="press-1", kind=Kind.PRESS, url="opc.tcp://127.0.0.1:1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What taking all orders cost: wall and CPU seconds, and the seconds that each one waited."""

    wall_s: float
    cpu_s: float
    each_s: Sequence[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """How orders are to be taken: how many of one line each, by how many callers at once, how often."""

    orders: int = 2000
    callers: int = 20
    rounds: int = 3
    directory: Path


def measure(wishes: Wishes, say: Say) -> Figures:
    """Take the same orders each way, in turn."""
    figures = Figures(bench="ledger")
    clock = SystemClock()
    orders = [an_order(number, STAND.name, clock=clock) for number in range(1, wishes.orders + 1)]
    ways: dict[str, Callable[[Path], Cost]] = {
        PRODUCT: lambda place: asyncio.run(_taken(place, orders, wishes.callers, planned=False)),
        PLANNED: lambda place: asyncio.run(_taken(place, orders, wishes.callers, planned=True)),
        SCRIPT: lambda place: _alone(floor.by_script, place, orders),
        APPEND: lambda place: _alone(floor.by_append, place, orders),
    }
    for number in range(wishes.rounds):
        for name, way in ways.items():
            say(f"round {number + 1} of {wishes.rounds}: {name}")
            with tempfile.TemporaryDirectory(prefix="kvot-bench-", dir=wishes.directory) as place:
                cost = way(Path(place))
            judged = name in {PRODUCT, PLANNED}
            rate, slow_ms = len(orders) / cost.wall_s, 1000 * percentile(cost.each_s, 0.99)
            figures.add(name, "lines/s", rate, Goal(limit=LINES_S, above=True) if judged else None)
            figures.add(name, "ms p99 of one", slow_ms, Goal(limit=P99_MS, above=False) if judged else None)
            figures.add(name, "CPU us a line", cost.cpu_s / len(orders) * 1e6)
        figures.end_round()
    figures.compare(PRODUCT, (SCRIPT, APPEND), "lines/s")
    return figures


async def _taken(place: Path, orders: Sequence[ShopOrder], callers: int, *, planned: bool) -> Cost:
    """Take orders, an event each, by so many callers."""
    clock, settings = SystemClock(), settings_for(place, [STAND])
    source = intake_for(settings)
    async with open_ledger(
        place / "state",
        site=SITE,
        commit_interval_s=settings.ledger.commit_interval_ms / 1000,
        batch=settings.ledger.batch,
    ) as ledger:
        await ledger.write(lambda tx: _open(tx, source, clock))
        async with asyncio.TaskGroup() as group:
            floor_ = Floor(families=settings.range().families, machines=(STAND.name,))
            log = structlog.get_logger("bench")
            planning = group.create_task(planning_stage(ledger, floor_, clock=clock, log=log)) if planned else None
            began, began_cpu = time.perf_counter(), time.process_time()
            left, each_s = iter(orders), list[float]()
            async with asyncio.TaskGroup() as taking:
                for _ in range(callers):
                    taking.create_task(_caller(ledger, source, left, each_s, clock))
            wall_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
            if planning is not None:
                planning.cancel()
    return Cost(wall_s=wall_s, cpu_s=cpu_s, each_s=each_s)


async def _caller(
    ledger: Ledger, source: Intake, left: Iterator[ShopOrder], each_s: list[float], clock: SystemClock
) -> None:
    """Take one order after the other until none is left."""
    for order in left:
        before = time.perf_counter()
        batch = Batch(orders=(order,), cursor=order.number)
        await ledger.write(partial(store, source=source, batch=batch, clock=clock))
        each_s.append(time.perf_counter() - before)


def _open(tx: Tx, source: Intake, clock: SystemClock) -> None:
    """Have a shop whose orders are taken, and a machine to plan them on."""
    bind_shop(tx, shop=source.shop, site="bench", at=clock.now())
    machines.enrol(tx, STAND.name)
    machines.arm(tx, STAND.name, Level.START, who="person:bench", identity="bench", profile="bench", now=clock.now())


def _alone(way: Callable[[Path, Sequence[ShopOrder]], list[float]], place: Path, orders: Sequence[ShopOrder]) -> Cost:
    began, began_cpu = time.perf_counter(), time.process_time()
    each_s = way(place, orders)
    return Cost(wall_s=time.perf_counter() - began, cpu_s=time.process_time() - began_cpu, each_s=each_s)
