"""One order, and a gateway that ends at each point in turn: it is made once, and the shop hears of it once."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers.base import CommandKind, JobPhase
from tests.drivers.fake_machine import Fault
from tests.shops.fake_shop import an_order
from tests.stages.lives import CrashError, Life, Place

LOADS = {CommandKind.LOAD, CommandKind.LOAD_START}
EFFECTS = frozenset({"after a write", "before a command", "after a command"})  # what lies between changes nothing
ROUNDS = 25


@contextmanager
def _a_place() -> Iterator[Place]:
    directory = Path(tempfile.mkdtemp(prefix="kvot-"))
    try:
        yield Place(state_dir=directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _work(place: Place) -> None:
    """Let the press do what it has been given."""
    for name, job in list(place.press.jobs.items()):
        if job.phase is JobPhase.ALLOWED_TO_START:
            place.press.run(name)
        elif job.phase is JobPhase.RUNNING:
            place.press.finish(name, good=job.command.quantity)


async def _live(place: Place, life: Life) -> bool:
    """Let the gateway and the press work until the shop has heard of the order; say whether it has."""
    await life.begin()
    if not place.shop.orders:
        place.shop.place(an_order("1001", quantity=2))
    for _ in range(ROUNDS):
        await life.pull()
        await life.plan()
        await life.tend()
        await life.report()
        _work(place)
        place.clock.advance(1.5)
        if place.shop.statuses.get("1001", {}).get("_kvot_state") == "made" and not place.press.jobs:
            return True
    return False


async def _until_made(place: Place) -> int:
    """Live as often as it takes; give the number of lives."""
    for lives in range(1, 5):
        try:
            async with place.life() as life:
                if await _live(place, life):
                    return lives
        except CrashError:
            continue
    raise AssertionError(f"not made in four lives: {place.fuse.touched[-10:]}")


def _check(place: Place) -> None:
    assert len(place.press.starts) == 1
    assert sum(command.kind in LOADS for command in place.press.received) == 1
    progress = [int(values["_kvot_progress"]) for _, values in place.shop.status_writes]
    assert progress == sorted(progress)
    states = [values["_kvot_state"] for _, values in place.shop.status_writes]
    assert states == list(dict.fromkeys(states))


@pytest.mark.parametrize("quick", [False, True], ids=["slow press", "quick press"])
async def test_an_order_is_made_once_wherever_the_gateway_ends(quick: bool) -> None:
    point = 0
    while True:
        point += 1
        with _a_place() as place:
            place.press.quick = quick
            place.fuse.left, place.fuse.only = point, EFFECTS
            lives = await _until_made(place)
            _check(place)
            if lives == 1:  # it was made before it came so far
                assert point > 15, "these points cannot be all"
                return


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.LATE])
async def test_a_lost_answer_and_an_end_at_any_point_after_it_make_no_second_start(fault: Fault) -> None:
    point = 0
    while True:
        point += 1
        with _a_place() as place:
            place.press.quick = True
            place.press.fail_next(fault)
            async with place.life() as life:
                await life.begin()
                place.shop.place(an_order("1001", quantity=2))
                await life.pull()
                await life.plan()
                await life.tend()
            place.press.arrive()
            place.fuse.left, place.fuse.only = point, EFFECTS
            lives = await _until_made(place)
            _check(place)
            if lives == 1:
                return


async def test_an_order_is_made_once_wherever_the_task_at_the_machine_is_cancelled() -> None:
    for turns in range(0, 60, 3):
        with _a_place() as place:
            place.press.quick = True
            async with place.life() as life:
                await life.begin()
                place.shop.place(an_order("1001", quantity=2))
                await life.pull()
                await life.plan()
                task = asyncio.create_task(life.tend())
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait((task,))
                await life.hang_up()
                assert await _live(place, life)
            _check(place)
