"""Backups are made when due or asked for, checked as a whole, counted, and a failed one calls a person."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.exceptions import Kind
from gateway.ledger import check, opening
from gateway.ledger.database import Ledger
from gateway.stages import backup
from gateway.stages.backup import Backups, Phase
from tests.eventually import eventually
from tests.ledger.damage import damage
from tests.stages.factory import LOG, Factory, a_factory

DAY = timedelta(days=1)


@asynccontextmanager
async def running(factory: Factory, state_dir: Path, *, keep: int = 3) -> AsyncIterator[Backups]:
    backups = Backups(factory.ledger, state_dir, every=DAY, keep=keep, clock=factory.clock, log=LOG)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(backups.run())
        try:
            yield backups
        finally:
            task.cancel()


async def _make(backups: Backups) -> backup.Making:
    number = backups.ask()
    await eventually(lambda: backups.latest is not None and backups.latest.number >= number)
    assert backups.latest is not None
    await asyncio.wait_for(backups.latest.over.wait(), 60)
    return backups.latest


async def test_a_backup_that_is_asked_for_is_whole_and_named_by_its_time_and_epoch(state_dir: Path) -> None:
    async with a_factory(state_dir) as factory, running(factory, state_dir) as backups:
        made = await _make(backups)

        assert made.phase is Phase.DONE, made.error
        assert made.path == state_dir / "backups" / "20260504T080000Z-1.db"
        assert check.faults(made.path, whole=True) == []
        assert [one.path for one in backups.list()] == [made.path]
        assert (state_dir / "backups").stat().st_mode & 0o777 == 0o700


async def test_only_so_many_are_kept_and_the_oldest_goes(state_dir: Path) -> None:
    async with a_factory(state_dir) as factory, running(factory, state_dir, keep=2) as backups:
        for _ in range(3):
            factory.clock.advance(3600)
            await _make(backups)

        assert [one.made_at.hour for one in backups.list()] == [10, 11]


async def test_one_is_made_when_it_is_due_but_not_right_after_the_start(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "LOOK_AGAIN_S", 0.01)
    async with a_factory(state_dir) as factory, running(factory, state_dir) as backups:
        await factory.ledger.read(lambda _tx: None)  # by then it has begun
        factory.clock.advance(backup.FIRST_S - 1)
        await factory.ledger.read(lambda _tx: None)
        assert backups.latest is None
        factory.clock.advance(1)
        await eventually(backups.list)
        factory.clock.advance(DAY.total_seconds())
        await eventually(lambda: len(backups.list()) == 2)


async def test_a_copy_that_does_not_hold_is_not_kept_and_a_person_called(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Ledger.copy

    async def damaging(self: Ledger, target: Path, **more: Any) -> None:
        await real(self, target, **more)
        damage(target)

    async with a_factory(state_dir) as factory, running(factory, state_dir) as backups:
        good = await _make(backups)
        monkeypatch.setattr(Ledger, "copy", damaging)
        factory.clock.advance(3600)
        made = await _make(backups)
        assert made.phase is Phase.FAILED
        assert "damaged" in made.error
        assert [one.path for one in backups.list()] == [good.path]

        async def asked() -> list[str]:
            return [one["cause"] for one in await factory.exceptions()]

        await eventually(asked)
        assert await asked() == [Kind.BACKUP.cause]
        monkeypatch.undo()
        factory.clock.advance(3600)
        assert (await _make(backups)).phase is Phase.DONE

        async def settled() -> bool:
            return await asked() == []

        await eventually(settled)


async def test_a_ledger_too_large_to_be_checked_before_the_start_is_checked_right_after_it(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "CHECK_BELOW_BYTES", 1)
    real = Ledger.copy

    async def damaging(self: Ledger, target: Path, **more: Any) -> None:
        await real(self, target, **more)
        damage(target)

    async with a_factory(state_dir) as factory:

        async def asked() -> list[str]:
            return [one["cause"] for one in await factory.exceptions()]

        async def settled() -> bool:
            return await asked() == []

        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "copy", damaging)
            async with running(factory, state_dir) as backups:
                await eventually(asked)
                assert await asked() == [Kind.DAMAGED.cause]
                assert backups.list() == []
        async with running(factory, state_dir):
            await eventually(settled)
        assert list((state_dir / "backups").iterdir()) == []


async def test_a_disk_that_takes_no_backup_ends_nothing(state_dir: Path) -> None:
    async with a_factory(state_dir) as factory, running(factory, state_dir) as backups:
        (state_dir / "backups").write_text("in the way")
        assert (await _make(backups)).phase is Phase.FAILED
        (state_dir / "backups").unlink()
        factory.clock.advance(3600)
        assert (await _make(backups)).phase is Phase.DONE


async def test_what_a_crash_left_half_made_is_removed(state_dir: Path) -> None:
    part = state_dir / "backups" / "20260504T080000Z-1.part"
    async with a_factory(state_dir) as factory:
        part.parent.mkdir()
        part.touch()
        async with running(factory, state_dir):
            await eventually(lambda: not part.exists())


async def test_the_check_finds_a_row_that_refers_to_nothing(state_dir: Path) -> None:
    async with a_factory(state_dir) as factory, running(factory, state_dir) as backups:
        made = await _make(backups)
        assert made.path is not None
        with closing(sqlite3.connect(made.path)) as raw, raw:
            raw.execute("INSERT INTO lots (lot, job_id) VALUES ('L1', 'nobody')")
        assert check.faults(made.path, whole=False) == ["row 1 of lots refers to a row of jobs that is not there"]
