"""A life whose machine or shop is reached over TCP: the product's own drivers and shop, and the real clock."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from drivers.base import Driver, Security
from drivers.catalog import open_driver, own_certificate
from drivers.link import Links
from drivers.profile import MailboxMap, MailboxRecipe, Profile
from gateway.shops.catalog import open_shop
from tests.drivers.modbus_samples import mailbox_profile
from tests.drivers.samples import press_profile
from tests.faults.answers import PAGES
from tests.faults.pressside import MISSING
from tests.faults.scenes import Scene
from tests.faults.telling import SAMPLE_S, tags_of
from tests.faults.wireworld import KEY, SECRET
from tests.shops.loopback import access_to
from tests.stages.factory import PRESS, RECIPE

# The catalog imports a driver when it is first used: here once, so that no life pays for it again.
WARMED = tuple(import_module(name) for name in ("drivers.modbus.session", "drivers.opcua.session"))
ANSWER_S = 1.0  # how long a machine may take to answer
MANY_S = 5.0  # the same, where it has hundreds of values
ROUND_S = 0.04
LONGEST_NAP_S = 0.05
LINKS = Links()  # of this process, which is one life


@dataclass(kw_only=True)
class RealClock:
    """The computer's own clocks; a long sleep is cut short, because what waits here waits for its own doing."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return time.monotonic()

    def advance(self, seconds: float) -> None:
        """Let time pass by itself."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, LONGEST_NAP_S))


def machine(scene: Scene, addresses: Mapping[str, str], directory: Path) -> tuple[Driver, Profile]:
    """Give the driver for the scene's machine, and its type."""
    return _driver(scene, addresses["machine"], _security(addresses, directory), LINKS)


def dead_unit(scene: Scene, addresses: Mapping[str, str]) -> tuple[Driver, Profile]:
    """Give the driver for the unit on the same line that never answers."""
    return _driver(replace(scene, sampled=False), addresses["dead"], Security(), LINKS)


def _driver(scene: Scene, url: str, security: Security, links: Links) -> tuple[Driver, Profile]:
    fields: dict[str, Any] = {"timeout_s": ANSWER_S, "settle_s": 0.3, "poll_s": 0.02, "recipes": {"tray": RECIPE}}
    if scene.wire == MISSING:
        fields |= {"timeout_s": MANY_S}
    if scene.sampled:
        fields |= {"tags": tags_of(scene.machine, scene.wire), "sample_s": SAMPLE_S}
    if scene.machine == "opcua":
        profile = press_profile(**fields)
    else:
        recipes = {"tray": MailboxRecipe(number=3, parameters=("width_mm",))}
        profile = mailbox_profile(mailbox=MailboxMap(recipes=recipes), **fields)
    driver = open_driver(name=PRESS, url=url, profile=profile, security=security, monotonic=time.monotonic, links=links)
    return driver, profile


def _security(addresses: Mapping[str, str], directory: Path) -> Security:
    if "fingerprint" not in addresses:
        return Security()
    certificate, key = own_certificate(directory / "state" / "pki", "urn:kvot:gateway:LUND")
    return Security(server_fingerprint=addresses["fingerprint"], own_certificate=certificate, own_key=key)


@asynccontextmanager
async def shop(scene: Scene, url: str) -> AsyncIterator[Any]:
    """Open the scene's shop; it is a `Shop` where the small factory expects its fake one."""

    async def nap(seconds: float) -> None:
        await asyncio.sleep(min(seconds, LONGEST_NAP_S))

    per_page = 2 if scene.wire in PAGES else 50
    more: dict[str, Any] = {"per_page": per_page, "timeout_s": 2.0, "overlap_s": 120.0, "lag_s": 0.0}
    access = access_to(url, sleep=nap, key=KEY, secret=SECRET, **more)
    async with open_shop(access) as opened:
        yield opened
