"""A copy of the ledger is whole, holds what was written while it was made, and keeps nobody waiting."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from gateway.errors import LedgerError
from gateway.ledger import check
from gateway.ledger.copying import STEP_PAGES
from gateway.ledger.database import Ledger, Tx, open_ledger
from gateway.ledger.sql import change, insert, row

BIG = "x" * 2000


async def _fill(ledger: Ledger, rows: int) -> None:
    def event(tx: Tx) -> None:
        for number in range(rows):
            insert(tx, "stock", item=f"{number}-{BIG}", quantity=number)

    await ledger.write(event)


def _count(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as raw:
        return int(raw.execute("SELECT COUNT(*) FROM stock").fetchone()[0])


async def test_a_copy_is_a_sound_ledger_for_its_owner_alone(ledger: Ledger, state_dir: Path) -> None:
    await _fill(ledger, 10)

    await ledger.copy(state_dir / "copy.db", progress=lambda *_: None)

    assert check.faults(state_dir / "copy.db", whole=True) == []
    assert check.identity(state_dir / "copy.db")["ledger_id"] == ledger.ledger_id
    assert (state_dir / "copy.db").stat().st_mode & 0o777 == 0o600
    assert _count(state_dir / "copy.db") == 10


class Held:
    """Holds a copy after its first step, until a test lets it go."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []
        self.begun = asyncio.Event()
        self.go = threading.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self, done: int, pages: int) -> None:
        self.steps.append((done, pages))
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self.go.wait(20)


async def test_events_are_answered_between_the_steps_and_are_in_the_copy(ledger: Ledger, state_dir: Path) -> None:
    await _fill(ledger, 1500)
    held = Held()

    async def write_on() -> int:
        await held.begun.wait()
        asyncio.get_running_loop().call_soon(held.go.set)  # by then the event is queued
        await ledger.write(partial(insert, table="stock", item="late", quantity=0))
        return len(held.steps)

    async with asyncio.TaskGroup() as group:
        answered = group.create_task(write_on())
        await ledger.copy(state_dir / "copy.db", progress=held)

    assert held.steps[0][0] <= STEP_PAGES < held.steps[0][1]
    assert answered.result() < len(held.steps)  # it did not wait for the end
    assert check.faults(state_dir / "copy.db", whole=True) == []
    assert _count(state_dir / "copy.db") == 1501


async def test_a_copy_that_cannot_be_written_fails_alone(ledger: Ledger, state_dir: Path) -> None:
    with pytest.raises(LedgerError, match="not copied"):
        await ledger.copy(state_dir / "nowhere" / "copy.db", progress=lambda *_: None)

    assert not ledger.broken
    await _fill(ledger, 1)


async def test_a_copy_gives_up_when_nobody_waits_for_it_any_more(ledger: Ledger, state_dir: Path) -> None:
    await _fill(ledger, 1500)
    held = Held()
    copying = asyncio.ensure_future(ledger.copy(state_dir / "copy.db", progress=held))
    await held.begun.wait()
    copying.cancel()
    await asyncio.wait((copying,))
    held.go.set()

    await ledger.write(lambda tx: change(tx, "DELETE FROM stock"))
    assert len(held.steps) <= 2
    assert await ledger.read(lambda tx: row(tx, "SELECT 1 FROM stock")) is None


async def test_a_ledger_that_closes_does_not_wait_for_a_copy(state_dir: Path) -> None:
    held = Held()
    async with open_ledger(state_dir, site="LUND") as ledger:
        await _fill(ledger, 1500)
        copying = asyncio.ensure_future(ledger.copy(state_dir / "copy.db", progress=held))
        await held.begun.wait()
        asyncio.get_running_loop().call_soon(held.go.set)
    with pytest.raises(LedgerError):
        await copying
    async with open_ledger(state_dir, site="LUND") as again:
        assert await again.read(lambda tx: row(tx, "SELECT boot FROM meta")) is not None
