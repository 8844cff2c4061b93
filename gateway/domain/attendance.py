"""When people are at a machine, and whether work that begins now would end while they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway.domain.calendars import Calendar

_ROUNDING_H = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Attendance:
    """The staffed hours of a machine, how long its cycles take by family, and whether it may work without people."""

    staffed: Calendar
    unattended: bool = False  # signed for in the configuration
    cycle_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def covers_any(self) -> bool:
        """Say whether work of any length may begin at any time."""
        return self.unattended or self.staffed.always

    def covers(self, family: str, cycles: int, *, now: datetime) -> bool:
        """Say whether so many cycles that begin now end in the same staffed hours; an unknown length is no yes."""
        if self.covers_any:
            return True
        if family not in self.cycle_s:
            return False
        end = now + timedelta(seconds=cycles * self.cycle_s[family])
        long_h = (end - now).total_seconds() / 3600
        return self.staffed.is_open(now) and self.staffed.working_hours(now, end) >= long_h - _ROUNDING_H
