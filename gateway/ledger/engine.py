"""The one connection to SQLite: how it is opened, what is asserted of it, and which errors end everything."""

import os
import sqlite3
from pathlib import Path

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from gateway.errors import LedgerError

# The order counts: exclusive locking before the log is opened keeps its index in our own memory.
PRAGMAS: tuple[tuple[str, str, object], ...] = (
    ("locking_mode", "EXCLUSIVE", "exclusive"),
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("mmap_size", "0", 0),
    ("foreign_keys", "ON", 1),
    ("recursive_triggers", "ON", 1),  # so that REPLACE cannot pass the triggers of append-only tables
    ("trusted_schema", "OFF", 0),
)

FULL = sqlite3.SQLITE_FULL
READONLY = sqlite3.SQLITE_READONLY
CORRUPT = sqlite3.SQLITE_CORRUPT
NOTADB = sqlite3.SQLITE_NOTADB
_FATAL = {
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is no ledger",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_READONLY: "the disk is read-only",
    sqlite3.SQLITE_PROTOCOL: "the file's lock failed",
    sqlite3.SQLITE_BUSY: "another process has the file open",
}
_MAY_COMMIT = "may_commit"


def connect(path: Path) -> Connection:
    """Open the file, creating it for its owner alone; raise `LedgerError` when a setting does not hold."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def opened() -> sqlite3.Connection:
        # isolation_level=None: BEGIN and SAVEPOINT are ours alone, the module adds none.
        raw = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=512)
        try:
            _configure(raw)
        except BaseException:
            raw.close()
            raise
        return raw

    engine = create_engine("sqlite+pysqlite://", creator=opened, poolclass=StaticPool)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "commit", _only_by_the_writer)
    return engine.connect()


def raw(tx: Connection) -> sqlite3.Connection:
    """Give the module's own connection underneath."""
    inner = tx.connection.dbapi_connection
    assert isinstance(inner, sqlite3.Connection)
    return inner


def commit(tx: Connection) -> None:
    """Commit the open transaction; nobody else may. Raise `LedgerError` when somebody has ended it before."""
    if not tx.in_transaction():
        raise LedgerError("the transaction was ended before its commit")
    tx.info[_MAY_COMMIT] = True
    try:
        tx.commit()
    finally:
        tx.info[_MAY_COMMIT] = False


def abandon(tx: Connection) -> None:
    """Roll back whatever is open, even where SQLite has already done so by itself."""
    tx.rollback()
    if raw(tx).in_transaction:
        raw(tx).rollback()


def close(tx: Connection) -> None:
    """Give the connection back and close the file."""
    engine = tx.engine
    try:
        tx.close()
    finally:
        engine.dispose()


def code_of(error: BaseException) -> int:
    """Give SQLite's primary result code of an error, 0 where it is none of SQLite's."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return int(getattr(cause, "sqlite_errorcode", 0) or 0) & 0xFF


def fatal(error: BaseException) -> str | None:
    """Say why the ledger cannot be used any more after this error, or None; a full disk is not fatal."""
    reason = _FATAL.get(code_of(error))
    return None if reason is None else f"{reason}: {error}"


def _configure(raw: sqlite3.Connection) -> None:
    """Set every pragma, read it back, and fetch each answer: one left unfetched can hide an I/O error."""
    for name, value, expected in PRAGMAS:
        raw.execute(f"PRAGMA {name} = {value}").fetchall()
        answer = raw.execute(f"PRAGMA {name}").fetchone()
        if answer is None or answer[0] != expected:
            raise LedgerError(f"SQLite does not keep PRAGMA {name} = {value}: it answers {answer}")


def _begin(tx: Connection) -> None:
    tx.exec_driver_sql("BEGIN IMMEDIATE")


def _only_by_the_writer(tx: Connection) -> None:
    if not tx.info.get(_MAY_COMMIT):
        raise LedgerError("an event must not commit by itself: it would commit its neighbours too")
