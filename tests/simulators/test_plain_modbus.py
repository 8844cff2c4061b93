"""The plain machine over a real Modbus connection: start, evidence, panel, faults, power, process."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulators.controls import Panel
from simulators.journal import Event, read
from simulators.modbus_faults import Lie
from simulators.plain.faults import PlainFaults
from simulators.plain.settings import Counters, PlainSimulation, Points
from simulators.plain.simulation import running_plain
from simulators.words import WordOrder
from tests.eventually import eventually
from tests.simulators.modbus_client import connected
from tests.simulators.test_oven_process import machine_process

pytestmark = pytest.mark.factory

IN_REGISTERS = Points(
    start="holding:18.0", busy="holding:20.0", done="holding:20.1", remote="holding:20.2", ready="holding:20.3"
)


def settings(tmp_path: Path, **wanted: Any) -> PlainSimulation:
    return PlainSimulation(journal=tmp_path / "plain.jsonl", **{"scan_s": 0.005, "cycle_s": 0.05, **wanted})


async def test_a_batch_is_started_seen_and_counted(tmp_path: Path) -> None:
    async with running_plain(settings(tmp_path)) as plain, connected(plain.port) as client:
        await plain.panel(reset=True)
        assert (await client.read_coils(0, count=6)).bits[:6] == [False, False, False, True, True, False]
        assert not (await client.write_registers(0, [3, 2, *[0x4120] * 16])).isError()
        assert not (await client.write_coil(0, True)).isError()
        await eventually(lambda: plain.state()["done"])
        assert (await client.read_coils(0, count=6)).bits[:6] == [False, False, True, True, True, False]
        assert (await client.read_holding_registers(100, count=5)).registers == [0, 2, 0, 0, 1]
        assert (await client.read_holding_registers(0, count=18)).registers == [3, 2, *[0x4120] * 16]
        told = [(entry.event, entry.job, entry.job_no, entry.good) for entry in plain.journal()]
        assert told == [(Event.START, "1", 1, 0), (Event.MADE, "1", 1, 1), (Event.END, "1", 1, 2)]


async def test_bits_may_lie_in_registers_and_the_machine_owns_its_own(tmp_path: Path) -> None:
    wanted = settings(tmp_path, points=IN_REGISTERS, start_clears=False, word_order=WordOrder.LITTLE)
    async with running_plain(wanted) as plain, connected(plain.port) as client:
        await plain.panel(reset=True)
        assert (await client.write_register(1, 1)).isError() is False
        assert (await client.write_register(18, 0xFFFF)).isError() is False
        await eventually(lambda: plain.state()["done"])
        assert (await client.read_holding_registers(18, count=3)).registers == [1, 0, 0b1110]
        assert (await client.read_holding_registers(100, count=2)).registers == [1, 0]
        assert (await client.write_register(20, 0)).exception_code == 2


async def test_only_what_is_the_clients_can_be_written(tmp_path: Path) -> None:
    async with running_plain(settings(tmp_path)) as plain, connected(plain.port) as client:
        assert (await client.write_coil(1, True)).exception_code == 2
        assert (await client.write_coils(0, [True, True])).exception_code == 2
        assert (await client.write_register(100, 1)).exception_code == 2
        assert (await client.read_holding_registers(100, count=7)).exception_code == 2
        assert (await client.read_coils(5, count=2)).exception_code == 2
        await asyncio.sleep(0.05)
        assert plain.journal() == []


async def test_each_start_of_the_controller_shows_another_number(tmp_path: Path) -> None:
    async with running_plain(settings(tmp_path)) as plain:
        numbers = set()
        for _ in range(3):
            async with connected(plain.port) as client:
                numbers.add((await client.read_holding_registers(105, count=1)).registers[0])
            await plain.power(cut=True)
            await plain.power(cut=False)
    assert len(numbers) == 3


async def test_a_machine_that_has_worked_before_shows_it_until_its_memory_is_lost(tmp_path: Path) -> None:
    async with running_plain(settings(tmp_path, worked=70_000)) as plain:
        async with connected(plain.port) as client:
            assert (await client.read_holding_registers(100, count=2)).registers == [1, 4464]
        assert (plain.state()["done"], plain.state()["good"]) == (True, 70_000)
        await plain.power(cut=True)
        await plain.power(cut=False)
        assert (plain.state()["done"], plain.state()["good"]) == (False, 70_000)
        await plain.power(cut=True, lose=True)
        await plain.power(cut=False)
        assert plain.state()["good"] == 0
        assert plain.journal() == []


@pytest.mark.parametrize(
    ("counters", "lose", "good"),
    [(Counters.TOTAL, False, 1), (Counters.TOTAL, True, 0), (Counters.VOLATILE, False, 0), (Counters.BATCH, False, 0)],
)
async def test_after_a_power_cut_nothing_moves_and_only_counters_may_be_left(
    tmp_path: Path, counters: Counters, lose: bool, good: int
) -> None:
    async with running_plain(settings(tmp_path, counters=counters, cycle_s=0.3)) as plain:
        await plain.panel(reset=True)
        async with connected(plain.port) as client:
            await client.write_register(1, 3)
            await client.write_coil(0, True)
            await eventually(lambda: len(plain.journal()) == 2)
        await plain.power(cut=True, lose=lose)
        await plain.power(cut=False)
        async with connected(plain.port) as client:
            assert (await client.read_coils(0, count=3)).bits[:3] == [False, False, False]
            assert (await client.read_holding_registers(101)).registers == [good]
            await plain.panel(reset=True, start=True)
            await asyncio.sleep(0.1)
            assert [entry.event for entry in plain.journal()] == [Event.START, Event.MADE, Event.ABORT]
            await client.write_register(1, 1)
            await client.write_coil(0, True)
            await eventually(lambda: plain.journal()[-1].event is Event.START)
            assert plain.journal()[-1].job == "2"


async def test_a_lost_answer_leaves_evidence(tmp_path: Path) -> None:
    async with running_plain(settings(tmp_path, cycle_s=30)) as plain, connected(plain.port, timeout_s=0.1) as client:
        await plain.panel(reset=True)
        await client.write_register(1, 1)
        await plain.break_down(PlainFaults(lie=Lie.NEVER, functions=frozenset({5}), times=1))
        with pytest.raises(Exception):  # noqa: B017 - pymodbus has many words for it
            await client.write_coil(0, True)
        await eventually(lambda: plain.state()["busy"])
        await plain.break_down(PlainFaults(deaf=True))
        await plain.panel(guard="open")
        await plain.panel(guard="shut", reset=True, start=True)
        assert [entry.event for entry in plain.journal()] == [Event.START, Event.INTERRUPT, Event.RESUME]


async def test_a_deaf_machine_takes_the_start_back_and_does_nothing(tmp_path: Path) -> None:
    async with running_plain(settings(tmp_path)) as plain, connected(plain.port) as client:
        await plain.panel(reset=True)
        await plain.break_down(PlainFaults(deaf=True))
        await client.write_register(1, 1)
        await client.write_coil(0, True)

        async def taken_back() -> bool:
            return not (await client.read_coils(0)).bits[0]

        await eventually(taken_back)
        assert plain.journal() == []


async def test_a_simulated_person_resets_and_lets_go_on(tmp_path: Path) -> None:
    wanted = settings(tmp_path, panel=Panel.AUTO, person_s=0.02, cycle_s=0.5)
    async with running_plain(wanted) as plain, connected(plain.port) as client:
        await eventually(lambda: plain.state()["ready"])
        await client.write_register(1, 1)
        await client.write_coil(0, True)
        await eventually(lambda: plain.state()["busy"])
        await plain.panel(fault="jam")
        await eventually(lambda: plain.state()["done"])
        assert [entry.event for entry in plain.journal()] == [Event.START, Event.INTERRUPT, Event.RESUME, Event.END]


async def test_the_process_says_where_it_is_and_ends_cleanly(tmp_path: Path) -> None:
    journal = tmp_path / "plain.jsonl"
    arguments = ("--cycle-s", "0.05", "--at-start", "holding:18.0", "--panel", "auto", "--person-s", "0.01")
    async with machine_process("plain", journal, *arguments) as child, connected(child.port) as client:

        async def ready() -> bool:
            found: dict[str, Any] = (await child.panel.get("/state")).json()
            return bool(found["ready"])

        await eventually(ready)
        await client.write_register(1, 1)
        await client.write_register(18, 1)
        await eventually(lambda: read(journal) and read(journal)[-1].event is Event.END)
        assert isinstance(child.panel, httpx.AsyncClient)
        child.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            assert await child.process.wait() == 0
