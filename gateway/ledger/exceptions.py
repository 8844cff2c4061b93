"""Exceptions: the things a person must decide, one per subject and cause, opened and closed in public."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from gateway.domain.exceptions import Kind, kind_of
from gateway.errors import RefusedError
from gateway.ledger import events, facts
from gateway.ledger.database import Tx
from gateway.ledger.sql import Row, change, insert, row, rows
from gateway.ledger.times import to_text

_COLUMNS = (
    "exception_id, subject, cause, evidence, actions, severity, count, owner, resolution, state, "
    "opened_at, acked_at, resolved_at, resolved_by"
)


def open_exception(
    tx: Tx,
    kind: Kind,
    *,
    subject: str,
    evidence: Mapping[str, object],
    at: datetime,
    detail: str = "",
    actions: Sequence[str] = (),
) -> int:
    """Ask for a decision; give the exception's id.

    While it is not resolved, the same subject and cause again only count up. `detail` is added to the cause of the
    kind; `actions` are the answers a person may give, where they are not all of the kind.
    """
    actions = actions or kind.actions
    kind.check(subject, actions)
    cause, severity = kind.because(detail), kind.severity
    again = row(
        tx,
        "UPDATE exceptions SET count = count + 1 "
        "WHERE subject = :subject AND cause = :cause AND state <> 'resolved' RETURNING exception_id",
        subject=subject,
        cause=cause,
    )
    if again is not None:
        return int(again["exception_id"])
    exception_id = insert(
        tx,
        "exceptions",
        subject=subject,
        cause=cause,
        evidence=orjson.dumps(evidence).decode(),
        actions=orjson.dumps(list(actions)).decode(),
        severity=severity,
        opened_at=to_text(at),
    )
    story = {"subject": subject, "cause": cause, "severity": severity, "actions": list(actions)}
    events.record(tx, what="exception.opened", who="kvot", subject=_name(exception_id), at=at, after=story)
    facts.post(tx, "exception.opened", at=at, exception_id=exception_id, **story)
    return exception_id


def keep_open(
    tx: Tx, kind: Kind, *, subject: str, evidence: Mapping[str, object], actions: Sequence[str], at: datetime
) -> None:
    """Ask for a decision once, however often the same is found; evidence and actions are kept as they are now."""
    changed = {
        "evidence": orjson.dumps(evidence).decode(),
        "actions": orjson.dumps(list(actions)).decode(),
        "subject": subject,
        "cause": kind.cause,
    }
    if (
        row(
            tx,
            "SELECT 1 FROM exceptions WHERE subject = :subject AND cause = :cause AND state <> 'resolved'",
            subject=subject,
            cause=kind.cause,
        )
        is None
    ):
        open_exception(tx, kind, subject=subject, evidence=evidence, actions=actions, at=at)
        return
    change(
        tx,
        "UPDATE exceptions SET evidence = :evidence, actions = :actions WHERE subject = :subject AND cause = :cause "
        "AND state <> 'resolved' AND (evidence <> :evidence OR actions <> :actions)",
        **changed,
    )


def acknowledge(tx: Tx, exception_id: int, *, who: str, at: datetime) -> None:
    """Note that a named person has seen it and owns it; raise `RefusedError` when it is unknown or resolved."""
    known = _unresolved(tx, exception_id)
    change(
        tx,
        "UPDATE exceptions SET state = 'acked', owner = :who, acked_at = :at WHERE exception_id = :id",
        who=who,
        at=to_text(at),
        id=exception_id,
    )
    events.record(
        tx,
        what="exception.acknowledged",
        who=who,
        subject=_name(exception_id),
        at=at,
        before={"state": known["state"], "owner": known["owner"]},
        after={"state": "acked", "owner": who},
    )


def resolve(tx: Tx, exception_id: int, *, action: str, who: str, note: str, at: datetime) -> None:
    """Close it by a named person's decision.

    Raise `RefusedError` when it is unknown, already resolved, or the action is none of those proposed.
    """
    known = _unresolved(tx, exception_id)
    actions = orjson.loads(known["actions"])
    if action not in actions:
        raise RefusedError(f"exception {exception_id} has no action {action!r}: choose one of {', '.join(actions)}")
    _close(tx, known, resolution=action, who=who, note=note, at=at)


def settle(tx: Tx, *, subject: str, cause: str | None = None, at: datetime, but: frozenset[str] = frozenset()) -> None:
    """Close what the facts have resolved: one cause, or every one of the subject `but` some; none is no error."""
    found = rows(
        tx,
        f"SELECT {_COLUMNS} FROM exceptions "  # noqa: S608 - a constant
        "WHERE subject = :subject AND state <> 'resolved' AND (:cause IS NULL OR cause = :cause)",
        subject=subject,
        cause=cause,
    )
    for known in found:
        if known["cause"] not in but:
            _close(tx, known, resolution="settled", who="kvot", note="", at=at)


def list_exceptions(tx: Tx, *, state: str | None = None) -> list[dict[str, Any]]:
    """Give all exceptions, or those in one state (open, acked, resolved), oldest first, columns as in the table."""
    found = rows(
        tx,
        f"SELECT {_COLUMNS} FROM exceptions "  # noqa: S608 - a constant
        "WHERE :state IS NULL OR state = :state ORDER BY exception_id",
        state=state,
    )
    return [
        {**known, "evidence": orjson.loads(known["evidence"]), "actions": orjson.loads(known["actions"])}
        for known in found
    ]


def is_asked(tx: Tx, subject: str) -> bool:
    """Say whether something about this subject waits for a decision."""
    return row(tx, "SELECT 1 FROM exceptions WHERE subject = :s AND state <> 'resolved' LIMIT 1", s=subject) is not None


def about(tx: Tx, exception_id: int) -> tuple[Kind | None, str]:
    """Give kind and subject of an unresolved exception; raise `RefusedError` when it is unknown or resolved."""
    known = _unresolved(tx, exception_id)
    return kind_of(known["subject"], known["cause"]), known["subject"]


def count_open(tx: Tx) -> int:
    """Give the number of exceptions that wait for a decision, acknowledged or not."""
    found = row(tx, "SELECT count(*) AS number FROM exceptions WHERE state <> 'resolved'")
    assert found is not None
    return int(found["number"])


def _unresolved(tx: Tx, exception_id: int) -> Row:
    known = row(tx, f"SELECT {_COLUMNS} FROM exceptions WHERE exception_id = :id", id=exception_id)  # noqa: S608
    if known is None:
        raise RefusedError(f"there is no exception {exception_id}: `kvot exceptions list` shows those there are")
    if known["state"] == "resolved":
        raise RefusedError(
            f"exception {exception_id} was already resolved ({known['resolution']}) "
            f"by {known['resolved_by']} at {known['resolved_at']}"
        )
    return known


def _close(tx: Tx, known: Row, *, resolution: str, who: str, note: str, at: datetime) -> None:
    exception_id = int(known["exception_id"])
    change(
        tx,
        "UPDATE exceptions SET state = 'resolved', resolution = :resolution, resolved_by = :who, resolved_at = :at "
        "WHERE exception_id = :id",
        resolution=resolution,
        who=who,
        at=to_text(at),
        id=exception_id,
    )
    events.record(
        tx,
        what="exception.resolved",
        who=who,
        subject=_name(exception_id),
        at=at,
        before={"state": known["state"]},
        after={"resolution": resolution, "note": note},
    )
    facts.post(
        tx,
        "exception.resolved",
        at=at,
        exception_id=exception_id,
        subject=known["subject"],
        cause=known["cause"],
        resolution=resolution,
    )


def _name(exception_id: int) -> str:
    return f"exception:{exception_id}"
