"""A machine without memory of jobs: one start, told by what it shows; what that leaves open, a person says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from drivers.profile import PlainMap
from gateway.ledger.sql import rows
from tests.drivers.fake_machine import FakeMachine
from tests.eventually import eventually
from tests.shops.fake_shop import an_order
from tests.stages.factory import PRESS, Factory, TestClock, a_factory
from tests.stages.fake_saw import SAW, SPEC, FakeSaw, Start

OURS = Start(quantity=2, width_mm=60.5)
IDLE = "idle, not done, good 0, scrap 0"


class Saws(Factory):
    """The small factory with a saw in the press's place."""

    @property
    def saw(self) -> FakeSaw:
        return cast("FakeSaw", self.press)


@asynccontextmanager
async def _saws(folder: Path, spec: PlainMap = SPEC) -> AsyncIterator[Saws]:
    clock = TestClock()
    saw = FakeSaw(monotonic=clock.monotonic, spec=spec)
    async with a_factory(folder, press=cast("FakeMachine", saw)) as plain:
        parts = {name: getattr(plain, name) for name in ("ledger", "shop", "press", "board", "configured", "catalogue")}
        factory = Saws(**parts, clock=clock, profile=replace(SAW, plain=spec))
        await factory.arm()
        yield factory


@pytest_asyncio.fixture
async def factory(tmp_path: Path) -> AsyncIterator[Saws]:
    async with _saws(tmp_path) as saws:
        yield saws


async def _ordered(factory: Saws, *numbers: str) -> None:
    for number in numbers or ("1001",):
        factory.shop.place(an_order(number, quantity=2))
    await factory.pull()


async def _state(factory: Saws, state: str, index: int = 0) -> None:
    async def there() -> bool:
        return await factory.job_state(index) == state

    await eventually(there)


async def _said(factory: Saws, words: str) -> None:
    """Wait until the machine's state says this, as why nothing is sent or as what it is held by."""
    await eventually(lambda: words in str(factory.board.get(("state", PRESS))))


async def _looked_on(factory: Saws, looks: int = 3) -> None:
    """Wait until the gateway has looked so often again, and so could have done something."""
    seen = factory.saw.looks
    await eventually(lambda: factory.saw.looks > seen + 8 * looks)


async def _broke(factory: Saws) -> None:
    """Wait until the wire broke in the start and the gateway is back, and let the settle time pass."""
    await eventually(lambda: factory.saw.sessions > 1)
    factory.clock.advance(3)


async def _commands(factory: Saws) -> list[dict[str, Any]]:
    return await factory.ledger.read(lambda tx: [dict(one) for one in rows(tx, "SELECT * FROM commands")])


async def _results(factory: Saws) -> list[tuple[int, int]]:
    found = await factory.ledger.read(lambda tx: [dict(one) for one in rows(tx, "SELECT good, scrap FROM results")])
    return [(one["good"], one["scrap"]) for one in found]


async def _question(factory: Saws) -> dict[str, Any]:
    await eventually(factory.exceptions)
    (asked,) = await factory.exceptions()
    return asked


async def _done_before(factory: Saws, pieces: int = 10) -> None:
    """Leave a batch of somebody's at the machine, ended: what proves that nothing was started since."""
    factory.saw.begin()
    factory.saw.make(pieces)
    factory.saw.starts.clear()


# The way of one job --------------------------------------------------------------------------------


async def test_a_job_is_started_once_and_counted_from_where_the_counters_stood(factory: Saws) -> None:
    await _done_before(factory, pieces=7)
    await _ordered(factory)
    async with factory.running("plan", "tend"):
        await eventually(lambda: factory.saw.starts == [OURS])
        await _state(factory, "running")
        factory.saw.make(2, scrap=0)
        await _state(factory, "completed")
        await _looked_on(factory)
    assert factory.saw.starts == [OURS]
    assert await _results(factory) == [(2, 0)]


async def test_what_the_machine_showed_is_on_disk_before_the_start_is_written(factory: Saws) -> None:
    seen: list[dict[str, Any]] = []

    async def look_into_the_ledger() -> None:
        seen.extend(await _commands(factory))

    factory.saw.before_start = look_into_the_ledger
    await _ordered(factory)
    async with factory.running("plan", "tend"):
        await eventually(lambda: factory.saw.starts)
    (intent,) = seen
    assert (intent["kind"], intent["settlement"], intent["baseline"]) == ("load_start", None, IDLE)


async def test_no_job_is_begun_while_the_machine_does_not_stand_still(factory: Saws) -> None:
    factory.saw.restless = True
    await _ordered(factory)
    async with factory.running("plan", "tend"):
        await _said(factory, "does not stand still")
        assert await _commands(factory) == []
        factory.saw.restless = False
        await eventually(lambda: factory.saw.starts == [OURS])


async def test_a_batch_of_somebody_else_is_waited_for_and_its_counts_are_not_ours(factory: Saws) -> None:
    factory.saw.begin(quantity=5)
    await _ordered(factory)
    async with factory.running("plan", "tend"):
        await _said(factory, "busy with its own work")
        factory.saw.make(5)
        await eventually(lambda: factory.saw.starts[1:] == [OURS])
        factory.saw.make(1, scrap=1)
        await _state(factory, "completed")
    assert await _results(factory) == [(1, 1)]
    assert await factory.exceptions() == []


