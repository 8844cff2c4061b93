"""Times as the ledger writes them: UTC texts that sort as the times do."""

from datetime import UTC, datetime

_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def to_text(at: datetime) -> str:
    """Write a time as `2026-05-04T10:15:00.000000Z`; raise `ValueError` for a time without a zone."""
    if at.tzinfo is None:
        raise ValueError(f"{at!r} carries no time zone")
    utc = at.astimezone(UTC)
    return utc.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def to_time(text: str) -> datetime:
    """Read a time that `to_text` wrote, as aware UTC; raise `ValueError` for any other text."""
    at = datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
    if to_text(at) != text:
        raise ValueError(f"{text!r} is not a time of the ledger")
    return at
