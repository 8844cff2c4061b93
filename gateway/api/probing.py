"""Probes over the control API: what one would do, its beginning, how it goes, and its end before the time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from drivers.base import CommandKind
from drivers.profile import Effect, Profile
from gateway.api.desk import Desk
from gateway.api.person import Asked, Person, found
from gateway.domain.machines import Level
from gateway.domain.probing import least
from gateway.errors import RefusedError
from gateway.ledger import commissioning, probes
from gateway.ledger.database import Tx
from gateway.ledger.probes import Origin, Subject

View = dict[str, Any]
Name = Annotated[str, Field(min_length=1, max_length=64)]
PowerCycle = Annotated[bool, Query()]
Recipe = Annotated[str | None, Query(max_length=64)]


class ProbeAsked(Asked):
    """How a machine is to be probed."""

    power_cycle: bool = False
    recipe: Name | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """A probe that may begin: what is probed, and what people are told before."""

    subject: Subject
    view: View


def probe_routes(desk: Desk) -> APIRouter:
    """Build the routes below `/machines/MACHINE/probe`."""
    router = APIRouter()

    @router.get("/{machine}/probe/plan")
    async def plan(machine: Name, *, power_cycle: PowerCycle = False, recipe: Recipe = None) -> View:
        return _plan(desk, machine, power_cycle=power_cycle, recipe=recipe).view

    @router.post("/{machine}/probe")
    async def begin(machine: Name, asked: ProbeAsked, who: Person) -> View:
        planned = _plan(desk, machine, power_cycle=asked.power_cycle, recipe=asked.recipe)
        ledger = desk.ledger
        origin = Origin(site=ledger.site, epoch=ledger.epoch, boot=ledger.boot, who=who, now=desk.clock.now())

        def act(tx: Tx) -> View:
            commissioning.refuse_while_open(tx, machine, now=origin.now)
            return probes.begin(tx, planned.subject, origin)

        return _with_link(desk, await ledger.write(act))

    @router.get("/{machine}/probe")
    async def newest(machine: Name) -> View:
        desk.place(machine)
        view = await desk.ledger.read(lambda tx: probes.view(tx, machine))
        return _with_link(desk, found(view, f"{machine} was never probed"))

    @router.post("/{machine}/probe/stop", status_code=204)
    async def stop(machine: Name, who: Person) -> None:
        desk.place(machine)
        await desk.ledger.write(lambda tx: probes.stop(tx, machine, who=who, now=desk.clock.now()))

    return router


def _plan(desk: Desk, machine: str, *, power_cycle: bool, recipe: str | None) -> _Plan:
    """Say what a probe would do; raise `RefusedError` where none is possible."""
    place = desk.place(machine)
    profile = place.type
    if place.by_hand:
        raise RefusedError(f"{machine} is a station: a person starts everything there, and nothing is to be proven")
    if profile.effect is Effect.BLIND:
        raise RefusedError(
            f"{machine} shows nothing (effect: blind), so nothing can be proven: make it a station, or accept it by "
            f"name: machines.{machine}.effect_accepted"
        )
    now = desk.board.get(("state", machine))
    if not now.get("identity"):
        raise RefusedError(f"{machine} does not answer now: {now.get('why', 'it was not seen yet')}")
    remembers = profile.effect is Effect.REMEMBERED
    name = _recipe(machine, profile, recipe) if remembers else ""
    if remembers and place.configured is Level.READ:
        raise RefusedError(f"a probe sends a job down: raise machines.{machine}.control to load in kvot.yaml")
    if power_cycle and not remembers:
        raise RefusedError(f"{machine} remembers no jobs, so there is no memory to prove by a power cycle")
    subject = Subject(
        machine=machine,
        effect=profile.effect,
        memory=profile.memory,
        identity=str(now["identity"]),
        profile=str(now["profile"]),
        recipe=name,
        recipe_version=profile.recipes[name].version if remembers else "",
        parameters=least(profile.recipes[name]) if remembers else {},
        power_cycle=power_cycle,
    )
    view = {
        "machine": machine,
        "endpoint": place.endpoint,
        "identity": subject.identity,
        "effect": subject.effect,
        "memory": subject.memory,
        "writes": _writes(subject),
        "people": _people(subject),
    }
    return _Plan(subject=subject, view=view)


def _recipe(machine: str, profile: Profile, recipe: str | None) -> str:
    if not profile.recipes:
        raise RefusedError(f"the profile of {machine} has no recipe that could be sent down")
    if recipe is None:
        return min(profile.recipes)
    if recipe not in profile.recipes:
        raise RefusedError(f"{machine} has no recipe {recipe!r}; there is {', '.join(sorted(profile.recipes))}")
    return recipe


def _writes(subject: Subject) -> list[str]:
    """List each byte that may be written, in words."""
    if subject.effect is Effect.OBSERVABLE:
        return []
    values = ", ".join(f"{name} {value}" for name, value in subject.parameters.items()) or "no parameters"
    job = f"one job of 1 piece, recipe {subject.recipe} ({values})"
    return [
        f"{CommandKind.LOAD}: {job}",
        f"{CommandKind.LOAD}: the same job once more, under the same id",
        f"{CommandKind.CANCEL}, or {CommandKind.ABORT} and {CommandKind.CLEAR}: the job is taken back",
        "never a start",
    ]


def _people(subject: Subject) -> list[str]:
    """List what people must do meanwhile."""
    if subject.effect is Effect.OBSERVABLE:
        return ["somebody stands at the panel and runs one empty cycle of one piece when asked; Kvot only watches"]
    listed = ["nobody presses Start at the panel: the job in the machine is none to make"]
    if subject.power_cycle:
        listed.append("somebody stands at the main switch and cuts the machine's power at once when asked")
    return listed


def _with_link(desk: Desk, view: Mapping[str, Any]) -> View:
    """Say with a probe whether its machine answers, and what its task says of it now."""
    machine = view["machine"]
    link = desk.board.get(("link", f"machine:{machine}")).get("state")
    return {**view, "link": link, "now": desk.board.get(("state", machine)).get("why")}
