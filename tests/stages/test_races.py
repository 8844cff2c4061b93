"""What people do and what the disk does between a look at the machine and the act that follows from it."""

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from drivers.base import CommandKind, Permits
from gateway.ledger import machines
from gateway.ledger.sql import change, row
from tests.drivers.fake_machine import Fault
from tests.shops.fake_shop import an_order
from tests.stages.factory import PRESS, PROFILE
from tests.stages.lives import Life, Place

TELLS_NOTHING = Permits(remote=True, ready=True, handed_over=None)


@pytest_asyncio.fixture
async def life(state_dir: Path) -> AsyncIterator[Life]:
    """A gateway with one order that is planned and not yet sent."""
    place = Place(state_dir=state_dir)
    async with place.life() as begun:
        await begun.begin()
        place.shop.place(an_order("1001", quantity=2))
        await begun.pull()
        await begun.plan()
        yield begun


async def _state(life: Life) -> str:
    return str((await life.factory.jobs())[0]["state"])


async def _question(life: Life) -> dict[str, Any]:
    (found,) = await life.factory.exceptions()
    return found


async def _in_doubt_after_a_restart(life: Life) -> None:
    """Bring the job in doubt, and the press to a new boot without memory, so that a person is asked."""
    life.place.press.fail_next(Fault.RESTART)
    await life.tend()
    life.place.clock.advance(3)
    await life.tend()
    life.place.clock.advance(3)
    await life.tend()


# A person is faster than the gateway --------------------------------------------------------------


async def test_a_machine_taken_back_between_look_and_intent_gets_nothing(life: Life) -> None:
    async def take_back() -> None:
        await life.ledger.write(lambda tx: machines.disarm(tx, PRESS, who="person:anna", now=life.place.clock.now()))

    life.place.fuse.at("after a question", take_back)
    await life.tend()
    assert life.place.press.received == []
    assert await _state(life) == "released"


async def test_a_machine_held_between_look_and_intent_gets_nothing(life: Life) -> None:
    async def hold() -> None:
        await life.ledger.write(
            lambda tx: machines.hold(tx, PRESS, reason="look", who="person:anna", now=life.place.clock.now())
        )

    life.place.fuse.at("after a question", hold)
    await life.tend()
    assert life.place.press.received == []


async def test_a_person_who_decides_first_is_not_overruled_and_nothing_breaks(life: Life) -> None:
    await _in_doubt_after_a_restart(life)
    question = await _question(life)

    async def decide() -> None:
        await life.factory.decide(question["exception_id"], "made")

    life.place.fuse.at("after a question", decide)
    life.place.press.jobs.clear()
    life.place.press.boot = "boot-1"  # it was a short blink after all: absence seems proven
    await life.tend()
    assert await _state(life) == "completed"
    assert len(life.place.press.received) == 1


# Questions do not outlive their answers ------------------------------------------------------------


async def test_a_doubt_that_the_machine_answers_later_is_no_longer_asked(life: Life) -> None:
    remembered = life.place.press
    await _in_doubt_after_a_restart(life)
    assert (await _question(life))["actions"] == ["not_made", "made", "aborted"]
    command = remembered.received[0]
    remembered.take(command)  # its memory comes back
    remembered.press_start()
    await life.tend()
    assert await _state(life) == "running"
    assert await life.factory.exceptions() == []


async def test_a_job_that_is_seen_again_is_no_longer_asked_about(life: Life) -> None:
    press = life.place.press
    press.open_guard()
    await life.tend()
    (job_id,) = press.jobs
    lost = press.jobs.pop(job_id)
    await life.tend()
    assert "no longer knows" in (await _question(life))["cause"]
    press.jobs[job_id] = lost
    await life.tend()
    assert await life.factory.exceptions() == []
    assert await _state(life) == "accepted"


async def test_a_question_that_was_closed_without_effect_is_asked_again(life: Life) -> None:
    await _in_doubt_after_a_restart(life)
    question = await _question(life)
    await life.ledger.write(
        lambda tx: change(
            tx,
            "UPDATE exceptions SET state = 'resolved', resolution = 'close' WHERE exception_id = :id",
            id=question["exception_id"],
        )
    )
    await life.tend()
    assert (await _question(life))["exception_id"] != question["exception_id"]


