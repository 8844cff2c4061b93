"""`kvot backup` and `kvot db`: made while the gateway runs, restored while it does not."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from typer.testing import CliRunner

from gateway.api.app import create_app
from gateway.api.desk import Desk
from gateway.api.serve import control_socket, serve
from gateway.cli import backup, exits
from gateway.cli.verbs import app
from gateway.ledger import check, migrations
from gateway.stages.backup import Backups
from tests.ledger.damage import damage
from tests.stages.factory import Factory, a_factory
from tests.stages.lives import LOG


@asynccontextmanager
async def _serving(state_dir: Path) -> AsyncIterator[Factory]:
    async with a_factory(state_dir) as factory:
        backups = Backups(factory.ledger, state_dir, every=timedelta(days=1), keep=3, clock=factory.clock, log=LOG)
        desk = Desk(
            ledger=factory.ledger.at_once(),
            board=factory.board,
            clock=factory.clock,
            machines={},
            shops=(),
            started_at=factory.clock.now(),
            backups=backups,
        )
        with control_socket(state_dir / "kvot.sock") as bound:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(serve(create_app(desk), bound)), group.create_task(backups.run())]
                try:
                    yield factory
                finally:
                    for task in tasks:
                        task.cancel()


async def _kvot(state_dir: Path, *words: str, exits_with: int = exits.OK) -> str:
    arguments = [*words, "--state-dir", str(state_dir)]
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert result.exit_code == exits_with, result.output
    return result.stdout if exits_with == exits.OK else result.stderr


def _kept(state_dir: Path) -> list[Path]:
    return list(state_dir.glob("before-schema-*"))


async def _told(state_dir: Path, *words: str) -> str:
    result = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--state-dir", str(state_dir)])
    assert result.exit_code == exits.OK, result.output
    return result.stderr


async def test_a_backup_is_made_listed_checked_and_restored(state_dir: Path) -> None:
    async with _serving(state_dir):
        made = (await _kvot(state_dir, "backup", "create")).strip()
        (listed,) = json.loads(await _kvot(state_dir, "backup", "list", "--output", "json"))
        assert listed["file"] == made
        assert listed["epoch"] == 1
        assert "sound" in await _kvot(state_dir, "db", "check", made)
        shown = json.loads(await _kvot(state_dir, "db", "status", "--output", "json"))
        assert (shown["epoch"], shown["writable"], shown["ballast"], shown["recovering"]) == (1, True, True, None)
        for words in (("backup", "restore", made), ("db", "check")):
            assert "in use by process" in await _kvot(state_dir, *words, exits_with=exits.STATE_LOCKED)

    await _kvot(state_dir, "backup", "restore", made)
    assert "sound" in await _kvot(state_dir, "db", "check")
    async with _serving(state_dir):
        status = json.loads(await _kvot(state_dir, "status", "--output", "json"))
        assert status["epoch"] == 2


async def test_what_cannot_be_restored_is_refused_in_words(state_dir: Path) -> None:
    async with _serving(state_dir):
        made = Path((await _kvot(state_dir, "backup", "create")).strip())
    damage(made)

    assert "damaged" in await _kvot(state_dir, "db", "check", str(made), exits_with=exits.FAILURE)
    assert "damaged" in await _kvot(state_dir, "backup", "restore", str(made), exits_with=exits.REFUSED)
    assert "no file" in await _kvot(state_dir, "backup", "restore", "nowhere.db", exits_with=exits.REFUSED)


async def test_the_ledger_is_upgraded_while_no_gateway_runs_and_a_copy_is_kept(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there is no ledger" in await _kvot(state_dir, "db", "upgrade", exits_with=exits.FAILURE)
    async with _serving(state_dir):
        assert "in use by process" in await _kvot(state_dir, "db", "upgrade", exits_with=exits.STATE_LOCKED)
    assert "nothing is due: the ledger has schema" in await _told(state_dir, "db", "upgrade")
    assert _kept(state_dir) == []

    shipped = migrations.known()
    newest = shipped[-1].number + 1

    def upgrade(tx: Connection) -> None:
        tx.execute(text("CREATE TABLE more (one INTEGER)"))

    steps = (*shipped, migrations.Migration(number=newest, name="more", upgrade=upgrade))
    monkeypatch.setattr(migrations, "known", lambda: steps)
    told = await _told(state_dir, "db", "upgrade")
    (kept,) = _kept(state_dir)
    assert f"schema {newest} now, not {newest - 1}" in told
    assert str(kept) in told
    assert check.identity(kept)["schema"] == newest - 1
    assert check.identity(state_dir / "ledger.db")["schema"] == newest
    assert check.identity(state_dir / "ledger.db")["boot"] == 1
    assert "nothing is due" in await _told(state_dir, "db", "upgrade")
    monkeypatch.undo()
    assert "newer Kvot" in await _kvot(state_dir, "db", "upgrade", exits_with=exits.FAILURE)
    monkeypatch.setattr(migrations, "known", lambda: steps)
    damage(state_dir / "ledger.db")
    assert "damaged" in await _kvot(state_dir, "db", "upgrade", exits_with=exits.FAILURE)


async def test_a_backup_that_takes_long_shows_its_progress_beside_the_answer(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "BAR_AFTER_S", 0.0)
    async with _serving(state_dir):
        assert (await _kvot(state_dir, "backup", "create")).strip().endswith("-1.db")


async def test_a_backup_that_fails_ends_the_command_with_its_reason(state_dir: Path) -> None:
    async with _serving(state_dir):
        (state_dir / "backups").write_text("in the way")
        assert "no backup was made" in await _kvot(state_dir, "backup", "create", exits_with=exits.FAILURE)
