"""Addresses of Modbus machines: `modbus://host[:502]/unit` and its serial relatives."""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

_UNIT_MAX = 247  # Modbus over Serial Line 1.02, 2.2
_TCP_UNIT_MAX = 255  # Modbus Messaging on TCP/IP 1.0b, 4.4.1.2
_LINE = "write the line as speed, data bits, parity and stop bits: 19200-8E1"


class Transport(StrEnum):
    """How the frames travel."""

    TCP = "modbus"
    RTU_OVER_TCP = "modbus+rtu"
    SERIAL = "modbus+serial"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bus:
    """One connection: a host and port, or a serial device with its line settings."""

    transport: Transport
    place: str  # host or device
    port: int = 0
    baud: int = 0
    parity: str = "N"
    stop_bits: int = 1

    @property
    def name(self) -> str:
        """Name the connection in messages; two machines with the same name share it."""
        return self.place if self.transport is Transport.SERIAL else f"{self.place}:{self.port}"

    @property
    def rtu(self) -> bool:
        """Say whether replies carry no transaction number."""
        return self.transport is not Transport.TCP


def parse_address(url: str) -> tuple[Bus, int]:
    """Give the bus and the unit of an address; raise `ValueError` with a cure for what is none.

    `modbus://host[:502]/unit`, `modbus+rtu://host:port/unit` (RTU frames through a serial server),
    `modbus+serial://19200-8E1/dev/ttyUSB0/unit`. Without a unit over TCP it is 1.
    """
    try:
        parts = urlsplit(url)
        transport, port = Transport(parts.scheme), parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is not an address of a Modbus machine: write modbus://host:502/1") from error
    if not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is not an address of a Modbus machine: write modbus://host:502/1")
    path, _, unit = parts.path.rpartition("/")
    if transport is Transport.SERIAL:
        if not path:
            raise ValueError(f"{url!r} names no device and unit: write modbus+serial://19200-8E1/dev/ttyUSB0/1")
        return _serial(parts.hostname, path), _unit(unit, url, 1, _UNIT_MAX)
    if path:
        raise ValueError(f"{url!r} ends in more than a unit: write modbus://host:502/1")
    if transport is Transport.RTU_OVER_TCP:
        if port is None:
            raise ValueError(f"{url!r} names no port: write modbus+rtu://host:4001/1")
        return Bus(transport=transport, place=parts.hostname, port=port), _unit(unit, url, 1, _UNIT_MAX)
    return Bus(transport=transport, place=parts.hostname, port=port or 502), _unit(unit or "1", url, 0, _TCP_UNIT_MAX)


def _unit(text: str, url: str, lowest: int, highest: int) -> int:
    if not (text.isascii() and text.isdecimal()) or not lowest <= int(text) <= highest:
        raise ValueError(f"{url!r} must end in the unit, {lowest} to {highest}")
    return int(text)


def _serial(line: str, device: str) -> Bus:
    baud, _, frame = line.upper().partition("-")
    right = len(frame) == len("8E1") and frame[0] == "8" and frame[1] in "NEO" and frame[2] in "12"
    if not baud.isdecimal() or not right or int(baud) == 0:
        raise ValueError(f"{line!r} is no serial line: {_LINE}")
    return Bus(transport=Transport.SERIAL, place=device, baud=int(baud), parity=frame[1], stop_bits=int(frame[2]))
