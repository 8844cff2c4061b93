"""Times as texts: they sort as the moments do, keep their microseconds, and are UTC."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.times import to_text, to_time

ANY_TIME = st.datetimes(
    min_value=datetime(1000, 1, 2),  # noqa: DTZ001
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.timezones(),
)


@given(ANY_TIME)
def test_a_time_comes_back_as_the_same_moment(at: datetime) -> None:
    assert to_time(to_text(at)) == at.astimezone(UTC)


@given(ANY_TIME, ANY_TIME)
def test_texts_sort_as_the_times_do(one: datetime, other: datetime) -> None:
    assert (to_text(one) < to_text(other)) == (one.astimezone(UTC) < other.astimezone(UTC))


def test_a_time_is_written_in_utc_with_microseconds() -> None:
    at = datetime(2026, 5, 4, 12, 15, tzinfo=timezone(timedelta(hours=2)))

    assert to_text(at) == "2026-05-04T10:15:00.000000Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        to_text(datetime(2026, 5, 4))  # noqa: DTZ001


@pytest.mark.parametrize(
    "text",
    ["", "2026-05-04", "2026-05-04T10:15:00Z", "2026-05-04T10:15:00.000000+00:00", "2026-5-4T10:15:00.000000Z"],
)
def test_a_text_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        to_time(text)
