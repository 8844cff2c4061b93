"""The audit trail: what happened, by whom, when, with before and after; the database refuses to change it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from gateway.ledger.database import Tx
from gateway.ledger.sql import insert, row, rows
from gateway.ledger.times import to_text, to_time


def record(
    tx: Tx,
    *,
    what: str,
    who: str,
    subject: str,
    at: datetime,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """Write down one event, in the transaction of what it tells.

    `who` is `kvot`, `shop:<name>`, `machine:<name>` or `person:<staff name>`; `before` and `after`
    hold ids, states and staff names only, never personal fields.
    """
    insert(
        tx,
        "events",
        at=to_text(at),
        what=what,
        who=who,
        subject=subject,
        before=None if before is None else orjson.dumps(before).decode(),
        after=None if after is None else orjson.dumps(after).decode(),
    )


def history(tx: Tx, subject: str, limit: int) -> list[dict[str, Any]]:
    """Give the last `limit` events of a subject, oldest first: event_id, at, what, who, subject, before, after."""
    found = rows(
        tx,
        "SELECT event_id, at, what, who, subject, before, after FROM events "
        "WHERE subject = :subject ORDER BY event_id DESC LIMIT :limit",
        subject=subject,
        limit=limit,
    )
    return [{**event, "before": _read(event["before"]), "after": _read(event["after"])} for event in reversed(found)]


def last_act_of_a_person(tx: Tx) -> datetime | None:
    """Give when a named person last did anything that tells of somebody at the machines, or None.

    Prices are followed from anywhere: who answers a proposal or freezes them keeps no machine armed.
    """
    found = row(
        tx,
        "SELECT at FROM events WHERE substr(who, 1, 7) = 'person:' AND substr(what, 1, 8) <> 'pricing.' "
        "AND substr(what, 1, 9) <> 'proposal.' ORDER BY at DESC LIMIT 1",
    )
    return None if found is None else to_time(found["at"])


def _read(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
