"""The fake machine tells the truth: what it did, what it forgot and what it was never told."""

import pytest

from drivers.base import Answer, CommandKind, DriverError, JobPhase, Permits
from tests.drivers.fake_machine import FakeMachine, Fault
from tests.drivers.samples import command, ignore

LOAD_START = CommandKind.LOAD_START


async def test_a_lost_answer_leaves_a_job_and_a_lost_command_leaves_none() -> None:
    for fault, phase in ((Fault.LOSE_ANSWER, JobPhase.ALLOWED_TO_START), (Fault.LOSE_COMMAND, None)):
        machine = FakeMachine()
        machine.fail_next(fault)
        async with machine.session(ignore) as session:
            with pytest.raises(DriverError):
                await session.send(command(LOAD_START))
            with pytest.raises(DriverError):
                await session.look()
        async with machine.session(ignore) as session:
            assert (await session.ask("LUND-1-1")).phase is phase


async def test_a_machine_that_says_no_takes_nothing() -> None:
    machine = FakeMachine()
    machine.fail_next("refuse")
    machine.fail_next("busy")
    async with machine.session(ignore) as session:
        refused, busy = await session.send(command(LOAD_START)), await session.send(command(LOAD_START))
        assert (await session.look()).jobs == ()
    assert (refused.answer, busy.answer) == (Answer.REFUSED, Answer.REFUSED)
    assert "busy" in busy.evidence


async def test_a_restart_breaks_sessions_changes_the_boot_and_forgets() -> None:
    machine = FakeMachine()
    async with machine.session(ignore) as session:
        await session.send(command(LOAD_START))
        machine.run("LUND-1-1")
        before = (await session.look()).boot
        machine.restart()
        with pytest.raises(DriverError):
            await session.look()
    async with machine.session(ignore) as session:
        look = await session.look()
    assert look.boot != before
    assert look.jobs == ()
    assert look.permits.handed_over is False
    assert machine.starts == ["LUND-1-1"]


async def test_a_machine_that_forgot_a_job_makes_it_twice_and_its_journal_shows_it() -> None:
    machine = FakeMachine()
    async with machine.session(ignore) as session:
        await session.send(command(LOAD_START))
        machine.run("LUND-1-1")
        machine.forget("LUND-1-1")
        await session.send(command(LOAD_START))
        machine.run("LUND-1-1")
    assert machine.starts == ["LUND-1-1", "LUND-1-1"]


async def test_a_running_job_is_interrupted_by_the_guard_and_goes_on_as_the_same_start() -> None:
    machine = FakeMachine()
    async with machine.session(ignore) as session:
        await session.send(command(LOAD_START))
        machine.run("LUND-1-1")
        machine.open_guard()
        machine.press_start()  # with the guard open: nothing
        assert (await session.ask("LUND-1-1")).phase is JobPhase.INTERRUPTED
        machine.close_guard()
        assert (await session.ask("LUND-1-1")).phase is JobPhase.INTERRUPTED
        machine.press_start()
        machine.finish("LUND-1-1", good=1, scrap=1)
        made = await session.ask("LUND-1-1")
    assert (made.phase, made.good, made.produced) == (JobPhase.ENDED, 1, 2)
    assert machine.starts == ["LUND-1-1"]


async def test_nothing_runs_without_every_permit() -> None:
    machine = FakeMachine(permits=Permits(remote=True, ready=None, handed_over=True))
    async with machine.session(ignore) as session:
        await session.send(command(LOAD_START))
    with pytest.raises(AssertionError, match="may not start"):
        machine.run("LUND-1-1")
    assert machine.starts == []


async def test_own_work_is_seen_as_a_job_that_is_not_ours_and_fills_the_machine() -> None:
    machine = FakeMachine()
    machine.start_own_work()
    async with machine.session(ignore) as session:
        assert [job.job_id for job in (await session.look()).jobs] == ["BY-HAND"]
        assert (await session.send(command(LOAD_START))).answer is Answer.REFUSED


async def test_an_unplugged_machine_cannot_be_reached_until_it_is_plugged_in() -> None:
    machine = FakeMachine()
    machine.unplug()
    with pytest.raises(DriverError):
        async with machine.session(ignore):
            pass
    machine.plug_in()
    async with machine.session(ignore) as session:
        assert (await session.look()).jobs == ()


async def test_every_open_session_is_told_of_a_change() -> None:
    machine = FakeMachine()
    told: list[int] = []
    async with machine.session(lambda: told.append(1)), machine.session(lambda: told.append(2)):
        machine.open_guard()
    machine.close_guard()
    assert sorted(told) == [1, 2]
