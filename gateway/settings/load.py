"""Files, overrides and profiles become one checked `Settings`, or every fault at once."""

import importlib.resources
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import PrivateAttr, ValidationError

from drivers.profile import Profile
from gateway.clock import SystemClock
from gateway.domain.attendance import Attendance
from gateway.domain.pricing.inputs import FamilyRules
from gateway.domain.pricing.quotes import Express
from gateway.domain.products import Range
from gateway.settings import check
from gateway.settings.faults import Fault, LocatedSettingsError, Place, meant, path_text
from gateway.settings.merge import merge, override
from gateway.settings.models import Sections
from gateway.settings.profiles import ProfileSettings
from gateway.settings.scene import STATION, Remark, Scene
from gateway.settings.secrets import system_store
from gateway.settings.source import Node, read_file
from gateway.settings.translate import translate

MAX_FILES: Final = 100
_NAMED: Final = ("shops", "products", "families", "machines", "profiles")
_STAND_IN: Final = {"id": "X", "enterprise": "x", "timezone": "UTC"}  # only so that the other sections can be checked


class Settings(Sections):
    """The whole configuration, checked, with the machine types it uses and the origin of every key."""

    _tree: Node = PrivateAttr()
    _profiles: Mapping[str, Profile] = PrivateAttr(default_factory=dict)
    _warnings: tuple[Fault, ...] = PrivateAttr(default=())

    def complete(self, tree: Node, profiles: Mapping[str, Profile], warnings: tuple[Fault, ...]) -> "Settings":
        """Take what was read beside the sections themselves; only `load` does this."""
        self._tree, self._profiles, self._warnings = tree, profiles, warnings
        return self

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """List what works but should be known."""
        return self._warnings

    @property
    def mqtt_base(self) -> str:
        """Give the first levels of every topic."""
        configured = self.mqtt.base if self.mqtt else None
        return configured or f"{self.site.enterprise}/{self.site.id}"

    def profile(self, machine: str) -> Profile:
        """Give the type of a machine; raise KeyError for a name that is not under machines."""
        return self._profiles[self.machines[machine].profile]

    def is_station(self, machine: str) -> bool:
        """Say whether a person stands behind this name, so that it has no address and needs no arming."""
        return self.profile(machine).protocol == STATION

    def range(self) -> Range:
        """Give everything the factory can make, with its expressions compiled."""
        from gateway.settings.build import to_range  # noqa: PLC0415 - compiles expressions

        return to_range(self, self._profiles)

    def attendance(self, machine: str) -> Attendance:
        """Give when somebody is at a machine, and whether it may work without."""
        from gateway.settings.build_rules import to_attendance  # noqa: PLC0415 - as above

        return to_attendance(self, self._profiles, machine)

    def rules(self, family: str, **measured: Any) -> FamilyRules:
        """Give what `plan` decides a family's run by; `measured` and errors as in `build_rules.to_family_rules`."""
        from gateway.settings.build_rules import to_family_rules  # noqa: PLC0415 - as above

        return to_family_rules(self, self._profiles, family, **measured)

    def express(self) -> dict[str, Express]:
        """Give the families that make runs for one customer, and whether a person approves each."""
        chosen = {name: family.express for name, family in self.families.items() if family.express is not None}
        return {name: Express(approval=one.approval) for name, one in chosen.items() if one.enabled}

    def clock(self) -> SystemClock:
        """Give the clock: the system's own, or the simulation's faster one."""
        if self.simulation is None:
            return SystemClock()
        return SystemClock(**self.simulation.model_dump())

    def origin(self, path: Sequence[str | int] | str) -> str | None:
        """Give `file:line:column` of a key's path, or None where it stands at its default."""
        keys = tuple(path.split(".")) if isinstance(path, str) else tuple(path)
        return str(self._tree.place_of(keys)) if self._tree.find(keys) else None


