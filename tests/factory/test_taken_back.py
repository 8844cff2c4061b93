"""Taken by the operator: a person takes the machine back in the middle of a job, always, and Kvot lets it be."""

from typing import Any

import pytest

from simulators.journal import Event
from tests.eventually import eventually
from tests.factory.ovens import OVEN, OVEN_LINK, OvenBench, oven_bench
from tests.factory.programs import BusinessTime

pytestmark = [pytest.mark.factory, pytest.mark.timeout(120)]
PIECES = 5


async def test_taken_back_by_command_the_job_goes_on_and_nothing_more_is_sent_until_it_is_armed_again(
    business_time: BusinessTime,
) -> None:
    async with oven_bench(business_time) as bench:
        await bench.open()
        await bench.shop.place(quantity=PIECES)
        first = await bench.at_piece(1)
        await bench.shop.place(quantity=1)
        await _take_back(bench)

        await bench.in_state(first, "completed")  # the oven has gone on with what it had, and Kvot has looked on
        second = await _the_other(bench, first)
        await bench.in_state(second, "released")
        await bench.has_looked()
        seen = await bench.oven.seen()
        assert (seen["hwm_job"], seen["job"]["state"]) == (1, 5)  # not even the ended job was cleared
        assert bench.oven.moved == [(first, Event.START), (first, Event.END)]

        await bench.oven.press_start()
        await bench.arm()
        await bench.orders_are_made(2)
        assert bench.oven.moved[2:] == [(second, Event.START), (second, Event.END)]
        assert await bench.questions_ever() == 0


async def test_taken_by_the_selector_the_job_is_interrupted_and_only_start_at_the_panel_goes_on(
    business_time: BusinessTime,
) -> None:
    async with oven_bench(business_time) as bench:
        await bench.open()
        await bench.shop.place(quantity=PIECES)
        first = await bench.at_piece(2)
        await bench.shop.place(quantity=1)

        await bench.oven.touch(selector="local")
        await bench.in_state(first, "interrupted")
        await bench.oven.touch(selector="remote", reset=True)
        await _permits(bench, remote=True, ready=True, handed_over=False)
        await bench.has_looked()
        assert bench.oven.moved == [(first, Event.START), (first, Event.INTERRUPT)]
        assert (await bench.oven.seen())["hwm_job"] == 1

        await bench.oven.press_start()
        await bench.orders_are_made(2)
        second = await _the_other(bench, first)
        assert bench.oven.moved[2:] == [
            (first, Event.RESUME),
            (first, Event.END),
            (second, Event.START),
            (second, Event.END),
        ]
        assert {job["job_id"]: job["good"] for job in await bench.gateway.items("jobs")} == {first: PIECES, second: 1}
        assert await bench.questions_ever() == 0


async def test_a_machine_that_does_not_answer_can_be_taken_back_too(business_time: BusinessTime) -> None:
    async with oven_bench(business_time) as bench:
        await bench.open()
        await bench.shop.place(quantity=PIECES)
        job = await bench.at_piece(1)
        await bench.oven.power(cut=True)
        await bench.gateway.linked(OVEN_LINK, state="down")

        await _take_back(bench)
        await bench.oven.power(cut=False)
        await bench.gateway.linked(OVEN_LINK)

        await bench.in_state(job, "interrupted")
        await bench.oven.press_start()  # a person goes on, without Kvot
        await bench.orders_are_made(1)
        assert bench.oven.moved == [(job, Event.START), (job, Event.RESUME), (job, Event.END)]
        assert (await bench.gateway.machine())["level"] == "read"


async def _take_back(bench: OvenBench) -> None:
    taken = await bench.gateway.kvot("machines", "disarm", OVEN)
    assert taken.code == 0, taken.err


async def _the_other(bench: OvenBench, first: str) -> str:
    """Wait for the second job, and give its name."""

    async def there() -> bool:
        return len(await bench.gateway.job_states()) == 2

    await eventually(there, timeout_s=20)
    return next(job for job in await bench.gateway.job_states() if job != first)


async def _permits(bench: OvenBench, **wanted: bool) -> None:
    async def there() -> bool:
        permits: dict[str, Any] = (await bench.gateway.machine())["now"].get("permits", {})
        return permits == wanted

    await eventually(there, timeout_s=20)
