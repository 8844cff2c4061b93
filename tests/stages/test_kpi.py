"""The board shows each machine's key figures of the day, and a restart counts the day's results again."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from drivers.base import JobPhase
from drivers.profile import Recipe
from gateway.ledger import results
from gateway.stages.board import Board
from gateway.stages.kpi import KpiWatch, watch_kpis
from tests.eventually import eventually
from tests.shops.fake_shop import an_order
from tests.stages.factory import PRESS, Factory, TestClock, a_factory

RECIPES = {PRESS: {"tray": Recipe(version="1", parameters={}, cycle_s=30.0)}}
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class StandingClock:
    """Business time stands where the factory left it; looks follow each other quickly."""

    of: TestClock

    def now(self) -> datetime:
        return self.of.now()

    def monotonic(self) -> float:
        return self.of.monotonic()

    async def sleep(self, _seconds: float) -> None:
        await asyncio.sleep(0.005)


@asynccontextmanager
async def watching(factory: Factory, board: Board) -> AsyncIterator[None]:
    clock = StandingClock(of=factory.clock)
    body = watch_kpis(
        factory.ledger, board, recipes=RECIPES, pieces_per_cycle={"pla-white": 1}, timezone="UTC", clock=clock
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(body)
        try:
            yield
        finally:
            task.cancel()


async def make(factory: Factory, number: str, *, good: int, scrap: int = 0) -> None:
    factory.shop.place(an_order(number, quantity=good))
    async with factory.running():
        await eventually(lambda: [job.phase for job in factory.press.jobs.values()] == [JobPhase.ALLOWED_TO_START])
        (job_id,) = factory.press.jobs
        factory.press.run(job_id)
        await eventually(lambda: _state(factory, "running"))
        factory.press.finish(job_id, good=good, scrap=scrap)
        await eventually(lambda: job_id not in factory.press.jobs)


async def _state(factory: Factory, state: str) -> bool:
    return state in [job["state"] for job in await factory.jobs()]


def shown(board: Board) -> Mapping[str, Any]:
    return board.get(("kpi", PRESS))


async def test_a_job_of_today_counts_also_after_a_restart(state_dir: Path) -> None:
    async with a_factory(state_dir) as factory:
        await factory.arm()
        await make(factory, "1001", good=2, scrap=1)
        (outcome,) = await factory.ledger.read(lambda tx: results.results_after(tx, 0))
        assert (outcome.machine, outcome.recipe, outcome.produced, outcome.good) == (PRESS, "tray", 3, 2)
        for board in (Board(), Board()):
            async with watching(factory, board):
                await eventually(lambda: shown(board).get("jobs") == 1)  # noqa: B023
            assert (shown(board)["produced"], shown(board)["good"], shown(board)["scrap"]) == (3, 2, 1)
            assert shown(board)["last_job"]["job"] == outcome.job_id


async def test_a_job_of_yesterday_is_not_counted(state_dir: Path) -> None:
    async with a_factory(state_dir) as factory:
        await factory.arm()
        await make(factory, "1001", good=1)
        factory.clock.advance(86_400)
        board = Board()
        async with watching(factory, board):
            await eventually(lambda: shown(board))
        assert shown(board)["jobs"] == 0


def test_time_is_counted_by_what_the_board_says() -> None:
    board = Board()
    watch = KpiWatch(board, recipes=RECIPES, pieces_per_cycle={}, zone=ZoneInfo("Europe/Stockholm"))
    watch.begin(NOON)
    for second, state, job in ((0, "executing", "A"), (60, "not_executing", "A"), (80, "not_executing", None)):
        board.put(("state", PRESS), {"state": state, "job": job})
        watch.look(NOON + timedelta(seconds=second), monotonic_s=second)
    assert shown(board)["seconds"] == {"production": 60, "delay": 20, "setup": 0, "down": 0, "idle": 0}
    assert shown(board)["availability"] == 0.75


def test_a_new_day_begins_at_the_factorys_midnight() -> None:
    board = Board()
    watch = KpiWatch(board, recipes=RECIPES, pieces_per_cycle={}, zone=ZoneInfo("Europe/Stockholm"))
    watch.begin(NOON)
    board.put(("state", PRESS), {"state": "executing", "job": "A"})
    watch.look(NOON, monotonic_s=0)
    watch.look(NOON + timedelta(hours=10, minutes=1), monotonic_s=36_060)
    watch.look(NOON + timedelta(hours=10, minutes=2), monotonic_s=36_120)
    assert shown(board)["seconds"]["production"] == 60
    assert shown(board)["since"] == round(datetime(2026, 5, 4, 22, 0, tzinfo=UTC).timestamp() * 1000)


def test_figures_that_only_time_changed_are_not_shown_all_the_time() -> None:
    board = Board()
    watch = KpiWatch(board, recipes=RECIPES, pieces_per_cycle={}, zone=ZoneInfo("UTC"))
    watch.begin(NOON)
    stamps = set()
    for second in range(11):
        watch.look(NOON + timedelta(seconds=second), monotonic_s=1000.0 + second)
        stamps.add(board.stamp)
    assert len(stamps) == 3
