"""Tags are polled beside commands on one link; what a machine refuses, or says too late, is never a value."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Answer, CommandKind, DriverError, Quality, Session
from drivers.blocks import QUALITIES, Polled
from drivers.link import Links
from drivers.modbus.polling import AGAIN_S
from drivers.modbus.session import mailbox_driver
from drivers.profile import Tag
from simulators.oven.settings import OvenSimulation
from simulators.oven.simulation import running_oven
from tests.drivers.modbus_samples import cure, mailbox_profile
from tests.drivers.plain_samples import plain_driver, saw
from tests.drivers.plc import Plc
from tests.drivers.plc_wire import Liar, framed, served
from tests.drivers.samples import ignore
from tests.eventually import eventually

BAD = (None, Quality.BAD)


class PolledSession(Session, Polled):
    """Both ports of a session that is polled."""


@dataclass
class Measuring(Plc):
    """A PLC with registers of its own beside the mailbox; each holds its number. `reads` lists what was asked."""

    refused: set[int] = field(default_factory=set)
    limit: int = 125
    reads: list[tuple[int, int]] = field(default_factory=list)
    on_read: Callable[[int], None] = lambda _number: None

    def read(self, address: int, count: int) -> list[int] | None:
        if address < 200:
            self.reads.append((address, count))
            self.on_read(len(self.reads))
            return super().read(address, count)
        self.reads.append((address, count))
        self.on_read(len(self.reads))
        at = range(address, address + count)
        return None if count > self.limit or self.refused.intersection(at) else list(at)

    def asked(self) -> list[tuple[int, int]]:
        """Give the reads of measured values since the last call."""
        found = [read for read in self.reads if read[0] >= 200]
        self.reads.clear()
        return found


class Watch:
    """A monotonic clock that can be put forward."""

    ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


@asynccontextmanager
async def opened(
    port: int, *, tags: dict[str, Tag], scheme: str = "modbus", clock: Watch | None = None, **profile: Any
) -> AsyncIterator[PolledSession]:
    driver = mailbox_driver(
        url=f"{scheme}://127.0.0.1:{port}/1",
        profile=mailbox_profile(tags=tags, **profile),
        monotonic=clock or Watch(),
        links=Links(),
    )
    async with driver.session(ignore) as session:
        assert isinstance(session, Polled)
        yield session  # type: ignore[misc]


def registers(*numbers: int) -> dict[str, Tag]:
    return {f"r{number}": Tag(address=f"holding:{number}") for number in numbers}


async def polled(session: Polled) -> dict[str, Any]:
    """Poll once; give each good value, and each other one with its quality."""
    await session.poll()
    return told(session)


def told(session: Polled) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for block in session.take():
        for name, value, quality in zip(block.names, block.values, block.qualities, strict=True):
            assert name not in found
            found[name] = value if QUALITIES[quality] is Quality.GOOD else (value, QUALITIES[quality])
    return found


async def test_tags_of_a_machine_behind_the_mailbox_come_by_few_reads() -> None:
    plc = Measuring()
    tags = registers(200, 203, 300) | {
        "setup": Tag(address="holding:39"),
        "wide": Tag(address="holding:204", type="uint32"),
    }
    async with served({1: plc}) as port, opened(port, tags=tags) as session:
        plc.asked()
        assert await polled(session) == {"r200": 200, "r203": 203, "r300": 300, "setup": 7, "wide": 204 << 16 | 205}
        assert plc.reads == [(0, 64), (200, 6), (300, 1)]
        assert (await session.look()).setup_code == "7"


async def test_the_simulated_oven_tells_what_it_measures(tmp_path: Path) -> None:
    tags = {
        "temperature_c": Tag(address="holding:200", type="float32"),
        "power_kw": Tag(address="holding:202", scale=0.1),
        "cycles": Tag(address="holding:30", type="uint32"),
        "remote": Tag(address="holding:35.0"),
    }
    async with running_oven(OvenSimulation(journal=tmp_path / "oven.jsonl", scan_s=0.005)) as oven:
        port = int(oven.url.rpartition(":")[2].partition("/")[0])
        async with opened(port, tags=tags) as session:
            assert await polled(session) == {
                "temperature_c": pytest.approx(22.0),
                "power_kw": 0.0,
                "cycles": 0,
                "remote": True,
            }
            await oven.panel(reset=True, start=True)
            assert (await session.send(cure(CommandKind.LOAD_START))).answer is Answer.ACCEPTED

            async def warm() -> bool:
                found = await polled(session)
                return bool(found["temperature_c"] > 22.1 and found["power_kw"] > 2)

            await eventually(warm)


async def test_coils_and_inputs_of_a_plain_machine_are_tags_too(tmp_path: Path) -> None:
    tags = {
        "busy": Tag(address="coil:1"),
        "tool": Tag(address="holding:104"),
        "input": Tag(address="input:104"),
    }
    async with saw(tmp_path) as machine, plain_driver(machine.url, tags=tags).session(ignore) as session:
        assert isinstance(session, Polled)
        found = await polled(session)
    assert found == {"busy": False, "tool": 1, "input": BAD}  # it has no input registers: exception 1


# What the machine refuses ----------------------------------------------------------------------------------


async def test_a_refused_register_is_bad_and_spoils_none_of_its_neighbours() -> None:
    plc = Measuring(refused={210})
    numbers = range(200, 220)
    async with served({1: plc}) as port, opened(port, tags=registers(*numbers)) as session:
        plc.asked()
        wanted = {f"r{number}": number if number != 210 else BAD for number in numbers}
        assert await polled(session) == wanted
        assert len(plc.asked()) <= 2 * 5 + 1
        assert await polled(session) == wanted
        assert not any(first <= 210 < first + count for first, count in plc.asked())


async def test_a_gap_that_may_not_be_read_costs_no_value() -> None:
    plc = Measuring(refused={205})
    async with served({1: plc}) as port, opened(port, tags=registers(200, 210, 211)) as session:
        plc.asked()
        assert await polled(session) == {"r200": 200, "r210": 210, "r211": 211}
        assert plc.asked() == [(200, 12), (200, 1), (210, 2)]


async def test_a_machine_that_takes_shorter_reads_only_is_read_by_them() -> None:
    plc = Measuring(limit=32)
    async with served({1: plc}) as port, opened(port, tags=registers(*range(200, 300))) as session:
        assert await polled(session) == {f"r{number}": number for number in range(200, 300)}
        plc.asked()
        await polled(session)
        assert [count for _, count in plc.asked()] == [25, 25, 25, 25]


async def test_what_was_refused_is_asked_for_again_after_a_minute() -> None:
    plc, clock = Measuring(refused={201}), Watch()
    async with served({1: plc}) as port, opened(port, tags=registers(200, 201), clock=clock) as session:
        assert await polled(session) == {"r200": 200, "r201": BAD}
        plc.refused.clear()
        assert await polled(session) == {"r200": 200, "r201": BAD}
        clock.ahead_s = AGAIN_S
        plc.asked()
        assert await polled(session) == {"r200": 200, "r201": 201}
        assert plc.asked() == [(200, 2)]


@pytest.mark.parametrize("code", [5, 6, 8])
async def test_a_machine_that_is_busy_tells_nothing_this_time_and_all_the_next(code: int) -> None:
    liar = Liar({1: Measuring()})
    async with liar.listening() as port, opened(port, tags=registers(200, 201, 300)) as session:
        liar.lies = [lambda request, _reply: framed(request, bytes([0x83, code]))]
        assert await polled(session) == {"r200": BAD, "r201": BAD, "r300": 300}
        assert await polled(session) == {"r200": 200, "r201": 201, "r300": 300}


@pytest.mark.parametrize("code", [10, 11])
async def test_a_gateway_that_does_not_reach_the_unit_is_no_refusal_of_its_tags(code: int) -> None:
    liar = Liar({1: Measuring()})
    async with liar.listening() as port, opened(port, tags=registers(200, 201)) as session:
        liar.lies = [lambda request, _reply: framed(request, bytes([0x83, code]))]
        with pytest.raises(DriverError, match=f"exception {code}"):
            await session.poll()
        assert await polled(session) == {"r200": 200, "r201": 201}


async def test_a_block_that_is_being_written_is_read_again_and_never_believed() -> None:
    plc = Measuring()
    tags = {"produced": Tag(address="holding:30", type="uint32")} | registers(200)
    async with served({1: plc}) as port, opened(port, tags=tags) as session:
        plc.torn_reads = 2
        assert await polled(session) == {"produced": 0, "r200": 200}
        plc.torn_reads = 99
        assert await polled(session) == {"produced": BAD, "r200": 200}


# What comes late, or not at all ----------------------------------------------------------------------------


async def test_a_machine_away_in_the_middle_of_a_poll_fails_it_and_the_next_begins_afresh() -> None:
    liar = Liar({1: Measuring()})
    async with liar.listening() as port, opened(port, tags=registers(200, 300, 400), timeout_s=0.2) as session:
        liar.lies = [lambda _request, reply: reply, lambda _request, _reply: None]
        with pytest.raises(DriverError, match="no answer"):
            await session.poll()
        assert told(session) == {"r200": 200}
        assert await polled(session) == {"r200": 200, "r300": 300, "r400": 400}
    assert liar.connections == 2


@pytest.mark.parametrize("rtu", [False, True])
async def test_a_late_reply_never_becomes_the_value_of_another_register(rtu: bool) -> None:
    kept: list[bytes] = []

    def late(_request: bytes, reply: bytes) -> None:
        kept.append(reply)

    scheme = "modbus+rtu" if rtu else "modbus"
    liar = Liar({1: Measuring()}, rtu=rtu)
    async with (
        liar.listening() as port,
        opened(port, tags=registers(200, 300), timeout_s=0.2, scheme=scheme) as session,
    ):
        liar.lies = [late]
        with pytest.raises(DriverError, match="no answer"):
            await session.poll()
        liar.greeting = kept[0]  # what stands between hands it to whoever asks next
        if not rtu:  # over TCP even an unasked reply ends the connection
            with pytest.raises(DriverError, match="nobody asked for"):
                await session.poll()
        assert told(session) == {}
        assert await polled(session) == {"r200": 200, "r300": 300}


async def test_another_machine_behind_a_fresh_connection_tells_nothing_in_the_old_session() -> None:
    """Its words may lie in another order, or mean something else: only a session that looks at its map may know."""
    first, other = Measuring(), Measuring(little=True)
    liar = Liar({1: first})
    async with liar.listening() as port, opened(port, tags=registers(200), timeout_s=0.2) as session:
        assert await polled(session) == {"r200": 200}
        liar.plcs = {1: other}
        for end in list(liar.open_now):
            end.close()
        for _ in range(3):  # the lost connection is noticed, then what is behind the next one
            with pytest.raises(DriverError):
                await session.poll()
        assert told(session) == {}
        assert (200, 1) not in other.reads


async def test_a_machine_that_restarted_behind_a_fresh_connection_is_known_by_a_new_session_alone() -> None:
    first = Measuring()
    liar = Liar({1: first})
    async with liar.listening() as port, opened(port, tags=registers(200), timeout_s=0.2) as session:
        first.power_cut()
        for end in list(liar.open_now):
            end.close()
        with pytest.raises(DriverError):
            await session.poll()
        with pytest.raises(DriverError, match="restarted"):
            await session.poll()
        assert told(session) == {}


async def test_a_reply_to_the_read_before_fails_the_poll() -> None:
    liar, replies = Liar({1: Measuring()}), list[bytes]()

    def keep(_request: bytes, reply: bytes) -> bytes:
        replies.append(reply)
        return reply

    async with liar.listening() as port, opened(port, tags=registers(200, 300), timeout_s=0.2) as session:
        liar.lies = [keep, lambda *_: replies[0]]
        with pytest.raises(DriverError, match="transaction"):
            await session.poll()
        assert told(session) == {"r200": 200}


async def test_after_its_session_a_poll_reads_nothing_and_opens_nothing() -> None:
    liar = Liar({1: Measuring()})
    async with liar.listening() as port:
        async with opened(port, tags=registers(200)) as session:
            pass
        with pytest.raises(DriverError, match="no longer used"):
            await session.poll()
    assert liar.connections == 1


# Beside commands -------------------------------------------------------------------------------------------


async def test_a_command_waits_for_one_read_of_the_tags_at_most() -> None:
    plc = Measuring()
    tags = registers(*range(200, 2000, 50))
    async with served({1: plc}) as port, opened(port, tags=tags) as session:
        plc.asked()
        third = asyncio.Event()
        plc.on_read = lambda number: third.set() if number == 3 else None
        async with asyncio.TaskGroup() as group:
            poll = group.create_task(session.poll())
            await third.wait()
            await session.look()
            assert not poll.done()
        order = [address for address, _ in plc.reads]
    assert order.index(0) in {3, 4}
    assert len(told(session)) == len(tags)


async def test_jobs_are_loaded_while_tags_are_polled_all_the_time() -> None:
    plc = Measuring()
    tags = registers(*range(200, 1200, 50))
    polls = 0
    async with served({1: plc}) as port, opened(port, tags=tags) as session:

        async def for_ever() -> None:
            nonlocal polls
            while True:
                assert len(await polled(session)) == len(tags)
                polls += 1

        async with asyncio.TaskGroup() as group:
            polling = group.create_task(for_ever())
            for number in range(1, 6):
                job = f"LUND-1-{number}"
                assert (await session.send(cure(CommandKind.LOAD, job, job_no=number))).answer is Answer.ACCEPTED
                assert (await session.send(cure(CommandKind.ABORT, job, job_no=number))).answer is Answer.ACCEPTED
                assert (await session.send(cure(CommandKind.CLEAR, job, job_no=number))).answer is Answer.ACCEPTED
            polling.cancel()
    assert [command for command, _ in plc.commands] == [2, 7, 8] * 5
    assert polls
    assert plc.starts == []
