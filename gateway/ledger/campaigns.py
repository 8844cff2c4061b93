"""Campaigns of families: open or not, and for how many hours of the last week, as their events tell."""

from datetime import datetime, timedelta

from gateway.domain.pricing import CampaignDecision, CampaignSeen
from gateway.ledger import events, facts
from gateway.ledger.database import Tx
from gateway.ledger.sql import row, rows
from gateway.ledger.times import to_text, to_time

OPENED = "campaign.opened"
CLOSED = "campaign.closed"
_WEEK = timedelta(days=7)


def campaign_seen(tx: Tx, family: str, *, now: datetime) -> CampaignSeen:
    """Give the campaign of a family as it stands."""
    before = row(
        tx,
        "SELECT what FROM events WHERE subject = :subject AND at < :since ORDER BY event_id DESC LIMIT 1",
        subject=_name(family),
        since=to_text(now - _WEEK),
    )
    found = rows(
        tx,
        "SELECT at, what FROM events WHERE subject = :subject AND at >= :since ORDER BY event_id",
        subject=_name(family),
        since=to_text(now - _WEEK),
    )
    opened = now - _WEEK if before is not None and before["what"] == OPENED else None
    lasted = timedelta(0)
    for one in found:
        at = to_time(one["at"])
        if one["what"] == OPENED:
            opened = opened or at
        elif opened is not None:
            lasted += max(timedelta(0), at - opened)
            opened = None
    if opened is not None:
        lasted += max(timedelta(0), now - opened)
    return CampaignSeen(open=opened is not None, hours_week=lasted / timedelta(hours=1))


def follow_campaign(tx: Tx, family: str, decided: CampaignDecision, *, why: str, now: datetime) -> bool:
    """Open or close the campaign of a family as decided, and tell it; False where it stands so already."""
    if campaign_seen(tx, family, now=now).open == decided.open:
        return False
    what = OPENED if decided.open else CLOSED
    until = None if decided.until is None else to_text(decided.until)
    story = {"kind": decided.kind.value, "depth": decided.depth, "until": until, "units_left": decided.units_left}
    events.record(tx, what=what, who="kvot", subject=_name(family), at=now, after=story)
    facts.post(tx, what, at=now, family=family, why=why, **story)
    return True


def _name(family: str) -> str:
    return f"campaign:{family}"
