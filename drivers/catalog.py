"""Which driver speaks to which kind of machine."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from drivers.base import Driver, MonotonicClock, Security
from drivers.link import Links
from drivers.modbus.address import parse_address
from drivers.modbus.places import mailbox_faults as modbus_mailbox_faults
from drivers.modbus.places import plain_faults as modbus_plain_faults
from drivers.modbus.tags import tag_faults
from drivers.modbus.writable import write_faults as modbus_write_faults
from drivers.opcua.places import mailbox_faults as opcua_mailbox_faults
from drivers.opcua.places import plain_faults as opcua_plain_faults
from drivers.opcua.places import write_faults as opcua_write_faults
from drivers.profile import Profile
from drivers.station.session import Station
from drivers.writing import named_faults

Opener = Callable[[str, str, Profile, Security, MonotonicClock, Links], Driver]
STATION: Final = ("station", "tickets")  # a person: its driver needs a folder and no address


def open_driver(
    *,
    name: str,
    url: str,
    profile: Profile,
    security: Security,
    monotonic: MonotonicClock,
    links: Links | None = None,
) -> Driver:
    """Give the driver for a machine; nothing is connected yet.

    `name` is the machine's name in the settings; where one server has several machines, it must be the
    browse name of one of them. Machines on one bus, or behind one connection, share it through `links`:
    give the same one for all of them. Raise `ValueError` for an unknown dialect, or for an address or a
    profile it cannot use.
    """
    opener = DRIVERS.get((profile.protocol, profile.dialect))
    if opener is None:
        known = ", ".join(f"{protocol}/{dialect}" for protocol, dialect in DRIVERS)
        raise ValueError(f"no driver for {profile.protocol}/{profile.dialect} (profile {profile.name}); known: {known}")
    if profile.writable and (faults := profile_faults(profile)):
        raise ValueError(f"profile {profile.name}: {'; '.join(faults)}")
    return opener(name, url, profile, security, monotonic, links if links is not None else Links())


def address_fault(protocol: str, url: str) -> str | None:
    """Say why a machine of this protocol cannot be reached at an address, or None."""
    check = _ADDRESSES.get(protocol)
    try:
        if check is not None:
            check(url)
    except ValueError as error:
        return str(error)
    return None


def profile_faults(profile: Profile) -> tuple[str, ...]:
    """List why no driver can work by a profile, each as `key.of.the.profile: what is wrong`."""
    check = _PROFILES.get((profile.protocol, profile.dialect))
    found = (*(check(profile) if check is not None else ()), *named_faults(profile))
    return found or tuple(_WRITES[profile.protocol](profile) if profile.protocol in _WRITES else ())


def open_station(*, name: str, path: Path, now: Callable[[], datetime]) -> Station:
    """Give a station: the driver of a place where a person works, with its tickets in this file."""
    return Station(name=name, path=path, now=now)


def own_certificate(directory: Path, application_uri: str) -> tuple[Path, Path]:
    """Give our certificate (DER) and its key (PEM) in this directory, made at first use."""
    from drivers.opcua.security import ensure_certificate  # noqa: PLC0415 - only those who use it pay

    return ensure_certificate(directory, application_uri)


def _isa95_jobs(
    name: str, url: str, profile: Profile, security: Security, monotonic: MonotonicClock, _links: Links
) -> Driver:
    from drivers.opcua.security import normal_fingerprint  # noqa: PLC0415 - asyncua takes a second
    from drivers.opcua.session import JobControlDriver  # noqa: PLC0415 - only those who use it pay

    _check_opcua_address(url)
    if security.server_fingerprint is not None:
        normal_fingerprint(security.server_fingerprint)
    return JobControlDriver(url=url, machine=name, profile=profile, security=security, monotonic=monotonic)


def _check_opcua_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "opc.tcp" or not parts.hostname or parts.port is None or "@" in parts.netloc:
        raise ValueError(f"{url!r} is not an address of an OPC UA server: write opc.tcp://host:port")


def _modbus_mailbox(
    _name: str, url: str, profile: Profile, _security: Security, monotonic: MonotonicClock, links: Links
) -> Driver:
    from drivers.modbus.session import mailbox_driver  # noqa: PLC0415 - only those who use it pay

    return mailbox_driver(url=url, profile=profile, monotonic=monotonic, links=links)


def _opcua_mailbox(
    _name: str, url: str, profile: Profile, security: Security, monotonic: MonotonicClock, _links: Links
) -> Driver:
    from drivers.opcua.mailbox import mailbox_driver  # noqa: PLC0415 - asyncua takes a second
    from drivers.opcua.security import normal_fingerprint  # noqa: PLC0415 - only those who use it pay

    _check_opcua_address(url)
    if security.server_fingerprint is not None:
        normal_fingerprint(security.server_fingerprint)
    return mailbox_driver(url=url, profile=profile, security=security, monotonic=monotonic)


def _opcua_plain(
    _name: str, url: str, profile: Profile, security: Security, monotonic: MonotonicClock, _links: Links
) -> Driver:
    from drivers.opcua.plain import plain_driver  # noqa: PLC0415 - asyncua takes a second
    from drivers.opcua.security import normal_fingerprint  # noqa: PLC0415 - only those who use it pay

    _check_opcua_address(url)
    if security.server_fingerprint is not None:
        normal_fingerprint(security.server_fingerprint)
    return plain_driver(url=url, profile=profile, security=security, monotonic=monotonic)


def _modbus_plain(
    _name: str, url: str, profile: Profile, _security: Security, monotonic: MonotonicClock, links: Links
) -> Driver:
    from drivers.modbus.plain import plain_driver  # noqa: PLC0415 - only those who use it pay

    return plain_driver(url=url, profile=profile, monotonic=monotonic, links=links)


DRIVERS: Mapping[tuple[str, str], Opener] = {
    ("opcua", "isa95-jobs"): _isa95_jobs,
    ("modbus", "mailbox"): _modbus_mailbox,
    ("opcua", "mailbox"): _opcua_mailbox,
    ("modbus", "plain"): _modbus_plain,
    ("opcua", "plain"): _opcua_plain,
}
_ADDRESSES: Final[Mapping[str, Callable[[str], object]]] = {"opcua": _check_opcua_address, "modbus": parse_address}
_WRITES: Final[Mapping[str, Callable[[Profile], Iterator[str]]]] = {
    "opcua": opcua_write_faults,
    "modbus": modbus_write_faults,
}
_PROFILES: Final[Mapping[tuple[str, str], Callable[[Profile], tuple[str, ...]]]] = {
    ("modbus", "mailbox"): lambda profile: (*modbus_mailbox_faults(profile), *tag_faults(profile)),
    ("opcua", "mailbox"): opcua_mailbox_faults,
    ("modbus", "plain"): lambda profile: (*modbus_plain_faults(profile), *tag_faults(profile)),
    ("opcua", "plain"): opcua_plain_faults,
}
