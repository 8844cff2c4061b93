"""PLCs on loopback: behind a real pymodbus server, and behind a hand-written peer that lies on request."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.drivers.plc import Plc


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
"""Given a request and its true reply (whole TCP frames), what is sent instead; None for nothing."""


@dataclass
class Liar:
    """A Modbus TCP peer in front of a PLC. `lies` are used up one by one, `lie` stays."""

    plcs: Mapping[int, Plc]
    lies: list[Lie] = field(default_factory=list)
    lie: Lie | None = None
    connections: int = 0
    connections_max: int = 99
    open_now: int = 0
    requests: list[bytes] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Listen on a free port; give it."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.open_now >= self.connections_max:
            writer.close()
            return
        self.connections += 1
        self.open_now += 1
        try:
            while True:
                header = await reader.readexactly(7)
                request = header + await reader.readexactly(int.from_bytes(header[4:6], "big") - 1)
                self.requests.append(request)
                reply: bytes | None = self._reply(request)
                lie = self.lies.pop(0) if self.lies else self.lie
                if lie is not None and reply is not None:
                    reply = lie(request, reply)
                if reply is not None:
                    writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_now -= 1
            writer.close()

    def _reply(self, request: bytes) -> bytes | None:
        plc = self.plcs.get(request[6])
        if plc is None:
            return None  # a gateway that keeps silent about a dead unit
        function, address, number = request[7], *(int.from_bytes(request[at : at + 2], "big") for at in (8, 10))
        body: bytes | None
        if function == 3:
            words = plc.read(address, number)
            body = None if words is None else bytes([2 * number]) + b"".join(w.to_bytes(2, "big") for w in words)
        elif function == 6:
            body = request[8:12] if plc.write(address, [number]) else None
        else:
            values = [int.from_bytes(request[at : at + 2], "big") for at in range(13, 13 + 2 * number, 2)]
            body = request[8:12] if plc.write(address, values) else None
        return framed(request, bytes([function]) + body if body is not None else bytes([function | 0x80, 2]))


def framed(request: bytes, pdu: bytes) -> bytes:
    """Give a PDU as the reply to a request."""
    return request[:4] + (len(pdu) + 1).to_bytes(2, "big") + request[6:7] + pdu
