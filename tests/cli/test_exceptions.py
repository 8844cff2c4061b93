"""`kvot exceptions` for every kind there can be: listed with what a person needs, and answered over the socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio

from gateway.api.app import create_app
from gateway.api.desk import Desk
from gateway.api.serve import control_socket, serve
from gateway.cli import exits
from gateway.domain.exceptions import Kind, kind_of
from gateway.ledger import events, exceptions
from gateway.ledger.database import Ledger, open_ledger
from gateway.stages.board import Board
from tests.cli.test_verbs import Kvot
from tests.ledger.every_exception import CLOCK, SCENES
from tests.ledger.work import NOW


@dataclass
class Changing:
    """A ledger in whose place another is put for each kind."""

    ledger: Ledger | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ledger, name)


@pytest_asyncio.fixture
async def served(state_dir: Path) -> AsyncIterator[tuple[Changing, Kvot]]:
    changing, path = Changing(), state_dir / "kvot.sock"
    ledger: Any = changing
    desk = Desk(ledger=ledger, board=Board(), clock=CLOCK, machines={}, shops=(), started_at=NOW)
    with control_socket(path) as bound:
        async with asyncio.TaskGroup() as group:
            server = group.create_task(serve(create_app(desk), bound))
            yield changing, Kvot(path)
            server.cancel()


async def test_every_kind_is_listed_and_answered_by_the_verb(served: tuple[Changing, Kvot], state_dir: Path) -> None:
    changing, kvot = served
    for kind in Kind:
        home = state_dir / kind.name
        home.mkdir()
        async with open_ledger(home, site="LUND", commit_interval_s=0.001) as changing.ledger:
            await changing.ledger.write(lambda tx, kind=kind: SCENES[kind](tx)())  # type: ignore[misc]
            listed = json.loads(await kvot("exceptions", "list", "--output", "json"))
            (asked,) = (one for one in listed if kind_of(one["subject"], one["cause"]) is kind)
            name, action = str(asked["exception_id"]), asked["actions"][-1]
            refusal = await kvot("exceptions", "resolve", name, "--action", "explode", exits_with=exits.REFUSED)
            assert "choose one of " + ", ".join(asked["actions"]) in refusal
            await kvot("exceptions", "resolve", name, "--action", action, "--note", "looked")
            told = await changing.ledger.read(lambda tx, name=name: events.history(tx, f"exception:{name}", 9))  # type: ignore[misc]
            assert told[-1]["who"].startswith("person:"), kind
            assert told[-1]["after"] == {"resolution": action, "note": "looked"}
            left = await changing.ledger.read(exceptions.list_exceptions)
            assert next(one for one in left if str(one["exception_id"]) == name)["state"] == "resolved"
