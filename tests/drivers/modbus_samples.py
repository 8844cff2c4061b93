"""A profile, commands and drivers as the tests of the mailbox use them."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from drivers.base import Command, CommandKind, Driver, Security, Session
from drivers.catalog import open_driver
from drivers.link import Links
from drivers.profile import Effect, Limit, MailboxMap, MailboxRecipe, Memory, PermitTags, Profile, Recipe, WordOrder
from tests.drivers.plc import Plc
from tests.drivers.plc_wire import Lie, served
from tests.drivers.samples import command, ignore


def mailbox_profile(*, little: bool = False, **changes: Any) -> Profile:
    """An oven behind the mailbox."""
    fields: dict[str, Any] = {
        "name": "modbus-mailbox",
        "protocol": "modbus",
        "dialect": "mailbox",
        "effect": Effect.REMEMBERED,
        "memory": Memory.VOLATILE,
        "clears_by_itself": False,
        "permits": PermitTags(remote="PERMIT.0", ready="PERMIT.1", handed_over="PERMIT.4"),
        "recipes": {
            "cure": Recipe(
                version="1",
                parameters={"temperature_c": Limit(min=20, max=250), "minutes": Limit(min=1, max=600)},
            )
        },
        "timeout_s": 2.0,
        "mailbox": MailboxMap(
            word_order=WordOrder.CDAB if little else WordOrder.ABCD,
            recipes={"cure": MailboxRecipe(number=3, parameters=("temperature_c", "minutes"))},
        ),
    }
    return Profile(**fields | changes)


def cure(kind: CommandKind, job_id: str = "LUND-1-1", **changes: Any) -> Command:
    """A command for the oven."""
    fields: dict[str, Any] = {"recipe": "cure", "parameters": {"temperature_c": 180.5, "minutes": 45}}
    return command(kind, job_id, **fields | changes)


def oven_driver(url: str, *, links: Links | None = None, little: bool = False, **profile: Any) -> Driver:
    """The driver for an oven behind an address."""
    return open_driver(
        name="oven-1",
        url=url,
        profile=mailbox_profile(little=little, **profile),
        security=Security(),
        monotonic=time.monotonic,
        links=links,
    )


@asynccontextmanager
async def opened(plc: Plc, **profile: Any) -> AsyncIterator[Session]:
    """Open a session with a PLC behind a real server."""
    async with served({1: plc}) as port, oven_driver(f"modbus://127.0.0.1:{port}/1", **profile).session(ignore) as it:
        yield it


def only(function: int, lie: Lie) -> Lie:
    """Lie about requests with one function, at most once."""
    told: list[bytes] = []

    def lying(request: bytes, reply: bytes) -> bytes | None:
        if request[7] != function or told:
            return reply
        told.append(request)
        return lie(request, reply)

    return lying


def commit(lie: Lie) -> Lie:
    """Lie about the first commit."""
    told: list[bytes] = []

    def lying(request: bytes, reply: bytes) -> bytes | None:
        if request[7] != 6 or request[9] != 158 or told:
            return reply
        told.append(request)
        return lie(request, reply)

    return lying
