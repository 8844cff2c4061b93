"""Arming and permits: what is unknown is never a yes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from drivers.base import Permits
from gateway.domain.machines import (
    PRESENCE,
    Arming,
    Level,
    Present,
    fallen,
    in_force,
    lapse,
    may_load,
    may_start,
)

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ARMED = Arming(level=Level.START, armed_by="person:anna", identity="press, serial 1", profile="p1")
NOW = Present(identity="press, serial 1", profile="p1", last_act=NOON, now=NOON)
ANSWERS = (True, False, None)


def test_an_arming_holds_while_machine_profile_and_presence_are_the_same() -> None:
    assert lapse(ARMED, NOW) is None


@pytest.mark.parametrize(
    ("change", "left", "why"),
    [
        ({"identity": "press, serial 2"}, Level.READ, "another machine answers"),
        ({"profile": "p2"}, Level.READ, "profile was changed"),
        ({"last_act": None}, Level.LOAD, "12 hours"),
        ({"now": NOON + PRESENCE + timedelta(microseconds=1)}, Level.LOAD, "12 hours"),
        ({"profile": "p2", "last_act": None}, Level.READ, "profile was changed"),
    ],
)
def test_an_arming_lapses_and_says_why_and_what_is_left(change: dict[str, object], left: Level, why: str) -> None:
    lapsed = lapse(ARMED, replace(NOW, **change))  # type: ignore[arg-type]
    assert lapsed is not None
    assert lapsed.left is left
    assert why in lapsed.reason


def test_a_machine_that_is_only_loaded_needs_nobody_signed_in_because_its_operator_presses_start() -> None:
    assert lapse(replace(ARMED, level=Level.LOAD), replace(NOW, last_act=None)) is None


def test_twelve_hours_to_the_moment_still_hold() -> None:
    assert lapse(ARMED, replace(NOW, now=NOON + PRESENCE)) is None


def test_a_machine_that_is_only_watched_has_nothing_to_lapse() -> None:
    assert lapse(replace(ARMED, level=Level.READ), replace(NOW, identity="another", last_act=None)) is None


@pytest.mark.parametrize("level", [Level.LOAD, Level.START])
def test_an_arming_without_an_identity_or_profile_never_holds(level: Level) -> None:
    assert lapse(replace(ARMED, level=level, identity=None), NOW)
    assert lapse(replace(ARMED, level=level, profile=None), NOW)


@pytest.mark.parametrize(("armed", "configured"), list(product(Level, Level)))
def test_the_level_in_force_is_never_above_what_was_armed_or_configured(armed: Level, configured: Level) -> None:
    level = in_force(armed, configured)
    assert level in {armed, configured}
    assert level.rank == min(armed.rank, configured.rank)


def test_levels_rise_from_read_over_load_to_start() -> None:
    assert [level.rank for level in (Level.READ, Level.LOAD, Level.START)] == [0, 1, 2]


@pytest.mark.parametrize(("remote", "ready", "handed_over"), list(product(ANSWERS, repeat=3)))
def test_a_permit_that_is_not_said_is_not_given(
    remote: bool | None, ready: bool | None, handed_over: bool | None
) -> None:
    permits = Permits(remote=remote, ready=ready, handed_over=handed_over)
    assert may_load(permits) == (remote is True)
    assert may_start(permits) == (remote is True and ready is True and handed_over is not False)
    missing = {name for name, given in (("remote", remote), ("ready", ready)) if given is not True}
    assert set((fallen(permits) or "").split(" and ")) - {""} == missing
