"""A machine that remembers no jobs, and everything that may happen to it and to its gateway: one start for each job."""

import pytest

from tests.eventually import eventually
from tests.factory.bench import free_ports
from tests.factory.programs import BusinessTime
from tests.factory.saws import SAW, START, saws
from tests.factory.wires import cable

pytestmark = pytest.mark.factory


async def test_killed_in_the_middle_of_a_batch_the_gateway_follows_it_and_counts_it(
    business_time: BusinessTime,
) -> None:
    async with saws(business_time, cycle_s=12) as factory:
        factory.configure()
        await factory.start()
        await factory.own_work_done(3)  # the counters do not begin at 0
        await factory.order(20)
        await factory.in_state("running")
        await factory.kill_gateway()
        await factory.made(1)
        assert factory.saw.starts == 2
        (job,) = await factory.gateway.items("jobs")
        assert (job["state"], job["good"]) == ("completed", 20)
        assert await factory.gateway.items("exceptions") == []


async def test_killed_between_start_and_receipt_it_finds_its_batch_and_starts_no_other(
    business_time: BusinessTime,
) -> None:
    async with saws(business_time, cycle_s=12) as factory:
        factory.configure()
        await factory.start()
        await factory.saw.break_down(lie="never", functions=[5], times=1)
        await factory.order(10)
        await eventually(lambda: factory.saw.starts == 1, timeout_s=25)
        assert await factory.job_state() == "in_doubt"
        await factory.kill_gateway()
        await factory.made(1)
        assert factory.saw.starts == 1
        assert await factory.gateway.items("exceptions") == []


@pytest.mark.parametrize("done_before", [True, False])
async def test_killed_between_intent_and_start_it_starts_on_proof_or_asks(
    business_time: BusinessTime, done_before: bool
) -> None:
    near = free_ports(1)[0]
    async with saws(business_time) as factory, cable(port=near, target=factory.saw.port) as wire:
        factory.configure(saw=f"modbus://127.0.0.1:{near}")
        await factory.start()
        if done_before:
            await factory.own_work_done(9)
        before = factory.saw.starts
        wire.swallow(START)
        await factory.order(2)
        await wire.swallowed.wait()
        assert await factory.job_state() == "in_doubt"
        await factory.kill_gateway()
        if not done_before:
            await eventually(factory.questions, timeout_s=25)
            (asked,) = await factory.questions()
            await factory.has_looked()
            assert factory.saw.starts == before
            assert "idle, not done, good 0, scrap 0" in asked["evidence"]["text"]
            number = str(asked["exception_id"])
            said = await factory.gateway.kvot("exceptions", "resolve", number, "--action", "not_made")
            assert said.code == 0, said.err
        await factory.made(1)
        assert factory.saw.starts == before + 1


async def test_a_power_cut_that_loses_the_counters_asks_one_question_and_never_starts_again(
    business_time: BusinessTime,
) -> None:
    async with saws(business_time, cycle_s=30) as factory:
        factory.configure()
        await factory.start()
        await factory.own_work_done(3)
        await factory.order(20)
        await factory.in_state("running")
        await factory.saw.power_cycle(lose=True)
        await eventually(factory.questions, timeout_s=25)
        await factory.says("a person must decide")
        await factory.says("the machine restarted")
        await factory.hand_over()
        await factory.has_looked()
        await factory.kill_gateway()
        await factory.says("a person must decide")
        await factory.has_looked()
        (asked,) = await factory.questions()
        assert factory.saw.starts == 2
        assert "went back" in asked["cause"]
        number = str(asked["exception_id"])
        said = await factory.gateway.kvot("exceptions", "resolve", number, "--action", "made", "--note", "20 lie there")
        assert said.code == 0, said.err
        await factory.made(1)
        assert factory.saw.starts == 2


async def test_a_batch_of_somebody_else_is_busy_and_its_pieces_are_not_ours(business_time: BusinessTime) -> None:
    async with saws(business_time, cycle_s=12) as factory:
        factory.configure()
        await factory.start()
        await factory.own_work(15)
        await factory.order(2)
        await factory.says("busy with its own work")
        assert factory.saw.starts == 1
        await factory.made(1)
        (job,) = await factory.gateway.items("jobs")
        assert (job["good"], factory.saw.starts) == (2, 2)
        assert await factory.gateway.items("exceptions") == []


async def test_after_a_restart_it_gets_nothing_until_a_named_person_has_released_it(
    business_time: BusinessTime,
) -> None:
    async with saws(business_time) as factory:
        factory.configure()
        await factory.start()
        await factory.saw.power_cycle(lose=False)
        await factory.says("the machine restarted")
        await factory.order(1)
        await factory.says("held: the machine restarted")
        await factory.has_looked()
        assert factory.saw.starts == 0
        released = await factory.gateway.kvot("machines", "release", SAW)
        assert released.code == 0, released.err
        await factory.made(1)
        assert factory.saw.starts == 1
