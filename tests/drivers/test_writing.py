"""Single tags written by hand over real sockets: sent once, read back, and only where the write list says."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Answer, DriverError, Receipt, Scalar, Writable
from drivers.profile import Limit, Tag
from simulators.oven.faults import OvenFaults
from simulators.oven.settings import OvenSimulation
from simulators.oven.simulation import RunningOven, running_oven
from simulators.press.faults import Faults
from tests.drivers.conftest import FreshPress
from tests.drivers.modbus_samples import oven_driver
from tests.drivers.plain_samples import opened as saw_opened
from tests.drivers.plain_samples import saw
from tests.drivers.samples import driver_for, ignore

PRESS = "nsu=urn:kvot:simulator:press;s=Press"
PRESS_TAGS = {
    "standby_c": Tag(address=f"{PRESS}.StandbyTemperature", unit="°C"),
    "standby_f": Tag(address=f"{PRESS}.StandbyTemperature", unit="°F", scale=1.8, offset=32.0),
    "temperature_c": Tag(address=f"{PRESS}.Temperature"),
    "gone": Tag(address=f"{PRESS}.Gone"),
}
OVEN_TAGS = {
    "rest_c": Tag(address="holding:206", type="float32"),
    "temperature_c": Tag(address="holding:200", type="float32"),
}
WRITE_MANY = 16


async def wrote(session: Any, name: str, value: Scalar) -> Receipt:
    assert isinstance(session, Writable)
    return await session.write_tag(name, value, deadline_s=time.monotonic() + 30)


@asynccontextmanager
async def an_oven(tmp_path: Path, **profile: Any) -> AsyncIterator[tuple[RunningOven, Any]]:
    settings = OvenSimulation(journal=tmp_path / "journal")
    listed: dict[str, Any] = {"tags": OVEN_TAGS, "writable": {name: Limit(min=0, max=500) for name in OVEN_TAGS}}
    async with (
        running_oven(settings) as oven,
        oven_driver(f"{oven.url}/1", **listed | profile).session(ignore) as session,
    ):
        yield oven, session


async def test_an_oven_takes_a_value_and_shows_it(tmp_path: Path) -> None:
    async with an_oven(tmp_path) as (_, session):
        assert await session.read_tag("rest_c") == 22.0
        assert (await wrote(session, "rest_c", 60.5)).answer is Answer.ACCEPTED
        assert await session.read_tag("rest_c") == 60.5
        assert (await wrote(session, "rest_c", 300)).answer is Answer.ACCEPTED
        assert await session.read_tag("rest_c") == 120.0  # what it keeps is its own affair, and it is told


async def test_what_an_oven_does_not_take_is_refused_in_its_words(tmp_path: Path) -> None:
    async with an_oven(tmp_path) as (_, session):
        refused = await wrote(session, "temperature_c", 60)
        assert (refused.answer, "exception 2" in refused.evidence) == (Answer.REFUSED, True)
        assert (await wrote(session, "rest_c", "warm")).evidence.startswith("not sent: ")
        assert "not in the profile's write list" in (await wrote(session, "power_kw", 1)).evidence
        await session.look()  # a no is an answer: the session goes on


async def test_an_oven_whose_answer_is_lost_has_it_all_the_same_and_gets_it_once(tmp_path: Path) -> None:
    async with an_oven(tmp_path) as (oven, session):
        await oven.break_down(OvenFaults(exception=11, executes=True, functions=frozenset({WRITE_MANY}), times=1))
        with pytest.raises(DriverError):
            await wrote(session, "rest_c", 60)
        assert await session.read_tag("rest_c") == 60.0


async def test_nothing_is_sent_past_its_deadline(tmp_path: Path) -> None:
    async with an_oven(tmp_path) as (_, session):
        with pytest.raises(DriverError, match="deadline"):
            await session.write_tag("rest_c", 60, deadline_s=time.monotonic())
        assert await session.read_tag("rest_c") == 22.0


async def test_a_plain_machine_has_coils_and_registers(tmp_path: Path) -> None:
    tags = {"lamp": Tag(address="coil:9"), "speed": Tag(address="holding:9")}
    limits = {"lamp": Limit(one_of=(True, False)), "speed": Limit(min=0, max=9)}
    async with saw(tmp_path) as machine, saw_opened(machine, tags=tags, writable=limits) as session:
        refused = await wrote(session, "lamp", True)  # this one has no such coil, and says so
        assert (refused.answer, "exception 2" in refused.evidence) == (Answer.REFUSED, True)
        assert (await wrote(session, "speed", 3)).answer is Answer.ACCEPTED
        assert "not sent" in (await wrote(session, "speed", 3.5)).evidence


@pytest.mark.asyncio(loop_scope="session")
async def test_a_press_takes_a_value_in_the_type_of_its_node(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    limits = {name: Limit(min=-500, max=500) for name in PRESS_TAGS}
    async with driver_for(press, tags=PRESS_TAGS, writable=limits).session(ignore) as opened:
        session: Any = opened
        assert (await wrote(session, "standby_c", 60)).answer is Answer.ACCEPTED
        assert await session.read_tag("standby_c") == 60.0
        assert (await wrote(session, "standby_f", 86)).answer is Answer.ACCEPTED
        assert await session.read_tag("standby_c") == pytest.approx(30.0)
        assert await session.read_tag("standby_f") == pytest.approx(86.0)
        refused = await wrote(session, "temperature_c", 60)
        assert (refused.answer, "BadUserAccessDenied" in refused.evidence) == (Answer.REFUSED, True), refused
        assert "not sent" in (await wrote(session, "gone", 60)).evidence
        assert "not sent" in (await wrote(session, "standby_c", True)).evidence
        assert "write list" in (await wrote(session, "other", 1)).evidence
        await wrote(session, "standby_c", 22)
        await session.look()


@pytest.mark.asyncio(loop_scope="session")
async def test_a_frozen_press_leaves_it_unknown(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    limits = {"standby_c": Limit(min=0, max=500)}
    async with driver_for(press, tags=PRESS_TAGS, writable=limits, timeout_s=0.5).session(ignore) as session:
        await press.break_down(Faults(frozen=True))
        with pytest.raises(DriverError):
            await wrote(session, "standby_c", 60)
