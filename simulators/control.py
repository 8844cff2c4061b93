"""The gateway's control socket as a program beside it asks: one short connection for each question."""

import json
import os
import socket
from collections.abc import Mapping
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any


class AwayError(Exception):
    """The gateway did not answer: what was said may have been heard or not, the next look will tell."""


class TurnedDownError(Exception):
    """The gateway answered that this does not fit."""


class Control:
    """Asks over the socket; blocks for at most `timeout_s` a step."""

    def __init__(self, path: Path, *, timeout_s: float = 5.0) -> None:
        self._path, self._timeout_s = path, timeout_s

    def ask(self, method: str, target: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Make one request and give its answer; raise `AwayError` or `TurnedDownError`."""
        sent = None if body is None else json.dumps(body).encode()
        try:
            with closing(_OverSocket(self._path, self._timeout_s)) as connection:
                connection.request(method, target, sent, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                status, text = answer.status, answer.read()
        except (OSError, HTTPException) as fault:
            raise AwayError(str(fault) or type(fault).__name__) from fault
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise AwayError(f"answered {status}")
        if status != HTTPStatus.OK:
            raise TurnedDownError(f"answered {status}: {text.decode(errors='replace')}")
        found: dict[str, Any] = json.loads(text)
        return found


class _OverSocket(HTTPConnection):
    """HTTP whose other end is a path."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("kvot", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the path instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))
