"""The control socket as a person uses it: the board of one station, and three things to say of a ticket."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from simulators.control import Control

ALLOWED = "allowed_to_start"
RUNNING = "running"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """One job on the board; counts are the pieces reported so far."""

    job: str
    phase: str
    quantity: int
    good: int
    scrap: int


class Desk:
    """Asks over the socket, one short connection each time.

    Every method raises `control.AwayError` or `control.TurnedDownError`.
    """

    def __init__(self, path: Path, station: str) -> None:
        self._control = Control(path)
        self._tickets = f"/api/v1/stations/{quote(station, safe='')}/tickets"

    def board(self) -> list[Ticket]:
        """Read the board, the oldest ticket first."""
        return [_ticket(one) for one in self._control.ask("GET", self._tickets)["items"]]

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
        self._control.ask("POST", f"{self._tickets}/{quote(job, safe='')}/{what}", body)


def _ticket(shown: Mapping[str, Any]) -> Ticket:
    return Ticket(
        job=shown["job_id"],
        phase=shown["phase"],
        quantity=shown["quantity"],
        good=shown["good"],
        scrap=shown["scrap"],
    )
