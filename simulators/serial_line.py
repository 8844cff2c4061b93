"""A serial line to a Modbus machine: RTU frames through a pseudo terminal, whose adapter can be pulled out.

The machine behind it is the one that a `ModbusServer` serves, with the same faults; what the line can spoil of them
is told in `_sent`.
"""

import asyncio
import os
import tty
from pathlib import Path
from typing import Final

from simulators.modbus_faults import Lie, WireFaults
from simulators.modbus_wire import ModbusServer

_WRITES_MANY: Final = frozenset({15, 16})
_SHORTEST: Final = 8  # bytes of a request: unit, function, address, count or value, CRC
_GARBAGE: Final = b"\xff\x00\x5a"


class SerialLine:
    """The far end of a line. `place` is a link to the terminal as long as the adapter is plugged in."""

    def __init__(self, server: ModbusServer, place: Path) -> None:
        self._server, self._place = server, place
        self._ends: tuple[int, int] | None = None  # ours, and the near one, kept open so that a hang-up is no end
        self._got = self._previous = b""
        self._late: set[asyncio.TimerHandle] = set()

    def plug(self) -> None:
        """Make a terminal and the link to it; nothing where it is plugged in."""
        if self._ends is not None:
            return
        ours, near = os.openpty()
        tty.setraw(near)
        os.set_blocking(ours, False)
        self._place.unlink(missing_ok=True)
        self._place.symlink_to(os.ttyname(near))
        self._ends, self._got = (ours, near), b""
        asyncio.get_running_loop().add_reader(ours, self._readable, ours)

    def unplug(self) -> None:
        """Pull the adapter out: the terminal is gone, also for whoever has it open."""
        for timer in self._late:
            timer.cancel()
        self._late.clear()
        if self._ends is not None:
            asyncio.get_running_loop().remove_reader(self._ends[0])
            self._place.unlink(missing_ok=True)
            for end in self._ends:
                os.close(end)
            self._ends = None

    def _readable(self, ours: int) -> None:
        try:
            self._got += os.read(ours, 1024)
        except BlockingIOError:
            return
        while (size := self._size()) is not None and len(self._got) >= size:
            frame, self._got = self._got[:size], self._got[size:]
            if crc(frame[:-2]) == frame[-2:]:
                self._answer(frame)
            else:
                self._got = b""  # out of step: the sender waits in vain, and begins anew after a silence

    def _size(self) -> int | None:
        """Give how long the request at the beginning is, None where too little has come to tell."""
        if len(self._got) < _SHORTEST:
            return None
        return _SHORTEST + 1 + self._got[6] if self._got[1] in _WRITES_MANY else _SHORTEST

    def _answer(self, frame: bytes) -> None:
        if self._server.faults.frozen:
            return
        pdu, faults = self._server.answer(frame[0], frame[1:-2])
        body = frame[:1] + pdu
        answer = body + crc(body)
        sent, self._previous = self._sent(answer, faults), answer
        if not sent:
            return
        if faults.late_s > 0:
            self._later(sent, faults.late_s)
        else:
            self._send(sent)

    def _sent(self, answer: bytes, faults: WireFaults) -> bytes:
        """Give what goes over the line: a lie that needs the head of a TCP frame is no answer here."""
        match faults.lie:
            case Lie.NONE:
                return answer
            case Lie.PREVIOUS:
                return self._previous + answer
            case Lie.GARBAGE:
                return _GARBAGE + answer[: len(answer) // 2]
            case _:
                return b""

    def _later(self, sent: bytes, late_s: float) -> None:
        def send() -> None:
            self._late.discard(timer)
            self._send(sent)

        timer = asyncio.get_running_loop().call_later(late_s, send)
        self._late.add(timer)

    def _send(self, sent: bytes) -> None:
        if self._ends is not None:
            try:
                os.write(self._ends[0], sent)
            except BlockingIOError:
                return  # nobody reads there


def crc(octets: bytes) -> bytes:
    """Give the CRC-16 of a frame, as it is sent (Modbus over Serial Line 1.02, 2.5.1.2)."""
    value = 0xFFFF
    for octet in octets:
        value ^= octet
        for _ in range(8):
            value = (value >> 1) ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")
