"""What the Modbus simulators' tests use as clients: pymodbus, and bare sockets for what it would not send."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from pymodbus.client import AsyncModbusTcpClient

from simulators.modbus_pdu import ILLEGAL_ADDRESS, PduError

T = TypeVar("T", int, bool)


@asynccontextmanager
async def connected(port: int, *, timeout_s: float = 3.0) -> AsyncIterator[AsyncModbusTcpClient]:
    """Connect with pymodbus, without retries or reconnection."""
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=timeout_s, retries=0, reconnect_delay=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


class Raw:
    """A bare connection that sends and receives bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, pdu: bytes, *, transaction: int = 1, unit: int = 1) -> None:
        self.writer.write(frame(pdu, transaction=transaction, unit=unit))

    async def receive(self, *, timeout_s: float = 3.0) -> bytes:
        """Receive one frame as its header says it, or b"" at the end of the connection."""
        async with asyncio.timeout(timeout_s):
            try:
                header = await self.reader.readexactly(6)
                return header + await self.reader.readexactly(int.from_bytes(header[4:6], "big"))
            except (asyncio.IncompleteReadError, ConnectionError):
                return b""

    async def ask(self, pdu: bytes, **wanted: int) -> bytes:
        """Send a request and give the PDU of its answer."""
        self.send(pdu, **wanted)
        return (await self.receive())[7:]


@asynccontextmanager
async def raw(port: int) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def frame(pdu: bytes, *, transaction: int = 1, unit: int = 1) -> bytes:
    return transaction.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes([unit]) + pdu


class Shelf:
    """A bank of 300 registers and 3000 coils."""

    def __init__(self) -> None:
        self.words = [0] * 300
        self.bits = [False] * 3000
        self.writes = 0

    def read_words(self, address: int, count: int) -> Sequence[int]:
        return self._span(self.words, address, count)

    def write_words(self, address: int, values: Sequence[int]) -> None:
        self._span(self.words, address, len(values))
        self.words[address : address + len(values)] = values
        self.writes += 1

    def read_bits(self, address: int, count: int) -> Sequence[bool]:
        return self._span(self.bits, address, count)

    def write_bits(self, address: int, values: Sequence[bool]) -> None:
        self._span(self.bits, address, len(values))
        self.bits[address : address + len(values)] = values
        self.writes += 1

    def _span(self, whole: list[T], address: int, count: int) -> list[T]:
        if address + count > len(whole):
            raise PduError(ILLEGAL_ADDRESS)
        return whole[address : address + count]
