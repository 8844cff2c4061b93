"""The control socket as a person uses it: the board of one station, and three things to say of a ticket."""

import json
import os
import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

ALLOWED = "allowed_to_start"
RUNNING = "running"


class AwayError(Exception):
    """The gateway did not answer: what was said may have been heard or not, the board will tell."""


class TurnedDownError(Exception):
    """The gateway answered that this does not fit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """One job on the board; counts are the pieces reported so far."""

    job: str
    phase: str
    quantity: int
    good: int
    scrap: int


class Desk:
    """Asks over the socket, one short connection each time; blocks for at most `timeout_s` a step.

    Every method raises `AwayError` or `TurnedDownError`.
    """

    def __init__(self, path: Path, station: str, *, timeout_s: float = 5.0) -> None:
        self._path, self._timeout_s = path, timeout_s
        self._tickets = f"/api/v1/stations/{quote(station, safe='')}/tickets"

    def board(self) -> list[Ticket]:
        """Read the board, the oldest ticket first."""
        return [_ticket(one) for one in self._ask("GET", self._tickets)["items"]]

    def start(self, job: str) -> None:
        """Say that a ticket is begun."""
        self._say(job, "start")

    def report(self, job: str, *, good: int, scrap: int, reason: str) -> None:
        """Say how many more pieces there are."""
        self._say(job, "report", good=good, scrap=scrap, reason=reason if scrap else None)

    def done(self, job: str) -> None:
        """Say that a ticket is finished."""
        self._say(job, "done")

    def _say(self, job: str, what: str, **body: object) -> None:
        self._ask("POST", f"{self._tickets}/{quote(job, safe='')}/{what}", body)

    def _ask(self, method: str, target: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
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
        super().__init__("station", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the path instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


def _ticket(shown: Mapping[str, Any]) -> Ticket:
    return Ticket(
        job=shown["job_id"],
        phase=shown["phase"],
        quantity=shown["quantity"],
        good=shown["good"],
        scrap=shown["scrap"],
    )
