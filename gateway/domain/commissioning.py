"""A machine out of production, in one person's hands: how long, what may be written there, what came of it (pure)."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from drivers.base import Scalar
from drivers.profile import Limit, Tag

LASTS: Final = timedelta(minutes=60)  # business time; then it lapses by itself
_NEAR: Final = 1e-6  # relative; a float32 keeps seven digits


@dataclass(frozen=True, kw_only=True, slots=True)
class Commissioning:
    """Who has taken a machine out of production, and until when."""

    who: str
    until: datetime

    @property
    def text(self) -> str:
        """Say it without a name: it is shown to everybody, and published."""
        return f"in commissioning until {self.until:%Y-%m-%d %H:%M} UTC: nothing is dispatched"


class Outcome(StrEnum):
    """What became of a value written by hand."""

    TAKEN = "taken"  # the machine said so
    REFUSED = "refused"  # the machine said so, or it cannot carry the value
    UNKNOWN = "unknown"  # sent once, and the answer was lost
    NOT_SENT = "not_sent"


def value_of(given: Scalar, limit: Limit) -> Scalar:
    """Read a value as its limit means it, from a text where need be; raise `ValueError` for one that is not allowed."""
    value = _read(given, limit)
    if (fault := limit.fault(value)) is not None:
        raise ValueError(f"{given!r} is {fault}")
    return value


def same(shown: Scalar | None, wanted: Scalar, tag: Tag) -> bool:
    """Say whether a machine shows what was written, as well as its registers can carry it."""
    numbers = [value for value in (shown, wanted) if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) != 2:  # noqa: PLR2004 - both of them
        return shown == wanted and isinstance(shown, bool) is isinstance(wanted, bool)
    step = abs(tag.scale) if tag.scale != 1 else 0.0
    return math.isclose(*numbers, rel_tol=_NEAR, abs_tol=step / 2)


def told(outcome: Outcome, *, tag: str, wanted: Scalar, shown: Scalar | None, agrees: bool) -> str:
    """Say in words what became of a write and what the machine shows."""
    shows = "the machine shows no value there" if shown is None else f"the machine shows {shown}"
    match outcome:
        case Outcome.TAKEN if agrees:
            return f"{tag} is {wanted}: {shows}"
        case Outcome.TAKEN:
            return f"the machine took {wanted} for {tag}, but {shows}: it keeps its own, or something writes there"
        case Outcome.REFUSED:
            return f"the machine did not take {wanted} for {tag}: {shows}"
        case Outcome.UNKNOWN:
            return f"{wanted} was sent once for {tag} and the answer was lost; it is not sent again: {shows}"
        case Outcome.NOT_SENT:
            return f"nothing was sent for {tag}"


def _read(given: Scalar, limit: Limit) -> Scalar:
    if limit.one_of:
        listed = next((one for one in limit.one_of if str(one).lower() == str(given).lower()), None)
        return given if listed is None else listed
    if not isinstance(given, str) or limit.max_length is not None:
        return str(given) if limit.max_length is not None and not isinstance(given, bool) else given
    for number in (int, float):
        try:
            return number(given)
        except ValueError:
            continue
    return given
