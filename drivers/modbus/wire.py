"""One open Modbus connection on pymodbus; a reply goes through only when its raw bytes are exactly right."""

import asyncio
import logging
import socket
import struct
import termios
from collections.abc import Awaitable, Callable, Sequence

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from drivers.base import DriverError
from drivers.link import UnitError
from drivers.modbus.address import Bus, Transport
from drivers.modbus.frames import (
    NO_UNIT,
    READ_DISCRETE,
    READ_INPUT,
    Expected,
    Reply,
    exception_text,
    judge_rtu,
    judge_tcp,
)
from drivers.modbus.places import Area, Span

_DISCARD = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds
_CHARACTER_BITS = 11
_GAP_CHARACTERS = 3.5  # silence between two frames (Modbus over Serial Line 1.02, 2.5.1.1)
_GAP_MIN_S = 0.00175
_QUIET_S = 0.2  # a line without transaction numbers is listened to before it is used again
NOT_TAKEN = frozenset({1, 2, 3})  # exception codes with which a unit refuses a request before it acts
_LATER_S = 60.0  # the library's own deadlines; ours come first

# It logs each lost reply as an error; what matters reaches the caller as a `DriverError`.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)


class ExceptionReplyError(UnitError):
    """The unit, or the gateway before it, answered with an exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(exception_text(code), silent=code in NO_UNIT)
        self.code = code


class ModbusWire:
    """An open connection for one request at a time; after any doubt it answers nothing any more."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._expected: Expected | None = None
        self._transaction = 0
        self._fault: str | None = None
        self._gap_s = 0.0
        if bus.transport is Transport.SERIAL:
            self._gap_s = max(_GAP_MIN_S, _GAP_CHARACTERS * _CHARACTER_BITS / bus.baud)
        self._client = self._new_client()

    async def open(self) -> None:
        """Connect; raise `DriverError` where that fails."""
        try:
            connected = await self._client.connect()
        except (ModbusException, OSError, termios.error) as error:
            raise DriverError(f"{self._bus.name}: cannot connect: {error}") from error
        if not connected:
            raise DriverError(f"{self._bus.name}: cannot connect")
        if self._bus.rtu:
            await asyncio.sleep(_QUIET_S)
            self._fault = None  # what a unit still said to somebody else is over

    async def read(self, unit: int, address: int, count: int) -> tuple[int, ...]:
        """Read `count` holding registers (function 3)."""
        reply = await self._exchange(
            Expected.of_read(unit, count),
            lambda: self._client.read_holding_registers(address, count=count, device_id=unit),
        )
        if len(reply.registers) != count:
            raise DriverError(f"{self._bus.name}: {len(reply.registers)} registers where {count} were asked")
        return tuple(reply.registers)

    async def read_input(self, unit: int, address: int, count: int) -> tuple[int, ...]:
        """Read `count` input registers (function 4)."""
        reply = await self._exchange(
            Expected.of_read(unit, count, READ_INPUT),
            lambda: self._client.read_input_registers(address, count=count, device_id=unit),
        )
        return tuple(reply.registers)

    async def read_coils(self, unit: int, address: int, count: int) -> tuple[bool, ...]:
        """Read `count` coils (function 1)."""
        reply = await self._exchange(
            Expected.of_read_bits(unit, count),
            lambda: self._client.read_coils(address, count=count, device_id=unit),
        )
        return tuple(reply.bits[:count])

    async def read_discrete(self, unit: int, address: int, count: int) -> tuple[bool, ...]:
        """Read `count` discrete inputs (function 2)."""
        reply = await self._exchange(
            Expected.of_read_bits(unit, count, READ_DISCRETE),
            lambda: self._client.read_discrete_inputs(address, count=count, device_id=unit),
        )
        return tuple(reply.bits[:count])

    async def read_span(self, unit: int, span: Span) -> Sequence[int]:
        """Read all addresses of a span in one request."""
        match span.area:
            case Area.COIL:
                return await self.read_coils(unit, span.first, span.count)
            case Area.DISCRETE:
                return await self.read_discrete(unit, span.first, span.count)
            case Area.HOLDING:
                return await self.read(unit, span.first, span.count)
            case Area.INPUT:
                return await self.read_input(unit, span.first, span.count)

    async def write_coil(self, unit: int, address: int, *, on: bool) -> None:
        """Write one coil (function 5)."""
        await self._exchange(
            Expected.of_write_coil(unit, address, on=on),
            lambda: self._client.write_coil(address, on, device_id=unit),
        )

    async def write(self, unit: int, address: int, value: int) -> None:
        """Write one holding register (function 6)."""
        await self._exchange(
            Expected.of_write(unit, address, value),
            lambda: self._client.write_register(address, value, device_id=unit),
        )

    async def write_many(self, unit: int, address: int, values: Sequence[int]) -> None:
        """Write several holding registers (function 16)."""
        await self._exchange(
            Expected.of_write_many(unit, address, len(values)),
            lambda: self._client.write_registers(address, list(values), device_id=unit),
        )

    async def close(self) -> None:
        """Close the connection now, with all that the machine has not taken yet."""
        self._fault = self._fault or "the connection is closed"
        transport = self._client.ctx.transport
        if isinstance(transport, asyncio.Transport):
            peer: socket.socket | None = transport.get_extra_info("socket")
            if peer is not None and peer.fileno() >= 0:  # it may have hung up before the library said that it is there
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD)
                transport.abort()
        self._client.close()
        await asyncio.sleep(0)  # lets the loop close the socket

    def _new_client(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        bus = self._bus
        if bus.transport is Transport.SERIAL:
            return AsyncModbusSerialClient(
                bus.place,
                framer=FramerType.RTU,
                baudrate=bus.baud,
                parity=bus.parity,
                stopbits=bus.stop_bits,
                reconnect_delay=0,
                timeout=_LATER_S,
                retries=0,
                trace_packet=self._pass,
                trace_connect=self._connection,
            )
        return AsyncModbusTcpClient(
            bus.place,
            port=bus.port,
            framer=FramerType.RTU if bus.rtu else FramerType.SOCKET,
            reconnect_delay=0,
            timeout=_LATER_S,
            retries=0,
            trace_packet=self._pass,
            trace_connect=self._connection,
        )

    async def _exchange(self, expected: Expected, call: Callable[[], Awaitable[ModbusPDU]]) -> ModbusPDU:
        if self._gap_s:
            await asyncio.sleep(self._gap_s)
        if self._fault is not None:
            raise DriverError(f"{self._bus.name}: {self._fault}")
        self._expected = expected
        try:
            reply = await _cancellable(call())
        except ModbusException as error:
            raise DriverError(f"{self._bus.name}: {self._fault or error}") from error
        finally:
            self._expected = None
        if reply.isError():
            raise ExceptionReplyError(reply.exception_code)
        return reply

    def _pass(self, sending: bool, packet: bytes) -> bytes:  # noqa: FBT001 - the library's callback
        """Let the library see a reply only when it is whole and right; it would accept most others."""
        if sending:
            self._transaction = int.from_bytes(packet[:2], "big")
            return packet
        if self._expected is None:
            self._fault = f"{len(packet)} bytes came that nobody asked for"
            return b""
        if self._bus.rtu:
            verdict = judge_rtu(packet, self._expected)
        else:
            verdict = judge_tcp(packet, self._expected, self._transaction)
        if verdict is Reply.WHOLE:
            return packet
        if isinstance(verdict, str):
            self._give_up(verdict)
        return b""

    def _connection(self, connected: bool) -> None:  # noqa: FBT001 - the library's callback
        if not connected:
            self._give_up("the machine closed the connection")

    def _give_up(self, fault: str) -> None:
        """Fail the request that waits, so that it need not wait for its deadline."""
        self._fault = self._fault or fault
        waiting = self._client.ctx.response_future
        if self._expected is not None and not waiting.done():
            waiting.set_exception(ModbusException(fault))


async def _cancellable(exchange: Awaitable[ModbusPDU]) -> ModbusPDU:
    """Await an exchange; raise `CancelledError` also where the library lost it.

    It waits by `asyncio.wait_for`, which up to Python 3.11 gives the outcome to a task that was cancelled just
    as it came: the task would go on for ever.
    """
    task = asyncio.current_task()
    assert task is not None
    cancels = task.cancelling()
    try:
        return await exchange
    finally:
        if task.cancelling() > cancels:
            raise asyncio.CancelledError


async def open_wire(bus: Bus) -> ModbusWire:
    """Open a connection with fresh client objects."""
    wire = ModbusWire(bus)
    try:
        await wire.open()
    except BaseException:
        await wire.close()
        raise
    return wire
