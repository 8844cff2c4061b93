"""The recorded disk: a power cut keeps what was synced, and what was not may be gone."""

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.disk import SECTOR, Change, Image, library_in_use
from tests.house.tree import ROOT

_CHILD = """
import pathlib, random, sqlite3, sys
from tests.faults.disk import Disk
place, synchronous = pathlib.Path(sys.argv[1]), sys.argv[2]
calls = []
disk = Disk(on_call=lambda operation, path: calls.append(operation))
disk.install()
ledger = sqlite3.connect(place / "ledger.db", isolation_level=None)
for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", f"synchronous = {synchronous}"):
    ledger.execute(f"PRAGMA {pragma}").fetchall()
ledger.execute("CREATE TABLE kept (n INTEGER)")
for n in range(20):
    ledger.execute("INSERT INTO kept VALUES (?)", (n,))
assert {"write", "sync"} <= set(calls) or synchronous == "OFF", calls
for seed in range(30):
    disk.power_cut(place / str(seed), random.Random(seed))
ledger.close()
"""


def test_what_was_synced_stays_whatever_becomes_of_the_rest() -> None:
    image = Image()
    image.pending.append(Change(at=0, octets=b"a" * SECTOR))
    image.sync()
    image.pending.append(Change(at=SECTOR, octets=b"b" * 3 * SECTOR))
    left = {image.cut(random.Random(seed)) for seed in range(200)}
    assert all(octets is not None and octets.startswith(b"a" * SECTOR) for octets in left)
    assert len(left) > 3
    assert b"a" * SECTOR in left


def test_a_file_that_was_never_synced_may_be_gone() -> None:
    image = Image(pending=[Change(at=0, octets=b"new")])
    assert None in {image.cut(random.Random(seed)) for seed in range(200)}


def test_a_truncation_is_a_change_like_any_other() -> None:
    image = Image(synced=b"abcdef", exists=True, pending=[Change(at=2, octets=None), Change(at=4, octets=b"x")])
    image.sync()
    assert image.synced == b"ab\0\0x"


def _rows_after_each_cut(place: Path, synchronous: str) -> list[int | None]:
    subprocess.run([sys.executable, "-c", _CHILD, str(place), synchronous], cwd=ROOT, check=True, timeout=60)
    found: list[int | None] = []
    for seed in range(30):
        ledger = sqlite3.connect(place / str(seed) / "ledger.db")
        try:
            found.append(ledger.execute("SELECT COUNT(*) FROM kept").fetchone()[0])
        except sqlite3.DatabaseError:
            found.append(None)
        finally:
            ledger.close()
    return found


needs_the_library = pytest.mark.skipif(library_in_use() is None, reason="SQLite is linked into this Python")


@needs_the_library
def test_a_power_cut_loses_no_commit_that_was_synced(state_dir: Path) -> None:
    assert _rows_after_each_cut(state_dir, "FULL") == [20] * 30


@needs_the_library
def test_without_syncs_a_power_cut_is_seen_to_lose_commits(state_dir: Path) -> None:
    assert any(rows != 20 for rows in _rows_after_each_cut(state_dir, "OFF"))
