"""What no single key can know: names that must exist, recipes that must fit, starts that must be allowed."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath

from drivers.catalog import DRIVERS
from drivers.profile import Effect, Limit, Profile, Recipe
from gateway.expressions import ExpressionError, compile_expression
from gateway.settings.faults import Path, meant, shown
from gateway.settings.models import ProductSettings, Sections, StepSettings
from gateway.settings.profiles import ProfileSettings
from gateway.settings.secrets import Secret
from gateway.settings.source import Node
from gateway.settings.values import Model, is_loopback


@dataclass(frozen=True, kw_only=True, slots=True)
class Remark:
    """Something about one key; `of_key` points at the key itself rather than at its value."""

    path: Path
    text: str
    of_key: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """All that is checked together.

    `tree` and the `names` of its sections hold everything written, `sections` only the well formed;
    `profiles` the machine types that could be read, by name.
    """

    tree: Node
    sections: Sections
    names: Mapping[str, frozenset[str]]
    profiles: Mapping[str, Profile]

    def profile_of(self, machine: str) -> Profile | None:
        """Give a machine's type, or None where it is unknown or faulty itself."""
        node = self.tree.find(("machines", machine, "profile"))
        return self.profiles.get(node.value) if node is not None and isinstance(node.value, str) else None

    def machines_of(self, family: str) -> Iterator[str]:
        """Give the names of the machines that a family lists."""
        for path in _listed(self.tree, ("families", family, "machines")):
            node = self.tree.find(path)
            if node is not None and isinstance(node.value, str):
                yield node.value


def faults(scene: Scene) -> Iterator[Remark]:
    """Find what makes this configuration unusable although each key is well formed."""
    yield from _references(scene)
    yield from _shops(scene.sections)
    for name, product in scene.sections.products.items():
        yield from _product(scene, name, product)
    for name, profile in scene.sections.profiles.items():
        if remark := driver_fault(profile):
            yield Remark(path=("profiles", name, *remark.path), text=remark.text)
    yield from _machines(scene)
    yield from _files(scene.sections)
    yield from _simulation(scene.sections)


def warnings(scene: Scene) -> Iterator[Remark]:
    """Find what works but should be known: missing secrets, unprotected connections, idle machines."""
    yield from _missing_secrets(scene.sections, ())
    for name, machine in scene.sections.machines.items():
        if machine.security is None and not is_loopback(machine.url):
            text = "without protection anybody on this network can command the machine; give server_fingerprint"
            yield Remark(path=("machines", name, "security"), text=text)
        if not any(name in family.machines for family in scene.sections.families.values()):
            yield Remark(path=("machines", name), text="makes nothing: it is in no family", of_key=True)
    for name, shop in scene.sections.shops.items():
        if shop.url.startswith("http://") and not is_loopback(shop.url):
            yield Remark(path=("shops", name, "url"), text="http:// shows keys and orders to everybody between")
    mqtt = scene.sections.mqtt
    if mqtt and mqtt.url.startswith("mqtt://") and not is_loopback(mqtt.url):
        yield Remark(path=("mqtt", "url"), text="mqtt:// is not encrypted; prefer mqtts://")


def driver_fault(profile: ProfileSettings) -> Remark | None:
    """Say why no driver speaks to a machine type, or None."""
    known = {f"{protocol}/{dialect}" for protocol, dialect in DRIVERS}
    named = f"{profile.protocol}/{profile.dialect}"
    if named in known:
        return None
    return Remark(path=("dialect",), text=f"no driver for {named}{meant(named, known)}")


def result_of(limit: Limit) -> tuple[type, ...]:
    """Say which types an expression may give for a parameter with this limit."""
    if limit.one_of:
        kinds = {type(value) for value in limit.one_of}
        return tuple(kinds | {int, float}) if kinds & {int, float} else tuple(kinds)
    return (int, float) if limit.max_length is None else (str,)


def _references(scene: Scene) -> Iterator[Remark]:
    """Find names that lead nowhere, also in entries that are faulty otherwise."""
    named: list[tuple[Path, str]] = []
    for family in scene.names["families"]:
        named.extend((path, "machines") for path in _listed(scene.tree, ("families", family, "machines")))
    for product in scene.names["products"]:
        named.append((("products", product, "family"), "families"))
        steps = _listed(scene.tree, ("products", product, "route"))
        named.extend(((*path, "family"), "families") for path in steps)
    for path, section in named:
        node = scene.tree.find(path)
        if node is not None and isinstance(node.value, str) and node.value not in scene.names[section]:
            text = f"no '{shown(node.value)}' under {section}{meant(node.value, scene.names[section])}"
            yield Remark(path=path, text=text)


def _listed(tree: Node, path: Path) -> Iterator[Path]:
    node = tree.find(path)
    members = len(node.value) if node is not None and isinstance(node.value, tuple) else 0
    yield from ((*path, number) for number in range(members))


