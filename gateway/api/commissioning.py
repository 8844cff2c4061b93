"""Commissioning and hand writes over the control API: each is an act of the person who asks."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from drivers.base import Scalar
from gateway.api.desk import Desk
from gateway.api.person import Asked, Person, found
from gateway.domain.commissioning import value_of
from gateway.errors import RefusedError
from gateway.ledger import commissioning
from gateway.ledger.database import Tx
from gateway.ledger.times import to_text

View = dict[str, Any]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Text = Annotated[str, Query(max_length=200)]
Value = StrictBool | StrictInt | StrictFloat | Annotated[StrictStr, Field(max_length=200)]
_WAITS_S = 2.0  # beyond one look and one exchange: how long a write may wait for the machine's task


class WriteAsked(Asked):
    """One value for one tag, in the tag's unit; a number may come as a text."""

    tag: Name
    value: Value


def commissioning_routes(desk: Desk) -> APIRouter:
    """Build the routes below `/machines/MACHINE`."""
    router = APIRouter()
    ledger = desk.ledger

    @router.post("/{machine}/commission")
    async def begin(machine: Name, who: Person) -> View:
        if desk.place(machine).by_hand:
            raise RefusedError(f"{machine} is a station: a person works there, and Kvot writes nothing")
        now = desk.clock.now()
        given = await ledger.write(lambda tx: commissioning.begin(tx, machine, who=who, now=now))
        return {"by": given.who, "until": to_text(given.until)}

    @router.post("/{machine}/commission/end", status_code=204)
    async def end(machine: Name, who: Person) -> None:
        desk.place(machine)
        await ledger.write(lambda tx: commissioning.end(tx, machine, who=who, now=desk.clock.now()))

    @router.get("/{machine}/write/plan")
    async def plan(machine: Name, tag: Text, value: Text) -> View:
        return _plan(desk, machine, tag, value)

    @router.post("/{machine}/write")
    async def write(machine: Name, asked: WriteAsked, who: Person) -> View:
        planned, profile = _plan(desk, machine, asked.tag, asked.value), desk.place(machine).type
        until_s = desk.clock.monotonic() + profile.poll_s + 2 * profile.timeout_s + _WAITS_S

        def act(tx: Tx) -> View:
            commissioning.ask(
                tx,
                machine,
                asked.tag,
                planned["value"],
                who=who,
                gateway_boot=ledger.boot,
                until_s=until_s,
                now=desk.clock.now(),
            )
            return _newest(tx, machine) or {}

        return await ledger.write(act)

    @router.get("/{machine}/write")
    async def newest(machine: Name) -> View:
        desk.place(machine)
        view = await ledger.read(lambda tx: _newest(tx, machine))
        return found(view, f"nothing was ever written to {machine}")

    def _newest(tx: Tx, machine: str) -> View | None:
        return commissioning.newest(tx, machine, gateway_boot=ledger.boot, monotonic_s=desk.clock.monotonic())

    return router


def _plan(desk: Desk, machine: str, tag: str, given: Scalar) -> View:
    """Say what would be written where; raise `RefusedError` for what may not be."""
    place = desk.place(machine)
    profile = place.type
    limit = profile.writable.get(tag)
    if limit is None:
        listed = ", ".join(sorted(profile.writable)) or "none"
        raise RefusedError(
            f"{tag} is not in the write list of profile {profile.name}; writable there: {listed}. "
            "Nothing else is ever written by hand"
        )
    now = desk.board.get(("state", machine))
    if not now.get("identity"):
        raise RefusedError(f"{machine} does not answer now: {now.get('why', 'it was not seen yet')}")
    try:
        value = value_of(given, limit)
    except ValueError as fault:
        raise RefusedError(f"{tag} is not written: {fault}") from fault
    known = profile.tags[tag]
    return {
        "machine": machine,
        "endpoint": place.endpoint,
        "identity": now["identity"],
        "tag": tag,
        "address": known.address,
        "value": value,
        "unit": known.unit,
        "min": limit.min,
        "max": limit.max,
        "one_of": list(limit.one_of),
    }
