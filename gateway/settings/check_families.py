"""Whether runs can be gathered, priced and promised by what is written under families and pricing."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.settings.build_rules import to_attendance, to_calendar
from gateway.settings.cycles import planned_cycle_s
from gateway.settings.families import FamilySettings, RunSettings, SetupSettings
from gateway.settings.faults import Path, meant, shown
from gateway.settings.scene import Remark, Scene

_A_MONDAY: Final = datetime(2001, 1, 1, tzinfo=UTC)
_WEEKS: Final = 52


def faults(scene: Scene) -> Iterator[Remark]:
    """Find what keeps a family from being planned, or would be decided in silence."""
    for name, family in scene.sections.families.items():
        here: Path = ("families", name)
        yield from _policy(scene, family, here)
        yield from _changeover(scene, name, family)
        if family.run is not None:
            yield from _run(family, family.run, (*here, "run"))
        if family.setup is not None:
            yield from _setup(scene, family.setup, name)
        if family.express is not None and family.express.enabled and not family.gathers:
            text = (
                "every order of this family is made at once already; give run: with release: threshold or latest_start"
            )
            yield Remark(path=(*here, "express"), text=f"{text}, or take it out")
        if family.gathers or _priced(family):
            yield from _planned(scene, name, family)
        else:
            yield from _attended(scene, name, family)
    yield from _money(scene)


def warnings(scene: Scene) -> Iterator[Remark]:
    """Find what is planned by belief alone, and shops that no price can reach."""
    currency = scene.sections.pricing.currency
    priced = any(_priced(family) for family in scene.sections.families.values())
    for name, shop in scene.sections.shops.items():
        if priced and currency is not None and shop.currency != currency:
            text = f"families are priced in {currency}: this shop gets promises from them, but no prices"
            yield Remark(path=("shops", name, "currency"), text=text)
        if shop.prices and scene.sections.pricing.mode == "off":
            yield Remark(path=("shops", name, "prices"), text="nothing is written while pricing.mode is off")
    for name, family in scene.sections.families.items():
        if family.demand is not None and family.demand.visitors == "shop":
            text = "no shop tells its visitors yet: until one does, nobody is expected; give visitors a day"
            yield Remark(path=("families", name, "demand", "visitors"), text=text)


def _priced(family: FamilySettings) -> bool:
    return family.policy_name != "static"


def _policy(scene: Scene, family: FamilySettings, here: Path) -> Iterator[Remark]:
    decisive = [key for key in ("run", "price") if scene.has(*here, key)]
    if family.policy is None and decisive:
        text = f"missing; {' and '.join(decisive)} need it in words: static, distance or countdown"
        yield Remark(path=(*here, "policy"), text=text, of_key=True)
    if not _priced(family):
        return
    if not family.gathers:
        text = f"{family.policy_name} follows a run that gathers work; give run: with release: threshold"
        yield Remark(path=(*here, "policy"), text=f"{text} or latest_start, or use static")
    hard = family.price.hard if family.price is not None else (0.85, 1.20)
    distance = family.distance
    if family.policy_name == "distance" and not hard[0] <= distance.near <= distance.far <= hard[1]:
        text = f"near {distance.near:g} to far {distance.far:g} must rise, and lie within price.hard"
        yield Remark(path=(*here, "policy"), text=f"{text} ({hard[0]:g} to {hard[1]:g}), else it is always cut")


def _run(family: FamilySettings, run: RunSettings, here: Path) -> Iterator[Remark]:
    if run.threshold > run.places:
        text = f"{run.threshold} is never reached: a run has {run.places} places and starts when it is full"
        yield Remark(path=(*here, "threshold"), text=text)
    if run.window_h == "auto":
        if family.gathers and family.demand is None:
            text = "auto is computed from demand:, and there is none; give hours, or demand: {visitors: .., ..}"
            yield Remark(path=(*here, "window_h"), text=text)
    elif run.window_h > run.max_window_h:
        yield Remark(path=(*here, "window_h"), text=f"above max_window_h ({run.max_window_h:g})")


def _setup(scene: Scene, setup: SetupSettings, family: str) -> Iterator[Remark]:
    here: Path = ("families", family, "setup")
    for key, value in (("cost", setup.cost_now), ("hours", setup.hours_now)):
        if value is None:
            text = f"auto, and nothing is measured yet: give a number, or fallback: {{{key}: ..}}"
            yield Remark(path=(*here, key), text=text, of_key=not scene.has(*here, key))
    if setup.tool_code is None:
        return
    if not setup.confirm:
        text = "the fitted tool confirms the set-up: leave confirm out, or tool_code"
        yield Remark(path=(*here, "confirm"), text=text)
    for machine in scene.machines_of(family):
        profile = scene.profile_of(machine)
        if profile is not None and profile.setup_code is None and profile.mailbox is None:
            text = f"machine '{machine}' (profile {profile.name}) names no fitted tool; give the profile setup_code"
            yield Remark(path=(*here, "tool_code"), text=f"{text}, or leave it out: a person confirms the set-up")


def _changeover(scene: Scene, family: str, settings: FamilySettings) -> Iterator[Remark]:
    here: Path = ("families", family, "changeover")
    for key in settings.changeover:
        before, arrow, after = key.partition("->")
        if key == "default":
            continue
        if not arrow:
            text = f"must be default, or a change such as other->{family}"
        elif before not in scene.names["families"]:
            text = f"no '{shown(before)}' under families{meant(before, scene.names['families'] - {family})}"
        elif after != family:
            text = f"ends in '{shown(after)}', and these are the changes to {family}"
        else:
            continue
        yield Remark(path=(*here, key), text=text, of_key=True)
    if settings.changeover and "default" not in settings.changeover:
        text = "default missing; it holds for every change that is not named"
        yield Remark(path=here, text=text, of_key=True)


def _planned(scene: Scene, name: str, family: FamilySettings) -> Iterator[Remark]:
    """Find the numbers that are missing to plan with; none of them can be measured before it has run."""
    here: Path = ("families", name)
    needed = {
        "setup": "what a set-up costs and how long it takes: {fallback: {cost: .., hours: ..}}",
        "unit": "what a piece costs: {material: ..}",
    }
    for key, text in needed.items():
        if _priced(family) and not scene.has(*here, key):
            yield Remark(path=(*here, key), text=f"missing; {text}", of_key=True)
    if not scene.has("pricing", "currency"):
        text = "missing; the currency in which the costs under families are written"
        yield Remark(path=("pricing", "currency"), text=text, of_key=True)
    if family.policy_name == "countdown" and not scene.has(*here, "demand"):
        text = "missing; what is believed of the buyers: {visitors: .., conversion: .., lead_slope_day: ..}"
        yield Remark(path=(*here, "demand"), text=text, of_key=True)
    cycle_s = planned_cycle_s(scene.sections, scene.profiles, name)
    if cycle_s is None:
        text = "missing; the length of a run follows from it: seconds of one machine cycle, here or at each recipe"
        yield Remark(path=(*here, "cycle_s"), text=text, of_key=True)
    elif family.run is not None and family.machines[0] in scene.sections.machines:
        yield from _length(scene, name, family.run.places * cycle_s)


def _attended(scene: Scene, name: str, family: FamilySettings) -> Iterator[Remark]:
    """Find a machine that would never be asked for a start, as nobody knows how long its jobs take."""
    for machine in family.machines:
        settings, profile = scene.sections.machines.get(machine), scene.profile_of(machine)
        if settings is None or profile is None or settings.control != "start":
            continue
        attendance = to_attendance(scene.sections, scene.profiles, machine)
        if not attendance.covers_any and name not in attendance.cycle_s:
            text = "missing; a job that would end when nobody is there is not started: seconds of one machine cycle, "
            yield Remark(path=("families", name, "cycle_s"), text=f"{text}here or at each recipe", of_key=True)
            return


def _length(scene: Scene, name: str, cycles_s: float) -> Iterator[Remark]:
    """Refuse a run that no promise could be computed for: longer than a year of its calendar."""
    family = scene.sections.families[name]
    good = 1.0 if family.unit is None else 1 - family.unit.scrap
    setup_h = (family.setup.hours_now or 0.0) if family.setup is not None else 0.0
    run_h = setup_h + cycles_s / 3600 / family.pieces_per_cycle / good
    calendar = replace(to_calendar(scene.sections, family=name), closed=frozenset())
    week_h = calendar.working_hours(_A_MONDAY, _A_MONDAY + timedelta(days=7))
    if run_h > _WEEKS * week_h:
        text = f"a full run takes {run_h:.0f} working hours, and its calendar has {week_h:.3g} a week: more than a year"
        yield Remark(path=("families", name, "run"), text=text, of_key=True)


def _money(scene: Scene) -> Iterator[Remark]:
    """Find shops whose prices cannot be compared with costs."""
    sections = scene.sections
    currency = sections.pricing.currency
    priced = any(_priced(family) for family in sections.families.values())
    for name, shop in sections.shops.items():
        if shop.prices and not priced:
            text = "no family has a price that moves: give one policy: distance or countdown, or write false"
            yield Remark(path=("shops", name, "prices"), text=text)
        elif shop.prices and currency is not None and shop.currency != currency:
            text = f"families are priced in {currency}, this shop sells in {shop.currency}; write false"
            yield Remark(path=("shops", name, "prices"), text=text)
        if priced and shop.currency == currency and shop.price_includes_tax and shop.tax_rate is None:
            text = "missing; prices that follow runs are reckoned without tax: tax_rate: 0.25, 0 where there is none"
            yield Remark(path=("shops", name, "tax_rate"), text=text, of_key=True)
