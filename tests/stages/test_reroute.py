"""A job goes to another machine only when the one that may have it has given it back, wherever the gateway ends."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from drivers.base import CommandKind, Identity
from gateway.domain.machines import Level
from gateway.domain.products import Family
from gateway.errors import RefusedError
from gateway.ledger import decisions, machines, order_acts, run_views
from gateway.ledger.rerouting import reroute
from gateway.ledger.sql import rows
from gateway.stages.board import Board
from gateway.stages.plan import LONG_OUT_S, Floor, Outages, planning_stage
from gateway.stages.shown import away
from tests.drivers.fake_machine import Fault
from tests.shops.fake_shop import an_order
from tests.stages.factory import PRESS
from tests.stages.lives import LOG, CrashError, Life, Place, RestedError
from tests.stages.setting_up import BLACK, is_in, run_of, set_up, two_setups

ANNA = "person:anna"
OTHER = "press-2"
FAMILIES = {"pla-white": Family(name="pla-white", machines=(PRESS, OTHER), static_days=5)}
LOADS = {CommandKind.LOAD, CommandKind.LOAD_START}


@pytest_asyncio.fixture
async def life(state_dir: Path) -> AsyncIterator[Life]:
    """A gateway with one order of two pieces that is released and not yet sent."""
    place = Place(state_dir=state_dir)
    place.press.quick = False
    async with place.life() as begun:
        await _order(begun)
        yield begun


async def _order(life: Life) -> None:
    await life.begin()
    await life.ledger.write(lambda tx: machines.enrol(tx, OTHER))
    life.place.shop.place(an_order("1001", quantity=2))
    await life.pull()
    await life.plan()


async def _load(life: Life) -> str:
    """Have the press accept the job and not begin it; give its id."""
    await life.factory.arm(Level.LOAD)
    await life.tend()
    (job,) = await life.factory.jobs()
    assert job["state"] == "accepted"
    return str(job["job_id"])


async def _reroute(life: Life, job_id: str, machine: str = OTHER) -> str:
    return await life.ledger.write(
        lambda tx: reroute(tx, job_id, machine, FAMILIES, who=ANNA, now=life.place.clock.now())
    )


async def _jobs(life: Life) -> list[tuple[str, str, int]]:
    return [(job["state"], job["machine"], job["quantity"]) for job in await life.factory.jobs()]


def _sent(life: Life) -> list[CommandKind]:
    return [command.kind for command in life.place.press.received]


async def _later(life: Life) -> None:
    """Let time pass, so that whatever was sent would have arrived."""
    for _ in range(3):
        await life.tend()
        life.place.clock.advance(3)


async def _question(life: Life) -> dict[str, Any]:
    (found,) = await life.factory.exceptions()
    return found


async def _decide(life: Life, action: str) -> None:
    exception_id = (await _question(life))["exception_id"]
    now = life.place.clock.now()
    await life.ledger.write(lambda tx: decisions.decide(tx, exception_id, action=action, who=ANNA, note="", now=now))


async def _why(life: Life) -> str:
    """Give what is shown of the press."""
    assert life._visit is not None
    return str(life._visit._board.get(("state", PRESS))["why"])


# Never sent ------------------------------------------------------------------------------------------


async def test_a_released_job_that_was_never_sent_goes_at_once_and_keeps_its_id(life: Life) -> None:
    (job,) = await life.factory.jobs()
    await _reroute(life, job["job_id"])
    await life.tend()
    assert _sent(life) == []
    standing = await life.ledger.read(lambda tx: machines.standing(tx, OTHER, configured=Level.START, silent_s=0.0))
    assert standing.work is not None
    assert standing.work.job_id == job["job_id"]


async def test_a_machine_outside_the_family_gets_no_job_of_it(life: Life) -> None:
    (job,) = await life.factory.jobs()
    with pytest.raises(RefusedError, match="makes no pla-white"):
        await _reroute(life, job["job_id"], "oven-1")
    with pytest.raises(RefusedError, match="is at press-1 already"):
        await _reroute(life, job["job_id"], PRESS)


# Accepted and not begun ------------------------------------------------------------------------------


async def test_a_loaded_job_is_asked_back_and_another_takes_its_place_elsewhere(life: Life) -> None:
    first = await _load(life)
    said = await _reroute(life, first)
    assert "nothing is sent to press-2 before" in said
    assert await _jobs(life) == [("accepted", PRESS, 2)]
    await life.tend()
    assert _sent(life) == [CommandKind.LOAD, CommandKind.CANCEL]
    assert life.place.press.jobs == {}
    assert await _jobs(life) == [("cancelled", PRESS, 2), ("released", OTHER, 2)]
    second = (await life.factory.jobs())[1]
    assert second["remake_of"] == first
    await life.plan()
    assert len(await life.factory.jobs()) == 2
    assert (await run_of(life.factory))["state"] == "running"
    assert await life.factory.exceptions() == []
    history = [(event["what"], event["who"]) for event in (await life.factory.order())["jobs"][0]["history"]]
    assert ("job.reroute_asked", ANNA) in history
    assert ("job.rerouted", "kvot") in history


async def test_what_goes_elsewhere_gets_its_own_number_there(life: Life) -> None:
    await _reroute(life, await _load(life))
    await life.tend()
    (numbered,) = await life.ledger.read(lambda tx: rows(tx, "SELECT machine FROM job_numbers"))
    assert numbered["machine"] == PRESS
    standing = await life.ledger.read(lambda tx: machines.standing(tx, OTHER, configured=Level.START, silent_s=0.0))
    assert standing.work is not None
    assert standing.work.job_id == (await life.factory.jobs())[1]["job_id"]


async def test_nothing_goes_elsewhere_while_the_machine_may_not_be_asked_and_people_see_why(life: Life) -> None:
    first = await _load(life)
    await life.ledger.write(lambda tx: machines.disarm(tx, PRESS, who=ANNA, now=life.place.clock.now()))
    await _reroute(life, first)
    await life.tend()
    assert await _jobs(life) == [("accepted", PRESS, 2)]
    assert "wanted no more here" in await _why(life)
    await life.factory.arm(Level.LOAD)
    await life.tend()
    assert await _jobs(life) == [("cancelled", PRESS, 2), ("released", OTHER, 2)]


async def test_a_machine_that_began_before_it_was_asked_keeps_the_job_and_people_are_told(life: Life) -> None:
    first = await _load(life)
    await _reroute(life, first)
    life.place.press.press_start()
    await life.tend()
    assert CommandKind.CANCEL not in _sent(life)
    question = await _question(life)
    assert question["cause"] == "the machine does not give a job back that is to go elsewhere"
    assert question["evidence"]["goes_to"] == OTHER
    assert question["actions"] == ["abort", "close"]
    await _decide(life, "close")
    life.place.press.finish(first, good=2)
    await life.tend()
    assert await _jobs(life) == [("completed", PRESS, 2)]


async def test_a_machine_that_begins_while_it_is_asked_refuses_and_keeps_the_job(life: Life) -> None:
    first = await _load(life)
    await _reroute(life, first)

    async def begin(command: Any) -> None:
        if command.kind is CommandKind.CANCEL:
            life.place.press.press_start()

    life.before_send = begin
    await life.hang_up()
    await _later(life)
    assert _sent(life) == [CommandKind.LOAD, CommandKind.CANCEL]
    assert await _jobs(life) == [("running", PRESS, 2)]
    assert (await _question(life))["cause"].startswith("the machine does not give a job back")


async def test_a_machine_that_cannot_give_back_is_a_question_and_nothing_goes_elsewhere(life: Life) -> None:
    press = life.place.press
    press.identity = Identity(text=press.identity.text, kinds=frozenset({CommandKind.LOAD, CommandKind.CLEAR}))
    await _reroute(life, await _load(life))
    await life.tend()
    assert _sent(life) == [CommandKind.LOAD]
    assert await _jobs(life) == [("accepted", PRESS, 2)]
    assert "cannot be asked to cancel" in (await _question(life))["evidence"]["text"]


@pytest.mark.parametrize("phase", ["running", "interrupted"])
async def test_a_job_that_has_begun_is_refused_with_what_to_do_instead(life: Life, phase: str) -> None:
    first = await _load(life)
    life.place.press.press_start()
    await life.tend()
    if phase == "interrupted":
        life.place.press.turn_selector(remote=False)
        await life.tend()
    assert (await _jobs(life))[0][0] == phase
    with pytest.raises(RefusedError, match=f"`kvot jobs abort {first}`"):
        await _reroute(life, first)


async def test_a_line_that_is_cancelled_meanwhile_is_made_nowhere(life: Life) -> None:
    await _reroute(life, await _load(life))
    await life.ledger.write(lambda tx: order_acts.cancel_order(tx, 1, who=ANNA, now=life.place.clock.now()))
    await life.tend()
    await life.plan()
    assert await _jobs(life) == [("cancelled", PRESS, 2)]


async def test_an_order_that_is_held_meanwhile_goes_on_nowhere_before_it_is_released(life: Life) -> None:
    job_id = await _load(life)
    await _reroute(life, job_id)
    now = life.place.clock.now()
    await life.ledger.write(lambda tx: order_acts.hold_order(tx, 1, reason="the drawing changes", who=ANNA, now=now))
    await _later(life)
    await life.plan()
    assert await _jobs(life) == [("cancelled", PRESS, 2)]
    await life.ledger.write(lambda tx: order_acts.release_order(tx, 1, reason="drawn", who=ANNA, now=now))
    await life.plan()
    assert [(state, pieces) for state, _, pieces in await _jobs(life)] == [("cancelled", 2), ("released", 2)]


async def test_what_is_wanted_no_more_goes_nowhere(life: Life) -> None:
    first = await _load(life)
    await life.ledger.write(lambda tx: order_acts.cancel_order(tx, 1, who=ANNA, now=life.place.clock.now()))
    with pytest.raises(RefusedError, match="is wanted no more"):
        await _reroute(life, first)
    await life.tend()
    with pytest.raises(RefusedError, match="is cancelled"):
        await _reroute(life, first)


# In doubt --------------------------------------------------------------------------------------------


async def test_a_job_in_doubt_goes_elsewhere_when_its_absence_is_proven(life: Life) -> None:
    life.place.press.fail_next(Fault.LOSE_COMMAND)
    await life.tend()
    (job,) = await life.factory.jobs()
    await _reroute(life, job["job_id"])
    await life.tend()
    assert await _jobs(life) == [("in_doubt", PRESS, 2)]
    life.place.clock.advance(5)
    await life.tend()
    assert await _jobs(life) == [("cancelled", PRESS, 2), ("released", OTHER, 2)]
    assert _sent(life) == []


async def test_a_doubt_that_a_person_settles_goes_where_it_was_to_go(life: Life) -> None:
    life.place.press.fail_next(Fault.RESTART)
    for _ in range(3):
        await life.tend()
        life.place.clock.advance(3)
    (job,) = await life.factory.jobs()
    await _reroute(life, job["job_id"])
    assert await _jobs(life) == [("in_doubt", PRESS, 2)]
    await _decide(life, "not_made")
    await life.plan()
    assert await _jobs(life) == [("cancelled", PRESS, 2), ("released", OTHER, 2)]


async def test_a_loaded_job_that_the_machine_lost_waits_for_a_person_before_it_goes_elsewhere(life: Life) -> None:
    first = await _load(life)
    await _reroute(life, first)
    life.place.press.forget(first)
    await life.tend()
    assert await _jobs(life) == [("accepted", PRESS, 2)]
    await _decide(life, "not_made")
    await life.plan()
    assert await _jobs(life) == [("aborted", PRESS, 2), ("released", OTHER, 2)]


# A lost answer, and an end at every point ------------------------------------------------------------


async def test_a_lost_answer_is_settled_by_what_the_machine_says_then(life: Life) -> None:
    await _reroute(life, await _load(life))
    life.place.press.fail_next(Fault.LOSE_ANSWER)
    await life.tend()
    assert await _jobs(life) == [("accepted", PRESS, 2)]
    await _later(life)
    assert _sent(life) == [CommandKind.LOAD, CommandKind.CANCEL]
    assert await _jobs(life) == [("cancelled", PRESS, 2), ("released", OTHER, 2)]


async def test_a_withdrawal_that_never_arrived_is_asked_again_once_that_is_proven(life: Life) -> None:
    await _reroute(life, await _load(life))
    life.place.press.fail_next(Fault.LOSE_COMMAND)
    await life.tend()
    await life.tend()
    assert await _jobs(life) == [("accepted", PRESS, 2)]
    assert _sent(life) == [CommandKind.LOAD]
    await _later(life)
    assert _sent(life) == [CommandKind.LOAD, CommandKind.CANCEL]
    assert await _jobs(life) == [("cancelled", PRESS, 2), ("released", OTHER, 2)]


async def test_a_withdrawal_that_never_arrives_is_a_question_after_three_times(life: Life) -> None:
    first = await _load(life)
    await _reroute(life, first)
    for _ in range(3):
        life.place.press.fail_next(Fault.LOSE_COMMAND)
    for _ in range(4):
        await _later(life)
    assert await _jobs(life) == [("accepted", PRESS, 2)]
    assert (await _question(life))["evidence"]["goes_to"] == OTHER
    await _decide(life, "close")
    await _reroute(life, first)
    await life.tend()
    assert await _jobs(life) == [("cancelled", PRESS, 2), ("released", OTHER, 2)]


@contextmanager
def _a_place() -> Iterator[Place]:
    directory = Path(tempfile.mkdtemp(prefix="kvot-"))
    try:
        yield Place(state_dir=directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize("fault", [None, Fault.LOSE_ANSWER])
async def test_wherever_the_gateway_ends_one_job_is_left_and_it_is_elsewhere(fault: Fault | None) -> None:
    point = 0
    while True:
        point += 1
        with _a_place() as place:
            place.press.quick = False
            async with place.life() as life:
                await _order(life)
                await _reroute(life, await _load(life))
            if fault is not None:
                place.press.fail_next(fault)
            place.fuse.left = point
            ended = False
            for _ in range(4):
                try:
                    async with place.life() as life:
                        for _ in range(3):
                            await life.tend()
                            states = await _jobs(life)
                            there = [one for one in states if one[1] == OTHER]
                            assert not (there and place.press.jobs), "in both places"
                            place.clock.advance(3)
                        place.fuse.left = None
                        await life.plan()
                        assert await _jobs(life) == [("cancelled", PRESS, 2), ("released", OTHER, 2)]
                        break
                except CrashError:
                    ended = True
            else:
                raise AssertionError("never done")
            assert _count(place, CommandKind.CANCEL) <= 1 + (fault is None)
            assert sum(_count(place, kind) for kind in LOADS) == 1
            assert place.press.starts == []
        if not ended:
            assert point > 6, "these points cannot be all"
            return


def _count(place: Place, kind: CommandKind) -> int:
    return [command.kind for command in place.press.received].count(kind)


# A machine that is out of use for long -----------------------------------------------------------------


async def _plan(life: Life, outages: Outages, board: Board | None = None) -> None:
    floor = Floor(families=FAMILIES, machines=(PRESS, OTHER))
    with suppress(RestedError):
        await planning_stage(life.factory.ledger, floor, clock=life.place.clock, log=LOG, board=board, outages=outages)


async def _take_back(life: Life, machine: str) -> None:
    await life.ledger.write(lambda tx: machines.disarm(tx, machine, who=ANNA, now=life.place.clock.now()))


async def _arm_other(life: Life) -> None:
    now = life.place.clock.now()
    await life.ledger.write(
        lambda tx: machines.arm(tx, OTHER, Level.LOAD, who=ANNA, identity="", profile="p1", now=now)
    )


@pytest.mark.parametrize("why", ["away", "held", "not armed"])
async def test_jobs_of_a_machine_that_is_out_of_use_for_long_are_one_question_and_go_only_by_a_person(
    life: Life, why: str
) -> None:
    board, outages = Board(), Outages()
    await _arm_other(life)
    if why == "away":
        board.put(("state", PRESS), away("no answer", since_ms=0))
    elif why == "held":
        await life.ledger.write(
            lambda tx: machines.hold(tx, PRESS, reason="broken", who=ANNA, now=life.place.clock.now())
        )
    else:
        await _take_back(life, PRESS)
    await _plan(life, outages, board)
    life.place.clock.advance(LONG_OUT_S - 1)
    await _plan(life, outages, board)
    assert await life.factory.exceptions() == []
    for _ in range(3):
        life.place.clock.advance(1)
        await _plan(life, outages, board)
    question = await _question(life)
    assert (question["subject"], question["actions"], question["count"]) == ("queue:press-1", ["reroute"], 1)
    assert question["evidence"]["able"] == {"pla-white": [OTHER]}
    assert await _jobs(life) == [("released", PRESS, 2)]
    await _decide(life, "reroute")
    assert await _jobs(life) == [("released", OTHER, 2)]


async def test_nobody_is_asked_where_no_other_machine_can_and_the_question_ends_with_its_reason(life: Life) -> None:
    outages = Outages()
    await _take_back(life, PRESS)
    await _plan(life, outages)
    life.place.clock.advance(LONG_OUT_S)
    await _plan(life, outages)
    assert await life.factory.exceptions() == []
    await _arm_other(life)
    await _plan(life, outages)
    assert (await _question(life))["cause"].startswith("released jobs wait")
    await life.factory.arm(Level.LOAD)
    await _plan(life, outages)
    assert await life.factory.exceptions() == []


# Runs that are set up --------------------------------------------------------------------------------


async def test_a_run_that_waits_for_its_set_up_goes_as_a_whole_and_one_that_has_begun_does_not(
    state_dir: Path,
) -> None:
    white = Family(name="pla-white", machines=(PRESS, OTHER), static_days=5, setup=BLACK.setup)
    async with two_setups(state_dir, white=white) as factory:
        factory.floor = replace(factory.floor, machines=(PRESS, OTHER))
        await factory.ledger.write(lambda tx: machines.enrol(tx, OTHER))
        factory.shop.place(an_order("1001", quantity=2))
        async with factory.running("intake", "plan"):
            await is_in(factory, "setup")
        (job,) = await factory.jobs()

        async def go(machine: str) -> str:
            return await factory.ledger.write(
                lambda tx: reroute(
                    tx, job["job_id"], machine, factory.floor.families, who=ANNA, now=factory.clock.now()
                )
            )

        assert await go(OTHER) == "run 1 goes to press-2 with all its jobs: it waits for its set-up there"
        assert (await run_of(factory))["machine"] == OTHER
        assert [one["machine"] for one in await factory.jobs()] == [OTHER]
        assert [one["machine"] for one in await factory.ledger.read(run_views.to_do)] == [OTHER]
        await set_up(factory)
        with pytest.raises(RefusedError, match="`kvot runs hold 1`"):
            await go(PRESS)
