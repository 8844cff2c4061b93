"""The full check of a ledger's file; as a program of its own it keeps no event of the gateway waiting."""

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

FAULTS_MAX = 20


def faults(path: Path, *, whole: bool) -> list[str]:
    """Give what is wrong with a ledger's file, nothing when it is sound.

    `whole` says that nobody writes to it and no log lies beside it, so that it can be read without a trace.
    """
    try:
        with closing(_open(path, whole=whole)) as raw:
            found = [str(line[0]) for line in raw.execute(f"PRAGMA integrity_check({FAULTS_MAX})").fetchall()]
            if found != ["ok"]:
                return found
            loose = raw.execute("PRAGMA foreign_key_check").fetchmany(FAULTS_MAX)
            if raw.execute("SELECT COUNT(*) FROM meta").fetchone() != (1,):
                return ["the ledger does not say which one it is"]
            return [
                f"row {rowid} of {table} refers to a row of {parent} that is not there"
                for table, rowid, parent, _ in loose
            ]
    except sqlite3.Error as error:
        return [str(error)]


def identity(path: Path) -> dict[str, object]:
    """Give what a sound ledger's file says of itself: the row of `meta` but its secret, and its last event's time."""
    with closing(_open(path, whole=True)) as raw:
        raw.row_factory = sqlite3.Row
        found = dict(raw.execute("SELECT * FROM meta").fetchone())
        found.pop("quote_secret", None)
        found["last_event_at"] = raw.execute("SELECT MAX(at) FROM events").fetchone()[0]
    return found


def _open(path: Path, *, whole: bool) -> sqlite3.Connection:
    options = "mode=ro&immutable=1" if whole else "mode=rw"
    return sqlite3.connect(f"file:{quote(str(path))}?{options}", uri=True, isolation_level=None)


if __name__ == "__main__":
    print(json.dumps(faults(Path(sys.argv[1]), whole=True)))  # noqa: T201 - the parent reads it
