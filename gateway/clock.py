"""The two clocks: business time (aware UTC, may be scaled) and machine time (monotonic, never scaled)."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Everything that asks for the time asks here."""

    def now(self) -> datetime:
        """Give the business time, aware UTC."""
        ...

    def monotonic(self) -> float:
        """Give the machine time in seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let that much machine time pass."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemClock:
    """The machine's own clocks, with business time scaled for simulations.

    Business time is `business_epoch + (wall - wall_epoch) * speed`, so that a restarted gateway
    and its simulators go on in the same time.
    """

    speed: float = 1.0
    wall_epoch: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    business_epoch: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """Give the business time, aware UTC."""
        elapsed_s = time.time() - self.wall_epoch.timestamp()
        return self.business_epoch + timedelta(seconds=elapsed_s * self.speed)

    def business_ms(self, wall_ms: int) -> int:
        """Turn a time of day on a machine's clock into business time, both milliseconds since 1970."""
        elapsed_ms = wall_ms - self.wall_epoch.timestamp() * 1000
        return round(self.business_epoch.timestamp() * 1000 + elapsed_ms * self.speed)

    def monotonic(self) -> float:
        """Give the machine time in seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let that much machine time pass."""
        await asyncio.sleep(seconds)
