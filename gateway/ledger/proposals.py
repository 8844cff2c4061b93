"""Proposals: what Kvot would do if a person agreed; one that nobody answers expires and nothing is done."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson

from gateway.ledger import facts
from gateway.ledger.database import Tx
from gateway.ledger.sql import insert, row, rows
from gateway.ledger.times import to_text

ANSWER_WITHIN = timedelta(hours=24)


def propose(tx: Tx, *, kind: str, subject: str, body: Mapping[str, object], now: datetime) -> int | None:
    """Propose something; None where the same is proposed already. Another open proposal of the subject expires."""
    text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()
    known = row(
        tx,
        "SELECT body FROM proposals WHERE kind = :kind AND subject = :subject AND state = 'open' AND expires_at > :now",
        kind=kind,
        subject=subject,
        now=to_text(now),
    )
    if known is not None and known["body"] == text:
        return None
    expire(tx, kind=kind, subject=subject, now=now)
    expires_at = to_text(now + ANSWER_WITHIN)
    proposal_id = insert(
        tx,
        "proposals",
        kind=kind,
        subject=subject,
        body=text,
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


def expire(tx: Tx, *, kind: str, subject: str, now: datetime) -> None:
    """Let what is proposed for a subject go: nothing is done."""
    found = rows(
        tx,
        "UPDATE proposals SET state = 'expired', decided_at = :now WHERE kind = :kind AND subject = :subject "
        "AND state = 'open' RETURNING proposal_id",
        kind=kind,
        subject=subject,
        now=to_text(now),
    )
    for one in found:
        facts.post(tx, "proposal.expired", at=now, proposal_id=one["proposal_id"], kind=kind, subject=subject)


def propose_near(tx: Tx, *, subject: str, body: Mapping[str, Any], band: float, now: datetime) -> int | None:
    """Propose a price (`to_minor`), unless one so near that it makes no difference is proposed already."""
    known = row(
        tx,
        "SELECT json_extract(body, '$.to_minor') AS price FROM proposals WHERE kind = 'price' "
        "AND subject = :subject AND state = 'open' AND expires_at > :now",
        subject=subject,
        now=to_text(now),
    )
    if known is not None and abs(known["price"] - body["to_minor"]) < max(1.0, band):
        return None
    return propose(tx, kind="price", subject=subject, body=body, now=now)
