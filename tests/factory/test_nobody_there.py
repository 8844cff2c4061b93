"""06:00 and nobody there: what is due is loaded, not started, and calls the next person."""

from datetime import UTC, datetime

import pytest

from simulators.journal import Event
from tests.eventually import eventually
from tests.factory.ovens import OVEN, OvenBench, oven_bench
from tests.factory.programs import BusinessTime

pytestmark = [pytest.mark.factory, pytest.mark.timeout(180)]
SPEED = 1800.0  # a night of 12 hours takes 24 s


async def test_what_is_due_when_nobody_has_been_there_for_twelve_hours_is_loaded_and_waits_for_a_person() -> None:
    time = BusinessTime(speed=SPEED, epoch=datetime.now(UTC).isoformat(timespec="seconds"))
    async with oven_bench(time, "--cycle-s", "1800") as bench:
        await bench.open()
        await eventually(lambda: _level(bench, "load"), timeout_s=60)  # the night goes by
        await bench.shop.place(quantity=2)

        await eventually(lambda: _loaded(bench), timeout_s=30)
        (called,) = await bench.gateway.items("exceptions")
        assert (called["subject"], called["cause"]) == (f"machine:{OVEN}", "arming lapsed")
        assert "no named person has acted for 12 hours" in called["evidence"]["text"]
        assert (await bench.oven.seen())["handed_over"]  # the oven would start: it was not asked to
        assert bench.oven.moved == []

        await bench.arm()  # somebody has come, and says so
        await bench.orders_are_made(1)
        (job,) = await bench.gateway.job_states()
        assert bench.oven.moved == [(job, Event.START), (job, Event.END)]


async def _level(bench: OvenBench, wanted: str) -> bool:
    return bool((await bench.gateway.machine())["level"] == wanted)


async def _loaded(bench: OvenBench) -> bool:
    """Say whether the job lies in the oven, and Kvot says what it waits for."""
    why = (await bench.gateway.machine())["now"]["why"]
    return ((await bench.oven.seen())["job"] or {}).get("state") == 1 and "is loaded: press Start at the panel" in why
