"""Business time in a simulation: the wall clock, scaled from one common instant on."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How fast business time passes: it is `business_epoch + (wall - wall_epoch) * speed`."""

    speed: float = 1.0
    wall_epoch: datetime = field(default_factory=_now)
    business_epoch: datetime = field(default_factory=_now)

    def __post_init__(self) -> None:
        if self.wall_epoch.tzinfo is None or self.business_epoch.tzinfo is None:
            raise ValueError("both epochs must name their time zone")
        if self.speed <= 0:
            raise ValueError("speed must be above 0")

    def business(self, wall_s: float) -> datetime:
        """Turn wall seconds since 1970 into business time."""
        return self.business_epoch + timedelta(seconds=(wall_s - self.wall_epoch.timestamp()) * self.speed)
