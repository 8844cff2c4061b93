"""The tags of a real server arrive in blocks with their own times; one that cannot be had is bad and harms nobody."""

import asyncio
import time

import pytest

from drivers.base import JobPhase
from drivers.blocks import BAD, Block, Sampler
from drivers.profile import Tag
from simulators.press.simulation import RunningPress
from tests.drivers.conftest import FreshPress
from tests.drivers.samples import driver_for, ignore
from tests.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

_PRESS = "nsu=urn:kvot:simulator:press;s=Press"
TAGS = {
    "temperature_c": Tag(address=f"{_PRESS}.Temperature"),
    "fahrenheit": Tag(address=f"{_PRESS}.Temperature", scale=1.8, offset=32),
    "cycles": Tag(address=f"{_PRESS}.Cycles"),
    "tool": Tag(address=f"{_PRESS}.ToolCode"),
    "ready": Tag(address=f"{_PRESS}.Permits.Ready"),
}


async def gathered(session: object, press: RunningPress, *wanted: str) -> list[Block]:
    """Take blocks until each of these tags has come."""
    assert isinstance(session, Sampler)
    blocks: list[Block] = []

    def there() -> bool:
        blocks.extend(session.take())
        return {name for block in blocks for name in block.names} >= set(wanted)

    await eventually(there)
    return blocks


async def test_every_tag_comes_with_its_value_and_the_machines_own_time(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    async with driver_for(press, tags=TAGS, sample_s=0.1).session(ignore) as session:
        blocks = await gathered(session, press, *TAGS)
        values = {name: value for block in blocks for name, value in zip(block.names, block.values, strict=True)}
        assert values["tool"] == "T-1"
        assert values["ready"] is False
        assert values["cycles"] == press.machine.cycles_total
        assert values["fahrenheit"] == pytest.approx(values["temperature_c"] * 1.8 + 32)  # type: ignore[operator]
        assert all(block.good and not block.lost for block in blocks)
        stamps = [block.t_ms for block in await gathered(session, press, "temperature_c") if block.t_ms is not None]
        assert all(abs(stamp - time.time() * 1000) < 60_000 for stamp in stamps)
        assert stamps


async def test_the_listener_is_called_when_there_are_blocks(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    async with driver_for(press, tags=TAGS, sample_s=0.1).session(ignore) as session:
        assert isinstance(session, Sampler)
        bell = asyncio.Event()
        session.listen(bell.set)
        async with asyncio.timeout(5):
            await bell.wait()
        assert session.take()


async def test_a_tag_that_the_server_has_not_is_bad_and_jobs_go_on(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    tags = {
        "nowhere": Tag(address="nsu=urn:elsewhere;s=X"),
        "unknown": Tag(address=f"{_PRESS}.NoSuchNode"),
        "tool": TAGS["tool"],
    }
    async with driver_for(press, tags=tags, sample_s=0.1).session(ignore) as session:
        blocks = await gathered(session, press, *tags)
        bad = {name for block in blocks for name, quality in zip(block.names, block.qualities, strict=True) if quality}
        assert bad == {"nowhere", "unknown"}
        assert all(
            value is None
            for block in blocks
            for value, quality in zip(block.values, block.qualities, strict=True)
            if quality == BAD
        )
        assert (await session.look()).jobs == ()


async def test_changes_of_jobs_are_still_told_beside_tags(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    changes = 0

    def count() -> None:
        nonlocal changes
        changes += 1

    async with driver_for(press, tags=TAGS, sample_s=0.1).session(count) as session:
        await gathered(session, press, *TAGS)
        before = changes
        await press.panel(reset=True)
        await eventually(lambda: changes > before)
        assert (await session.ask("LUND-1-1")).phase is not JobPhase.RUNNING
