"""What all machines behind Modbus have in common: a unit on a link that others may share."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.base import MonotonicClock
from drivers.link import Line, Link, Links
from drivers.modbus.address import Bus
from drivers.modbus.polling import Poller
from drivers.modbus.tags import TagRead
from drivers.modbus.wire import ModbusWire, open_wire
from drivers.modbus.writing import TagWriter
from drivers.profile import Profile

_REQUEST_MAX_S = 1.0  # one request; others wait for the same wire
_OPEN_S = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ModbusMachine:
    """One machine behind a Modbus connection: the base of the drivers."""

    link: Link[ModbusWire]
    bus: Bus
    unit: int
    profile: Profile
    monotonic: MonotonicClock

    @property
    def address(self) -> str:
        """Name bus and unit, for a machine that has no serial number to show."""
        return f"{self.bus.name}, unit {self.unit}"

    @property
    def request_s(self) -> float:
        """Give how long one request may take."""
        return min(self.profile.timeout_s, _REQUEST_MAX_S)

    def poller(
        self, line: Line[ModbusWire], reads: Sequence[TagRead], prove: Callable[[], Awaitable[None]] | None = None
    ) -> Poller:
        """Give what reads the tags of one session over its line; `prove` as `Poller`."""
        more: dict[str, Any] = {"timeout_s": self.request_s, "monotonic": self.monotonic}
        return Poller(line, unit=self.unit, reads=reads, prove=prove, **more)

    def writer(self, line: Line[ModbusWire]) -> TagWriter:
        """Give what writes single tags of one session by hand over its line."""
        return TagWriter(line, unit=self.unit, profile=self.profile, timeout_s=self.request_s)


def link_to(bus: Bus, *, links: Links, monotonic: MonotonicClock) -> Link[ModbusWire]:
    """Give the one link to a bus; raise `ValueError` where two machines set it up differently."""
    return links.share(
        bus.name,
        bus,
        lambda: Link(bus.name, open_wire=lambda: open_wire(bus), open_s=_OPEN_S, monotonic=monotonic),
    )
