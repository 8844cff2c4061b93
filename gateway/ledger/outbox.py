"""Facts the world has yet to hear, in order, per destination; a fact leaves only when it was delivered."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import bindparam, text

from gateway.ledger.counters import next_number
from gateway.ledger.database import Tx, ring
from gateway.ledger.sql import Row, change, insert, rows
from gateway.ledger.times import to_text, to_time


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One thing to be told; `seq` is dense per destination, `attempts` counts the failures so far."""

    destination: str
    seq: int
    subject: str
    body: dict[str, Any]
    attempts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A fact that was given up, and why."""

    fact: Fact
    error: str
    dead_at: datetime


def bell(destination: str) -> str:
    """Name the bell that rings when a fact was posted to a destination."""
    return f"outbox:{destination}"


def post(tx: Tx, *, destination: str, subject: str, body: Mapping[str, object], at: datetime) -> int:
    """Add a fact in the transaction of the event it tells; give its number. Facts of a subject stay in order."""
    seq = next_number(tx, f"outbox:{destination}")
    insert(
        tx,
        "outbox",
        destination=destination,
        seq=seq,
        subject=subject,
        body=orjson.dumps(body).decode(),
        created_at=to_text(at),
    )
    ring(tx, bell(destination))
    return seq


def pending(tx: Tx, destination: str, *, limit: int, now: datetime, kind: str = "") -> list[Fact]:
    """Give the next facts to tell, in order; a postponed fact keeps back the later ones of its subject.

    `kind` leaves only the subjects that begin with it (`order:`).
    """
    found = rows(
        tx,
        "SELECT destination, seq, subject, body, attempts FROM outbox AS fact "
        "WHERE destination = :destination AND dead_at IS NULL AND substr(subject, 1, :length) = :kind "
        "AND (not_before IS NULL OR not_before <= :now) "
        "AND NOT EXISTS (SELECT 1 FROM outbox AS earlier WHERE earlier.destination = fact.destination "
        "AND earlier.subject = fact.subject AND earlier.not_before > :now "
        "AND earlier.seq < fact.seq AND earlier.dead_at IS NULL) "
        "ORDER BY seq LIMIT :limit",
        destination=destination,
        now=to_text(now),
        limit=limit,
        kind=kind,
        length=len(kind),
    )
    return [_fact(row) for row in found]


def delivered(tx: Tx, destination: str, seqs: Iterable[int]) -> None:
    """Forget facts that their destination has taken; numbers already forgotten are no error."""
    numbers = list(seqs)
    if numbers:
        statement = text("DELETE FROM outbox WHERE destination = :destination AND seq IN :seqs")
        tx.execute(
            statement.bindparams(bindparam("seqs", expanding=True)), {"destination": destination, "seqs": numbers}
        )


def failed(tx: Tx, destination: str, seq: int, *, error: str, not_before: datetime) -> None:
    """Postpone a fact after a failed attempt."""
    change(
        tx,
        "UPDATE outbox SET attempts = attempts + 1, last_error = :error, not_before = :not_before "
        "WHERE destination = :destination AND seq = :seq",
        error=error,
        not_before=to_text(not_before),
        destination=destination,
        seq=seq,
    )


def bury(tx: Tx, destination: str, seq: int, *, error: str, at: datetime) -> None:
    """Give up a fact: it stays listed as a dead letter and no longer keeps back its subject."""
    change(
        tx,
        "UPDATE outbox SET attempts = attempts + 1, last_error = :error, dead_at = :at "
        "WHERE destination = :destination AND seq = :seq AND dead_at IS NULL",
        error=error,
        at=to_text(at),
        destination=destination,
        seq=seq,
    )


def dead_letters(tx: Tx, *, limit: int) -> list[DeadLetter]:
    """Give the facts that were given up, oldest first."""
    found = rows(
        tx,
        "SELECT destination, seq, subject, body, attempts, last_error, dead_at FROM outbox "
        "WHERE dead_at IS NOT NULL ORDER BY dead_at, destination, seq LIMIT :limit",
        limit=limit,
    )
    return [DeadLetter(fact=_fact(row), error=row["last_error"], dead_at=to_time(row["dead_at"])) for row in found]


def counts(tx: Tx) -> list[tuple[str, int, int, datetime | None]]:
    """Give per destination: facts pending, facts given up, and when the oldest pending one was posted."""
    found = rows(
        tx,
        "SELECT destination, SUM(CASE WHEN dead_at IS NULL THEN 1 ELSE 0 END) AS pending, "
        "SUM(CASE WHEN dead_at IS NULL THEN 0 ELSE 1 END) AS dead, "
        "MIN(CASE WHEN dead_at IS NULL THEN created_at END) AS oldest "
        "FROM outbox GROUP BY destination ORDER BY destination",
    )
    return [
        (row["destination"], row["pending"], row["dead"], None if row["oldest"] is None else to_time(row["oldest"]))
        for row in found
    ]


def _fact(row: Row) -> Fact:
    return Fact(
        destination=row["destination"],
        seq=row["seq"],
        subject=row["subject"],
        body=orjson.loads(row["body"]),
        attempts=row["attempts"],
    )
