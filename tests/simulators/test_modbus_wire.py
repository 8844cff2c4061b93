"""The Modbus TCP server: right answers to pymodbus, none of its peace lost to malformed bytes, lies on request."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.exceptions import ModbusIOException

from simulators.modbus_faults import Lie, WireFaults, spoiled
from simulators.modbus_pdu import PduError, answer_to
from simulators.modbus_wire import Connection, ModbusServer
from tests.eventually import eventually
from tests.simulators.modbus_client import Raw, Shelf, connected, frame, raw

READ = b"\x03\x00\x00\x00\x02"
WRITE = b"\x06\x00\x05\x12\x34"


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest_asyncio.fixture
async def server(shelf: Shelf) -> AsyncIterator[ModbusServer]:
    async with ModbusServer(shelf) as running:
        yield running


async def test_pymodbus_reads_back_what_it_has_written(server: ModbusServer, shelf: Shelf) -> None:
    chosen = random.Random(7)
    async with connected(server.port) as client:
        for _ in range(40):
            count, at = chosen.randint(1, 123), chosen.randint(0, 170)
            values = [chosen.randrange(0x10000) for _ in range(count)]
            assert not (await client.write_registers(at, values)).isError()
            assert (await client.read_holding_registers(at, count=count)).registers == values
            bits = [chosen.random() < 0.5 for _ in range(chosen.randint(1, 1900))]
            assert not (await client.write_coils(at, bits)).isError()
            assert (await client.read_coils(at, count=len(bits))).bits[: len(bits)] == bits
        assert not (await client.write_register(299, 0xFFFF)).isError()
        assert not (await client.write_coil(2999, True)).isError()
        assert not (await client.write_coil(2998, False)).isError()
        assert (await client.read_holding_registers(299)).registers == [0xFFFF]
        assert (await client.read_coils(2998, count=2)).bits[:2] == [False, True]
    assert shelf.words[299] == 0xFFFF


async def test_requests_that_arrive_together_or_in_pieces_are_all_answered(server: ModbusServer) -> None:
    async with raw(server.port) as peer:
        together = b"".join(frame(READ, transaction=number) for number in range(50))
        for at in range(0, len(together), 7):
            peer.writer.write(together[at : at + 7])
            await peer.writer.drain()
        answers = [await peer.receive() for _ in range(50)]
    assert [int.from_bytes(answer[:2], "big") for answer in answers] == list(range(50))
    assert {answer[7:] for answer in answers} == {b"\x03\x04\0\0\0\0"}


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        (b"\x03\x01\x2b\x00\x02", 2),  # one beyond the end
        (b"\x03\xff\xff\x00\x02", 2),  # beyond what can be addressed
        (b"\x03\x00\x00\x00\x00", 3),
        (b"\x03\x00\x00\x00\x7e", 3),
        (b"\x03\x00\x00\x00", 3),
        (b"\x03\x00\x00\x00\x01\x00", 3),
        (b"\x01\x00\x00\x07\xd1", 3),
        (b"\x05\x00\x00\x12\x34", 3),
        (b"\x06\x00\x00\x12", 3),
        (b"\x06\x7f\x00\x00\x01", 2),
        (b"\x0f\x00\x00\x00\x09\x01\xff", 3),
        (b"\x10\x00\x00\x00\x02\x04\x00\x01\x00", 3),
        (b"\x10\x00\x00\x00\x02\x03\x00\x01\x00\x02", 3),
        (b"\x10\x00\x00\x00\x7c\xf6" + bytes(246), 3),
        (b"\x02\x00\x00\x00\x01", 1),
        (b"\x17\x00\x00\x00\x01\x00\x00\x00\x01\x02\x00\x00", 1),
        (b"\x83\x02", 1),
        (b"\x00", 1),
        (b"\x03", 3),
    ],
)
async def test_what_cannot_be_done_is_answered_with_its_code(
    server: ModbusServer, shelf: Shelf, pdu: bytes, code: int
) -> None:
    async with raw(server.port) as peer:
        assert await peer.ask(pdu) == bytes([pdu[0] | 0x80, code])
        assert await peer.ask(READ) == b"\x03\x04\0\0\0\0"
    assert shelf.writes == 0


async def test_another_unit_does_not_answer(server: ModbusServer, shelf: Shelf) -> None:
    async with raw(server.port) as peer:
        assert await peer.ask(WRITE, unit=2) == b"\x86\x0b"
    assert shelf.writes == 0


async def test_another_unit_may_be_so_dead_that_not_even_the_gateway_tells(server: ModbusServer, shelf: Shelf) -> None:
    await server.switch(WireFaults(mute=True))
    async with raw(server.port) as peer:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await peer.ask(WRITE, unit=2)
        assert shelf.writes == 0
        assert await peer.ask(WRITE)


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/1.1\r\n\r\n", b"\0\1\0\1\0\2\1\3", b"\0\1\0\0\0\1\1", b"\0\1\0\0\xff\xff\1"]
)
async def test_what_is_no_modbus_ends_that_connection_only(server: ModbusServer, junk: bytes) -> None:
    async with raw(server.port) as other, raw(server.port) as peer:
        peer.writer.write(junk)
        assert await peer.receive() == b""
        assert await other.ask(READ) == b"\x03\x04\0\0\0\0"


@settings(max_examples=400, deadline=None)
@given(pdu=st.binary(min_size=1, max_size=253))
def test_any_pdu_is_answered_or_refused(pdu: bytes) -> None:
    def code() -> int:
        try:
            return 0 if answer_to(pdu, Shelf())[0] == pdu[0] else -1
        except PduError as refusal:
            return refusal.code

    assert code() in (0, 1, 2, 3)


@settings(max_examples=100, deadline=None)
@given(lie=st.sampled_from(Lie), pdu=st.sampled_from([b"\x03\x02\x00\x01", b"\x06\x00\x05\x12\x34", b"\x83\x02"]))
def test_a_lie_differs_from_the_truth(lie: Lie, pdu: bytes) -> None:
    truth = frame(pdu)
    told = spoiled(lie, truth, frame(b"\x03\x02\x00\x09", transaction=9))
    assert (told == truth) is (lie is Lie.NONE)


async def test_pymodbus_notices_an_exception_and_the_request_is_not_done(server: ModbusServer, shelf: Shelf) -> None:
    async with connected(server.port) as client:
        await server.switch(WireFaults(exception=6, times=1))
        answer = await client.write_register(5, 1)
        assert (answer.isError(), answer.exception_code, shelf.writes) == (True, 6, 0)
        await server.switch(WireFaults(exception=11, executes=True, times=1))
        answer = await client.write_register(5, 1)
        assert (answer.exception_code, shelf.writes) == (11, 1)
        assert not (await client.write_register(5, 2)).isError()


async def test_a_fault_may_concern_some_functions_only(server: ModbusServer) -> None:
    await server.switch(WireFaults(exception=4, functions=frozenset({6, 16})))
    async with connected(server.port) as client:
        assert not (await client.read_holding_registers(0)).isError()
        assert (await client.write_register(5, 1)).exception_code == 4


async def test_a_swallowed_answer_leaves_the_request_done_and_the_connection_open(
    server: ModbusServer, shelf: Shelf
) -> None:
    await server.switch(WireFaults(lie=Lie.NEVER, times=1))
    async with connected(server.port, timeout_s=0.2) as client:
        with pytest.raises(ModbusIOException):
            await client.write_register(5, 1)
    assert shelf.words[5] == 1


async def test_a_late_answer_comes_after_those_of_later_requests(server: ModbusServer) -> None:
    async with raw(server.port) as peer:
        await server.switch(WireFaults(late_s=0.1, times=1))
        peer.send(WRITE, transaction=1)
        peer.send(READ, transaction=2)
        assert [(await peer.receive())[1] for _ in range(2)] == [2, 1]


@pytest.mark.parametrize(
    ("lie", "received"),
    [
        (Lie.SHORT, b"\0\1\0\0\0\x06\x01\x03\x04\0\0\0"),
        (Lie.BYTE_COUNT, b"\0\1\0\0\0\x07\x01\x03\x06\0\0\0\0"),
        (Lie.COUNT, b"\0\1\0\0\0\x09\x01\x03\x06\0\0\0\0\0\0"),
        (Lie.TRANSACTION, b"\0\x08\0\0\0\x07\x01\x03\x04\0\0\0\0"),
        (Lie.UNIT, b"\0\1\0\0\0\x07\x06\x03\x04\0\0\0\0"),
        (Lie.FUNCTION, b"\0\1\0\0\0\x07\x01\x04\x04\0\0\0\0"),
        (Lie.PREVIOUS, b"\0\x09\0\0\0\x06\x01\x06\x00\x05\x12\x34"),
        (Lie.CLOSE, b""),
    ],
)
async def test_lies_on_the_wire(server: ModbusServer, lie: Lie, received: bytes) -> None:
    async with raw(server.port) as peer:
        assert await peer.ask(WRITE, transaction=9) == WRITE
        await server.switch(WireFaults(lie=lie))
        peer.send(READ, transaction=1)
        assert await peer.receive() == received


async def test_a_frozen_server_answers_when_it_thaws(server: ModbusServer, shelf: Shelf) -> None:
    async with raw(server.port) as peer:
        await server.switch(WireFaults(frozen=True))
        peer.send(WRITE)
        with pytest.raises(TimeoutError):
            await peer.receive(timeout_s=0.1)
        assert shelf.writes == 0
        await server.switch(WireFaults())
        assert (await peer.receive())[7:] == WRITE


async def test_a_late_answer_waits_for_the_thaw(server: ModbusServer) -> None:
    async with raw(server.port) as peer:
        await server.switch(WireFaults(late_s=0.05))
        peer.send(READ)
        await peer.writer.drain()
        await asyncio.sleep(0.02)
        await server.switch(WireFaults(frozen=True))
        with pytest.raises(TimeoutError):
            await peer.receive(timeout_s=0.1)
        await server.switch(WireFaults())
        assert (await peer.receive())[7:] == b"\x03\x04\0\0\0\0"


@pytest.mark.parametrize("by_power", [True, False])
async def test_a_dead_server_is_not_reached_and_comes_back_on_its_port(server: ModbusServer, by_power: bool) -> None:
    port = server.port

    async def switch(*, dead: bool) -> None:
        if by_power:
            await server.power(on=not dead)
        else:
            await server.switch(WireFaults(dead=dead))

    async with raw(port) as peer:
        await peer.ask(READ)
        await switch(dead=True)
        assert await peer.receive() == b""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await switch(dead=False)
    async with raw(port) as peer:
        assert await peer.ask(READ) == b"\x03\x04\0\0\0\0"


async def test_a_server_of_one_connection_turns_the_second_away(shelf: Shelf) -> None:
    async with ModbusServer(shelf, one_connection=True) as server:
        async with raw(server.port) as first, raw(server.port) as second:
            second.send(READ)
            assert await second.receive() == b""
            assert await first.ask(READ) == b"\x03\x04\0\0\0\0"

        async def free() -> bool:
            async with raw(server.port) as third:
                third.send(READ)
                return await third.receive() != b""

        await eventually(free)


async def test_connections_are_bounded(server: ModbusServer) -> None:
    peers: list[Raw] = []
    for _ in range(17):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        peers.append(Raw(reader, writer))
    assert [bool(await peer.ask(READ)) for peer in peers] == [True] * 16 + [False]
    for peer in peers:
        peer.writer.close()


async def test_a_client_that_does_not_read_does_not_fill_the_memory(server: ModbusServer) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.transport.set_write_buffer_limits(high=0)
    flood = frame(b"\x03\x00\x00\x00\x7d") * 100_000  # 26 MB of answers
    writer.write(flood)
    (connection,) = await _connections(server)
    await eventually(lambda: connection.congested)
    async with raw(server.port) as peer:
        assert await peer.ask(READ) == b"\x03\x04\0\0\0\0"
    assert connection.waiting < 200_000
    writer.transport.abort()


async def _connections(server: ModbusServer) -> list[Connection]:
    await eventually(lambda: server.connections)
    return list(server.connections)


def test_faults_are_read_from_json_or_refused() -> None:
    faults = WireFaults.from_json({"lie": "short", "functions": [3], "late_s": 1, "times": None, "dead": True})
    assert faults == WireFaults(lie=Lie.SHORT, functions=frozenset({3}), late_s=1, dead=True)
    for wrong in ({"lies": 1}, {"lie": "white"}, {"late_s": "1"}, {"exception": 7}, {"functions": 3}, {"frozen": 1}):
        with pytest.raises(ValueError):
            WireFaults.from_json(wrong)
