"""A small Modbus TCP server: it owns no register, answers each request at once, and lies when told to.

It is not pymodbus' server, because the gateway's client is: a mistake of that library must not meet itself
here. And that server has no place for a frozen, late or wrong answer, answers only the first of several
requests that arrive together, and starts tasks that nobody awaits.
"""

import asyncio
import socket
from typing import Final, Self

from simulators.modbus_faults import Lie, WireFaults, spoiled
from simulators.modbus_pdu import HEADER, Bank, PduError, answer_to

_CONNECTIONS_MAX: Final = 16
_LENGTH_MIN, _LENGTH_MAX = 2, 254  # of unit and PDU, as the header tells it
_GATEWAY_TARGET_SILENT: Final = 11


class ModbusServer:
    """Serves a bank of registers on one loopback port, which it keeps while it is cut off.

    `unit` is the only unit that answers; `one_connection` turns a second client away at once.
    """

    def __init__(self, bank: Bank, *, port: int = 0, unit: int = 1, one_connection: bool = False) -> None:
        self._bank = bank
        self._unit = unit
        self._connections_max = 1 if one_connection else _CONNECTIONS_MAX
        self._faults = WireFaults()
        self._faults_left: int | None = None
        self.connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None
        self._powered = True
        self._place = _bound(port)  # never listens: keeps the port ours while nobody is to be reached

    @property
    def port(self) -> int:
        """Give the port."""
        port: int = self._place.getsockname()[1]
        return port

    @property
    def faults(self) -> WireFaults:
        """Give what is wrong at present."""
        return self._faults

    async def __aenter__(self) -> Self:
        await self._reach()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._powered = False
        await self._reach()
        self._place.close()

    async def power(self, *, on: bool) -> None:
        """Cut all connections and refuse new ones, or be there again on the same port."""
        self._powered = on
        await self._reach()

    async def switch(self, faults: WireFaults) -> None:
        """Replace the present faults; `WireFaults()` puts everything in order."""
        self._faults, self._faults_left = faults, faults.times
        await self._reach()
        for connection in list(self.connections):
            connection.heed()

    def admits(self, connection: "Connection") -> bool:
        """Say whether a new connection may stay."""
        if self._listener is None or len(self.connections) >= self._connections_max:
            return False
        self.connections.add(connection)
        return True

    def forget(self, connection: "Connection") -> None:
        """Take note that a connection has ended."""
        self.connections.discard(connection)

    def answer(self, unit: int, pdu: bytes) -> tuple[bytes, WireFaults]:
        """Do what one request asks; give the answer's PDU and the faults that spoil it."""
        if unit != self._unit and self._faults.mute:
            return _exception(pdu, _GATEWAY_TARGET_SILENT), WireFaults(lie=Lie.NEVER)
        faults = self._faults_for(pdu[0])
        if unit != self._unit:
            return _exception(pdu, _GATEWAY_TARGET_SILENT), faults
        if faults.exception is None or faults.executes:
            try:
                answer = answer_to(pdu, self._bank)
            except PduError as refusal:
                answer = _exception(pdu, refusal.code)
        return (answer if faults.exception is None else _exception(pdu, faults.exception)), faults

    def _faults_for(self, function: int) -> WireFaults:
        faults = self._faults
        if (faults.functions and function not in faults.functions) or self._faults_left == 0:
            return WireFaults()
        if self._faults_left is not None:
            self._faults_left -= 1
        return faults

    async def _reach(self) -> None:
        """Listen, or cut everything off, as power and faults are now."""
        there = self._powered and not self._faults.dead
        if there and self._listener is None:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(lambda: Connection(self), sock=_bound(self.port))
        elif not there and self._listener is not None:
            self._listener.close()
            self._listener = None
        if not there:
            for connection in list(self.connections):
                connection.cut()


class Connection(asyncio.Protocol):
    """One client; requests are answered in the order in which they come."""

    def __init__(self, server: ModbusServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._previous = b""
        self._held: list[bytes] = []
        self._late: set[asyncio.TimerHandle] = set()
        self.congested = False  # the client does not fetch its answers

    @property
    def waiting(self) -> int:
        """Give how many bytes wait for the client to fetch them."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Stay, or be turned away at once."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._server.admits(self):
            self.cut()
        self.heed()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Drop what was still to be sent."""
        self._server.forget(self)
        for timer in self._late:
            timer.cancel()
        self._transport = None

    def pause_writing(self) -> None:
        """Take in nothing more until the client has fetched its answers."""
        self.congested = True
        self.heed()

    def resume_writing(self) -> None:
        """Go on."""
        self.congested = False
        self.heed()

    def data_received(self, data: bytes) -> None:
        """Work off every whole request."""
        self._received += data
        self._work()

    def cut(self) -> None:
        """Break the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def heed(self) -> None:
        """Take in and send, or hold, as faults and the client's own pace allow."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._server.faults.frozen or self.congested:
            self._transport.pause_reading()
            return
        self._transport.resume_reading()
        held, self._held = self._held, []
        for frame in held:
            self._transport.write(frame)
        self._work()

    def _work(self) -> None:
        while not (self._server.faults.frozen or self.congested) and (frame := self._next_frame()):
            header, unit, pdu = frame[:4], frame[6], frame[7:]
            answer, faults = self._server.answer(unit, pdu)
            body = bytes([unit]) + answer
            self._reply(header + len(body).to_bytes(2, "big") + body, faults)

    def _next_frame(self) -> bytes | None:
        """Take one whole request out of what has come; what cannot be Modbus ends the connection."""
        if len(self._received) < HEADER or self._transport is None or self._transport.is_closing():
            return None
        protocol, length = (int.from_bytes(self._received[place : place + 2], "big") for place in (2, 4))
        if protocol != 0 or not _LENGTH_MIN <= length <= _LENGTH_MAX:
            self.cut()
            return None
        end = HEADER - 1 + length
        if len(self._received) < end:
            return None
        frame, self._received = self._received[:end], self._received[end:]
        return frame

    def _reply(self, answer: bytes, faults: WireFaults) -> None:
        sent = spoiled(faults.lie, answer, self._previous)
        self._previous = answer
        if faults.lie is Lie.CLOSE:
            self.cut()
        elif sent is not None and faults.late_s > 0:
            self._send_later(sent, faults.late_s)
        elif sent is not None:
            self._send(sent)

    def _send_later(self, frame: bytes, late_s: float) -> None:
        def send() -> None:
            self._late.discard(timer)
            self._send(frame)

        timer = asyncio.get_running_loop().call_later(late_s, send)
        self._late.add(timer)

    def _send(self, frame: bytes) -> None:
        if self._transport is None:
            return
        if self._server.faults.frozen:
            self._held.append(frame)
        else:
            self._transport.write(frame)


def _exception(pdu: bytes, code: int) -> bytes:
    return bytes([pdu[0] | 0x80, code])


def _bound(port: int) -> socket.socket:
    """Bind a loopback port that this process may bind more than once; only a listening one is reached."""
    place = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    place.bind(("127.0.0.1", port))
    return place
