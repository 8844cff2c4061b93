"""What the API asks of a station, and how a ticket is shown to its people."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from drivers.base import JobPhase, Scalar
from gateway.ledger.times import to_text

OVER = frozenset({JobPhase.ENDED, JobPhase.ABORTED})


class Ticket(Protocol):
    """One job on a station's board; counts are pieces, `by` names who confirmed the last step."""

    @property
    def job_id(self) -> str: ...  # noqa: D102
    @property
    def recipe(self) -> str: ...  # noqa: D102
    @property
    def parameters(self) -> Mapping[str, Scalar]: ...  # noqa: D102
    @property
    def quantity(self) -> int: ...  # noqa: D102
    @property
    def labels(self) -> Mapping[str, str | tuple[str, ...]]: ...  # noqa: D102
    @property
    def phase(self) -> JobPhase: ...  # noqa: D102
    @property
    def good(self) -> int: ...  # noqa: D102
    @property
    def scrap(self) -> int: ...  # noqa: D102
    @property
    def reason(self) -> str | None: ...  # noqa: D102
    @property
    def started_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def ended_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def by(self) -> str | None: ...  # noqa: D102


class Station(Protocol):
    """A place where a person works by tickets; every act raises `drivers.base.TicketError` when it does not fit.

    What a person says is on the disk when a method returns; `OSError` says that it could not be written.
    """

    def tickets(self) -> Sequence[Ticket]:
        """Give the board, the oldest ticket first; empty while the station is not open."""
        ...

    def start(self, job_id: str, *, who: str) -> Ticket:
        """A person begins a ticket."""
        ...

    def report(self, job_id: str, *, good: int, scrap: int, reason: str | None, who: str) -> Ticket:
        """A person adds pieces."""
        ...

    def done(self, job_id: str, *, who: str) -> Ticket:
        """A person ends a ticket."""
        ...


def show_ticket(ticket: Ticket) -> dict[str, Any]:
    """Give a ticket in plain values; the phase is that of its job, in lower case."""
    return {
        "job_id": ticket.job_id,
        "phase": ticket.phase.name.lower(),
        "recipe": ticket.recipe,
        "parameters": dict(ticket.parameters),
        "labels": dict(ticket.labels),
        "quantity": ticket.quantity,
        "good": ticket.good,
        "scrap": ticket.scrap,
        "reason": ticket.reason,
        "started_at": None if ticket.started_at is None else to_text(ticket.started_at),
        "ended_at": None if ticket.ended_at is None else to_text(ticket.ended_at),
        "by": ticket.by,
    }
