"""A second master at the oven's registers, who knows nothing of us: an operator's screen, or a forgotten test program.

What it loads itself it writes down before (`others.journal`), so that the judge does not take it for ours.
"""

import asyncio
import contextlib
import random
import struct
from pathlib import Path

from tests.faults.world import Journal

REST_S = 0.03
_STATUS, _COMMAND = 0, 100
_SEQ_AT, _PAYLOAD_AT, _PAYLOAD_WORDS = 58, 1, 56
_LOAD_START, _CLEAR = 1, 8
_ENDED = frozenset({5, 6})
DEEDS = ("parameters", "commit", "zero", "heartbeat", "own job", "clear its own", "commit")


class SecondMaster:
    """Writes into the command block beside us as long as it is let."""

    def __init__(self, port: int, directory: Path, chance: random.Random) -> None:
        self._port, self._chance = port, chance
        self._journal = Journal(directory / "others.journal")
        self._number = 0
        self._transaction = 0
        self.deeds = 0

    async def run(self) -> None:
        """Do one thing after the other; a machine that does not answer is left alone."""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    while True:
                        await self._one(reader, writer)
                        await asyncio.sleep(REST_S)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(REST_S)

    async def tidy(self) -> None:
        """Clear what it loaded, when that has ended: its operator goes home."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                await self._clear_its_own(reader, writer)
            finally:
                writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.deeds += 1
        status = await self._read(reader, writer, _STATUS, 64)
        match self._chance.choice(DEEDS):
            case "parameters":
                await self._write(reader, writer, _COMMAND + 24, [self._chance.randrange(65536) for _ in range(4)])
            case "commit":
                await self._write(reader, writer, _COMMAND + _SEQ_AT, [status[10] % 0xFFFF + 1])
            case "zero":
                await self._write(reader, writer, _COMMAND + _SEQ_AT, [0])
            case "heartbeat":
                await self._write(reader, writer, _COMMAND, [self._chance.randrange(1, 65536)])
            case "own job" if not status[14] and not status[15]:
                await self._load(reader, writer, status)
            case "clear its own":
                await self._clear_its_own(reader, writer)
            case _:
                pass

    async def _load(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: tuple[int, ...]) -> None:
        self._number = (status[12] << 16 | status[13]) + 1
        name = f"OTHER-{self._number}"
        self._journal.write(event="load", job=name)
        await self._command(reader, writer, _LOAD_START, name, seq=status[10] % 0xFFFF + 1)

    async def _clear_its_own(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status = await self._read(reader, writer, _STATUS, 64)
        if (status[14] << 16 | status[15]) == self._number and status[16] in _ENDED:
            await self._command(reader, writer, _CLEAR, "", seq=status[10] % 0xFFFF + 1)

    async def _command(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: int, name: str, *, seq: int
    ) -> None:
        order = struct.unpack(">16H", name.encode().ljust(32, b"\0"))
        words = [command, self._number >> 16, self._number & 0xFFFF, 0, 1, 1, 0, *order, *[0] * 32, 0]
        assert len(words) == _PAYLOAD_WORDS
        await self._write(reader, writer, _COMMAND + _PAYLOAD_AT, words)
        await self._write(reader, writer, _COMMAND + _SEQ_AT, [seq])

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: int, count: int
    ) -> tuple[int, ...]:
        answer = await self._exchange(reader, writer, struct.pack(">BHH", 3, address, count))
        return struct.unpack(f">{count}H", answer[2:])

    async def _write(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: int, words: list[int]
    ) -> None:
        head = struct.pack(">BHHB", 16, address, len(words), 2 * len(words))
        await self._exchange(reader, writer, head + struct.pack(f">{len(words)}H", *words))

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pdu: bytes) -> bytes:
        self._transaction = (self._transaction + 1) % 65536
        writer.write(struct.pack(">HHHB", self._transaction, 0, len(pdu) + 1, 1) + pdu)
        head = await reader.readexactly(7)
        answer = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
        if answer[0] != pdu[0]:
            raise ValueError("refused")
        return answer