async def test_an_open_question_is_asked_once_and_costs_no_write_however_often_one_looks(life: Life) -> None:
    await _in_doubt_after_a_restart(life)
    before = life.place.fuse.touched.count("after a write")
    for _ in range(5):
        await life.tend()
    assert life.place.fuse.touched.count("after a write") == before
    assert (await _question(life))["count"] == 1


async def test_a_reconnect_keeps_an_open_question_open(life: Life) -> None:
    await _in_doubt_after_a_restart(life)
    question = await _question(life)
    await life.hang_up()
    await life.tend()
    life.place.clock.advance(3)
    await life.tend()
    assert (await _question(life)) == question


# What a person may say -----------------------------------------------------------------------------


async def test_a_job_that_was_begun_and_lost_is_made_anew_under_another_id(life: Life) -> None:
    press = life.place.press
    press.quick = True
    await _in_doubt_after_a_restart(life)
    assert len(press.starts) == 1
    press.press_start()
    await life.factory.decide((await _question(life))["exception_id"], "aborted")
    await life.plan()
    await life.tend()
    assert len(press.starts) == 2
    assert len(set(press.starts)) == 2
    assert [job["state"] for job in await life.factory.jobs()] == ["aborted", "running"]
    assert await life.factory.exceptions() == []


@pytest.mark.parametrize(
    ("action", "state"), [("made", "completed"), ("not_made", "cancelled"), ("aborted", "aborted")]
)
async def test_a_job_the_machine_knows_but_was_never_sent_can_be_decided_either_way(
    life: Life, action: str, state: str
) -> None:
    job_id = (await life.factory.jobs())[0]["job_id"]
    life.place.press.start_own_work(job_id)
    await life.tend()
    question = await _question(life)
    assert "never sent" in question["cause"]
    assert action in question["actions"]
    await life.factory.decide(question["exception_id"], action)
    assert await _state(life) == state
    assert await life.factory.exceptions() == []


# The wire ------------------------------------------------------------------------------------------


async def test_permits_that_are_too_old_when_the_intent_is_on_the_disk_start_nothing(life: Life) -> None:
    async def slow_disk() -> None:
        life.place.clock.advance(PROFILE.timeout_s)

    await life.ledger.write(lambda tx: machines.saw(tx, PRESS, boot=life.place.press.boot, mark=None))
    life.place.fuse.at("after a write", slow_disk)
    await life.tend()
    first = await life.ledger.read(lambda tx: row(tx, "SELECT settlement, evidence FROM commands ORDER BY command_id"))
    assert first is not None
    assert first["settlement"] == "refused"
    assert "not sent" in first["evidence"]


async def test_a_family_that_is_gone_from_the_configuration_is_refused_before_the_wire(life: Life) -> None:
    await life.ledger.write(lambda tx: change(tx, "UPDATE runs SET family = 'gone'"))
    for _ in range(3):
        await life.tend()
    assert life.place.press.received == []
    assert "not accepted" in (await _question(life))["cause"]
    assert await _state(life) == "released"


async def test_a_refusing_machine_is_asked_again_only_after_a_pause(life: Life) -> None:
    times: list[float] = []
    inner = life.place.press.take

    def take(command: Any) -> Any:
        times.append(life.place.clock.machine_s)
        return inner(command)

    life.place.press.take = take  # type: ignore[method-assign]
    for _ in range(3):
        life.place.press.fail_next(Fault.REFUSE)
    for _ in range(4):
        await life.tend()
    assert len(times) == 3
    assert all(later - earlier >= PROFILE.settle_s for earlier, later in pairwise(times))


async def test_a_restart_during_a_doubt_is_not_forgotten_where_the_panel_does_not_tell(life: Life) -> None:
    press = life.place.press
    press.permits = TELLS_NOTHING
    press.fail_next(Fault.LOSE_ANSWER)
    await life.tend()
    press.restart(forget=False)
    await life.tend()
    await life.tend()
    facts = await life.ledger.read(lambda tx: row(tx, "SELECT hold_reason FROM machine_facts"))
    assert facts is not None
    assert "restarted" in facts["hold_reason"]
    assert [command.kind for command in press.received] == [CommandKind.LOAD_START]
