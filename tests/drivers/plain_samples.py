"""A profile, commands and drivers as the tests of plain machines use them."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from drivers.base import Command, CommandKind, Driver, Reconciling, Security, Session
from drivers.catalog import open_driver
from drivers.link import Links
from drivers.profile import (
    Effect,
    Limit,
    Memory,
    PermitTags,
    Place,
    PlainMap,
    PlainRecipe,
    Profile,
    Recipe,
    WordOrder,
)
from simulators.plain.settings import PlainSimulation
from simulators.plain.simulation import RunningPlain, running_plain
from tests.drivers.samples import command, ignore

IDLE = "idle, not done, good 0, scrap 0"
TRIM = PlainRecipe(number=3, parameters={"length_mm": Place(address="holding:2", type="float32")})


def plain_map(**changes: Any) -> PlainMap:
    """The map of the simulated plain machine as it is without arguments."""
    order = changes.pop("order", WordOrder.ABCD)
    fields: dict[str, Any] = {
        "start": "coil:0",
        "busy": "coil:1",
        "done": "coil:2",
        "good": Place(address="holding:100", type="uint32", order=order),
        "scrap": Place(address="holding:102", type="uint32", order=order),
        "quantity": Place(address="holding:1"),
        "recipe": Place(address="holding:0"),
        "scan_s": 0.02,
        "recipes": {
            "trim": replace(TRIM, parameters={"length_mm": replace(TRIM.parameters["length_mm"], order=order)})
        },
    }
    return PlainMap(**fields | changes)


def plain_profile(plain: PlainMap | None = None, **changes: Any) -> Profile:
    """A plain machine type."""
    fields: dict[str, Any] = {
        "name": "modbus-plain",
        "protocol": "modbus",
        "dialect": "plain",
        "effect": Effect.OBSERVABLE,
        "memory": Memory.VOLATILE,
        "clears_by_itself": False,
        "permits": PermitTags(remote="coil:3", ready="coil:4"),
        "recipes": {"trim": Recipe(version="1", parameters={"length_mm": Limit(min=10, max=2000)})},
        "setup_code": "holding:104",
        "timeout_s": 0.4,
        "plain": plain if plain is not None else plain_map(),
    }
    return Profile(**fields | changes)


def trim(kind: CommandKind = CommandKind.LOAD_START, job_id: str = "LUND-1-1", **changes: Any) -> Command:
    """A command for the plain machine."""
    fields: dict[str, Any] = {"recipe": "trim", "parameters": {"length_mm": 120.5}, "baseline": IDLE}
    return command(kind, job_id, **fields | changes)


def plain_driver(url: str, plain: PlainMap | None = None, *, links: Links | None = None, **profile: Any) -> Driver:
    """The driver for a plain machine behind an address."""
    return open_driver(
        name="saw-1",
        url=url,
        profile=plain_profile(plain, **profile),
        security=Security(),
        monotonic=time.monotonic,
        links=links,
    )


@asynccontextmanager
async def saw(folder: Path, **wanted: Any) -> AsyncIterator[RunningPlain]:
    """Run a simulated plain machine, ready to start."""
    fields: dict[str, Any] = {"scan_s": 0.005, "cycle_s": 0.05}
    async with running_plain(PlainSimulation(journal=folder / "saw.jsonl", **fields | wanted)) as machine:
        await machine.panel(reset=True)
        yield machine


@asynccontextmanager
async def opened(
    machine: RunningPlain, plain: PlainMap | None = None, **profile: Any
) -> AsyncIterator["ReconcilingSession"]:
    """Open a session with it."""
    async with plain_driver(machine.url, plain, **profile).session(ignore) as session:
        assert isinstance(session, Reconciling)
        yield session  # type: ignore[misc]


class ReconcilingSession(Session, Reconciling):
    """Both ports of a plain machine's session."""
