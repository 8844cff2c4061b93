"""The log of prices that were in force, and the lowest within a time, from which an announced reduction starts."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

LOOK_BACK: Final = timedelta(days=30)  # EU directive 98/6/EC, article 6a: not shorter than 30 days
KEPT: Final = timedelta(days=400)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A price that was in force from a time on, until the next entry."""

    at: datetime
    price_minor: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Lowest:
    """The lowest price of a time, and since when the log knows; `whole`: it knows all of that time."""

    price_minor: int
    known_since: datetime
    whole: bool


def lowest_price(entries: Iterable[Entry], *, now: datetime, look_back: timedelta = LOOK_BACK) -> Lowest | None:
    """Give the lowest price that was in force within the time before now, None before the first entry.

    A price that was put in force earlier and still stood when that time began takes part; one that ended just
    then does not.
    """
    since = now - look_back
    ordered = sorted((entry for entry in entries if entry.at <= now), key=lambda entry: entry.at)
    if not ordered:
        return None
    ends = [entry.at for entry in ordered[1:]]
    inside = [
        entry.price_minor
        for entry, end in zip(ordered, [*ends, None], strict=True)
        if end is None or end > max(since, entry.at)
    ]
    first = ordered[0].at
    return Lowest(price_minor=min(inside), known_since=first, whole=first <= since)


def may_forget(*, now: datetime) -> datetime:
    """Give the time before which an entry may leave the log, once a later one has replaced it by then."""
    return now - KEPT
