"""What no single key can know: names that must exist, recipes that must fit, starts that must be allowed."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Final

from drivers.catalog import DRIVERS, STATION, address_fault, profile_faults
from drivers.profile import Effect, Profile
from gateway.settings import check_families, check_routes
from gateway.settings.faults import Path, meant, shown
from gateway.settings.machines import MachineSettings
from gateway.settings.models import Sections
from gateway.settings.profiles import ProfileSettings
from gateway.settings.scene import Remark, Scene, listed
from gateway.settings.secrets import Secret
from gateway.settings.values import Model, is_loopback

MAILBOX_POLL_MAX_S: Final = 3.0  # the PLC takes back what it was told when it has not heard of us for 10 s


def faults(scene: Scene) -> Iterator[Remark]:
    """Find what makes this configuration unusable although each key is well formed."""
    yield from _references(scene)
    yield from _shops(scene.sections)
    yield from check_routes.faults(scene)
    yield from check_families.faults(scene)
    for name, profile in scene.sections.profiles.items():
        for remark in profile_remarks(name, profile):
            yield Remark(path=("profiles", name, *remark.path), text=remark.text, of_key=remark.of_key)
    yield from _machines(scene)
    yield from _files(scene.sections)
    yield from _simulation(scene.sections)


def warnings(scene: Scene) -> Iterator[Remark]:
    """Find what works but should be known: missing secrets, unprotected connections, idle machines."""
    yield from _missing_secrets(scene.sections, ())
    busy = {machine for family in scene.sections.families.values() for machine in family.machines}
    busy |= {step.group for product in scene.sections.products.values() for step in product.steps}
    for name, machine in scene.sections.machines.items():
        if machine.url.startswith("opc.tcp") and machine.security is None and not is_loopback(machine.url):
            text = "without protection anybody on this network can command the machine; give server_fingerprint"
            yield Remark(path=("machines", name, "security"), text=text)
        profile = scene.profile_of(name)
        if profile is not None and profile.dialect == "plain" and machine.control == "load":
            text = "a plain machine loads and starts at once: at level load nothing is sent to it; use start or read"
            yield Remark(path=("machines", name, "control"), text=text)
        if name not in busy:
            yield Remark(path=("machines", name), text="makes nothing: it is in no family", of_key=True)
    for name, shop in scene.sections.shops.items():
        if shop.url.startswith("http://") and not is_loopback(shop.url):
            yield Remark(path=("shops", name, "url"), text="http:// shows keys and orders to everybody between")
    yield from _hot_folders(scene.sections)
    mqtt = scene.sections.mqtt
    if mqtt and mqtt.url.startswith("mqtt://") and not is_loopback(mqtt.url):
        yield Remark(path=("mqtt", "url"), text="mqtt:// is not encrypted; prefer mqtts://")
    yield from check_families.warnings(scene)


def profile_remarks(name: str, profile: ProfileSettings) -> Iterator[Remark]:
    """Find why no driver can work by a machine type."""
    known = {f"{protocol}/{dialect}" for protocol, dialect in (*DRIVERS, STATION)}
    named = f"{profile.protocol}/{profile.dialect}"
    if named not in known:
        yield Remark(path=("dialect",), text=f"no driver for {named}{meant(named, known)}")
    elif (profile.protocol, profile.dialect) == STATION:
        yield from _station_type(profile)
    elif profile.permits is None:
        text = "missing; Where the machine says what it allows: nothing is started without remote and ready"
        yield Remark(path=("permits",), text=text, of_key=True)
    else:
        for dialect in ("mailbox", "plain"):
            if profile.dialect != dialect and getattr(profile, dialect) is not None:
                yield Remark(path=(dialect,), text=f"belongs to dialect {dialect}, not {named}; remove it", of_key=True)
        yield from _by_driver(profile.to_profile(name))
        if profile.dialect == "mailbox":
            yield from _mailbox(profile)


def _station_type(profile: ProfileSettings) -> Iterator[Remark]:
    for key in ("permits", "mailbox", "plain", "setup_code", "writable"):
        if getattr(profile, key):
            yield Remark(path=(key,), text="a person works at a station; remove it", of_key=True)
    right = {"effect": "remembered", "memory": "persistent", "clears_by_itself": False}
    for key, value in right.items():
        if getattr(profile, key) != value:
            word = str(value).lower()
            yield Remark(path=(key,), text=f"a station keeps its tickets on our own disk; write {key}: {word}")


def _by_driver(profile: Profile) -> Iterator[Remark]:
    """Find what the dialect's own driver cannot work by."""
    for fault in profile_faults(profile):
        key, _, text = fault.partition(": ")
        yield Remark(path=tuple(key.split(".")), text=text, of_key=True)


