"""What Kvot may do at a machine: the control level in force, what ends it, what the permits allow."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from drivers.base import Permits
from drivers.profile import Profile

PRESENCE = timedelta(hours=12)  # signed in: a named person has acted within this time (delivery promise 2a)


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Lapse:
    """An arming ends: the level that is left, and why."""

    left: Level
    reason: str


def lapse(arming: Arming, present: Present) -> Lapse | None:
    """Say what is left of an arming that no longer holds, or None while it holds.

    Where it may be another machine nothing is left. With nobody signed in jobs still go down, and none is started.
    """
    if arming.level is Level.READ:
        return None
    if arming.identity != present.identity:
        reason = f"another machine answers: {present.identity} (armed for {arming.identity})"
        return Lapse(left=Level.READ, reason=reason)
    if arming.profile != present.profile:
        return Lapse(left=Level.READ, reason="the machine's profile was changed")
    away = present.last_act is None or present.now - present.last_act > PRESENCE
    if away and arming.level is Level.START:
        reason = "no named person has acted for 12 hours: jobs are loaded, and none is started before it is armed again"
        return Lapse(left=Level.LOAD, reason=reason)
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


def fingerprint(profile: Profile) -> str:
    """Give a short hash of a machine type: a changed profile ends the arming of its machines.

    What is only watched does not count, nor what people may write while it is not armed: neither changes anything of
    what the machine may be told to do.
    """
    told = {name: value for name, value in asdict(profile).items() if name not in {"tags", "writable", "sample_s"}}
    return sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]
