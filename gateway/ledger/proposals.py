"""Proposals: what Kvot would do if a person agreed; one that nobody answers expires and nothing is done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from gateway.errors import RefusedError
from gateway.ledger import events, facts
from gateway.ledger.database import Tx, ring
from gateway.ledger.pricing_control import BELL
from gateway.ledger.sql import Row, change, insert, row, rows
from gateway.ledger.times import to_text, to_time

ANSWER_WITHIN: Final = timedelta(hours=24)
REMEMBERED: Final = timedelta(days=30)  # an answer about a run that still collects then is asked for again
_COLUMNS: Final = "proposal_id, kind, subject, body, state, created_at, expires_at, decided_by, decided_at, reason"
_KNOWN: Final = "(state = 'open' OR (state IN ('approved','rejected') AND created_at > :since))"

Key = tuple[str, str]  # kind and subject


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """What was proposed, and what became of it: open, approved, rejected or expired."""

    proposal_id: int
    kind: str
    subject: str
    body: Mapping[str, Any]
    state: str
    created_at: datetime
    expires_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str | None = None

    @property
    def key(self) -> Key:
        """Give what it is about; of one thing at most one proposal is open."""
        return self.kind, self.subject


def known(tx: Tx, *, now: datetime) -> dict[Key, Proposal]:
    """Give the newest proposal of each thing that is open, or that a person answered not long ago."""
    found = rows(
        tx,
        f"SELECT {_COLUMNS} FROM proposals WHERE {_KNOWN} ORDER BY proposal_id",  # noqa: S608 - constants
        since=to_text(now - REMEMBERED),
    )
    return {one.key: one for one in map(_proposal, found)}


def propose(
    tx: Tx, *, kind: str, subject: str, body: Mapping[str, object], after: Proposal | None, now: datetime
) -> int | None:
    """Propose something in place of what is known of it; an open proposal expires.

    None, and nothing done, where somebody proposed or decided since `after` was read.
    """
    newest = _newest(tx, kind, subject, now=now)
    if (None if newest is None else (newest.proposal_id, newest.state)) != (
        None if after is None else (after.proposal_id, after.state)
    ):
        ring(tx, BELL)
        return None
    if newest is not None and newest.state == "open":
        expire(tx, newest.proposal_id, now=now)
    expires_at = to_text(now + ANSWER_WITHIN)
    proposal_id = insert(
        tx,
        "proposals",
        kind=kind,
        subject=subject,
        body=orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode(),
        created_at=to_text(now),
        expires_at=expires_at,
    )
    facts.post(
        tx,
        "proposal.opened",
        at=now,
        proposal_id=proposal_id,
        kind=kind,
        subject=subject,
        body=dict(body),
        expires_at=expires_at,
    )
    return proposal_id


def expire(tx: Tx, proposal_id: int, *, now: datetime) -> None:
    """Let a proposal go that is not wanted any more, or that nobody answered: nothing is done."""
    found = row(
        tx,
        "UPDATE proposals SET state = 'expired', decided_at = :now WHERE proposal_id = :id AND state = 'open' "
        "RETURNING kind, subject",
        id=proposal_id,
        now=to_text(now),
    )
    if found is not None:
        _tell(tx, "expired", proposal_id, found["kind"], found["subject"], now=now)


def decide(
    tx: Tx, proposal_id: int, *, approve: bool, who: str, now: datetime, reason: str = "", option: str | None = None
) -> Proposal:
    """Answer a proposal, once; give it as it was.

    Raise `RefusedError` where there is none, somebody answered it, or it expired.
    """
    proposal = find(tx, proposal_id)
    if proposal is None:
        raise RefusedError(f"there is no proposal {proposal_id}: `kvot proposals list` shows those there are")
    if proposal.state in {"approved", "rejected"}:
        raise RefusedError(f"proposal {proposal_id} was {proposal.state} by {proposal.decided_by} already")
    if proposal.state == "expired" or proposal.expires_at <= now:
        raise RefusedError(f"proposal {proposal_id} expired: nothing was done, and a newer one may be open")
    state = "approved" if approve else "rejected"
    change(
        tx,
        "UPDATE proposals SET state = :state, decided_by = :who, decided_at = :at, reason = :reason "
        "WHERE proposal_id = :id AND state = 'open'",
        state=state,
        who=who,
        at=to_text(now),
        reason=reason or None,
        id=proposal_id,
    )
    story = {"kind": proposal.kind, "subject": proposal.subject, "option": option, "reason": reason}
    events.record(
        tx,
        what=f"proposal.{state}",
        who=who,
        subject=f"proposal:{proposal_id}",
        at=now,
        before={"state": "open"},
        after={name: value for name, value in story.items() if value},
    )
    _tell(tx, state, proposal_id, proposal.kind, proposal.subject, now=now, option=option)
    ring(tx, BELL)
    return proposal


def find(tx: Tx, proposal_id: int) -> Proposal | None:
    """Give a proposal, None where there is none of that id."""
    found = row(tx, f"SELECT {_COLUMNS} FROM proposals WHERE proposal_id = :id", id=proposal_id)  # noqa: S608
    return None if found is None else _proposal(found)


def list_proposals(tx: Tx, *, state: str, after: int, limit: int) -> Sequence[Proposal]:
    """List proposals in a state by id."""
    found = rows(
        tx,
        f"SELECT {_COLUMNS} FROM proposals WHERE state = :state AND proposal_id > :after "  # noqa: S608
        "ORDER BY proposal_id LIMIT :limit",
        state=state,
        after=after,
        limit=limit,
    )
    return [_proposal(one) for one in found]


def count_open(tx: Tx, *, now: datetime) -> int:
    """Give the number of proposals that may still be answered."""
    found = row(
        tx, "SELECT COUNT(*) AS number FROM proposals WHERE state = 'open' AND expires_at > :now", now=to_text(now)
    )
    assert found is not None
    return int(found["number"])


def _newest(tx: Tx, kind: str, subject: str, *, now: datetime) -> Proposal | None:
    """Give what `known` says of one thing."""
    found = row(
        tx,
        f"SELECT {_COLUMNS} FROM proposals WHERE kind = :kind AND subject = :subject "  # noqa: S608
        f"AND {_KNOWN} ORDER BY proposal_id DESC LIMIT 1",
        kind=kind,
        subject=subject,
        since=to_text(now - REMEMBERED),
    )
    return None if found is None else _proposal(found)


def _tell(
    tx: Tx, state: str, proposal_id: int, kind: str, subject: str, *, now: datetime, option: str | None = None
) -> None:
    facts.post(tx, f"proposal.{state}", at=now, proposal_id=proposal_id, kind=kind, subject=subject, option=option)


def _proposal(found: Row) -> Proposal:
    decided_at = found["decided_at"]
    return Proposal(
        **{
            **found,
            "body": orjson.loads(found["body"]),
            "created_at": to_time(found["created_at"]),
            "expires_at": to_time(found["expires_at"]),
            "decided_at": None if decided_at is None else to_time(decided_at),
        }
    )
