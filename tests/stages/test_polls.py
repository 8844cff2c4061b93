"""Polls keep their times, samples of a machine that was away are not invented, and a kill loses no number."""

import asyncio
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from drivers.profile import Tag
from gateway.stages.sample import next_poll
from gateway.uplink.broker import running_broker
from simulators.oven.settings import OvenSimulation
from simulators.oven.simulation import running_oven
from tests.drivers.modbus_samples import oven_driver
from tests.eventually import eventually
from tests.stages.test_sample import (
    ROOT,
    Gateway,
    HurriedClock,
    Kept,
    OneDriver,
    PolledSession,
    heard_of,
    needs_mosquitto,
    numbers,
    running,
    sampling,
)
from tests.uplink.listening import listening

TAGS = {
    "energy_wh": Tag(address="holding:204", type="uint32"),
    "heartbeat": Tag(address="holding:8"),
    "setup": Tag(address="holding:39"),
}


@given(st.integers(1, 1000), st.integers(0, 10_000))
def test_the_next_poll_is_due_on_the_grid_of_the_first_and_what_passed_is_counted(period: int, took: int) -> None:
    due, skipped = next_poll(50.0, float(period), 50.0 + took)
    assert due >= 50 + took
    assert due - (50 + took) <= period
    assert (due - 50) % period == 0
    assert (due - 50) / period == skipped + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class HandClock(HurriedClock):
    """Machine time as a test sets it: pauses let it pass at once."""

    hand: list[float] = field(default_factory=lambda: [0.0])

    def monotonic(self) -> float:
        return self.hand[0]

    async def sleep(self, seconds: float) -> None:
        self.hand[0] += seconds
        await asyncio.sleep(0)


class SlowSession(PolledSession):
    """Its polls take these machine seconds one after another, then none."""

    def __init__(self, clock: HandClock, *takes_s: float) -> None:
        super().__init__()
        self._clock, self._takes_s = clock, list(takes_s)
        self.begun_s: list[float] = []

    async def poll(self) -> None:
        self.begun_s.append(self._clock.monotonic())
        self._clock.hand[0] += self._takes_s.pop(0) if self._takes_s else 0.0
        await super().poll()


async def test_polls_that_come_too_late_are_skipped_and_counted_and_the_others_keep_their_times() -> None:
    clock = HandClock()
    session = SlowSession(clock, 0.4, 0.4, 3.5)
    stage = sampling(Kept(), sample_s=1.0, clock=clock)
    async with running(stage.run()), stage.watching(OneDriver(session)).session(lambda: None):
        await eventually(lambda: len(session.begun_s) >= 6)
    assert session.begun_s[:6] == [0.0, 1.0, 2.0, 6.0, 7.0, 8.0]
    assert stage.skipped == 3


class TwoReads(PolledSession):
    """Its poll has two reads, and between them it waits to be let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on, self.waits = asyncio.Event(), asyncio.Event()

    async def poll(self) -> None:
        self.tell(t_ms=None, cycles=1)
        self.waits.set()
        await self.go_on.wait()
        self.tell(t_ms=None, state="late")


async def test_what_a_read_brings_is_told_at_once_and_nothing_of_a_session_that_is_over() -> None:
    kept, session = Kept(), TwoReads()
    stage = sampling(kept)
    async with running(stage.run()):
        async with stage.watching(OneDriver(session)).session(lambda: None):
            await session.waits.wait()
            assert [body["values"] for body in kept.bodies] == [{"cycles": 1}]
        session.go_on.set()
        session.waits.clear()
        await asyncio.sleep(0)
        async with stage.watching(OneDriver(PolledSession())).session(lambda: None):
            await eventually(lambda: len(kept.bodies) > 2)
    assert [body["values"] for body in kept.bodies[:3]] == [{"cycles": 1}, {"cycles": None}, {"cycles": 1}]
    assert not any("state" in body["values"] for body in kept.bodies)


async def test_a_machine_that_is_away_has_no_values_and_none_is_invented_for_that_time(tmp_path: Path) -> None:
    kept = Kept()
    async with running_oven(OvenSimulation(journal=tmp_path / "oven.jsonl", scan_s=0.005)) as oven:
        stage = sampling(kept, tags=TAGS)
        driver = stage.watching(oven_driver(oven.url, tags=TAGS, timeout_s=0.5))
        async with running(stage.run()):
            async with driver.session(lambda: None):
                await eventually(lambda: len(kept.bodies) > 3)
                await oven.power(cut=True)
                await eventually(lambda: "quality" in kept.bodies[-1])
                away = len(kept.bodies)
                assert kept.bodies[-1]["values"] == dict.fromkeys(TAGS)
                await oven.power(cut=False)
            async with driver.session(lambda: None):  # whoever looks at the machine ends the session of its life before
                await eventually(lambda: len(kept.bodies) > away + 1)
                back = kept.bodies[away:]
    assert {name for body in back[:2] for name in body["values"]} == set(TAGS)  # one message for each read
    assert not any("quality" in body for body in back)
    assert [body["seq"] for body in kept.bodies] == list(range(1, len(kept.bodies) + 1))


class PollingGateway(Gateway):
    """A gateway whose machine is an oven that must be asked."""

    def __init__(self, place: Path, url: str, *, boot: int, oven: str) -> None:
        super().__init__(place, url, boot=boot)
        self.driver = oven_driver(oven, tags=TAGS)


@needs_mosquitto
async def test_a_gateway_killed_between_polls_loses_no_number_and_its_successor_counts_anew(tmp_path: Path) -> None:
    """The broker is away meanwhile: what the killed one had on disk is history, and nothing is missing in between."""
    async with running_oven(OvenSimulation(journal=tmp_path / "oven.jsonl", scan_s=0.005, heartbeat_s=0.05)) as oven:
        code = f"""
import asyncio, pathlib
from tests.stages.test_polls import PollingGateway
async def main():
    place = pathlib.Path({str(tmp_path)!r})
    async with PollingGateway(place, "mqtt://127.0.0.1:9", boot=1, oven={oven.url!r}).running():
        await asyncio.Event().wait()
asyncio.run(main())
"""
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code),
            stdout=asyncio.subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        await eventually(lambda: kept_bytes(tmp_path) > 1500, timeout_s=30)
        child.kill()
        await child.wait()
        async with running_broker(tmp_path / "broker") as broker:
            with listening(broker.url) as heard:
                async with PollingGateway(tmp_path, broker.url, boot=2, oven=oven.url).running() as successor:
                    await successor.linked()
                    await eventually(lambda: len(numbers(heard, 2, history=False)) >= 5)
                    await eventually(lambda: len(numbers(heard, 1, history=True)) >= 5)
                    await eventually(lambda: not kept_bytes(tmp_path))
    first = numbers(heard, 1, history=True)
    assert first == list(range(1, len(first) + 1))
    assert min(numbers(heard, 2, history=False) + numbers(heard, 2, history=True)) == 1
    assert heard_of(heard).undeclared == 0


def kept_bytes(place: Path) -> int:
    return sum(file.stat().st_size for file in (place / "spool").glob("*.seg"))
