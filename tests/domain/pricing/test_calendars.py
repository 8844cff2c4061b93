"""Working time: shifts, holidays, daylight saving, and arithmetic that agrees with counting by hand."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.calendars import DAYS_MAX, Calendar, parse_calendar
from tests.domain.pricing.cases import CALENDARS, STOCKHOLM, moments

WEEK = parse_calendar("mon-fri 06-22", zone=STOCKHOLM, closed=[date(2026, 5, 14)])
ZONES = st.sampled_from([ZoneInfo(name) for name in ("Europe/Stockholm", "America/New_York", "Australia/Lord_Howe")])
calendars = st.builds(lambda text, zone: parse_calendar(text, zone=zone), st.sampled_from(CALENDARS), ZONES)
hours = st.floats(0, 400).map(lambda value: round(value, 3))
STEP = timedelta(minutes=15)


def stockholm(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=STOCKHOLM).astimezone(UTC)  # type: ignore[misc, arg-type]


def _add(calendar: Calendar, moment: datetime, hours: float) -> datetime:
    return datetime.fromtimestamp(calendar.axis(moment, days=DAYS_MAX // 8).add(moment.timestamp(), hours), UTC)


def _subtract(calendar: Calendar, moment: datetime, hours: float) -> datetime:
    days = DAYS_MAX // 8
    axis = calendar.axis(moment - timedelta(days=days), days=days + 2)
    return datetime.fromtimestamp(axis.subtract(moment.timestamp(), hours), UTC)


def test_a_calendar_reads_days_shifts_and_closed_days() -> None:
    assert WEEK.is_open(stockholm(2026, 5, 13, 6, 0))
    assert not WEEK.is_open(stockholm(2026, 5, 13, 22, 0))
    assert not WEEK.is_open(stockholm(2026, 5, 14, 12, 0))
    assert not WEEK.is_open(stockholm(2026, 5, 16, 12, 0))
    assert WEEK.next_opening(stockholm(2026, 5, 13, 23, 0)) == stockholm(2026, 5, 15, 6, 0)
    shifts = parse_calendar("mon-fri,sat 06-14,14-22; sun 08:30-12", zone=STOCKHOLM)
    assert shifts.working_hours(stockholm(2026, 5, 4, 0, 0), stockholm(2026, 5, 11, 0, 0)) == 6 * 16 + 3.5
    assert parse_calendar("sat-mon 22-06", zone=STOCKHOLM).is_open(stockholm(2026, 5, 5, 5, 59))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mon-fri", "days and hours"),
        ("may 06-22", "no weekday"),
        ("mon 06-25", "no time of the day"),
        ("mon six-seven", "no time of the day"),
        ("mon 24-06", "cannot begin"),
        ("", "days and hours"),
    ],
)
def test_a_bad_calendar_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_calendar(text, zone=STOCKHOLM)


def test_a_calendar_without_working_time_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one shift"):
        Calendar(zone=UTC, week=((),) * 7)
    never = parse_calendar("mon 06-07", zone=UTC, closed=[date(2026, 5, 4) + timedelta(days=n) for n in range(9000)])
    with pytest.raises(ValueError, match="too little working time"):
        never.next_opening(datetime(2026, 5, 4, tzinfo=UTC))
    with pytest.raises(ValueError, match="no working day"):
        never.next_working_day(date(2026, 5, 4))


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        WEEK.next_opening(datetime(2026, 5, 4))  # noqa: DTZ001


def test_a_night_shift_is_an_hour_shorter_in_spring_and_longer_in_autumn() -> None:
    nights = parse_calendar("sat 22-06", zone=STOCKHOLM)
    spring, autumn = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
    day = timedelta(days=1)
    assert nights.working_hours(spring, spring + day) == 7
    assert nights.working_hours(autumn, autumn + day) == 9
    assert _add(nights, spring, 7) == stockholm(2026, 3, 29, 6, 0)


def test_finished_work_ends_at_closing_time_and_a_start_waits_for_opening() -> None:
    assert _add(WEEK, stockholm(2026, 5, 8, 14, 0), 8) == stockholm(2026, 5, 8, 22, 0)
    assert _add(WEEK, stockholm(2026, 5, 8, 14, 0), 8.5) == stockholm(2026, 5, 11, 6, 30)
    assert _subtract(WEEK, stockholm(2026, 5, 11, 7, 0), 1) == stockholm(2026, 5, 11, 6, 0)
    assert _subtract(WEEK, stockholm(2026, 5, 11, 7, 0), 2) == stockholm(2026, 5, 8, 21, 0)


def test_working_days_keep_the_local_time_over_daylight_saving() -> None:
    friday = stockholm(2026, 3, 27, 14, 0)
    assert WEEK.add_working_days(friday, 1) == stockholm(2026, 3, 30, 14, 0)
    assert WEEK.add_working_days(stockholm(2026, 3, 28, 9, 0), 0) == stockholm(2026, 3, 30, 9, 0)
    assert WEEK.add_working_days(stockholm(2026, 5, 13, 9, 0), 1) == stockholm(2026, 5, 15, 9, 0)


@settings(max_examples=80, deadline=None)
@given(calendar=calendars, start=moments, length=hours)
def test_what_is_added_is_there_to_be_counted_and_to_be_taken_off(
    calendar: Calendar, start: datetime, length: float
) -> None:
    end = _add(calendar, start, length)
    assert end >= start
    assert calendar.working_hours(start, end) == pytest.approx(length, abs=1e-6)
    assert calendar.working_hours(end, start) == pytest.approx(-length, abs=1e-6)
    back = _subtract(calendar, end, length)
    assert calendar.working_hours(back, end) == pytest.approx(length, abs=1e-6)
    assert back >= start - timedelta(milliseconds=1)


@settings(max_examples=40, deadline=None)
@given(calendar=calendars, start=moments, steps=st.integers(1, 800))
def test_counting_quarter_hours_by_the_wall_clock_gives_the_same_hours(
    calendar: Calendar, start: datetime, steps: int
) -> None:
    first = start.replace(minute=start.minute // 15 * 15, second=0)
    counted = sum(_open_by_hand(calendar, first + n * STEP) for n in range(steps)) / 4
    assert calendar.working_hours(first, first + steps * STEP) == pytest.approx(counted)


@settings(max_examples=80, deadline=None)
@given(calendar=calendars, at=moments)
def test_the_next_opening_is_the_first_open_moment(calendar: Calendar, at: datetime) -> None:
    opening = calendar.next_opening(at)
    assert opening >= at
    assert calendar.is_open(opening)
    assert calendar.working_hours(at, opening) == 0
    assert calendar.is_open(at) == (opening == at)


def _open_by_hand(calendar: Calendar, at: datetime) -> bool:
    local = at.astimezone(calendar.zone)
    today, yesterday = local.date(), local.date() - timedelta(days=1)
    minute = local.hour * 60 + local.minute
    return any(
        start <= minute + later < end
        for day, later in ((today, 0), (yesterday, 1440))
        if calendar.is_working_day(day)
        for start, end in calendar.week[day.weekday()]
    )


def test_a_time_that_spring_skips_is_moved_past_the_gap() -> None:
    assert WEEK.local(date(2026, 3, 29), time(2, 30)) == stockholm(2026, 3, 29, 3, 30)
