"""Modbus over real sockets: a reply with anything wrong is not believed, and machines share a connection."""

import asyncio
import os
import time
import tty
from typing import Any

import pytest
from pymodbus import FramerType

from drivers.base import Answer, CommandKind, DriverError, JobPhase
from drivers.link import Links
from drivers.modbus.address import parse_address
from drivers.modbus.wire import open_wire
from tests.drivers.modbus_samples import commit, cure, only, opened, oven_driver
from tests.drivers.plc import LOADED, Plc, Retentive, crc
from tests.drivers.plc_wire import Liar, Lie, SerialBus, framed, served
from tests.drivers.samples import ignore
from tests.eventually import eventually

LOAD = CommandKind.LOAD


def _altered(at: int, by: int) -> Lie:
    return lambda _request, reply: reply[:at] + bytes([reply[at] ^ by]) + reply[at + 1 :]


_LIES: dict[str, Lie] = {
    "another transaction": _altered(1, 1),
    "transaction 0": lambda _request, reply: b"\0\0" + reply[2:],
    "another protocol": _altered(3, 1),
    "another unit": _altered(6, 3),
    "another function": _altered(7, 7),
    "a shorter byte count": _altered(8, 2),
    "a longer byte count": _altered(8, 0x80),
    "one register less": lambda request, reply: framed(request, bytes([3, reply[8] - 2]) + reply[9:-2]),
    "one register more": lambda request, reply: framed(request, bytes([3, reply[8] + 2]) + reply[9:] + b"\0\0"),
    "a short PDU": lambda request, _reply: framed(request, bytes([3])),
    "no data": lambda request, _reply: framed(request, bytes([3, 0])),
    "bytes behind the reply": lambda _request, reply: reply + b"\0",
    "the reply twice": lambda _request, reply: reply + reply,
    "garbage": lambda _request, _reply: b"\xff" * 40,
    "half the reply": lambda _request, reply: reply[:40],
    "nothing": lambda _request, _reply: None,
}


@pytest.mark.parametrize("lie", _LIES.values(), ids=_LIES)
async def test_a_reply_with_anything_wrong_is_not_believed_and_the_connection_is_left(lie: Lie) -> None:
    plc = Plc()
    liar = Liar({1: plc})
    async with liar.listening() as port:
        driver = oven_driver(f"modbus://127.0.0.1:{port}/1", timeout_s=0.3)
        async with driver.session(ignore) as session:
            liar.lies.append(lie)
            with pytest.raises(DriverError):
                await session.look()
            with pytest.raises(DriverError, match="finished"):
                await session.look()
        async with driver.session(ignore) as session:
            assert (await session.look()).boot == "1"
    assert liar.connections == 2


@pytest.mark.parametrize("lie", [None, lambda _request, reply: reply[:40] + b"\xff" + reply[41:] + b"\0"])
async def test_a_task_that_is_cancelled_just_as_the_reply_comes_ends(lie: Lie | None) -> None:
    liar = Liar({1: Plc()})
    async with liar.listening() as port:
        bus, _ = parse_address(f"modbus://127.0.0.1:{port}/1")
        wire = await open_wire(bus)
        liar.lie = lie
        judge = wire._client.ctx.trace_packet

        def cancel_first(sending: bool, packet: bytes) -> bytes:
            if not sending:
                reading.cancel()
            return judge(sending, packet)

        wire._client.ctx.trace_packet = cancel_first
        reading = asyncio.create_task(wire.read(1, 0, 64))
        with pytest.raises(asyncio.CancelledError):
            await reading
        await wire.close()


async def test_a_late_reply_is_never_taken_for_the_next_ones() -> None:
    plc = Plc()
    liar = Liar({1: plc})
    held: list[bytes] = []

    def late(_request: bytes, reply: bytes) -> bytes | None:
        held.append(reply)
        return None

    async with liar.listening() as port:
        driver = oven_driver(f"modbus://127.0.0.1:{port}/1", timeout_s=0.2)
        async with driver.session(ignore) as session:
            liar.lies.append(late)
            with pytest.raises(DriverError, match="no answer"):
                await session.look()
        liar.lies.append(lambda _request, _reply: held[0])  # on the new connection, before the true one
        with pytest.raises(DriverError, match="transaction"):
            async with driver.session(ignore):
                raise AssertionError("opened")


async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    liar = Liar({1: Plc()})
    async with liar.listening() as port, oven_driver(f"modbus://127.0.0.1:{port}/1").session(ignore) as session:
        await session.look()
        idle: Any = session
        wire = idle._blocks._line._link._wire
        liar.push(b"\0\1\0\0")
        await eventually(lambda: wire._fault is not None)
        with pytest.raises(DriverError, match="4 bytes came that nobody asked for"):
            await session.look()


