"""Durations, times of day and calendars as people write them; they stay texts until they are built."""

import re
from datetime import UTC, time
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints, WithJsonSchema

from gateway.domain.calendars import parse_calendar
from gateway.settings.faults import shown

_DURATION: Final = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?", re.ASCII)
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_UNITS_S: Final = (86_400, 3600, 60, 1)


def duration_s(text: str) -> float:
    """Give the seconds of a duration such as `90m`, `1h30m` or `2d`; raise ValueError with a cure."""
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"'{shown(text)}' is not a duration such as 30m, 1h30m, 45s or 2d")
    return float(sum(int(part or 0) * unit for part, unit in zip(match.groups(), _UNITS_S, strict=True)))


def clock_time(text: str) -> time:
    """Give a time of day such as `14:00`; raise ValueError with a cure."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(f"'{shown(text)}' is not a time of day such as 14:00")
    return time(int(match[1]), int(match[2]))


def _duration(text: str) -> str:
    duration_s(text)
    return text


def _time(text: str) -> str:
    clock_time(text)
    return text


def _calendar(text: str) -> str:
    try:
        parse_calendar(text, zone=UTC)
    except ValueError as error:
        raise ValueError(f"{shown(error, limit=120)}; write such as `mon-fri,sat 06-22`, or always") from None
    return text


Duration = Annotated[
    str, AfterValidator(_duration), WithJsonSchema({"type": "string", "pattern": "^(\\d+d)?(\\d+h)?(\\d+m)?(\\d+s)?$"})
]
ClockTime = Annotated[
    str, AfterValidator(_time), WithJsonSchema({"type": "string", "pattern": "^([01]?\\d|2[0-3]):[0-5]\\d$"})
]
CalendarText = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_calendar)]
