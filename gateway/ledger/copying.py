"""A whole copy of a ledger that is in use, page by page."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

STEP_PAGES = 64  # copied at once: what comes meanwhile waits for no longer than that takes


def copy(source: sqlite3.Connection, target: Path, *, between: Callable[[int, int], None] | None = None) -> None:
    """Copy the whole database into a fresh file for its owner alone; an older file of that name gives way.

    `between` is called after each step with the pages copied and the pages in all. It may write through the
    source's own connection: the copy follows. What it raises ends the copy. The file is not yet forced to the
    disk; `sync` does that. Raise `sqlite3.Error` or `OSError` where the copy cannot be made.
    """
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))

    def stepped(_status: int, remaining: int, total: int) -> None:
        if between is not None:
            between(total - remaining, total)

    with closing(sqlite3.connect(target, isolation_level=None)) as made:
        # The caller forces the finished file to the disk, on another thread than the one that writes events.
        made.execute("PRAGMA journal_mode = OFF").fetchall()
        made.execute("PRAGMA synchronous = OFF").fetchall()
        source.backup(made, pages=STEP_PAGES, progress=stepped)


def sync(path: Path) -> None:
    """Have a file, or the names in a directory, on the disk when this returns."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
