"""What Kvot may do at a machine: the control level in force, what ends it, what the permits allow."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from drivers.base import Permits

PRESENCE = timedelta(hours=12)  # arming lapses when no named person has acted for this long (delivery promise 2a)


class Level(StrEnum):
    """How far Kvot may go: watch, send jobs down, or ask the machine to start them by its own permits."""

    READ = "read"
    LOAD = "load"
    START = "start"

    @property
    def rank(self) -> int:
        """Order the levels: each includes the ones before it."""
        return list(Level).index(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arming:
    """The named act that put a level in force, and for which machine it was meant."""

    level: Level
    armed_by: str | None
    identity: str | None
    profile: str | None  # fingerprint of the profile at arming


@dataclass(frozen=True, kw_only=True, slots=True)
class Present:
    """What is true now: who the machine says it is, its profile, and when a named person last acted."""

    identity: str
    profile: str
    last_act: datetime | None
    now: datetime


def lapse(arming: Arming, present: Present) -> str | None:
    """Say why an arming no longer holds, or None."""
    if arming.level is Level.READ:
        return None
    if arming.identity != present.identity:
        return f"another machine answers: {present.identity} (armed for {arming.identity})"
    if arming.profile != present.profile:
        return "the machine's profile was changed"
    if present.last_act is None or present.now - present.last_act > PRESENCE:
        return "no named person has acted for 12 hours"
    return None


def in_force(armed: Level, configured: Level) -> Level:
    """Give the level in force: what was armed, never above what the configuration allows."""
    return min(armed, configured, key=lambda level: level.rank)


def may_load(permits: Permits) -> bool:
    """A job may be sent down when the selector is on remote; unknown is not a yes."""
    return permits.remote is True


def may_start(permits: Permits) -> bool:
    """A start may be asked for when every permit is given; where a panel does not tell `handed_over`, we watch it."""
    return permits.remote is True and permits.ready is True and permits.handed_over is not False


def fallen(permits: Permits) -> str | None:
    """Name the permits that are not given, or None."""
    missing = [name for name in ("remote", "ready") if getattr(permits, name) is not True]
    return " and ".join(missing) if missing else None
