"""Question and answer between a life of the gateway and the world outside it: one socket, one message at a time."""

import pickle
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

_HEAD = struct.Struct(">I")
Touch = Callable[[str], None]


def _nothing(_point: str) -> None:
    """Stand in where nobody counts."""


class Wire:
    """The life's end: a call is written whole, and its answer is read before anything else happens.

    `touch` hears `before`, `sent` (the world has the bytes, we have no answer) and `answered` of each call that
    names its peer, so that a test can end the life at each of them.
    """

    def __init__(self, place: Path, touch: Touch = _nothing) -> None:
        self._touch = touch
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(place))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def call(self, deed: str, *values: Any, peer: str | None = None) -> Any:
        """Let the world do a deed and give its answer; what it raises is raised here."""
        message = pickle.dumps((deed, values))
        if peer is not None:
            self._touch(f"{peer}: before")
        self._socket.sendall(_HEAD.pack(len(message)) + message)
        if peer is not None:
            self._touch(f"{peer}: sent")
        (size,) = _HEAD.unpack(self._read(_HEAD.size))
        went_well, answer = pickle.loads(self._read(size))
        if peer is not None:
            self._touch(f"{peer}: answered")
        if not went_well:
            raise answer
        return answer

    def _read(self, size: int) -> bytes:
        octets = b""
        while len(octets) < size:
            more = self._socket.recv(size - len(octets))
            if not more:
                raise ConnectionError("the world is gone")
            octets += more
        return octets


def packed(went_well: bool, answer: Any) -> bytes:
    """Give an answer as the world sends it."""
    message = pickle.dumps((went_well, answer))
    return _HEAD.pack(len(message)) + message


def size_of(head: bytes) -> int:
    """Give the size of the message behind a head."""
    return int(_HEAD.unpack(head)[0])


HEAD = _HEAD.size
