"""A broker that does exactly what a test tells it: it reads MQTT 5 packets and answers as scripted."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CONNECT, PUBLISH, SUBSCRIBE, PINGREQ = 1, 3, 8, 12
NOT_AUTHORISED = 0x87


def accept(_payload: bytes) -> int | None:
    return 0


def say_nothing(_payload: bytes) -> int | None:
    return None


def refuse(_payload: bytes) -> int | None:
    return NOT_AUTHORISED


@dataclass
class Script:
    """What the broker answers, and what it saw. `puback` gives the reason to a payload; None: say nothing."""

    connack_reason: int | None = 0
    connack_properties: bytes = b""
    puback: Callable[[bytes], int | None] = accept
    suback_reason: int = 1
    answers_pings: bool = True
    connects: list[bytes] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    subscribed: int = 0
    payloads: list[bytes] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    held: list[int] = field(default_factory=list)  # packet ids not yet acknowledged
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def acknowledge_all(self, reason: int = 0) -> None:
        for packet_id in self.held:
            self._puback(packet_id, reason)
        self.held.clear()

    def drop(self) -> None:
        for writer in self.writers:
            writer.close()

    def say(self, raw: bytes) -> None:
        self.writers[-1].write(raw)

    def take(self, kind: int, body: bytes) -> None:
        if kind == CONNECT:
            self.connects.append(body)
            if self.connack_reason is not None:
                properties = bytes([len(self.connack_properties)]) + self.connack_properties
                self.say(bytes([0x20, 2 + len(properties), 0, self.connack_reason]) + properties)
        elif kind == PUBLISH:
            self._published(body)
        elif kind == SUBSCRIBE:
            self.subscribed += 1
            self.say(b"\x90\x04" + body[:2] + bytes([0, self.suback_reason]))
        elif kind == PINGREQ and self.answers_pings:
            self.say(b"\xd0\x00")

    def _published(self, body: bytes) -> None:
        length = int.from_bytes(body[:2], "big")
        self.topics.append(body[2 : 2 + length].decode())
        packet_id = int.from_bytes(body[2 + length : 4 + length], "big")
        payload = body[5 + length + body[4 + length] :]  # after properties of fewer than 128 bytes
        self.payloads.append(payload)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        reason = self.puback(payload)
        if reason is None:
            self.held.append(packet_id)
        else:
            # Answered a little later, so that a sender that ignores the limit is caught.
            asyncio.get_running_loop().call_later(0.005, self._puback, packet_id, reason)

    def _puback(self, packet_id: int, reason: int) -> None:
        self.in_flight -= 1
        if not self.writers[-1].is_closing():
            self.say(b"\x40\x03" + packet_id.to_bytes(2, "big") + bytes([reason]))


@asynccontextmanager
async def scripted_broker(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Script]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script.writers.append(writer)
        try:
            while True:
                kind, body = await _packet(reader)
                script.take(kind, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
        script.drop()
        await server.wait_closed()


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0] >> 4
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return kind, await reader.readexactly(length)
