"""Where each reader of the outside world stopped, so that it goes on there."""

from datetime import datetime

from gateway.ledger.database import Tx
from gateway.ledger.sql import change, row
from gateway.ledger.times import to_text


def get(tx: Tx, name: str) -> str | None:
    """Give a cursor, or None before its first value."""
    found = row(tx, "SELECT value FROM cursors WHERE name = :name", name=name)
    return None if found is None else str(found["value"])


def put(tx: Tx, name: str, value: str, at: datetime) -> None:
    """Store a cursor; do it in the transaction that stores what was read up to there."""
    change(
        tx,
        "INSERT INTO cursors (name, value, stored_at) VALUES (:name, :value, :at) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value, stored_at = excluded.stored_at",
        name=name,
        value=value,
        at=to_text(at),
    )
