"""A configuration in words, and leaf by leaf with where each came from."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from gateway.settings import faults
from gateway.settings.build import driving_step
from gateway.settings.explain import family_plan
from gateway.settings.load import Settings
from gateway.settings.models import MachineSettings, ShopSettings
from gateway.settings.routes import ProductSettings
from gateway.settings.secrets import Secret
from gateway.settings.values import Model

Leaf = bool | int | float | str | list[Any] | None


def facts(settings: Settings) -> Iterator[str]:
    """Say in words what follows from this configuration: a line for each of its parts."""
    site = settings.site
    yield f"site {site.id}: {site.enterprise}, {site.timezone}; topics begin with {settings.mqtt_base}"
    for name, shop in settings.shops.items():
        yield f"shop {name}: {_shop(shop)}"
    for name, product in settings.products.items():
        yield f"product {name}: {_product(settings, product)}"
    for name in settings.families:
        yield f"family {name}: {family_plan(settings, name)}"
    for name, machine in settings.machines.items():
        yield f"machine {name}: {_machine(settings, name, machine)}"
    yield f"broker: {settings.mqtt.url}" if settings.mqtt else "broker: none; nothing is published"
    if settings.simulation:
        yield f"simulation: business time runs {settings.simulation.speed:g} times as fast"


def leaves(settings: Settings) -> Iterator[tuple[str, Leaf, str | None]]:
    """Give each leaf's path, value and origin (None: its default); a secret shows its name only."""
    for path, value in _leaves(settings, ()):
        yield faults.path_text(path), value, settings.origin(path)


def tree(settings: Settings) -> dict[str, Any]:
    """Give the effective configuration as plain values; a secret shows its name only."""
    plain = _plain(settings)
    assert isinstance(plain, dict)
    return plain


def _shop(shop: ShopSettings) -> str:
    rule = shop.produce_when
    due = f"made when {' or '.join(rule.states)}" + (
        f", or paid by {' or '.join(rule.methods)}" if rule.methods else ""
    )
    personal = (
        f"keeps {', '.join(shop.personal)} for {shop.erase_after_days} days" if shop.personal else "keeps no names"
    )
    back = "writes state and promise back" if shop.write_back else "writes nothing back"
    return f"{shop.type} at {shop.url}, every {shop.poll_s:g} s, {shop.currency}; {due}; {personal}; {back}"


def _product(settings: Settings, product: ProductSettings) -> str:
    if not product.make:
        return "never made here"
    steps = []
    for step in product.steps:
        come = "" if step.batch is None else f", in batches of {step.batch}"
        if step.family is None:
            steps.append(f"{step.operation} by a person at {step.group}{come}")
        else:
            machines = " or ".join(settings.families[step.family].machines)
            steps.append(f"{step.operation} by recipe {step.recipe_name} on {machines} ({step.family}){come}")
    families = [settings.families[step.family] for step in product.steps if step.family is not None]
    if any(family.policy_name != "static" for family in families):
        promise = f"promised by its run of {product.steps[driving_step(settings, product.steps)].group}"
    else:
        promise = f"promised in {max((family.promise.static_days for family in families), default=0)} days"
    return f"{'; then '.join(steps)}, {promise}"


def _machine(settings: Settings, name: str, machine: MachineSettings) -> str:
    profile = settings.profile(name)
    if settings.is_station(name):
        return f"a station ({profile.name}): people see tickets and say what they did; needs no address and no arming"
    protection = "SignAndEncrypt" if machine.security else "no protection"
    control = {
        "read": "control read: Kvot only watches",
        "load": "control load: Kvot sends jobs, Start is pressed at the panel",
        "start": "control start: Kvot asks, the machine starts by its own permits",
    }[machine.control]
    risk = machine.risk_assessment
    signed = f" ({risk.ref}, {risk.by}, {risk.date})" if risk and machine.control == "start" else ""
    accepted = machine.effect_accepted
    known = f"accepted by {accepted.by}, {accepted.ref}, {accepted.date}" if accepted else "to be probed"
    return f"{profile.name} at {machine.url}, {protection}; effect {profile.effect} ({known}); {control}{signed}"


def _leaves(value: object, path: faults.Path) -> Iterator[tuple[faults.Path, Leaf]]:
    parts = _parts(value)
    if parts is None:
        yield path, _leaf(value)
        return
    for key, part in parts:
        yield from _leaves(part, (*path, key))


def _plain(value: object) -> object:
    parts = _parts(value)
    if parts is None:
        return _leaf(value)
    return (
        [_plain(part) for _, part in parts] if isinstance(value, tuple) else {key: _plain(part) for key, part in parts}
    )


def _parts(value: object) -> list[tuple[str | int, object]] | None:
    """Give what a section, mapping or list of sections holds; None for a leaf."""
    match value:
        case Model():
            return [(name, getattr(value, name)) for name in type(value).model_fields]
        case Mapping():
            return [(str(name), part) for name, part in value.items()]
        case tuple() if any(isinstance(part, Model) for part in value):
            return list(enumerate(value))
    return None


def _leaf(value: object) -> Leaf:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case tuple():
            return [_leaf(part) for part in value]
        case Secret():
            return repr(value)
        case datetime() | date():
            return value.isoformat()
        case Path():
            return str(value)
    raise TypeError(type(value).__name__)
