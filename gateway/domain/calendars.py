"""When a place works, in its own time zone, and arithmetic in working hours and working days."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final

DAYS_MAX: Final = 4096  # nothing is planned further ahead than eleven years
_FIRST_REACH: Final = 64
_HOUR_S: Final = 3600
_DAY_MIN: Final = 1440
_ROUNDING_H: Final = 1e-8  # 36 us: what is lost when hours become timestamps and back
_NAMES: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME: Final = re.compile(r"(\d{1,2})(?::(\d{2}))?")

Shift = tuple[int, int]  # minutes of the local day; the end may lie on the next day
Week = tuple[tuple[Shift, ...], ...]  # the shifts of each weekday, Monday first


@dataclass(frozen=True, kw_only=True, slots=True)
class Calendar:
    """The shifts of each weekday in a time zone, and the days on which nobody works.

    A shift belongs to the day on which it begins. `zone` is made at the edge: reading zone files is I/O.
    """

    zone: tzinfo
    week: Week
    closed: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        """Refuse a week in which nobody ever works."""
        if len(self.week) != len(_NAMES) or not any(self.week):
            raise ValueError("a calendar has seven weekdays and at least one shift")

    @property
    def always(self) -> bool:
        """Say whether there is no hour without work."""
        return not self.closed and all((0, _DAY_MIN) in shifts for shifts in self.week)

    def is_working_day(self, day: date) -> bool:
        """Say whether a shift begins on this day."""
        return bool(self.week[day.weekday()]) and day not in self.closed

    def next_working_day(self, day: date) -> date:
        """Give this day, or the first working day after it; raise ValueError where there is none."""
        for _ in range(DAYS_MAX):
            if self.is_working_day(day):
                return day
            day += timedelta(days=1)
        raise ValueError("the calendar has no working day left")

    def add_working_days(self, moment: datetime, days: int) -> datetime:
        """Give the same local time so many working days later, never on a day off."""
        local = aware(moment).astimezone(self.zone)
        day = self.next_working_day(local.date())
        for _ in range(days):
            day = self.next_working_day(day + timedelta(days=1))
        return moment if day == local.date() else self.local(day, local.time())

    def local(self, day: date, clock: time) -> datetime:
        """Give a time on the wall of this place as UTC; a time that daylight saving skips is moved past the gap."""
        return datetime.combine(day, clock, self.zone).astimezone(UTC)

    def is_open(self, moment: datetime) -> bool:
        """Say whether somebody works at this moment (closing time is no longer working time)."""
        return self.axis(aware(moment), days=1).is_open(moment.timestamp())

    def next_opening(self, moment: datetime) -> datetime:
        """Give this moment when it is working time, else the next opening."""
        at, reach = aware(moment).timestamp(), _FIRST_REACH
        while reach <= DAYS_MAX:
            axis = self.axis(moment, days=reach)
            if axis.total_h > axis.hours(at):
                return datetime.fromtimestamp(max(at, axis.latest(axis.hours(at))), UTC)
            reach *= 2
        raise ValueError("the calendar has too little working time left")

    def working_hours(self, start: datetime, end: datetime) -> float:
        """Give the working hours between two moments, negative when they are in the wrong order."""
        early, late = sorted((aware(start), aware(end)))
        axis = self.axis(early, days=(late - early).days + 2)
        hours = axis.hours(late.timestamp()) - axis.hours(early.timestamp())
        return hours if start <= end else -hours

    def axis(self, moment: datetime, *, days: int) -> "Axis":
        """Give the working time around a moment as a number line, from the week before it on."""
        day = moment.astimezone(self.zone).date()
        monday = day - timedelta(days=day.weekday() + 7)
        reach = _FIRST_REACH
        while reach < days + 14:
            reach *= 2
        return _axis(self, monday, reach)


class Axis:
    """Working time as a number line over a bounded span of days: timestamps (s) to working hours and back."""

    __slots__ = ("_before", "_closings", "_ends", "_openings", "begin", "end", "total_h")

    def __init__(self, spans: list[tuple[float, float]], *, begin: float, end: float) -> None:
        self.begin, self.end = begin, end
        self._openings = [opening for opening, _ in spans]
        self._closings = [closing for _, closing in spans]
        self._before, self._ends, total = [], [], 0.0
        for opening, closing in spans:
            self._before.append(total)
            total += (closing - opening) / _HOUR_S
            self._ends.append(total)
        self.total_h = total

    def is_open(self, at: float) -> bool:
        """Say whether this timestamp lies inside a span of work."""
        index = bisect_right(self._openings, at) - 1
        return index >= 0 and at < self._closings[index]

    def hours(self, at: float) -> float:
        """Give the working hours from the line's begin until this timestamp."""
        index = bisect_right(self._openings, at) - 1
        if index < 0:
            return 0.0
        return self._before[index] + (min(at, self._closings[index]) - self._openings[index]) / _HOUR_S

    def earliest(self, hours: float) -> float:
        """Give the first timestamp by which so many hours are done; raise ValueError past the end of the line."""
        index = bisect_left(self._ends, hours - _ROUNDING_H)
        if index == len(self._ends):
            raise ValueError("further ahead than the calendar was laid out")
        reached = self._openings[index] + max(0.0, hours - self._before[index]) * _HOUR_S
        return min(reached, self._closings[index])

    def latest(self, hours: float) -> float:
        """Give the last timestamp by which no more than so many hours are done; the begin when there is none."""
        index = bisect_right(self._before, hours + _ROUNDING_H) - 1
        if index < 0:
            return self.begin
        return self._openings[index] + max(0.0, hours - self._before[index]) * _HOUR_S

    def add(self, at: float, hours: float) -> float:
        """Give the timestamp at which so many working hours after `at` are done."""
        return max(at, self.earliest(self.hours(at) + hours))

    def subtract(self, at: float, hours: float) -> float:
        """Give the last timestamp from which so many working hours are left until `at`."""
        return min(at, self.latest(self.hours(at) - hours))