def _shops(sections: Sections) -> Iterator[Remark]:
    for name, other in _twice({name: shop.url for name, shop in sections.shops.items()}):
        text = f"the same shop as shops.{other}: each of its orders would be made twice"
        yield Remark(path=("shops", name, "url"), text=text)


def _machines(scene: Scene) -> Iterator[Remark]:
    machines = scene.sections.machines
    for name, other in _twice({name: machine.url for name, machine in machines.items()}):
        text = f"the same address as machines.{other}: one machine has one name"
        yield Remark(path=("machines", name, "url"), text=text)
    for name, machine in machines.items():
        profile = scene.profile_of(name)
        if profile and profile.effect is Effect.BLIND and machine.control == "start":
            text = f"a machine of profile '{profile.name}' (effect: blind) cannot be asked what it did, so Kvot never"
            yield Remark(path=("machines", name, "control"), text=f"{text} starts it; use load or read")


def _files(sections: Sections) -> Iterator[Remark]:
    files: dict[Path, FilePath | None] = {("mqtt", "ca"): sections.mqtt.ca if sections.mqtt else None}
    for name, machine in sections.machines.items():
        if machine.security is not None:
            files["machines", name, "security", "certificate"] = machine.security.certificate
            files["machines", name, "security", "private_key"] = machine.security.private_key
    for path, file in files.items():
        if file is not None and not os.access(file, os.R_OK):
            yield Remark(path=path, text=f"no file that can be read: {file}")


def _product(scene: Scene, name: str, product: ProductSettings) -> Iterator[Remark]:
    here: Path = ("products", name)
    if product.match is not None:
        yield from _formula(product.match, (*here, "match"), (bool,))
    if product.route is not None and len(product.route) > 1:
        text = "routes of more than one step come with a later version; keep one step for now"
        yield Remark(path=(*here, "route"), text=text)
    for number, step in enumerate(product.steps):
        at = (*here, "route", number) if product.route is not None else here
        yield from _step(scene, step, at)


def _step(scene: Scene, step: StepSettings, here: Path) -> Iterator[Remark]:
    recipes = dict(_recipes(scene, step))
    for machine, recipe in recipes.items():
        if recipe is None:
            profile = scene.profile_of(machine)
            known = profile.recipes if profile else ()
            text = f"machine '{machine}' (profile {profile.name if profile else '?'}) has no recipe '{step.recipe}'"
            yield Remark(path=(*here, "recipe"), text=text + meant(step.recipe, known))
    found = {machine: recipe for machine, recipe in recipes.items() if recipe is not None}
    if len({recipe.version for recipe in found.values()}) > 1:
        versions = ", ".join(f"{recipe.version} on {machine}" for machine, recipe in found.items())
        text = f"recipe '{step.recipe}' has different versions: {versions}; a family's machines make the same"
        yield Remark(path=(*here, "recipe"), text=text)
    yield from _parameters(step, here, found)


def _recipes(scene: Scene, step: StepSettings) -> Iterator[tuple[str, Recipe | None]]:
    """Give the recipe on each machine of the step's family that could be read; None where it is not known."""
    for machine in scene.machines_of(step.family):
        profile = scene.profile_of(machine)
        if profile is not None:
            yield machine, profile.recipes.get(step.recipe)


def _parameters(step: StepSettings, here: Path, recipes: Mapping[str, Recipe]) -> Iterator[Remark]:
    limits = {name: limit for recipe in recipes.values() for name, limit in recipe.parameters.items()}
    for name, source in step.parameters.items():
        at = (*here, "parameters", name)
        if recipes and name not in limits:
            text = f"not a parameter of recipe '{step.recipe}'" + meant(name, limits)
            yield Remark(path=at, text=text, of_key=True)
        limit = limits.get(name)
        yield from _formula(source, at, result_of(limit) if limit else (bool, int, float, str))
    missing = sorted(set(limits) - set(step.parameters))
    if missing:
        text = f"recipe '{step.recipe}' also needs {', '.join(missing)}"
        yield Remark(path=(*here, "parameters"), text=text, of_key=True)


def _formula(source: str, at: Path, result: tuple[type, ...]) -> Iterator[Remark]:
    try:
        compile_expression(source, result=result)
    except ExpressionError as error:
        yield Remark(path=at, text=str(error))


def _simulation(sections: Sections) -> Iterator[Remark]:
    if sections.simulation is None:
        return
    addresses: dict[Path, str] = {("shops", name, "url"): shop.url for name, shop in sections.shops.items()}
    addresses |= {("machines", name, "url"): machine.url for name, machine in sections.machines.items()}
    if sections.mqtt:
        addresses["mqtt", "url"] = sections.mqtt.url
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
