"""The oven over a real Modbus connection: blocks, commands, panel, faults, power."""

import asyncio
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulators import journal
from simulators.controls import Panel, Touch
from simulators.journal import Event
from simulators.modbus_faults import Lie
from simulators.oven.faults import OvenFaults
from simulators.oven.machine import Oven
from simulators.oven.memory import Kept, RetentiveMemory
from simulators.oven.registers import Cmd, Status
from simulators.oven.settings import OvenSimulation, Retention
from simulators.oven.simulation import RunningOven, running_oven
from simulators.scanning import Now
from simulators.tally import Counts, Tally
from simulators.words import WordOrder
from tests.eventually import eventually
from tests.simulators.oven_bench import order_words, payload
from tests.simulators.oven_client import OvenClient, gateway

pytestmark = pytest.mark.factory


def settings(tmp_path: Path, **wanted: Any) -> OvenSimulation:
    return OvenSimulation(journal=tmp_path / "oven.jsonl", **{"scan_s": 0.005, "cycle_s": 0.1, **wanted})


def client_of(oven: RunningOven) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=oven.panel_url, trust_env=False)


async def make(client: OvenClient, job_no: int, *, target: int = 2) -> None:
    """Have a job made and cleared."""
    assert await client.send(Cmd.LOAD_START, job_no, target=target) == 1

    async def ended() -> bool:
        await client.beat()
        return (await client.job())[1] == 5

    await eventually(ended)
    assert await client.send(Cmd.CLEAR, job_no) == 1


def told(oven: RunningOven) -> list[tuple[Event, str, int | None, int]]:
    return [(entry.event, entry.job, entry.job_no, entry.good) for entry in oven.journal()]


@pytest.mark.parametrize("order", list(WordOrder))
async def test_the_blocks_are_those_of_the_map(tmp_path: Path, order: WordOrder) -> None:
    places: dict[str, Any] = {"status_base": 2000, "command_base": 40, "word_order": order}
    wanted = settings(tmp_path, cycle_s=1000, tool=7, **places)
    async with running_oven(wanted) as oven, gateway(oven.port, **places) as client:
        await oven.panel(reset=True, start=True)
        assert await client.send(Cmd.LOAD_START, 0x10002, target=70_000, recipe=3, order_id="K-17") == 1
        await eventually(lambda: oven.state()["moves"])
        words = await client.status()
        test_value = words[2:6] if order is WordOrder.BIG else [words[at] for at in (3, 2, 5, 4)]
        assert test_value == [0x0102, 0x0304, 0x42F6, 0xE979]
        assert struct.pack(">2H", *test_value[2:]) == struct.pack(">f", 123.456)
        assert (words[0], words[1], words[6], words[7]) == (0x4A43, 1, 0x4142, 1)
        assert [client.u32(words, at) for at in (12, 14, 18, 20, 22, 24)] == [0x10002, 0x10002, 70_000, 0, 0, 0]
        assert (words[16], words[17], words[26], words[27] != 0) == (3, 0, 3, True)
        assert (words[28], words[29], words[34], words[35], words[39]) == (6, 1, 0, 0b11111, 7)
        assert words[40:56] == order_words("K-17")
        assert (words[38], words[56:63]) == (0, [0] * 7)
        assert words[Status.HEARTBEAT] > 0


async def test_a_job_runs_once_and_the_journal_knows_its_order_and_number(tmp_path: Path) -> None:
    async with running_oven(settings(tmp_path, pieces_per_cycle=2)) as oven, gateway(oven.port) as client:
        await oven.panel(reset=True, start=True)
        await make(client, 1, target=3)
        assert await client.send(Cmd.LOAD_START, 1) == 2
        await make(client, 2, target=1)
        assert told(oven) == [
            (Event.START, "job-1", 1, 0),
            (Event.MADE, "job-1", 1, 2),
            (Event.END, "job-1", 1, 3),
            (Event.START, "job-2", 2, 0),
            (Event.END, "job-2", 2, 1),
        ]


async def test_a_job_without_an_order_goes_by_its_number_and_cycles_are_told_as_pieces(tmp_path: Path) -> None:
    wanted = settings(tmp_path, pieces_per_cycle=10, counts=Counts.CYCLES)
    async with running_oven(wanted) as oven, gateway(oven.port) as client:
        await oven.panel(reset=True, start=True)
        assert await client.send(Cmd.LOAD_START, 9, target=1, order_id="") == 1
        await eventually(lambda: told(oven) == [(Event.START, "9", 9, 0), (Event.END, "9", 9, 10)])


async def test_nothing_outside_the_command_block_can_be_written(tmp_path: Path) -> None:
    async with running_oven(settings(tmp_path)) as oven, gateway(oven.port) as client:
        for address, count in ((16, 1), (99, 2), (159, 1), (158, 2)):
            assert (await client.client.write_registers(address, [1] * count)).exception_code == 2
        assert (await client.client.read_holding_registers(60, count=10)).exception_code == 2
        assert not (await client.client.read_holding_registers(101, count=56)).isError()
        assert (await client.client.read_coils(0)).exception_code == 1
        assert (await client.client.write_coil(0, True)).exception_code == 1