def parse_calendar(text: str, *, zone: tzinfo, closed: Iterable[date] = ()) -> Calendar:
    """Read `mon-fri 06-22`, `mon-fri,sat 06-14,14-22`, `mon-fri 22-06; sat 08:30-12` or `always`.

    Raise ValueError with what is wrong.
    """
    week: list[list[Shift]] = [[] for _ in _NAMES]
    for part in ["mon-sun 00-24"] if text.strip() == "always" else text.split(";"):
        days, _, shifts = part.strip().partition(" ")
        if not shifts:
            raise ValueError(f"calendar {part.strip()!r}: days and hours, such as mon-fri 06-22")
        for day in _days(days):
            week[day] += [_shift(shift.strip()) for shift in shifts.split(",")]
    return Calendar(zone=zone, week=tuple(tuple(sorted(day)) for day in week), closed=frozenset(closed))


def aware(moment: datetime) -> datetime:
    """Give the moment back; refuse one without a zone."""
    if moment.tzinfo is None:
        raise ValueError("a time must carry a time zone")
    return moment


def _days(text: str) -> list[int]:
    found: list[int] = []
    for part in text.lower().split(","):
        first, _, last = part.partition("-")
        if first not in _NAMES or (last or first) not in _NAMES:
            raise ValueError(f"calendar: {part!r} is no weekday; they are {', '.join(_NAMES)}")
        start, end = _NAMES.index(first), _NAMES.index(last or first)
        found += [day % len(_NAMES) for day in range(start, end + 1 if end >= start else end + 1 + len(_NAMES))]
    return found


def _shift(text: str) -> Shift:
    first, _, last = text.partition("-")
    start, end = _minutes(first), _minutes(last)
    if start >= _DAY_MIN:
        raise ValueError(f"calendar: a shift cannot begin at {first}")
    return (start, end if end > start else end + _DAY_MIN)


def _minutes(text: str) -> int:
    match = _TIME.fullmatch(text.strip())
    minutes = int(match[1]) * 60 + int(match[2] or 0) if match else _DAY_MIN + 1
    if minutes > _DAY_MIN:
        raise ValueError(f"calendar: {text!r} is no time of the day")
    return minutes


@lru_cache(maxsize=256)
def _axis(calendar: Calendar, first: date, days: int) -> Axis:
    """Lay the shifts of so many days on a line; shifts that touch or overlap become one span."""
    spans: list[tuple[float, float]] = []
    for number in range(-1, days):
        day = first + timedelta(days=number)
        if not calendar.is_working_day(day):
            continue
        for start, end in calendar.week[day.weekday()]:
            opening, closing = _wall(calendar, day, start), _wall(calendar, day, end)
            if spans and opening <= spans[-1][1]:
                spans[-1] = (spans[-1][0], max(spans[-1][1], closing))
            elif closing > opening:
                spans.append((opening, closing))
    begin, end_of_line = _wall(calendar, first, 0), _wall(calendar, first + timedelta(days=days), 0)
    clipped = [(max(begin, opening), min(end_of_line, closing)) for opening, closing in spans]
    return Axis([span for span in clipped if span[0] < span[1]], begin=begin, end=end_of_line)


def _wall(calendar: Calendar, day: date, minutes: int) -> float:
    later, rest = divmod(minutes, _DAY_MIN)
    return calendar.local(day + timedelta(days=later), time(rest // 60, rest % 60)).timestamp()
