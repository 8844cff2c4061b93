"""Work that would end when nobody is there is loaded and not started, unless somebody has signed for it."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import CommandKind, JobPhase
from gateway.domain.attendance import Attendance
from gateway.domain.calendars import parse_calendar
from gateway.domain.dispatch import Rest, Send, decide
from gateway.domain.states import JobState
from tests.domain.cases import JOB, a_finding, a_look, a_standing, a_work, an_ability

DAY = parse_calendar("mon-fri 06-16", zone=UTC)
MONDAY = datetime(2026, 5, 4, tzinfo=UTC)
HOURLY = Attendance(staffed=DAY, cycle_s={"cure": 3600})


@pytest.mark.parametrize(
    ("hour", "cycles", "covered"),
    [(6, 10, True), (6, 11, False), (15, 1, True), (15, 2, False), (5.99, 1, False), (16, 1, False), (20, 1, False)],
)
def test_a_job_may_begin_when_it_ends_in_the_same_staffed_hours(hour: float, cycles: int, covered: bool) -> None:
    assert HOURLY.covers("cure", cycles, now=MONDAY + timedelta(hours=hour)) is covered


def test_hours_that_follow_each_other_the_next_day_do_not_cover_the_night() -> None:
    assert not HOURLY.covers("cure", 24, now=MONDAY + timedelta(hours=6))


def test_who_signed_for_it_may_let_it_work_alone() -> None:
    assert replace(HOURLY, unattended=True).covers("cure", 100, now=MONDAY)


def test_a_job_of_unknown_length_is_not_covered_unless_somebody_is_always_there() -> None:
    noon = MONDAY + timedelta(hours=12)
    assert not HOURLY.covers("other", 1, now=noon)
    always = parse_calendar("always", zone=UTC)
    assert replace(HOURLY, staffed=always).covers("other", 1, now=noon)
    assert not replace(HOURLY, staffed=replace(always, closed=frozenset({date(2026, 5, 4)}))).covers_any


@given(hours=st.floats(0, 24 * 14), cycles=st.integers(1, 60))
def test_whatever_is_covered_has_somebody_there_at_every_minute(hours: float, cycles: int) -> None:
    begin = MONDAY + timedelta(hours=hours)
    if HOURLY.covers("cure", cycles, now=begin):
        minutes = range(cycles * 60)
        assert all(DAY.is_open(begin + timedelta(minutes=minute)) for minute in minutes)


def test_work_that_nobody_would_see_the_end_of_is_loaded_and_not_started() -> None:
    released = replace(a_standing(a_work(JobState.RELEASED)), attended=False)
    step = decide(released, a_look(), a_finding(None), an_ability())
    assert step == Send(kind=CommandKind.LOAD, job_id=JOB)
    loaded = replace(a_standing(a_work(JobState.ACCEPTED)), attended=False)
    waiting = decide(loaded, a_look(), a_finding(JobPhase.NOT_ALLOWED_TO_START), an_ability())
    assert waiting == Rest(why=f"job {JOB} is loaded: it would end when nobody is here")
    come = decide(replace(loaded, attended=True), a_look(), a_finding(JobPhase.NOT_ALLOWED_TO_START), an_ability())
    assert come == Send(kind=CommandKind.START, job_id=JOB)
