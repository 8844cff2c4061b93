"""What a person writes by hand: read as its limit means it, and compared with what the machine can carry."""

import pytest

from drivers.base import Scalar
from drivers.profile import Limit, Tag
from gateway.domain.commissioning import same, value_of

RANGE = Limit(min=0, max=100)
PLAIN, TENTHS = Tag(address="holding:1"), Tag(address="holding:1", scale=0.1)


@pytest.mark.parametrize(
    ("given", "limit", "value"),
    [
        ("60", RANGE, 60),
        ("60.5", RANGE, 60.5),
        (60, RANGE, 60),
        ("TRUE", Limit(one_of=(True, False)), True),
        ("eco", Limit(one_of=("eco", "full")), "eco"),
        ("2", Limit(one_of=(1, 2)), 2),
        ("12", Limit(max_length=4), "12"),
        (12, Limit(max_length=4), "12"),
    ],
)
def test_a_value_is_read_as_its_limit_means_it(given: Scalar, limit: Limit, value: Scalar) -> None:
    read = value_of(given, limit)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("given", "limit"),
    [("101", RANGE), ("-1", RANGE), ("inf", RANGE), ("", RANGE), (True, RANGE), ("3", Limit(one_of=(1, 2)))],
)
def test_a_value_outside_its_limits_is_refused(given: Scalar, limit: Limit) -> None:
    with pytest.raises(ValueError, match=r"is (above|below|not|a)"):
        value_of(given, limit)


@pytest.mark.parametrize(
    ("shown", "wanted", "tag", "agrees"),
    [
        (60.5, 60.5, PLAIN, True),
        (85.30000305, 85.3, PLAIN, True),  # a float32
        (85.4, 85.3, PLAIN, False),
        (85.3, 85.32, TENTHS, True),  # to the nearest step
        (85.4, 85.32, TENTHS, False),
        (None, 5, PLAIN, False),
        (True, 1, PLAIN, False),
        (True, True, PLAIN, True),
        ("eco", "eco", PLAIN, True),
    ],
)
def test_what_is_shown_agrees_as_well_as_its_registers_can(
    shown: Scalar | None, wanted: Scalar, tag: Tag, agrees: bool
) -> None:
    assert same(shown, wanted, tag) is agrees
