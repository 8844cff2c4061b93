"""The simulated serial line answers whole frames of its unit, lies as told, and can be pulled out and put back."""

import asyncio
import contextlib
import os
import tty
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from simulators.modbus_faults import Lie, WireFaults
from simulators.modbus_wire import ModbusServer
from simulators.serial_line import SerialLine, crc
from tests.eventually import eventually

READ = bytes([1, 3, 0, 5, 0, 2])
ANSWER = bytes([1, 3, 4, 0, 5, 0, 6])
WRITE_MANY = bytes([1, 16, 0, 5, 0, 2, 4, 0, 7, 0, 8])


class Words:
    """Registers that hold their numbers, until they are written."""

    def __init__(self) -> None:
        self.words = dict(enumerate(range(100)))

    def read_words(self, address: int, count: int) -> Sequence[int]:
        return [self.words[address + n] for n in range(count)]

    def write_words(self, address: int, values: Sequence[int]) -> None:
        self.words.update({address + n: value for n, value in enumerate(values)})

    def read_bits(self, _address: int, _count: int) -> Sequence[bool]:
        return []

    def write_bits(self, _address: int, _values: Sequence[bool]) -> None:
        return


class Line:
    """The near end."""

    def __init__(self, line: SerialLine, server: ModbusServer, place: Path) -> None:
        self.far, self.server, self._place = line, server, place
        self.end, self._got = self.open(), b""

    def open(self) -> int:
        end = os.open(self._place, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(end)
        return end

    def send(self, *bodies: bytes) -> None:
        os.write(self.end, b"".join(framed(body) for body in bodies))

    async def ask(self, body: bytes, *, answer: bytes) -> None:
        """Send a request, and wait until nothing but this answer has come."""
        self.send(body)
        await self.hears(framed(answer))

    async def hears(self, expected: bytes) -> None:
        await eventually(lambda: len(self._take()) >= len(expected))
        assert self._got == expected
        self._got = b""

    def _take(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            self._got += os.read(self.end, 1024)
        return self._got


def framed(body: bytes) -> bytes:
    return body + crc(body)


@asynccontextmanager
async def plugged(place: Path) -> AsyncIterator[Line]:
    async with ModbusServer(Words()) as server:
        line = SerialLine(server, place / "tty")
        line.plug()
        near = Line(line, server, place / "tty")
        try:
            yield near
        finally:
            os.close(near.end)
            line.unplug()


async def test_requests_are_answered_also_when_they_come_in_parts(tmp_path: Path) -> None:
    async with plugged(tmp_path) as line:
        await line.ask(READ, answer=ANSWER)
        for octet in framed(WRITE_MANY):
            os.write(line.end, bytes([octet]))
            await asyncio.sleep(0)
        await line.hears(framed(WRITE_MANY[:6]))
        await line.ask(READ, answer=bytes([1, 3, 4, 0, 7, 0, 8]))


async def test_what_is_damaged_is_not_answered_and_what_comes_after_a_silence_is(tmp_path: Path) -> None:
    async with plugged(tmp_path) as line:
        os.write(line.end, framed(READ)[:-1] + b"\0")
        line.send(bytes([1, 3, 0, 9, 0, 1]))  # without a silence between them it is lost as well

        def answered() -> bool:
            line.send(READ)
            return bool(line._take())

        await eventually(answered)
        assert line._got.startswith((framed(ANSWER), framed(bytes([1, 3, 2, 0, 9]))))


@pytest.mark.parametrize(
    ("lie", "sent"), [(Lie.NEVER, b""), (Lie.GARBAGE, b"\xff\x00\x5a\x01\x03\x04\x00"), (Lie.PREVIOUS, b"both")]
)
async def test_lies_are_those_of_the_line(tmp_path: Path, lie: Lie, sent: bytes) -> None:
    async with plugged(tmp_path) as line:
        await line.ask(READ, answer=ANSWER)
        await line.server.switch(WireFaults(lie=lie, times=1))
        line.send(READ, READ)  # the second one is answered truly
        before = framed(ANSWER) * 2 if sent == b"both" else sent
        await line.hears(before + framed(ANSWER))


async def test_an_answer_that_is_late_comes_behind_that_to_the_next_request(tmp_path: Path) -> None:
    async with plugged(tmp_path) as line:
        await line.server.switch(WireFaults(late_s=0.05, times=1))
        line.send(READ, bytes([1, 3, 0, 9, 0, 1]))
        await line.hears(framed(bytes([1, 3, 2, 0, 9])) + framed(ANSWER))


async def test_a_line_that_was_pulled_out_is_another_one_when_it_is_back(tmp_path: Path) -> None:
    async with plugged(tmp_path) as line:
        line.far.unplug()
        assert not (tmp_path / "tty").exists()
        line.far.plug()
        os.close(line.end)
        line.end = line.open()
        await line.ask(READ, answer=ANSWER)
