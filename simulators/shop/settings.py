"""What a simulated shop is started with, and its clock of business time."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from simulators.shop.appeal import Taste
from simulators.shop.customers import Wares


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopSimulation:
    """A shop to simulate. Times are aware UTC; `port` 0 takes a free one.

    Business time is `business_epoch + (wall - wall_epoch) * speed`; without epochs it starts at the wall clock's
    time. Customers begin when the shop starts, or with `waiting` when they are told to. `site_url` is what the
    shop says its own address is; without it, the one it is served at. With `artwork` each tray that a customer orders
    carries the address of a picture (`artwork_url`). Raise `ValueError` for what cannot be.
    """

    orders: int = 40
    unpaid: int = 3
    within: timedelta = timedelta(minutes=60)
    with_trouble: bool = False
    wares: Wares = Wares.TRAYS
    artwork: bool = False
    taste: Taste = field(default_factory=Taste)
    seed: int = 1
    waiting: bool = False
    speed: float = 1.0
    wall_epoch: datetime | None = None
    business_epoch: datetime | None = None
    host: str = "127.0.0.1"
    port: int = 0
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    key: str = "ck_demo"
    secret: str = "cs_demo"  # noqa: S105  the simulator guards nothing
    hpos: bool = True
    site_url: str | None = None
    site_name: str = "Brickboden Åsa"
    timezone: str = "Europe/Stockholm"
    log: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what would not be a simulation on this machine."""
        if not ip_address(self.host).is_loopback:
            raise ValueError(f"a simulated shop listens on loopback only, not on {self.host}")
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise ValueError("TLS needs a certificate and a key")
        if self.speed <= 0:
            raise ValueError("speed must be above 0")
        for epoch in (self.wall_epoch, self.business_epoch):
            if epoch is not None and epoch.tzinfo is None:
                raise ValueError("an epoch must carry a time zone")


@dataclass(frozen=True, kw_only=True, slots=True)
class BusinessClock:
    """Business time of the shop, computed from the wall clock."""

    speed: float
    wall_epoch: datetime
    business_epoch: datetime

    def now(self) -> datetime:
        """Give the business time, aware UTC."""
        elapsed_s = time.time() - self.wall_epoch.timestamp()
        return self.business_epoch + timedelta(seconds=elapsed_s * self.speed)


def clock_of(settings: ShopSimulation) -> BusinessClock:
    """Give the clock the settings describe; missing epochs are now."""
    wall_epoch = settings.wall_epoch or datetime.now(UTC)
    business_epoch = settings.business_epoch or wall_epoch
    return BusinessClock(speed=settings.speed, wall_epoch=wall_epoch, business_epoch=business_epoch)
