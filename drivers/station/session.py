"""The driver port over a station's book: a command becomes a ticket, a confirmation becomes a finding."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from drivers.base import Answer, Command, CommandKind, DriverError, Finding, Identity, Look, Permits, Receipt, Session
from drivers.station.book import Book, BookError, Ticket

KINDS = frozenset({CommandKind.LOAD_START, CommandKind.CANCEL, CommandKind.CLEAR})
ALLOWED = Permits(remote=True, ready=True, handed_over=True)  # a person needs no permit to begin or not to


class Station:
    """One station: the driver for the gateway, and the desk where its people say what they did.

    `now` gives the time that confirmations carry. Every word of a person is on the disk when its
    method returns; the calls take one disk sync, some milliseconds.
    """

    def __init__(self, *, name: str, path: Path, now: Callable[[], datetime]) -> None:
        self.name = name
        self._path, self._now = path, now
        self._book: Book | None = None
        self._on_change: Callable[[], None] = _nobody

    @asynccontextmanager
    async def session(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        """Open the book; raise `DriverError` when the disk does not let us."""
        try:
            self._book = Book(self._path)
        except (OSError, ValueError, KeyError) as fault:
            raise DriverError(f"the tickets in {self._path} cannot be read: {fault}") from fault
        self._on_change = on_change
        try:
            yield _StationSession(self.name, self._book)
        finally:
            self._on_change = _nobody
            self._book.close()
            self._book = None

    def tickets(self) -> tuple[Ticket, ...]:
        """Give the board, the oldest ticket first; empty while the station is not open."""
        return self._book.tickets() if self._book is not None else ()

    def start(self, job_id: str, *, who: str) -> Ticket:
        """A person begins a ticket; raise `BookError` when that does not fit."""
        return self._said(self._opened().start(job_id, who=who, now=self._now()))

    def report(self, job_id: str, *, good: int, scrap: int, reason: str | None, who: str) -> Ticket:
        """A person adds pieces; raise `BookError` when that does not fit."""
        return self._said(self._opened().report(job_id, good=good, scrap=scrap, reason=reason, who=who))

    def done(self, job_id: str, *, who: str) -> Ticket:
        """A person ends a ticket; raise `BookError` when that does not fit."""
        return self._said(self._opened().done(job_id, who=who, now=self._now()))

    def _opened(self) -> Book:
        if self._book is None:
            raise BookError(f"station {self.name} is not open right now")
        return self._book

    def _said(self, ticket: Ticket) -> Ticket:
        self._on_change()
        return ticket


class _StationSession:
    """The gateway's view of a book."""

    def __init__(self, name: str, book: Book) -> None:
        self._book = book
        self._identity = Identity(text=f"station {name}", kinds=KINDS)

    @property
    def identity(self) -> Identity:
        """Give the station's name."""
        return self._identity

    async def look(self) -> Look:
        """Give the board."""
        return Look(boot="paper", permits=ALLOWED, jobs=tuple(_finding(ticket) for ticket in self._book.tickets()))

    async def ask(self, job_id: str) -> Finding:
        """Give what was confirmed of one ticket."""
        ticket = self._book.find(job_id)
        if ticket is None:
            return Finding(job_id=job_id, phase=None, evidence="not on the station's board")
        return _finding(ticket)

    async def send(self, command: Command) -> Receipt:
        """Put a ticket up, take it back, or take it off."""
        try:
            match command.kind:
                case CommandKind.LOAD_START:
                    self._book.issue(_ticket(command))
                case CommandKind.CANCEL:
                    self._book.cancel(command.job_id)
                case CommandKind.CLEAR:
                    self._book.forget(command.job_id)
                case _:
                    return Receipt(answer=Answer.REFUSED, evidence=f"not sent: a station knows no {command.kind}")
        except BookError as fault:
            return Receipt(answer=Answer.REFUSED, evidence=str(fault))
        except OSError as fault:
            raise DriverError(f"the ticket could not be written: {fault}") from fault
        return Receipt(answer=Answer.ACCEPTED, evidence="on the station's board")


def _ticket(command: Command) -> Ticket:
    return Ticket(
        job_id=command.job_id,
        recipe=command.recipe,
        parameters=dict(command.parameters),
        quantity=command.quantity,
        labels=dict(command.labels),
    )


def _finding(ticket: Ticket) -> Finding:
    return Finding(
        job_id=ticket.job_id,
        phase=ticket.phase,
        evidence=ticket.phase.name.lower() + (", as a person said" if ticket.by else ""),
        produced=ticket.good + ticket.scrap,
        good=ticket.good,
        started_at=ticket.started_at,
        ended_at=ticket.ended_at,
        reason=ticket.reason,
        confirmed_by=ticket.by,
        orders=_orders(ticket),
    )


def _orders(ticket: Ticket) -> tuple[str, ...]:
    numbers = ticket.labels.get("order_numbers", ())
    return (numbers,) if isinstance(numbers, str) else numbers


def _nobody() -> None:
    """Hear nothing: the station is not open."""
