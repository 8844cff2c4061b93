"""PLCs on loopback: behind a real pymodbus server, and behind a hand-written peer that lies on request."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.drivers.plc import Plc, crc


class _Context:
    """The registers of several PLCs as a pymodbus server asks for them."""

    def __init__(self, plcs: Mapping[int, Plc]) -> None:
        self._plcs = plcs

    async def async_getValues(self, device_id: int, _function: int, address: int, count: int = 1) -> Any:
        plc = self._plcs.get(device_id)
        if plc is None:
            return ExcCodes.GATEWAY_NO_RESPONSE
        words = plc.read(address, count)
        return ExcCodes.ILLEGAL_ADDRESS if words is None else words

    async def async_setValues(self, device_id: int, _function: int, address: int, values: list[int]) -> Any:
        plc = self._plcs.get(device_id)
        if plc is None:
            return ExcCodes.GATEWAY_NO_RESPONSE
        return None if plc.write(address, values) else ExcCodes.ILLEGAL_ADDRESS

    def device_ids(self) -> list[int]:
        return list(self._plcs)


@asynccontextmanager
async def served(plcs: Mapping[int, Plc], *, framer: FramerType = FramerType.SOCKET) -> AsyncIterator[int]:
    """Serve PLCs by unit with pymodbus; give the port."""
    nothing = SimDevice(0, [SimData(0, values=0, datatype=DataType.REGISTERS)])
    server: Any = ModbusTcpServer(nothing, framer=framer, address=("127.0.0.1", 0))
    server.context = _Context(plcs)
    await server.serve_forever(background=True)
    try:
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()
        await asyncio.sleep(0)


Lie = Callable[[bytes, bytes], bytes | None]
"""Given a request and its true reply (whole frames), what is sent instead; None for nothing."""


@dataclass
class Liar:
    """A Modbus TCP or RTU-over-TCP peer in front of PLCs. `lies` are used up one by one, `lie` stays."""

    plcs: Mapping[int, Plc]
    rtu: bool = False
    lies: list[Lie] = field(default_factory=list)
    lie: Lie | None = None
    connections_max: int = 99
    connections: int = 0
    greeting: bytes = b""  # sent to the next who connects
    open_now: list[asyncio.StreamWriter] = field(default_factory=list)
    _serving: list["asyncio.Task[Any]"] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Listen on a free port; give it."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for writer in self.open_now:
                writer.close()
            await asyncio.gather(*self._serving)
            await server.wait_closed()

    def push(self, octets: bytes) -> None:
        """Send bytes that nobody asked for on every open connection."""
        for writer in self.open_now:
            writer.write(octets)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.append(task)
        if len(self.open_now) >= self.connections_max:
            writer.close()
            return
        self.connections += 1
        self.open_now.append(writer)
        writer.write(self.greeting)
        self.greeting = b""
        try:
            while True:
                request = await self._request(reader)
                reply = self._reply(request)
                lie = self.lies.pop(0) if self.lies else self.lie
                if lie is not None and reply is not None:
                    reply = lie(request, reply)
                if reply is not None:
                    writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_now.remove(writer)
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> bytes:
        if not self.rtu:
            header = await reader.readexactly(7)
            return header + await reader.readexactly(int.from_bytes(header[4:6], "big") - 1)
        head = await reader.readexactly(7)
        return head + await reader.readexactly(head[6] + 2 if head[1] == 16 else 1)

    def _reply(self, request: bytes) -> bytes | None:
        unit, pdu = (request[0], request[1:-2]) if self.rtu else (request[6], request[7:])
        plc = self.plcs.get(unit)
        if plc is None:
            return None  # a gateway that keeps silent about a dead unit
        answer = _answer(plc, pdu)
        if self.rtu:
            frame = bytes([unit]) + answer
            return frame + crc(frame).to_bytes(2, "little")
        return framed(request, answer)


class SerialBus:
    """PLCs as slaves at the other end of a pseudo terminal; `silent` next requests are not answered."""

    def __init__(self, plcs: Mapping[int, Plc], end: int) -> None:
        self.silent = 0
        self._plcs, self._end, self._got = plcs, end, b""

    def readable(self) -> None:
        """Take what has come, and answer each whole request."""
        self._got += os.read(self._end, 1024)
        while len(self._got) >= (due := 9 + self._got[6] if self._got[1:2] == b"\x10" and len(self._got) > 6 else 8):
            request, self._got = self._got[:due], self._got[due:]
            if self.silent:
                self.silent -= 1
                continue
            frame = request[:1] + _answer(self._plcs[request[0]], request[1:-2])
            os.write(self._end, frame + crc(frame).to_bytes(2, "little"))


def _answer(plc: Plc, pdu: bytes) -> bytes:
    function, address, number = pdu[0], *(int.from_bytes(pdu[at : at + 2], "big") for at in (1, 3))
    body: bytes | None
    if function == 3:
        words = plc.read(address, number)
        body = None if words is None else bytes([2 * number]) + b"".join(word.to_bytes(2, "big") for word in words)
    elif function == 6:
        body = pdu[1:5] if plc.write(address, [number]) else None
    else:
        values = [int.from_bytes(pdu[at : at + 2], "big") for at in range(6, 6 + 2 * number, 2)]
        body = pdu[1:5] if plc.write(address, values) else None
    return bytes([function | 0x80, 2]) if body is None else bytes([function]) + body


def framed(request: bytes, pdu: bytes) -> bytes:
    """Give a PDU as the reply to a request over TCP."""
    return request[:4] + (len(pdu) + 1).to_bytes(2, "big") + request[6:7] + pdu