async def test_a_torn_block_shows_by_its_snap_registers(tmp_path: Path) -> None:
    wanted = settings(tmp_path, scan_s=0.3, cycle_s=1000)
    async with running_oven(wanted) as oven, gateway(oven.port) as client:
        await oven.panel(reset=True, start=True)
        await oven.break_down(OvenFaults(torn=True))
        seen = set()
        assert await client.send(Cmd.LOAD, 0x30004) == 1
        assert await client.send(Cmd.ABORT, 0x30004) == 1
        assert await client.send(Cmd.CLEAR, 0x30004) == 1
        sending = asyncio.create_task(client.send(Cmd.LOAD, 0x50006))
        async with gateway(oven.port) as other:
            while not sending.done():
                words = await other.words()
                seen.add((words[9] == words[63], client.u32(words, Status.HWM_JOB)))
        assert await sending == 1
        assert {value for whole, value in seen if whole} <= {0x30004, 0x50006}
        assert (False, 0x50004) in seen or (False, 0x50006) in seen


def test_a_long_write_that_arrives_in_two_scans_shows_on_reading_back_and_in_its_crc(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    with journal.Journal(wanted.journal, machine="oven-1") as diary:
        oven = Oven(wanted, tally=Tally([], diary.write))
        oven.boot(Now(work_s=0.0, machine_s=0.0))
        oven.write_words(101, payload(Cmd.LOAD, 1, settings=wanted, order_id="first"))
        oven.faults = OvenFaults(torn_write=True)
        sent = payload(Cmd.LOAD, 2, settings=wanted, order_id="second", parameters=(1.0, 2.0, 3.0))
        oven.write_words(101, sent)
        assert list(oven.read_words(101, 28)) == sent[:28]
        assert list(oven.read_words(101, 56)) != sent
        oven.write_words(158, [1])
        oven.scan(Now(work_s=1.0, machine_s=1.0))
        assert list(oven.read_words(Status.ACK_SEQ, 2)) == [1, 6]
        assert list(oven.read_words(101, 56)) == sent
        oven.write_words(158, [2])
        oven.scan(Now(work_s=2.0, machine_s=2.0))
        assert list(oven.read_words(Status.ACK_SEQ, 2)) == [2, 1]


async def test_a_stopped_controller_answers_and_its_heartbeat_stands_still(tmp_path: Path) -> None:
    async with running_oven(settings(tmp_path)) as oven, gateway(oven.port) as client:
        await oven.panel(reset=True, start=True)
        assert await client.send(Cmd.LOAD, 1) == 1
        await oven.break_down(OvenFaults(stopped=True))
        first = await client.status()
        await client.write(58, [77])
        await asyncio.sleep(0.6)
        assert await client.status() == first
        await oven.break_down(OvenFaults())
        words = await client.status()
        assert (words[Status.BOOT_CNT], words[Status.JOB_STATE], words[Status.PERMIT] & 16) == (2, 1, 0)


@pytest.mark.parametrize(
    ("wanted", "lose", "expected"),
    [
        ({}, False, (1, 4, 2)),
        ({"retention": Retention.LAGGING, "save_every_s": 60.0}, False, (0, 0, 0)),
        ({"retention": Retention.LOST}, False, (0, 0, 0)),
        ({}, True, (0, 0, 0)),
    ],
)
async def test_a_power_cut_at_a_middle_piece(
    tmp_path: Path, wanted: dict[str, Any], lose: bool, expected: tuple[int, int, int]
) -> None:
    async with running_oven(settings(tmp_path, cycle_s=0.2, **wanted)) as oven:
        await oven.panel(reset=True, start=True)
        async with gateway(oven.port, timeout_s=0.3) as client:
            assert await client.send(Cmd.LOAD_START, 1, target=4) == 1
            await eventually(lambda: len(oven.journal()) == 3)
            await oven.power(cut=True, lose=lose)
            assert not oven.state()["on"]
            assert (await _unreachable(client)) is True
        made = oven.journal()[-1].good
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", oven.port)
        await oven.panel(start=True)  # nobody sees it
        await oven.power(cut=False)
        async with gateway(oven.port) as client:
            slot, state, produced, _ = await client.job()
            assert (slot, state, produced) == expected
            words = await client.status()
            assert client.u32(words, Status.HWM_JOB) == expected[0]
            await oven.panel(reset=True)
            await client.beat()
            await asyncio.sleep(0.3)
            assert oven.journal()[-1].good == made
            if expected[0]:
                await oven.panel(start=True)
                await eventually(lambda: oven.journal()[-1].event is Event.END)
                assert [entry.event for entry in oven.journal()].count(Event.START) == 1
                assert (await client.job())[1:] == (5, 4, 4)
                assert oven.journal()[-1].good == 4


async def _unreachable(client: OvenClient) -> bool:
    try:
        await client.words()
    except Exception:  # noqa: BLE001 - pymodbus has many words for it
        return True
    return False


async def test_a_lagging_memory_makes_a_job_twice_and_the_journal_tells(tmp_path: Path) -> None:
    wanted = settings(tmp_path, retention=Retention.LAGGING, save_every_s=60.0)
    async with running_oven(wanted) as oven:
        await oven.panel(reset=True, start=True)
        async with gateway(oven.port) as client:
            await make(client, 1)
        await oven.power(cut=True)
        await oven.power(cut=False)
        await oven.panel(reset=True, start=True)
        async with gateway(oven.port) as client:
            await make(client, 1)
        assert [entry.good for entry in oven.journal() if entry.event is Event.END] == [2, 4]
        assert [entry.event for entry in oven.journal()].count(Event.START) == 2


async def test_a_simulated_person_hands_over_and_fits_the_tool_that_is_needed(tmp_path: Path) -> None:
    wanted = settings(tmp_path, panel=Panel.AUTO, person_s=0.02, tools={3: 7, 4: 8}, setup_s=0.1, tool=7)
    async with running_oven(wanted) as oven, gateway(oven.port) as client:
        await eventually(lambda: oven.state()["handed_over"])
        await make(client, 1)
        assert await client.send(Cmd.LOAD_START, 2, recipe=4) == 1
        assert not oven.state()["setup_ok"]
        await client.beat()
        await eventually(lambda: oven.journal()[-1].job == "job-2")
        assert (await client.status())[Status.SETUP_ECHO] == 8
        await oven.panel(guard="open")
        assert oven.state()["state"] in ("held", "stopped")
        await asyncio.sleep(0.1)
        assert not oven.state()["handed_over"]
        await oven.panel(guard="shut")
        await eventually(lambda: oven.state()["handed_over"])


async def test_the_panel_speaks_http(tmp_path: Path) -> None:
    async with running_oven(settings(tmp_path)) as oven, client_of(oven) as panel:
        state = (await panel.post("/panel", json={"reset": True, "start": True})).json()
        assert (state["ready"], state["handed_over"], state["job"], state["name"]) == (True, True, None, "oven-1")
        state = (await panel.post("/panel", json={"selector": "local", "tool": "12"})).json()
        assert (state["remote"], state["handed_over"], state["tool"]) == (False, False, "12")
        state = (await panel.post("/power", json={"cut": True})).json()
        assert (state["on"], state["powered"]) == (False, False)
        state = (await panel.post("/power", json={"cut": False, "lose": True})).json()
        assert (state["on"], state["powered"], state["boot_count"]) == (True, True, 1)
        assert (await panel.post("/faults", json={"lie": "never", "times": 1})).status_code == 200
        assert oven.server.faults.lie is Lie.NEVER
        assert (await panel.get("/state")).json()["on"] is True
        wrong: list[tuple[str, Any]] = [
            ("/panel", {"gard": "open"}),
            ("/panel", {"guard": "ajar"}),
            ("/panel", {"tool": "T-1"}),
            ("/panel", {"tool": "70000"}),
            ("/panel", {"reset": 1}),
            ("/power", {}),
            ("/power", {"cut": 1}),
            ("/power", {"cut": True, "now": True}),
            ("/faults", {"lie": "white"}),
            ("/faults", [1]),
        ]
        for path, body in wrong:
            assert (await panel.post(path, json=body)).status_code == 422, (path, body)


async def test_a_killed_scan_loses_no_piece_that_the_journal_holds(tmp_path: Path) -> None:
    """Between the journal's line and the memory's the process can be killed; a synchronous memory has it all the same."""
    wanted = settings(tmp_path, cycle_s=0.1)
    async with running_oven(wanted) as oven:
        await oven.panel(reset=True, start=True)
        async with gateway(oven.port) as client:
            assert await client.send(Cmd.LOAD_START, 1, target=2) == 1
            await eventually(lambda: len(oven.journal()) == 2)
            before = wanted.memory_path.read_bytes()
            await eventually(lambda: oven.journal()[-1].event is Event.END)
    wanted.memory_path.write_bytes(before)
    async with running_oven(wanted) as oven, gateway(oven.port) as client:
        assert await client.job() == (1, 5, 2, 2)
        assert client.u32(await client.status(), Status.TOTAL_GOOD) == 2


def test_a_start_that_the_journal_holds_is_a_resumption_after_the_kill(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    memory = RetentiveMemory(wanted.memory_path, retention=Retention.SYNCHRONOUS, save_every_s=1)
    kept = Kept(slot_job=1, hwm_job=1, job_state=3, target=2, order_id=tuple(order_words("A")))
    for in_journal, event in ((False, Event.START), (True, Event.RESUME)):
        memory.erase()
        memory.keep(kept, [], machine_s=0)
        wanted.journal.unlink(missing_ok=True)
        with journal.Journal(wanted.journal, machine="oven-1") as diary:
            if in_journal:
                diary.write(Event.START, job="A", job_no=1)
            oven = Oven(wanted, tally=Tally(journal.read(wanted.journal), diary.write))
            oven.boot(Now(work_s=0.0, machine_s=0.0))
            Touch(reset=True, start=True)(oven.board, datetime.now(UTC))
            oven.scan(Now(work_s=1.0, machine_s=1.0))
            oven.scan(Now(work_s=2.0, machine_s=2.0))
        assert journal.read(wanted.journal)[-1].event is event
