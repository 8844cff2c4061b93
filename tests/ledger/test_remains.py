"""A ledger that is lost or damaged keeps the gateway from starting, with the words of the cure."""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.errors import LedgerLostError
from gateway.ledger.database import Ledger, open_ledger
from gateway.ledger.remains import Mark, backup_name, backup_of, short_by
from gateway.ledger.sql import insert

AT = datetime(2026, 5, 4, 10, 15, tzinfo=UTC)


async def _open(state_dir: Path) -> Ledger:
    async with open_ledger(state_dir, site="LUND") as ledger:
        return ledger


async def _with_a_backup(state_dir: Path) -> Path:
    """Make a ledger of some size with one backup."""
    target = state_dir / "backups" / backup_name(AT, 1)
    target.parent.mkdir()
    async with open_ledger(state_dir, site="LUND") as ledger:

        def fill(tx: object) -> None:
            for number in range(500):
                insert(tx, "stock", item=f"{number}-{'x' * 500}", quantity=1)  # type: ignore[arg-type]

        await ledger.write(fill)
        await ledger.copy(target, progress=lambda *_: None)
    return target


def _glob(state_dir: Path, pattern: str) -> list[Path]:
    return list(state_dir.glob(pattern))


def test_a_backups_name_says_when_it_was_made_and_of_which_epoch() -> None:
    found = backup_of(Path(backup_name(AT, 3)))
    assert found is not None
    assert (found.made_at, found.epoch) == (AT, 3)
    assert backup_of(Path("ledger.db")) is None


async def test_the_mark_remembers_epoch_and_boot(state_dir: Path) -> None:
    ledger = await _open(state_dir)
    again = await _open(state_dir)

    assert again.boot == 2
    assert Mark.find(state_dir) == Mark(ledger_id=ledger.ledger_id, epoch=1, boot=2)


async def test_a_deleted_ledger_names_the_newest_backup(state_dir: Path) -> None:
    backup = await _with_a_backup(state_dir)
    (state_dir / "ledger.db").unlink()

    with pytest.raises(LedgerLostError, match=f"kvot backup restore {backup}"):
        await _open(state_dir)


@pytest.mark.parametrize(
    "left", ["backups/20260504T101500Z-1.db", "spool/00000000000000000001.seg", "stations/packing.jsonl"]
)
async def test_a_directory_that_others_have_lived_in_is_not_begun_anew(state_dir: Path, left: str) -> None:
    path = state_dir / left
    path.parent.mkdir(parents=True)
    path.touch()

    with pytest.raises(LedgerLostError, match=f"{left} shows that there was one.*empty state directory"):
        await _open(state_dir)

    path.unlink()
    assert (await _open(state_dir)).boot == 1


async def test_a_flipped_bit_is_found_and_a_copy_kept_aside(state_dir: Path) -> None:
    backup = await _with_a_backup(state_dir)
    path = state_dir / "ledger.db"
    with closing(sqlite3.connect(path)) as raw:
        page = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'stock'").fetchone()[0]
        size = raw.execute("PRAGMA page_size").fetchone()[0]
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        kind = file.read(1)[0]
        file.seek((page - 1) * size)
        file.write(bytes([kind ^ 0x40]))

    for _ in range(2):
        with pytest.raises(LedgerLostError, match=f"damaged.*a copy is kept as.*kvot backup restore {backup}"):
            await _open(state_dir)
    (kept,) = _glob(state_dir, "damaged-*.db")
    assert kept.read_bytes() == path.read_bytes()


async def test_a_truncated_ledger_is_found_even_after_an_orderly_stop(state_dir: Path) -> None:
    await _with_a_backup(state_dir)
    path = state_dir / "ledger.db"
    whole = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(whole - 8192)

    with pytest.raises(LedgerLostError, match="its last 8192 bytes are missing"):
        await _open(state_dir)


async def test_a_log_that_still_has_the_end_is_no_damage(state_dir: Path) -> None:
    async with open_ledger(state_dir, site="LUND") as ledger:
        await ledger.write(lambda tx: insert(tx, "stock", item="x" * 100_000, quantity=1))
        copy = state_dir / "copy"
        copy.mkdir()
        for end in ("", "-wal"):
            shutil.copyfile(f"{state_dir / 'ledger.db'}{end}", f"{copy / 'ledger.db'}{end}")
    assert short_by(copy / "ledger.db") == 0
    assert (await _open(copy)).boot == 2


async def test_a_file_that_is_no_ledger_is_kept_and_the_cure_named(state_dir: Path) -> None:
    (state_dir / "ledger.db").write_bytes(b"no database at all" * 500)

    with pytest.raises(LedgerLostError, match=r"a copy is kept as.*there is none in"):
        await _open(state_dir)
