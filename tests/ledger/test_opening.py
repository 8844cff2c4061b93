"""Opening a ledger: new, resumed, upgraded, or refused with the reason."""

import asyncio
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway.errors import LedgerError, StateLockedError
from gateway.ledger import engine, migrations, opening, schema
from gateway.ledger.database import Ledger, Tx, open_ledger
from gateway.ledger.migrations import Migration

SHIPPED = migrations.known()


async def _open(state_dir: Path, site: str = "LUND", **options: Any) -> Ledger:
    """Open a ledger and close it again; give who it was."""
    async with open_ledger(state_dir, site=site, **options) as ledger:
        return ledger


def _edit(state_dir: Path, sql: str) -> Any:
    """Change a ledger that nobody has open."""
    with closing(sqlite3.connect(state_dir / "ledger.db", isolation_level=None)) as raw:
        return raw.execute(sql).fetchone()


def _upgrade(sql: str) -> Callable[[Tx], None]:
    def upgrade(tx: Tx) -> None:
        tx.execute(text(sql))

    return upgrade


def _step(number: int, sql: str) -> Migration:
    return Migration(number=number, name=f"{number:04}_test", upgrade=_upgrade(sql))


async def test_a_state_directory_is_made_for_its_owner_alone(state_dir: Path) -> None:
    home = state_dir / "deep" / "state"
    async with open_ledger(home, site="LUND"):
        modes = {path.name: path.stat().st_mode & 0o777 for path in [home, *home.iterdir()]}

    assert modes == {"state": 0o700, "ledger.db": 0o600, "ledger.db-wal": 0o600, "lock": 0o600, "ledger.id": 0o600}


async def test_a_new_ledger_knows_who_it_is(state_dir: Path) -> None:
    ledger = await _open(state_dir)

    assert (ledger.site, ledger.epoch, ledger.boot) == ("LUND", 1, 1)
    assert len(ledger.ledger_id) == 36


async def test_every_start_is_counted_and_the_ledger_stays_the_same(state_dir: Path) -> None:
    first, second, third = [await _open(state_dir) for _ in range(3)]

    assert [first.boot, second.boot, third.boot] == [1, 2, 3]
    assert first.ledger_id == second.ledger_id == third.ledger_id
    assert third.epoch == 1


