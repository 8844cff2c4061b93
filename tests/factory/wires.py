"""What lies between the programs: a cable that can be cut, and an ear at the broker."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

CHUNK = 65_536


class Cable:
    """A TCP relay on a port of its own. Cut, nobody gets through; `swallow` loses what holds these bytes, once."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._connections: set[asyncio.Task[None]] = set()
        self._cut = False
        self._swallow: bytes | None = None
        self.swallowed = asyncio.Event()

    def cut(self) -> None:
        """End every connection, and each new one at once."""
        self._cut = True
        for task in self._connections:
            task.cancel()

    def mend(self) -> None:
        self._cut = False

    def swallow(self, marked: bytes) -> None:
        """Lose the next message to the target that holds these bytes, and the connection with it."""
        self._swallow = marked

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self._cut:
                await self._relay(reader, writer)
        except (asyncio.CancelledError, OSError):
            pass  # cut, or one side has gone
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def close(self) -> None:
        self.cut()
        for task in tuple(self._connections):
            with suppress(asyncio.CancelledError):
                await task

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            async with asyncio.TaskGroup() as group:
                ways = (group.create_task(self._pass(reader, back)), group.create_task(_copy(there, writer)))
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        finally:
            back.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            if self._swallow is not None and self._swallow in chunk:
                self._swallow = None
                self.swallowed.set()
                return
            writer.write(chunk)
            await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()


@asynccontextmanager
async def cable(*, port: int, target: int) -> AsyncIterator[Cable]:
    """Lay a cable from one port of this computer to another."""
    laid = Cable(target)
    async with await asyncio.start_server(laid.accept, "127.0.0.1", port):
        yield laid
        await laid.close()


@dataclass(kw_only=True)
class Ear:
    """What the broker has said below one topic since the first subscription; facts carry a number."""

    topic: str
    messages: list[MQTTMessage] = field(default_factory=list)
    subscribed: threading.Event = field(default_factory=threading.Event)

    @property
    def facts(self) -> dict[int, dict[str, Any]]:
        """Give the distinct facts by their number."""
        bodies = [json.loads(message.payload) for message in tuple(self.messages)]
        return {body["seq"]: body for body in bodies if "id" in body}

    @property
    def missing(self) -> set[int]:
        """Give the numbers below the highest that were not heard."""
        heard = self.facts.keys()
        return set(range(1, max(heard, default=0))) - heard

    def of_type(self, type_: str) -> list[dict[str, Any]]:
        return [body for _, body in sorted(self.facts.items()) if body["type"] == type_]


@contextmanager
def ear(url: str, topic: str) -> Iterator[Ear]:
    """Listen at the broker, and again after each loss of the connection."""
    heard = Ear(topic=topic)
    client = Client(CallbackAPIVersion.VERSION2, client_id="ear", protocol=MQTTProtocolVersion.MQTTv5)
    client.reconnect_delay_set(1, 1)

    def connected(*_: object) -> None:
        client.subscribe(topic, qos=1)

    client.on_connect = connected
    client.on_subscribe = lambda *_: heard.subscribed.set()
    client.on_disconnect = lambda *_: heard.subscribed.clear()
    client.on_message = lambda _client, _user, message: heard.messages.append(message)
    host, port = url.removeprefix("mqtt://").split(":")
    client.connect(host, int(port))
    client.loop_start()
    try:
        assert heard.subscribed.wait(30)
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()
