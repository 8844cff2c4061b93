"""A controller that lost its memory, in memory: what people are asked, and when its mark may be taken over."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.errors import RefusedError
from gateway.ledger import machines
from gateway.ledger.database import Tx
from tests.drivers.fake_machine import Fault
from tests.shops.fake_shop import an_order
from tests.stages.factory import PRESS
from tests.stages.lives import Life, Place

MARK = 41


@pytest_asyncio.fixture
async def life(state_dir: Path) -> AsyncIterator[Life]:
    """A gateway that has seen the machine's mark, and has one order that is planned and not yet sent."""
    place = Place(state_dir=state_dir)
    place.press.mark = MARK
    async with place.life() as begun:
        await begun.begin()
        await begun.tend()
        place.shop.place(an_order("1001", quantity=2))
        await begun.pull()
        await begun.plan()
        yield begun


async def _take_over(life: Life) -> None:
    def take(tx: Tx) -> None:
        machines.baseline(tx, PRESS, mark=0, who="person:anna", now=life.place.clock.now())

    await life.ledger.write(take)


async def _subjects(life: Life) -> list[str]:
    return [one["subject"] for one in await life.factory.exceptions()]


async def test_while_a_command_settles_a_lost_mark_is_not_taken_over(life: Life) -> None:
    press = life.place.press
    press.fail_next(Fault.RESTART)
    await life.tend()  # the command was executed, and nobody knows
    press.mark = 0
    await life.tend()
    (job,) = await life.factory.jobs()
    with pytest.raises(RefusedError, match=job["job_id"]):
        await _take_over(life)
    life.place.clock.advance(3)
    await life.tend()
    assert await _subjects(life) == [f"job:{job['job_id']}"]
    await _take_over(life)  # now a person has been asked: the mark is no proof any more
    life.place.clock.advance(3)
    await life.tend()
    assert await _subjects(life) == [f"job:{job['job_id']}"]
    assert len(press.starts) == 1


async def test_a_job_that_ran_when_the_memory_was_lost_is_the_only_question_ever(life: Life) -> None:
    press = life.place.press
    await life.tend()
    assert len(press.starts) == 1
    press.restart(forget=True)
    press.mark = 0
    for _ in range(3):
        life.place.clock.advance(3)
        await life.tend()
    (question,) = await life.factory.exceptions()
    await _take_over(life)
    await life.factory.arm()
    await life.tend()
    await life.factory.decide(question["exception_id"], "not_made")
    await life.plan()
    press.press_start()
    await life.tend()
    first, second = press.starts
    press.finish(second, good=2)
    await life.tend()
    states = {job["job_id"]: job["state"] for job in await life.factory.jobs()}
    assert states == {first: "aborted", second: "completed"}
    assert await _subjects(life) == []


async def test_with_no_job_at_the_machine_closing_the_question_does_not_make_it_go_away(life: Life) -> None:
    life.place.press.mark = 0
    await life.tend()
    (question,) = await life.factory.exceptions()
    assert question["subject"] == f"machine:{PRESS}"
    await life.factory.decide(question["exception_id"], "close")
    await life.tend()
    assert await _subjects(life) == [f"machine:{PRESS}"]
    assert life.place.press.received == []


async def test_a_job_that_ended_while_the_machine_was_taken_back_is_cleared_before_the_next_one(life: Life) -> None:
    press = life.place.press
    await life.tend()
    (job,) = press.starts
    await life.ledger.write(lambda tx: machines.disarm(tx, PRESS, who="person:anna", now=life.place.clock.now()))
    press.finish(job, good=2)
    life.place.shop.place(an_order("1002"))
    await life.pull()
    await life.plan()
    await life.tend()
    assert press.jobs.keys() == {job}
    assert [one["state"] for one in await life.factory.jobs()] == ["completed", "released"]
    await life.factory.arm()
    await life.tend()
    assert job not in press.jobs
    assert len(press.starts) == 2