async def test_a_second_instance_is_refused_and_told_who_is_there(state_dir: Path) -> None:
    opening = f"""
import asyncio
from pathlib import Path
from gateway.ledger.database import open_ledger
async def main():
    async with open_ledger(Path({str(state_dir)!r}), site="LUND"):
        print("mine", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", opening, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    try:
        assert await asyncio.wait_for(child.stdout.readline(), 30) == b"mine\n"
        with pytest.raises(StateLockedError, match=f"process {child.pid}:"):
            await _open(state_dir)
    finally:
        child.kill()
        await child.wait()
        child._transport.close()  # type: ignore[attr-defined]

    assert (await _open(state_dir)).boot == 2


async def test_a_second_instance_in_the_same_process_is_refused(state_dir: Path) -> None:
    async with open_ledger(state_dir, site="LUND"):
        with pytest.raises(StateLockedError):
            await _open(state_dir)


async def test_the_ledger_of_another_site_is_refused(state_dir: Path) -> None:
    await _open(state_dir)

    with pytest.raises(LedgerError, match="site LUND, not of OSLO"):
        await _open(state_dir, "OSLO")

    assert (await _open(state_dir)).boot == 2


async def test_a_ledger_of_a_newer_program_is_refused_and_left_alone(state_dir: Path) -> None:
    await _open(state_dir)
    _edit(state_dir, "UPDATE meta SET schema = 9999")
    before = _edit(state_dir, "SELECT * FROM meta")

    with pytest.raises(LedgerError, match="written by a newer Kvot"):
        await _open(state_dir)

    assert _edit(state_dir, "SELECT * FROM meta") == before


async def test_after_an_orderly_stop_no_log_lies_beside_the_ledger(state_dir: Path) -> None:
    async with open_ledger(state_dir, site="LUND"):
        assert (state_dir / "ledger.db-wal").exists()

    assert not (state_dir / "ledger.db-wal").exists()


def _damage(state_dir: Path, name: str = "events_by_subject", *, known: Path | None = None) -> None:
    """Flip bytes in the page where a table or index begins; `known`: where to look up which page that is."""
    path = state_dir / "ledger.db"
    page = _edit(known or state_dir, f"SELECT rootpage FROM sqlite_master WHERE name = '{name}'")[0]
    size = _edit(known or state_dir, "PRAGMA page_size")[0]
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 100)


async def test_damage_is_found_at_the_start_before_anything_is_done_whatever_the_stop_was(state_dir: Path) -> None:
    await _open(state_dir)
    _damage(state_dir)

    with pytest.raises(LedgerError, match="damaged"):
        await _open(state_dir)


async def test_an_index_that_lost_its_content_is_damage(state_dir: Path) -> None:
    await _open(state_dir)
    page = _edit(state_dir, "SELECT rootpage FROM sqlite_master WHERE name = 'events_by_subject'")[0]
    size = _edit(state_dir, "PRAGMA page_size")[0]
    with (state_dir / "ledger.db").open("r+b") as file:
        file.seek((page - 1) * size)
        kind = file.read(1)[0]
        file.seek((page - 1) * size)
        file.write(bytes([kind ^ 0x08]))  # a leaf becomes an inner page whose only branch is nothing

    with pytest.raises(LedgerError, match="damaged"):
        await _open(state_dir)


async def test_damage_that_the_log_of_a_killed_gateway_covers_is_mended_before_anything_is_done(
    state_dir: Path, tmp_path: Path
) -> None:
    await _open(state_dir)
    async with open_ledger(state_dir, site="LUND"):
        killed = Path(shutil.copytree(state_dir, tmp_path / "killed"))  # its log holds the page with the boot
    _damage(killed, "meta", known=state_dir)

    async with open_ledger(killed, site="LUND") as ledger:
        alone = shutil.copy(killed / "ledger.db", tmp_path / "alone.db")
    assert ledger.boot == 3
    with closing(sqlite3.connect(alone)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_large_ledger_keeps_no_machine_waiting_for_its_check(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _open(state_dir)
    _damage(state_dir)
    monkeypatch.setattr(opening, "CHECK_BELOW_BYTES", 1)

    assert (await _open(state_dir)).boot == 2


async def test_a_lost_ledger_is_never_replaced_by_an_empty_one(state_dir: Path) -> None:
    lost = await _open(state_dir)
    (state_dir / "ledger.db").unlink()

    with pytest.raises(LedgerError, match=f"gone or empty.*{lost.ledger_id}"):
        await _open(state_dir)

    (state_dir / "ledger.db").touch()
    with pytest.raises(LedgerError, match="gone or empty"):
        await _open(state_dir)

    (state_dir / "ledger.id").unlink()
    assert (await _open(state_dir)).ledger_id != lost.ledger_id


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"SQLite format 3\0" + b"\xff" * 8000])
async def test_a_file_that_is_no_ledger_is_refused_and_kept(state_dir: Path, content: bytes) -> None:
    (state_dir / "ledger.db").write_bytes(content)

    with pytest.raises(LedgerError):
        await _open(state_dir)

    assert (state_dir / "ledger.db").read_bytes() == content


async def test_a_directory_that_cannot_be_used_is_refused(state_dir: Path) -> None:
    (state_dir / "ledger.db").mkdir()

    with pytest.raises(LedgerError):
        await _open(state_dir)


# Migrations -----------------------------------------------------------------------------------------


def test_the_shipped_steps_are_numbered_without_a_gap() -> None:
    assert [step.number for step in SHIPPED] == list(range(1, len(SHIPPED) + 1))


async def test_an_existing_ledger_is_brought_up_to_date_once(state_dir: Path) -> None:
    newest = SHIPPED[-1].number
    await _open(state_dir)
    steps = (
        *SHIPPED,
        _step(newest + 1, "CREATE TABLE extra (a INTEGER)"),
        _step(newest + 2, "INSERT INTO extra VALUES (7)"),
    )

    await _open(state_dir, steps=steps)
    await _open(state_dir, steps=steps)

    assert _edit(state_dir, "SELECT schema FROM meta") == (newest + 2,)
    assert _edit(state_dir, "SELECT count(*), max(a) FROM extra") == (1, 7)


async def test_a_whole_copy_is_kept_before_a_migration(state_dir: Path) -> None:
    newest = SHIPPED[-1].number
    async with open_ledger(state_dir, site="LUND") as ledger:
        await ledger.write(
            lambda tx: tx.execute(text("INSERT INTO stock (item, quantity) VALUES ('sheet', 3)")).close()
        )

    await _open(state_dir, steps=(*SHIPPED, _step(newest + 1, "DROP TABLE stock")))

    copy = state_dir / f"before-schema-{newest + 1:04}.db"
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as raw:
        assert raw.execute("SELECT item, quantity FROM stock").fetchall() == [("sheet", 3)]
        assert raw.execute("SELECT schema FROM meta").fetchone() == (newest,)
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_no_copy_is_made_without_a_migration(state_dir: Path) -> None:
    await _open(state_dir)
    await _open(state_dir)

    assert not list(state_dir.glob("before-*"))  # noqa: ASYNC240


async def test_a_failed_migration_leaves_the_ledger_as_it_was(state_dir: Path) -> None:
    newest = SHIPPED[-1].number
    await _open(state_dir)

    def half(tx: Tx) -> None:
        tx.execute(text("DROP TABLE stock"))
        tx.execute(text("this is no SQL"))

    with pytest.raises(LedgerError, match="this is no SQL"):
        await _open(state_dir, steps=(*SHIPPED, Migration(number=newest + 1, name="half", upgrade=half)))

    assert (await _open(state_dir)).boot == 3
    assert _edit(state_dir, "SELECT count(*) FROM stock") == (0,)


def test_the_steps_lead_to_the_tables_that_a_new_ledger_has(state_dir: Path) -> None:
    """The first step stands for the first schema; every later one must lead to what `schema.create` makes."""
    found = []
    for name, ways in (("new", [schema.create]), ("migrated", [step.upgrade for step in SHIPPED])):
        tx = engine.connect(state_dir / f"{name}.db")
        for way in ways:
            way(tx)
        sql = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
        found.append(tx.execute(text(sql)).all())
        engine.abandon(tx)
        engine.close(tx)

    assert found[0] == found[1]
