"""The tickets of one station on disk: what was asked of its people, and what they have said.

One JSON line per event, synced before it counts: the book is the station's memory of jobs, so that a
restarted gateway reads what became of a ticket and never issues it twice.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from drivers.base import JobPhase, Scalar, TicketError

COMPACT_LINES = 2000  # the book is written anew at opening when it has grown longer than this


class BookError(TicketError):
    """What a person said does not fit the ticket; the text says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """One job on a station's board; counts are pieces, `by` names who confirmed the last step."""

    job_id: str
    recipe: str
    parameters: Mapping[str, Scalar]
    quantity: int
    labels: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    phase: JobPhase = JobPhase.ALLOWED_TO_START
    good: int = 0
    scrap: int = 0
    reason: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    by: str | None = None


class Book:
    """Opens the file, replays it, and appends; for one process at a time, which the state lock sees to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._tickets: dict[str, Ticket] = {}
        lines = 0
        for event in _events(path):
            lines += 1
            self._replay(event)
        if lines > COMPACT_LINES:
            _rewrite(path, self._tickets.values())
        self._file: BinaryIO = path.open("ab")
        _cut_torn_line(self._file, path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def tickets(self) -> tuple[Ticket, ...]:
        """Give every ticket that is not forgotten, the oldest first."""
        return tuple(self._tickets.values())

    def find(self, job_id: str) -> Ticket | None:
        """Give one ticket."""
        return self._tickets.get(job_id)

    def issue(self, ticket: Ticket) -> None:
        """Put a ticket on the board; raise `BookError` when it is there already."""
        if ticket.job_id in self._tickets:
            raise BookError(f"ticket {ticket.job_id} is on the board already")
        self._write({"event": "issue", **_plain(ticket)})

    def start(self, job_id: str, *, who: str, now: datetime) -> Ticket:
        """A person begins; beginning again after a pause is the same job going on."""
        ticket = self._open(job_id)
        if ticket.phase is JobPhase.RUNNING:
            raise BookError(f"ticket {job_id} is under way already")
        first = ticket.started_at or now
        return self._change(replace(ticket, phase=JobPhase.RUNNING, started_at=first, by=who))

    def report(self, job_id: str, *, good: int, scrap: int, reason: str | None, who: str) -> Ticket:
        """A person adds pieces, good or scrap."""
        ticket = self._running(job_id)
        if good < 0 or scrap < 0 or good + scrap == 0:
            raise BookError("say how many pieces are good and how many are scrap")
        if scrap and not reason:
            raise BookError("scrap needs a reason")
        counted = replace(ticket, good=ticket.good + good, scrap=ticket.scrap + scrap, by=who)
        return self._change(replace(counted, reason=reason or ticket.reason))

    def done(self, job_id: str, *, who: str, now: datetime) -> Ticket:
        """A person ends the job with the pieces reported so far."""
        ticket = self._running(job_id)
        return self._change(replace(ticket, phase=JobPhase.ENDED, ended_at=now, by=who))

    def cancel(self, job_id: str) -> None:
        """Take back a ticket that nobody has begun."""
        if self._open(job_id).phase is not JobPhase.ALLOWED_TO_START:
            raise BookError(f"ticket {job_id} is under way")
        self._write({"event": "forget", "job_id": job_id})

    def forget(self, job_id: str) -> None:
        """Take an ended ticket off the board."""
        ticket = self._tickets.get(job_id)
        if ticket is None or ticket.phase not in {JobPhase.ENDED, JobPhase.ABORTED}:
            raise BookError(f"ticket {job_id} has not ended")
        self._write({"event": "forget", "job_id": job_id})

    def _open(self, job_id: str) -> Ticket:
        ticket = self._tickets.get(job_id)
        if ticket is None or ticket.phase in {JobPhase.ENDED, JobPhase.ABORTED}:
            raise BookError(f"no open ticket {job_id}")
        return ticket

    def _running(self, job_id: str) -> Ticket:
        ticket = self._open(job_id)
        if ticket.phase is not JobPhase.RUNNING:
            raise BookError(f"ticket {job_id} is not begun yet")
        return ticket

    def _change(self, ticket: Ticket) -> Ticket:
        self._write({"event": "state", **_plain(ticket)})
        return ticket

    def _write(self, event: dict[str, Any]) -> None:
        """Append one event and have it on the disk before it counts."""
        self._file.write(json.dumps(event, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._replay(event)

    def _replay(self, event: dict[str, Any]) -> None:
        if event["event"] == "forget":
            self._tickets.pop(event["job_id"], None)
        else:
            ticket = _ticket(event)
            self._tickets[ticket.job_id] = ticket


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """Read whole lines; a torn last line never counted."""
    if not path.exists():
        return
    *whole, _torn = path.read_bytes().split(b"\n")
    for line in whole:
        yield json.loads(line)


def _cut_torn_line(file: BinaryIO, path: Path) -> None:
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        file.truncate(content.rfind(b"\n") + 1)


def _rewrite(path: Path, tickets: Any) -> None:
    """Write the open tickets alone, and put the new file in the old one's place."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        for ticket in tickets:
            file.write(json.dumps({"event": "state", **_plain(ticket)}, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fdatasync(file.fileno())
    fresh.replace(path)


def _plain(ticket: Ticket) -> dict[str, Any]:
    return {
        "job_id": ticket.job_id,
        "recipe": ticket.recipe,
        "parameters": dict(ticket.parameters),
        "quantity": ticket.quantity,
        "labels": {name: list(value) if isinstance(value, tuple) else value for name, value in ticket.labels.items()},
        "phase": int(ticket.phase),
        "good": ticket.good,
        "scrap": ticket.scrap,
        "reason": ticket.reason,
        "started_at": None if ticket.started_at is None else ticket.started_at.isoformat(),
        "ended_at": None if ticket.ended_at is None else ticket.ended_at.isoformat(),
        "by": ticket.by,
    }


def _ticket(event: Mapping[str, Any]) -> Ticket:
    return Ticket(
        job_id=event["job_id"],
        recipe=event["recipe"],
        parameters=event["parameters"],
        quantity=event["quantity"],
        labels={name: tuple(value) if isinstance(value, list) else value for name, value in event["labels"].items()},
        phase=JobPhase(event["phase"]),
        good=event["good"],
        scrap=event["scrap"],
        reason=event["reason"],
        started_at=None if event["started_at"] is None else datetime.fromisoformat(event["started_at"]),
        ended_at=None if event["ended_at"] is None else datetime.fromisoformat(event["ended_at"]),
        by=event["by"],
    )