def _mailbox(settings: ProfileSettings) -> Iterator[Remark]:
    if settings.protocol == "opcua" and settings.mailbox is not None:
        for key in sorted({"status_base", "command_base"} & settings.mailbox.model_fields_set):
            text = "registers belong to protocol modbus; remove it, OPC UA has nodes"
            yield Remark(path=("mailbox", key), text=text, of_key=True)
    if settings.poll_s > MAILBOX_POLL_MAX_S:
        text = f"at most {MAILBOX_POLL_MAX_S:g}: the PLC starts nothing when it has not heard of us for 10 s"
        yield Remark(path=("poll_s",), text=text)
    for name, recipe in settings.recipes.items():
        for parameter, limit in recipe.parameters.items():
            if limit.max_length is not None or any(isinstance(value, str) for value in limit.one_of):
                text = "the mailbox carries numbers only; give min and max, or one_of with numbers"
                yield Remark(path=("recipes", name, "parameters", parameter), text=text, of_key=True)


def _references(scene: Scene) -> Iterator[Remark]:
    """Find names that lead nowhere, also in entries that are faulty otherwise."""
    named: list[tuple[Path, str]] = []
    for family in scene.names["families"]:
        named.extend((path, "machines") for path in listed(scene.tree, ("families", family, "machines")))
    for product in scene.names["products"]:
        named.append((("products", product, "family"), "families"))
        steps = listed(scene.tree, ("products", product, "route"))
        named.extend(
            ((*path, key), section)
            for path in steps
            for key, section in (("family", "families"), ("station", "machines"))
        )
    for path, section in named:
        node = scene.tree.find(path)
        if node is not None and isinstance(node.value, str) and node.value not in scene.names[section]:
            text = f"no '{shown(node.value)}' under {section}{meant(node.value, scene.names[section])}"
            yield Remark(path=path, text=text)


def _shops(sections: Sections) -> Iterator[Remark]:
    for name, other in _twice({name: shop.url for name, shop in sections.shops.items()}):
        text = f"the same shop as shops.{other}: each of its orders would be made twice"
        yield Remark(path=("shops", name, "url"), text=text)


def _machines(scene: Scene) -> Iterator[Remark]:
    machines = scene.sections.machines
    for name, other in _twice({name: machine.url for name, machine in machines.items() if machine.url}):
        text = f"the same address as machines.{other}: one machine has one name"
        yield Remark(path=("machines", name, "url"), text=text)
    for name, machine in machines.items():
        profile = scene.profile_of(name)
        if profile is None:
            continue
        if profile.effect is Effect.BLIND and machine.control == "start":
            text = f"a machine of profile '{profile.name}' (effect: blind) cannot be asked what it did, so Kvot never"
            yield Remark(path=("machines", name, "control"), text=f"{text} starts it; use load or read")
        if (profile.protocol, profile.dialect) == STATION:
            yield from _station(scene, name)
        else:
            yield from _connection(scene, name, machine, profile)


def _station(scene: Scene, name: str) -> Iterator[Remark]:
    for key in ("url", "security", "control", "risk_assessment", "effect_accepted"):
        if scene.has("machines", name, key):
            text = "a station is a person: Kvot reaches no machine here and starts none; remove it"
            yield Remark(path=("machines", name, key), text=text, of_key=True)


