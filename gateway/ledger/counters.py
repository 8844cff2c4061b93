"""Dense numbers that are never used twice."""

from gateway.ledger.database import Tx
from gateway.ledger.sql import row


def next_number(tx: Tx, name: str, *, above: int = 0) -> int:
    """Draw the next number of a series, from 1 on and above what is asked; a rolled back event gives it back."""
    drawn = row(
        tx,
        "INSERT INTO counters (name, value) VALUES (:name, :above + 1) "
        "ON CONFLICT (name) DO UPDATE SET value = MAX(counters.value, :above) + 1 RETURNING value",
        name=name,
        above=above,
    )
    assert drawn is not None
    return int(drawn["value"])
