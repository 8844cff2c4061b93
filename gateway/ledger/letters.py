"""Dead letters told again: always what is true now, so that nothing older overtakes what was told since."""

from collections.abc import Sequence
from datetime import datetime

import orjson

from gateway.errors import RefusedError
from gateway.ledger import events, outbox
from gateway.ledger.database import Tx
from gateway.ledger.exceptions import settle
from gateway.ledger.offers import standing
from gateway.ledger.sql import Row, change, row, rows
from gateway.ledger.telling import tell


def replay(tx: Tx, subject: str, *, who: str, now: datetime, destination: str | None = None) -> str:
    """Take a subject's facts that were given up, and tell what is true of it now; give what happened, in words.

    An order is told as it stands. An offer is told only while it is in force and nothing newer waits.
    Raise `RefusedError` where nothing about the subject was given up.
    """
    letters = rows(
        tx,
        "DELETE FROM outbox WHERE subject = :subject AND dead_at IS NOT NULL "
        "AND (:destination IS NULL OR destination = :destination) RETURNING destination, seq, subject, body",
        subject=subject,
        destination=destination,
    )
    if not letters:
        raise RefusedError(f"nothing about {subject} was given up: `kvot outbox list` shows what was")
    after = {"destinations": sorted({one["destination"] for one in letters}), "facts": len(letters)}
    events.record(tx, what="outbox.replayed", who=who, subject=subject, at=now, after=after)
    settle(tx, subject=subject, at=now)
    kind, _, name = subject.partition(":")
    if kind == "order":
        change(tx, "UPDATE orders SET told = NULL WHERE order_id = :id", id=int(name))
        tell(tx, int(name), now=now)
        return f"{subject} is told as it is now"
    told = [one for one in _newest(letters) if _holds(tx, one)]
    for one in told:
        outbox.post(tx, destination=one["destination"], subject=subject, body=orjson.loads(one["body"]), at=now)
    return f"{subject} is told again" if told else f"{subject} is out of date: something newer was told since"


def _newest(letters: Sequence[Row]) -> list[Row]:
    """Give the last fact for each destination."""
    return list({one["destination"]: one for one in sorted(letters, key=lambda one: int(one["seq"]))}.values())


def _holds(tx: Tx, letter: Row) -> bool:
    """Say whether a fact is still true, and not about to be told anyway."""
    waiting = row(
        tx,
        "SELECT 1 FROM outbox WHERE destination = :to AND subject = :subject",
        to=letter["destination"],
        subject=letter["subject"],
    )
    if waiting is not None:
        return False
    body = orjson.loads(letter["body"])
    if "offer_id" not in body:
        return True
    in_force = standing(tx, body["shop"], body["sku"])
    return in_force is not None and in_force.offer_id == body["offer_id"]
