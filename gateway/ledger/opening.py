"""From a directory to a ledger that can be trusted: lock, file, check, boot, migrations."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Connection, RowMapping, inspect
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import LedgerError, StateLockedError
from gateway.ledger import engine, schema
from gateway.ledger.migrations import Migration
from gateway.ledger.sql import change, insert, row

LEDGER = "ledger.db"
LOCK = "lock"
MARK = "ledger.id"  # which ledger lives here: a lost file is noticed, never replaced by an empty one
CHECK_BELOW_BYTES = 256 * 1024 * 1024  # a larger file would keep the machines waiting


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A ledger that was opened, and who it is."""

    tx: Connection
    ledger_id: str
    site: str
    epoch: int
    boot: int


@contextmanager
def state_lock(state_dir: Path) -> Iterator[None]:
    """Hold the state directory for this process; raise `StateLockedError` when another one has it."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(state_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise StateLockedError(f"{state_dir} is in use by process {holder}: stop it first") from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def open_state(state_dir: Path, *, site: str, migrations: tuple[Migration, ...]) -> Opened:
    """Open or create the ledger of a site; the caller holds the state lock.

    Raise `LedgerError` when the file is lost, damaged, of another site, or newer than this program.
    """
    path = state_dir / LEDGER
    _refuse_lost(path, state_dir / MARK)
    with _translated(path):
        tx = engine.connect(path)
        try:
            if inspect(tx).has_table("meta"):
                engine.abandon(tx)
                _continue(tx, path, site, migrations)
            else:
                engine.abandon(tx)
                _begin(tx, site, migrations)
            facts = _meta(tx)
            engine.abandon(tx)
            _mark(state_dir / MARK, facts["ledger_id"])
        except BaseException:
            engine.close(tx)
            raise
    return Opened(tx=tx, ledger_id=facts["ledger_id"], site=facts["site"], epoch=facts["epoch"], boot=facts["boot"])


def close_state(opened: Opened, *, clean: bool) -> None:
    """Close the file; after an orderly stop say so in it, so that the next start need not check it."""
    tx = opened.tx
    try:
        if clean:
            with _translated(Path(LEDGER)):
                change(tx, "UPDATE meta SET clean = 1")
                engine.commit(tx)
                engine.raw(tx).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        engine.close(tx)


def _refuse_lost(path: Path, mark: Path) -> None:
    """Never start empty in silence."""
    if mark.exists() and (not path.exists() or path.stat().st_size == 0):
        raise LedgerError(
            f"{path} is gone or empty, but this directory held ledger {mark.read_text().strip()}: restore a backup; "
            f"to begin anew on purpose, remove {mark}"
        )


def _begin(tx: Connection, site: str, migrations: tuple[Migration, ...]) -> None:
    """Create everything at once: a crash leaves either no ledger or a whole one."""
    schema.create(tx)
    insert(
        tx,
        "meta",
        one=1,
        ledger_id=str(uuid4()),
        site=site,
        epoch=1,
        boot=1,
        schema=migrations[-1].number,
        clean=0,
    )
    engine.commit(tx)


def _continue(tx: Connection, path: Path, site: str, migrations: tuple[Migration, ...]) -> None:
    """Check an existing ledger, count the boot, then bring its schema up to date."""
    facts = _meta(tx)
    engine.abandon(tx)
    newest = migrations[-1].number
    if facts["schema"] > newest:
        raise LedgerError(
            f"{path} has schema {facts['schema']}, this program knows {newest}: it was written by a newer Kvot; "
            f"install that again, or restore the backup made before the upgrade"
        )
    if facts["site"] != site:
        raise LedgerError(f"{path} is the ledger of site {facts['site']}, not of {site}: use another state directory")
    if not facts["clean"]:
        _check(tx, path)
    change(tx, "UPDATE meta SET boot = boot + 1, clean = 0")
    engine.commit(tx)
    due = [step for step in migrations if step.number > facts["schema"]]
    if due:
        _back_up(tx, path.with_name(f"before-schema-{newest:04}.db"))
    for step in due:
        step.upgrade(tx)
        change(tx, "UPDATE meta SET schema = :number", number=step.number)
        engine.commit(tx)


def _meta(tx: Connection) -> RowMapping:
    facts = row(tx, "SELECT * FROM meta")
    if facts is None:
        raise LedgerError("the ledger does not say which one it is: restore a backup")
    return facts


def _check(tx: Connection, path: Path) -> None:
    """Look for damage after a stop that was not orderly."""
    if path.stat().st_size >= CHECK_BELOW_BYTES:
        return
    found = [line[0] for line in engine.raw(tx).execute("PRAGMA quick_check(10)").fetchall()]
    if found != ["ok"]:
        raise LedgerError(f"{path} is damaged ({'; '.join(found)}): keep a copy and restore a backup")


def _back_up(tx: Connection, target: Path) -> None:
    """Copy the whole ledger beside itself and onto the disk; an older copy of the same name gives way."""
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        engine.raw(tx).backup(copy)
    _sync(target)
    _sync(target.parent)


def _mark(mark: Path, ledger_id: str) -> None:
    """Remember which ledger lives here."""
    if mark.exists() and mark.read_text().strip() == ledger_id:
        return
    fresh = mark.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(f"{ledger_id}\n")
    _sync(fresh)
    fresh.replace(mark)
    _sync(mark.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn the database's own errors into `LedgerError`."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise LedgerError(f"{path}: {engine.fatal(error) or error}") from error
    except OSError as error:
        raise LedgerError(f"{path}: {error}") from error