def _connection(scene: Scene, name: str, machine: MachineSettings, profile: Profile) -> Iterator[Remark]:
    here: Path = ("machines", name)
    if not machine.url:
        text = "missing; opc.tcp://host:4840 for OPC UA, modbus://host:502/unit for Modbus"
        yield Remark(path=(*here, "url"), text=text, of_key=True)
    elif fault := address_fault(profile.protocol, machine.url):
        yield Remark(path=(*here, "url"), text=f"{fault} (profile '{profile.name}' speaks {profile.protocol})")
    if profile.protocol == "opcua" and not scene.has(*here, "security"):
        text = "missing; give {server_fingerprint: sha256:...} of the machine's certificate, or `none` to talk"
        yield Remark(path=(*here, "security"), text=f"{text} unprotected", of_key=True)
    if profile.protocol != "opcua" and scene.has(*here, "security"):
        text = f"{profile.protocol} knows no certificates; remove it, and keep the machine on a network of its own"
        yield Remark(path=(*here, "security"), text=text, of_key=True)


def _files(sections: Sections) -> Iterator[Remark]:
    files: dict[Path, FilePath | None] = {("mqtt", "ca"): sections.mqtt.ca if sections.mqtt else None}
    for name, machine in sections.machines.items():
        if machine.security is not None:
            files["machines", name, "security", "certificate"] = machine.security.certificate
            files["machines", name, "security", "private_key"] = machine.security.private_key
    for path, file in files.items():
        if file is not None and not os.access(file, os.R_OK):
            yield Remark(path=path, text=f"no file that can be read: {file}")


def _hot_folders(sections: Sections) -> Iterator[Remark]:
    """Find folders that are not there: a mount may be away for a while, so that is no fault."""
    folders = {name: machine.hot_folder for name, machine in sections.machines.items() if machine.hot_folder}
    for name, folder in folders.items():
        if not os.access(folder, os.W_OK | os.X_OK):
            yield Remark(path=("machines", name, "hot_folder"), text=f"no folder that can be written: {folder}")
    for name, other in _twice({name: str(folder) for name, folder in folders.items()}, same=str):
        text = f"the same folder as machines.{other}: each of them sees the other's files"
        yield Remark(path=("machines", name, "hot_folder"), text=text)


def _simulation(sections: Sections) -> Iterator[Remark]:
    if sections.simulation is None:
        return
    addresses: dict[Path, str] = {("shops", name, "url"): shop.url for name, shop in sections.shops.items()}
    addresses |= {("machines", name, "url"): machine.url for name, machine in sections.machines.items() if machine.url}
    if sections.mqtt:
        addresses["mqtt", "url"] = sections.mqtt.url
    for name, shop in sections.shops.items():
        hosts = enumerate(shop.file_hosts or ())
        addresses |= {("shops", name, "file_hosts", number): f"http://{host}" for number, host in hosts}
    for path, url in addresses.items():
        if not is_loopback(url):
            text = "with a simulation section every address must be this computer's own (127.0.0.1);"
            yield Remark(path=path, text=f"{text} remove simulation or use a simulator")


def _missing_secrets(value: object, path: Path) -> Iterator[Remark]:
    match value:
        case Secret() if value.problem:
            yield Remark(path=path, text=f"secret '{value.name}' {value.problem}")
        case Model():
            for name in type(value).model_fields:
                yield from _missing_secrets(getattr(value, name), (*path, name))
        case Mapping():
            for name, entry in value.items():
                yield from _missing_secrets(entry, (*path, name))


def _twice(values: Mapping[str, str], same: Callable[[str], str] = str.lower) -> Iterator[tuple[str, str]]:
    """Give (name, earlier name) for each value that stood there before."""
    first: dict[str, str] = {}
    for name, value in values.items():
        if same(value) in first:
            yield name, first[same(value)]
        first.setdefault(same(value), name)