def load(
    config: Path | None,
    *,
    directory: Path | None = None,
    overrides: Sequence[str] = (),
    secrets: bool = True,
) -> Settings:
    """Read and check a configuration; raise `SettingsError` with every fault at once.

    `config` is one file, `directory` adds its `*.yaml` in name order; without both, the usual places
    are taken. With `secrets` False a secret that is not found is only a warning.
    """
    files, home, found = _files(config, directory)
    tree, read = _read(files)
    found.extend(read)
    if tree is None:
        raise LocatedSettingsError(found)
    for setting in overrides:
        tree, more = override(tree, setting)
        found.extend(more)
    profiles, profile_faults = _profiles(tree, home)
    context = {"store": system_store(home), "need_secrets": secrets, "directory": home}
    settings, sections = _validate(tree, context, found)
    scene = Scene(tree=tree, sections=sections, names=_names(tree), profiles=_inline(sections, profiles))
    found.extend(_located(check.faults(scene), tree))
    found.extend(profile_faults)
    if settings is None or found:
        raise LocatedSettingsError(found)
    return settings.complete(tree, scene.profiles, tuple(_located(check.warnings(scene), tree)))


def _files(config: Path | None, directory: Path | None) -> tuple[list[Path], Path, list[Fault]]:
    """Find the files, in the order in which they are laid over each other, and the configuration's home."""
    if config is None and directory is None:
        config, directory = _usual_places()
    faults: list[Fault] = []
    files = [config] if config else []
    if directory is not None:
        try:
            more = sorted(file for file in directory.iterdir() if file.suffix == ".yaml")
        except OSError as error:
            more = []
            faults.append(_whole(directory, f"cannot be read: {error.strerror}"))
        if len(more) > MAX_FILES:
            faults.append(_whole(directory, f"more than {MAX_FILES} files"))
        files.extend(more[:MAX_FILES])
        if not files and not faults:
            faults.append(_whole(directory, "has no *.yaml file"))
    home = (config.parent if config else directory) or Path()
    return files, home, faults


def _usual_places() -> tuple[Path, Path | None]:
    own = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config") / "kvot"
    for place in (_expanded(own), Path("/etc/kvot")):
        if (place / "kvot.yaml").is_file():
            return place / "kvot.yaml", place / "conf.d" if (place / "conf.d").is_dir() else None
    return Path("/etc/kvot/kvot.yaml"), None


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # no home directory
        return path


def _read(files: Sequence[Path]) -> tuple[Node | None, list[Fault]]:
    """Read all files into one tree; None when one of them is no YAML at all."""
    faults: list[Fault] = []
    trees: list[tuple[Path, Node]] = []
    for file in files:
        node, more = read_file(file)
        faults.extend(more)
        if node is not None:
            trees.append((file, node))
    if len(trees) < len(files) or not trees:
        return None, faults
    tree = trees[0][1]
    for file, node in trees[1:]:
        tree, more = merge(tree, node, wins=file.name.startswith("zz-local"))
        faults.extend(more)
    return tree, faults


def _validate(tree: Node, context: Mapping[str, Any], faults: list[Fault]) -> tuple[Settings | None, Sections]:
    """Give the settings, or None and as much of them as is well formed."""
    plain = tree.plain()
    try:
        settings = Settings.model_validate(plain, context=dict(context))
    except ValidationError as error:
        faults.extend(translate(error, tree, Sections))
        return None, _well_formed(plain if isinstance(plain, dict) else {}, error, context)
    return settings, settings


def _well_formed(plain: Mapping[str, Any], error: ValidationError, context: Mapping[str, Any]) -> Sections:
    """Leave out what is faulty, so that the rest can be checked in the same go."""
    kept: dict[str, Any] = {key: dict(part) if isinstance(part, dict) else part for key, part in plain.items()}
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        section, *rest = fault["loc"] or ("",)
        if section in _NAMED and rest and isinstance(kept.get(str(section)), dict):
            kept[str(section)].pop(rest[0], None)
        else:
            kept.pop(str(section), None)
    kept.setdefault("site", _STAND_IN)
    return Sections.model_validate(kept, context={**context, "need_secrets": False})