async def test_on_a_bus_a_late_reply_is_dropped_while_the_line_falls_quiet() -> None:
    plcs = {3: Plc(), 4: Plc(memory=Retentive(boot=77))}
    liar = Liar(plcs, rtu=True)
    links = Links()
    late: list[bytes] = []

    def hold(_request: bytes, reply: bytes) -> bytes | None:
        late.append(reply)
        return None

    async with liar.listening() as port:
        three = oven_driver(f"modbus+rtu://127.0.0.1:{port}/3", links=links, timeout_s=0.1)
        four = oven_driver(f"modbus+rtu://127.0.0.1:{port}/4", links=links)
        async with four.session(ignore) as other:
            liar.lies.append(hold)
            with pytest.raises(DriverError, match="no answer"):
                async with three.session(ignore):
                    raise AssertionError("opened")
            liar.greeting = late[0]
            assert (await other.look()).boot == "77"
    assert liar.connections == 2


async def test_on_a_bus_the_reply_of_another_unit_is_not_believed() -> None:
    plcs = {3: Plc(), 4: Plc()}
    liar = Liar(plcs, rtu=True)
    async with liar.listening() as port, oven_driver(f"modbus+rtu://127.0.0.1:{port}/3").session(ignore) as session:
        frame = bytes([4]) + bytes([3, 128]) + bytes(128)
        liar.lies.append(lambda _request, _reply: frame + crc(frame).to_bytes(2, "little"))
        with pytest.raises(DriverError, match="unit 4 where 3"):
            await session.look()


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 8, 10, 11])
@pytest.mark.parametrize("function", [3, 6, 16])
async def test_an_exception_is_never_taken_for_execution(code: int, function: int) -> None:
    plc = Plc()
    liar = Liar({1: plc})
    async with liar.listening() as port:
        driver = oven_driver(f"modbus://127.0.0.1:{port}/1", timeout_s=0.3)
        async with driver.session(ignore) as session:
            liar.lie = only(function, lambda request, _reply: framed(request, bytes([function | 0x80, code])))
            if function == 16 and code in (1, 2, 3):
                receipt = await session.send(cure(LOAD))
                assert receipt.answer is Answer.REFUSED
                assert f"not sent: the payload was not taken (exception {code}" in receipt.evidence
                await session.look()
            else:
                with pytest.raises(DriverError, match=f"exception {code}"):
                    await session.send(cure(LOAD))
    assert plc.commands == []
    assert liar.connections == 1


@pytest.mark.parametrize("code", [1, 4, 6])
async def test_an_exception_to_the_commit_is_doubt_and_not_refusal(code: int) -> None:
    plc = Plc()
    liar = Liar({1: plc}, lie=commit(lambda request, _reply: framed(request, bytes([0x86, code]))))
    async with liar.listening() as port:
        driver = oven_driver(f"modbus://127.0.0.1:{port}/1")
        async with driver.session(ignore) as session:
            with pytest.raises(DriverError, match=f"exception {code}"):
                await session.send(cure(LOAD))
        plc.scan()  # it had executed it after all
        async with driver.session(ignore) as session:
            assert (await session.ask("LUND-1-1")).phase is JobPhase.NOT_ALLOWED_TO_START


async def test_a_written_value_that_comes_back_changed_is_doubt() -> None:
    plc = Plc()
    liar = Liar({1: plc}, lie=commit(_altered(11, 1)))
    async with liar.listening() as port, oven_driver(f"modbus://127.0.0.1:{port}/1").session(ignore) as session:
        with pytest.raises(DriverError, match="begins"):
            await session.send(cure(LOAD))


async def test_a_value_torn_between_two_scans_is_never_shown() -> None:
    plc = Plc(memory=Retentive(hwm=0x1FFFF, slot=0x1FFFF, state=LOADED, order_id=b"LUND-1-1"))
    async with opened(plc) as session:
        plc.torn_reads = 3  # SLOT_JOB is half-written in these
        seen = [await session.look() for _ in range(3)]
    assert {(look.mark, look.jobs[0].job_id) for look in seen} == {(0x1FFFF, "LUND-1-1")}


# Several machines behind one connection ---------------------------------------------------------------------


async def test_a_plc_with_one_connection_serves_two_machines_over_a_shared_link() -> None:
    plcs = {1: Plc(), 2: Plc()}
    liar = Liar(plcs, connections_max=1)
    links = Links()
    async with liar.listening() as port:
        one, two = (oven_driver(f"modbus://127.0.0.1:{port}/{unit}", links=links) for unit in plcs)
        async with one.session(ignore) as first, two.session(ignore) as second:
            receipts = await asyncio.gather(first.send(cure(LOAD)), second.send(cure(LOAD, "LUND-1-2", job_no=5)))
            assert [receipt.answer for receipt in receipts] == [Answer.ACCEPTED] * 2
            apart = oven_driver(f"modbus://127.0.0.1:{port}/1", timeout_s=0.2)
            with pytest.raises(DriverError):
                async with apart.session(ignore):
                    raise AssertionError("opened")
    assert (plcs[1].memory.slot, plcs[2].memory.slot, liar.connections) == (1, 5, 1)


