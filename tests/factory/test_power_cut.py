"""Dark in the middle of a job: the gateway, the oven, or both lose their power, and the oven perhaps its memory."""

import pytest

from simulators.journal import Event
from tests.factory.ovens import OVEN, OvenBench, oven_bench
from tests.factory.programs import BusinessTime

pytestmark = [pytest.mark.factory, pytest.mark.timeout(120)]
PIECES = 5


async def test_dark_in_the_middle_of_a_job_with_memory_kept_only_start_at_the_panel_goes_on(
    business_time: BusinessTime,
) -> None:
    async with oven_bench(business_time, "--retention", "synchronous") as bench:
        await bench.open()
        await bench.shop.place(quantity=PIECES)
        await bench.shop.place(quantity=1)
        first = await bench.at_piece(2)

        await _dark(bench)

        await bench.in_state(first, "interrupted")
        await bench.has_looked()
        assert bench.oven.moved == [(first, Event.START)]
        await bench.oven.press_start()
        await bench.orders_are_made(2)
        second = next(job for job in await bench.gateway.job_states() if job != first)
        assert bench.oven.moved == [
            (first, Event.START),
            (first, Event.RESUME),
            (first, Event.END),
            (second, Event.START),
            (second, Event.END),
        ]
        assert await _made(bench) == {first: PIECES, second: 1}
        assert await _accepted_once(bench)
        assert await bench.questions_ever() == 0


async def _dark(bench: OvenBench, *, lose: bool = False) -> None:
    """Cut the power of everything, and give it back."""
    bench.gateway.kill()
    await bench.oven.power(cut=True, lose=lose)
    await bench.oven.power(cut=False)
    await bench.restart_gateway()


async def _made(bench: OvenBench) -> dict[str, int]:
    """Give the good pieces of each job, by the oven's own journal; the gateway must say the same."""
    told = {job["job_id"]: job["good"] for job in await bench.gateway.items("jobs")}
    ended = {entry.job: entry.good for entry in bench.oven.entries if entry.event is Event.END}
    assert told == ended, await bench.report()
    return ended


async def _accepted_once(bench: OvenBench) -> bool:
    """Say whether each job was accepted by exactly one command."""
    for job in await bench.gateway.job_states():
        shown = (await bench.gateway.ask("GET", f"/api/v1/jobs/{job}")).json()
        loads = [command["settlement"] for command in shown["commands"] if command["kind"].startswith("load")]
        if loads != ["accepted"]:
            return False
    return True