def _names(tree: Node) -> dict[str, frozenset[str]]:
    sections = {name: tree.find((name,)) for name in _NAMED}
    return {
        name: frozenset(node.value) if node and isinstance(node.value, Mapping) else frozenset()
        for name, node in sections.items()
    }


def _profiles(tree: Node, home: Path) -> tuple[dict[str, Profile], list[Fault]]:
    """Read the machine types that machines name and that are files of their own."""
    names = _names(tree)
    profiles: dict[str, Profile] = {}
    faults: list[Fault] = []
    tried: set[str] = set()
    for machine in sorted(names["machines"]):
        node = tree.find(("machines", machine, "profile"))
        name = node.value if node else None
        if node is None or not isinstance(name, str) or name in names["profiles"] or name in tried:
            continue
        tried.add(name)
        file = _profile_file(name, home)
        if file is None:
            places = f"profiles.{name}, {home}/machines/{name}.yaml and the shipped set"
            text = f"no such machine type; looked in {places}{meant(name, _profile_names(names, home))}"
            path = path_text(("machines", machine, "profile"))
            faults.append(Fault(place=node.place, path=path, text=text))
            continue
        settings, more = read_profile(file)
        faults.extend(more)
        if settings is not None:
            profiles[name] = settings.to_profile(name)
    return profiles, faults


def read_profile(file: Path) -> tuple[ProfileSettings | None, tuple[Fault, ...]]:
    """Read a machine type from its own file: the profile or what is wrong with it."""
    tree, faults = read_file(file)
    if tree is None:
        return None, faults
    try:
        profile = ProfileSettings.model_validate(tree.plain())
    except ValidationError as error:
        return None, (*faults, *translate(error, tree, ProfileSettings))
    faults = (*faults, *_located(check.profile_remarks(file.stem, profile), tree))
    return (None if faults else profile), faults


def _inline(sections: Sections, profiles: Mapping[str, Profile]) -> dict[str, Profile]:
    return {**profiles, **{name: profile.to_profile(name) for name, profile in sections.profiles.items()}}


def _profile_file(name: str, home: Path) -> Path | None:
    if not name.replace("-", "").replace("_", "").isalnum():
        return None  # a name is never a path
    places = (folder / f"{name}.yaml" for folder in _profile_folders(home))
    return next((place for place in places if place.is_file()), None)


def _profile_folders(home: Path) -> Iterator[Path]:
    """Give the folders of machine types: the configuration's own, then the shipped set."""
    yield home / "machines"
    yield from (folder / "machines" for folder in _shipped_folders())


def shipped(name: str) -> Path:
    """Find a file of the shipped configuration; raise `FileNotFoundError` when this copy has none of that name."""
    for folder in _shipped_folders():
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"this copy of Kvot has no {name} in its configuration")


def _shipped_folders() -> tuple[Path, Path]:
    """Give where the shipped configuration lies: in an installed package, in a source tree."""
    gateway = Path(str(importlib.resources.files("gateway")))
    return gateway / "shipped" / "config", gateway.parent / "config"


def _profile_names(names: Mapping[str, frozenset[str]], home: Path) -> set[str]:
    found = set(names["profiles"])
    for folder in _profile_folders(home):
        if folder.is_dir():
            found |= {file.stem for file in folder.glob("*.yaml")}
    return found


def _located(remarks: Iterable[Remark], tree: Node) -> Iterator[Fault]:
    for remark in remarks:
        place = tree.place_of(remark.path, of_key=remark.of_key)
        yield Fault(place=place, path=path_text(remark.path), text=remark.text)


def _whole(path: Path, text: str) -> Fault:
    return Fault(place=Place(file=str(path), line=1, column=1), path="", text=text)
