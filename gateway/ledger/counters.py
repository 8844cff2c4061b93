"""Dense numbers that are never used twice."""

from gateway.ledger.database import Tx
from gateway.ledger.sql import row


def next_number(tx: Tx, name: str) -> int:
    """Draw the next number of a series, from 1 on; an event that is rolled back gives its number back."""
    drawn = row(
        tx,
        "INSERT INTO counters (name, value) VALUES (:name, 1) "
        "ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
        name=name,
    )
    assert drawn is not None
    return int(drawn["value"])