# Doubts --------------------------------------------------------------------------------------------


async def test_a_start_whose_answer_was_lost_is_found_and_not_repeated(factory: Saws) -> None:
    factory.saw.lose = "answer"
    await _ordered(factory)
    async with factory.running("plan", "tend"):
        await _broke(factory)
        await _state(factory, "running")
        factory.saw.make(2)
        await _state(factory, "completed")
    assert factory.saw.starts == [OURS]
    assert [command["settlement"] for command in await _commands(factory)] == ["accepted"]


async def test_a_start_still_lying_at_the_machine_is_taken_back_before_anything_is_said_of_it(factory: Saws) -> None:
    await _done_before(factory)
    factory.saw.lose = "late"
    await _ordered(factory)
    async with factory.running("plan", "tend"):
        await _broke(factory)
        await eventually(lambda: factory.saw.starts == [OURS])
    assert factory.saw.switched_off == 1
    assert (await _commands(factory))[0]["settlement"] == "absent"


async def test_a_start_is_repeated_only_on_proof_that_there_was_none(factory: Saws) -> None:
    await _done_before(factory)
    factory.saw.lose = "command"
    await _ordered(factory)
    async with factory.running("plan", "tend"):
        await _broke(factory)
        await _state(factory, "running")
    assert factory.saw.starts == [OURS]
    assert [command["settlement"] for command in await _commands(factory)] == ["absent", "accepted"]


@pytest.mark.parametrize("action", ["not_made", "aborted", "made"])
async def test_without_proof_a_person_is_asked_once_and_nothing_is_sent(factory: Saws, action: str) -> None:
    factory.saw.lose = "command"
    await _ordered(factory)
    async with factory.running("plan", "tend"):
        await _broke(factory)
        asked = await _question(factory)
        assert "broken off before its first piece" in asked["cause"]
        assert IDLE in asked["evidence"]["text"]
        await _looked_on(factory)
        assert factory.saw.starts == []
        await factory.decide(asked["exception_id"], action)
        if action == "made":
            await _state(factory, "completed")
        else:
            await eventually(lambda: factory.saw.starts == [OURS])
        await _looked_on(factory)
    assert len(factory.saw.starts) == (0 if action == "made" else 1)
    assert len(await factory.jobs()) == (1 if action == "made" else 2)


async def test_a_power_cut_that_loses_the_counters_asks_one_question_and_starts_nothing(factory: Saws) -> None:
    await _ordered(factory)
    async with factory.running("plan", "tend"):
        await _state(factory, "running")
        factory.saw.make(1, end=False)
        await _looked_on(factory)
        factory.saw.power_cycle()
        await _said(factory, "a person must decide")
        assert "restarted" in (await _held(factory) or "")
        await factory.arm()  # a person looks, and hands the machine over
        factory.saw.begin(quantity=9)  # the evidence changes; the question does not
        factory.saw.make(9)
        await _looked_on(factory)
        (asked,) = [one for one in await factory.exceptions() if one["subject"].startswith("job:")]
        assert asked["cause"].startswith("unclear what became of the job")
        assert factory.saw.starts[1:] == [Start(quantity=9, width_mm=0)]
        await factory.decide(asked["exception_id"], "aborted")
        await eventually(lambda: factory.saw.starts[2:])
        assert factory.saw.starts[2:] == [OURS]
    assert (await factory.jobs())[0]["state"] == "aborted"


# Handing over --------------------------------------------------------------------------------------


async def test_after_a_fall_of_a_permit_nothing_starts_until_a_person_hands_the_machine_over(factory: Saws) -> None:
    async with factory.running("plan", "tend"):
        await _said(factory, "no job")
        factory.saw.permits = replace(factory.saw.permits, ready=False)
        await _said(factory, "the permit ready fell")
        factory.saw.permits = replace(factory.saw.permits, ready=True)
        await _ordered(factory)
        await _said(factory, "held: the permit ready fell")
        assert await _commands(factory) == []
        await factory.arm()
        await eventually(lambda: factory.saw.starts == [OURS])


async def test_after_a_restart_of_the_machine_nothing_starts_until_a_person_hands_it_over(factory: Saws) -> None:
    async with factory.running("plan", "tend"):
        await _said(factory, "no job")
        factory.saw.power_cycle()
        await _ordered(factory)
        await _said(factory, "held: the machine restarted")
        assert factory.saw.starts == []
        await factory.arm()
        await eventually(lambda: factory.saw.starts == [OURS])


async def test_where_no_restart_can_be_seen_each_new_session_may_follow_one(tmp_path: Path) -> None:
    async with _saws(tmp_path, replace(SPEC, boot=None)) as factory:
        await _ordered(factory)
        factory.saw.lose = "answer"
        async with factory.running("plan", "tend"):
            await _broke(factory)
            await _state(factory, "running")
            assert "restarted, or may have" in (await _held(factory) or "")
            factory.saw.make(2)
            await _state(factory, "completed")
            await _ordered(factory, "1002")
            await _said(factory, "held: the machine restarted, or may have")
            assert len(factory.saw.starts) == 1
            await factory.arm()
            await eventually(lambda: factory.saw.starts == [OURS, OURS])


async def _held(factory: Saws) -> str | None:
    found = await factory.ledger.read(lambda tx: rows(tx, "SELECT hold_reason FROM machine_facts"))
    reason: str | None = found[0]["hold_reason"]
    return reason