async def test_a_dead_unit_behind_a_gateway_does_not_starve_the_living() -> None:
    liar = Liar({1: Plc()})
    links = Links()
    async with liar.listening() as port:
        alive = oven_driver(f"modbus://127.0.0.1:{port}/1", links=links)
        dead = oven_driver(f"modbus://127.0.0.1:{port}/9", links=links, timeout_s=0.1)
        async with alive.session(ignore) as session:
            reasons, looks, until = [], 0, time.monotonic() + 0.5
            while time.monotonic() < until:
                with pytest.raises(DriverError) as fault:
                    async with dead.session(ignore):
                        raise AssertionError("opened")
                reasons.append(str(fault.value))
                looks += (await session.look()).boot == "1"
    tried = [reason for reason in reasons if "no answer" in reason]
    assert len(tried) <= 2
    assert all("the next try is in" in reason for reason in reasons if reason not in tried)
    assert looks > 20


async def test_machines_on_one_bus_speak_rtu_over_one_connection() -> None:
    plcs = {3: Plc(), 4: Plc(little=True)}
    links = Links()
    async with served(plcs, framer=FramerType.RTU) as port:
        three = oven_driver(f"modbus+rtu://127.0.0.1:{port}/3", links=links)
        four = oven_driver(f"modbus+rtu://127.0.0.1:{port}/4", links=links, little=True)
        async with three.session(ignore) as first, four.session(ignore) as second:
            receipts = await asyncio.gather(first.send(cure(LOAD)), second.send(cure(LOAD)))
    assert [receipt.answer for receipt in receipts] == [Answer.ACCEPTED] * 2
    assert [plc.commands for plc in plcs.values()] == [[(2, 1)], [(2, 1)]]


async def test_a_machine_that_is_not_there_is_a_driver_error() -> None:
    async with served({1: Plc()}) as port:
        pass
    with pytest.raises(DriverError, match="cannot connect"):
        async with oven_driver(f"modbus://127.0.0.1:{port}/1").session(ignore):
            raise AssertionError("opened")


async def test_a_machine_that_hangs_up_before_the_library_knows_that_it_is_there_is_a_driver_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So does a controller whose one connection is taken."""
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def late(*values: Any, **more: Any) -> Any:
        transport, protocol = await connect(*values, **more)
        await eventually(lambda: transport.get_extra_info("socket").fileno() < 0)
        return transport, protocol

    monkeypatch.setattr(loop, "create_connection", late)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DriverError, match="the machine closed the connection"):
            async with oven_driver(f"modbus://127.0.0.1:{port}/1").session(ignore):
                raise AssertionError("opened")


@pytest.mark.parametrize(
    ("url", "changes", "says"),
    [
        ("opc.tcp://127.0.0.1:1", {}, "not an address"),
        ("modbus://127.0.0.1:1/1", {"mailbox": None}, "mailbox: missing"),
        ("modbus://127.0.0.1:1/1", {"poll_s": 5.0}, "poll_s 5 is too slow"),
        ("modbus://127.0.0.1:1/1", {"dialect": "telegrams"}, "known: opcua/isa95-jobs, modbus/mailbox"),
    ],
)
def test_what_cannot_be_driven_is_said_before_anything_is_connected(
    url: str, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        oven_driver(url, **changes)


def test_a_serial_line_without_its_library_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.modbus.session.find_spec", lambda _name: None)
    with pytest.raises(ValueError, match="needs the package pyserial"):
        oven_driver("modbus+serial://19200-8N1/dev/ttyUSB0/3")


async def test_machines_share_a_serial_line_which_is_opened_again_after_silence() -> None:
    pytest.importorskip("serial")
    master, slave = os.openpty()
    line = SerialBus({3: Plc(), 4: Plc(memory=Retentive(boot=77))}, master)
    loop = asyncio.get_running_loop()
    links = Links()
    for end in (master, slave):
        tty.setraw(end)
    loop.add_reader(master, line.readable)
    try:
        three, four = (oven_driver(f"modbus+serial://115200-8N1{os.ttyname(slave)}/{n}", links=links) for n in (3, 4))
        async with three.session(ignore) as first, four.session(ignore) as second:
            receipts = await asyncio.gather(first.send(cure(LOAD)), second.send(cure(LOAD)))
            line.silent = 1
            with pytest.raises(DriverError, match="no answer"):
                await first.look()
            assert (await second.look()).boot == "77"
    finally:
        loop.remove_reader(master)
        os.close(master)
        os.close(slave)
    assert [receipt.answer for receipt in receipts] == [Answer.ACCEPTED] * 2
