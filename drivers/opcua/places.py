"""Where a machine keeps something on an OPC UA server: `nsu=URI;s=Name`, without an index."""

import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from drivers import plain
from drivers.mailbox_command import map_faults
from drivers.profile import Profile

NODE: Final = re.compile(r"(?:nsu=(?P<uri>[^;]+);)?(?P<kind>[isgb])=(?P<text>.+)")


def plain_faults(profile: Profile) -> tuple[str, ...]:
    """List why a profile cannot be driven as a plain machine over OPC UA, as `key.of.the.profile: what is wrong`."""
    found = list(plain.map_faults(profile))
    spec = profile.plain
    if spec is not None:
        addresses = {f"plain.{name}": address for name, address in plain.bits_of(profile, spec).items()}
        addresses |= {name: place.address for name, place in plain.places_of(spec).items()}
        if spec.reset_done is not None:
            addresses["plain.reset_done"] = spec.reset_done
        if profile.setup_code is not None:
            addresses["setup_code"] = profile.setup_code
        found += [
            f"{name.replace('plain.', 'permits.') if name[6:] in _PERMITS else name}: {_no_node(address)}"
            for name, address in addresses.items()
            if NODE.fullmatch(address) is None
        ]
        found += _doubles(addresses)
    return tuple(sorted(found))


def mailbox_faults(profile: Profile) -> tuple[str, ...]:
    """List why a profile cannot be driven through the mailbox over OPC UA, as `key.of.the.profile: what is wrong`."""
    found = list(map_faults(profile))
    spec = profile.mailbox
    if spec is not None and spec.nodes is None:
        found.append("mailbox.nodes: missing; the variables of its two blocks: status, payload, commit, heartbeat")
    if spec is not None and spec.nodes is not None:
        addresses = {f"mailbox.nodes.{name}": address for name, address in asdict(spec.nodes).items()}
        found += [f"{key}: {_no_node(at)}" for key, at in addresses.items() if NODE.fullmatch(at) is None]
        found += _doubles(addresses)
    return tuple(sorted(found))


def write_faults(profile: Profile) -> Iterator[str]:
    """List why tags of a profile that is sound otherwise cannot be written, as `writable.NAME: what is wrong`."""
    permits = {f"permits.{name}": address for name, address in asdict(profile.permits).items()}
    used = {address: key for key, address in permits.items() if address is not None}
    if profile.setup_code is not None:
        used[profile.setup_code] = "setup_code"
    if profile.mailbox is not None and profile.mailbox.nodes is not None:
        used |= {address: f"mailbox.nodes.{name}" for name, address in asdict(profile.mailbox.nodes).items()}
    if profile.plain is not None:
        spec = profile.plain
        used |= {address: f"plain.{name}" for name, address in plain.bits_of(profile, spec).items()}
        used |= {place.address: key for key, place in plain.places_of(spec).items()}
        used |= {} if spec.reset_done is None else {spec.reset_done: "plain.reset_done"}
    for name in profile.writable:
        address = profile.tags[name].address
        if address in used:
            yield f"writable.{name}: lies where {used[address]} is, which jobs are given by"
        elif NODE.fullmatch(address) is None:
            yield f"writable.{name}: {_no_node(address)}"


def _no_node(address: str) -> str:
    return f"{address!r} is not a node address: write nsu=URI;s=Name, without an index"


_PERMITS: Final = frozenset({"remote", "ready", "handed_over"})


def _doubles(addresses: dict[str, str]) -> list[str]:
    """Find what shares a node, but for parameters of different recipes."""
    first: dict[tuple[str, str], str] = {}
    found = []
    for name, address in addresses.items():
        recipe = name.split(".")[2] if name.startswith("plain.recipes.") else ""
        other = first.get(("", address)) or first.get((recipe, address))
        if other is not None:
            found.append(f"{name}: lies where {other} is")
        first.setdefault((recipe, address), name)
    return found
