"""A TCP relay that spoils what passes through it: late, in drips, cut, corrupted, doubled, or not at all."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

CHUNK = 65_536
HEAD = 8  # bytes of a message in which a changed bit can be seen by whoever reads it; what follows has no checksum
DELAY_S = 0.15
LOOK_S = 0.02
DRIPS_MAX = 400  # bytes that drip; the rest of a long message flows
SPOILS = ("delay", "drip", "cut", "corrupt", "duplicate", "stall")


@dataclass(kw_only=True)
class Relay:
    """A relay to a port of this computer. `spoil` says what happens to one message in `one_in`, while it is set."""

    target: int
    chance: random.Random
    spoil: str = ""
    one_in: int = 4
    host: str = "127.0.0.1"
    port: int = 0
    spoiled: int = 0
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        """Listen on a free port until the block ends."""
        server = await asyncio.start_server(self._accept, self.host, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in tuple(self._tasks):
                task.cancel()
            for task in tuple(self._tasks):
                with suppress(asyncio.CancelledError):
                    await task

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            try:
                async with asyncio.TaskGroup() as group:
                    ways = (
                        group.create_task(self._pass(reader, back)),
                        group.create_task(self._pass(there, writer)),
                    )
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                    for way in ways:
                        way.cancel()
            finally:
                back.transport.abort()
        except (OSError, ExceptionGroup):
            pass  # one side has gone, or was cut off
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            if self.spoil and self.chance.randrange(self.one_in) == 0:
                self.spoiled += 1
                await self._spoil(chunk, writer)
            else:
                writer.write(chunk)
            await writer.drain()

    async def _spoil(self, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        at = self.chance.randrange(len(chunk))
        match self.spoil:
            case "delay":
                await asyncio.sleep(DELAY_S)
                writer.write(chunk)
            case "drip":
                for n in range(min(len(chunk), DRIPS_MAX)):
                    writer.write(chunk[n : n + 1])
                    await asyncio.sleep(0)
                writer.write(chunk[DRIPS_MAX:])
            case "cut":
                writer.write(chunk[:at])
                await writer.drain()
                raise OSError("cut")
            case "corrupt":
                spoilt = bytearray(chunk)
                spoilt[at % min(HEAD, len(chunk))] ^= 1 << self.chance.randrange(8)
                writer.write(bytes(spoilt))
            case "duplicate":
                writer.write(chunk + chunk)
            case "stall":  # nothing comes any more, and nothing ends; whoever waits long enough is rid of it
                while self.spoil:  # noqa: ASYNC110 - healing is a plain word, looked at now and then
                    await asyncio.sleep(LOOK_S)
                raise OSError("over")
            case _:
                raise AssertionError(self.spoil)
