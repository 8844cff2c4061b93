"""From a directory to a ledger that can be trusted: lock, file, check, boot, migrations."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from uuid import uuid4

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import LedgerError, LedgerFullError, LedgerLostError, StateLockedError
from gateway.ledger import copying, engine, remains, schema
from gateway.ledger.migrations import Migration
from gateway.ledger.remains import LEDGER, Mark
from gateway.ledger.sql import Row, change, insert, row

LOCK = "lock"
CHECK_BELOW_BYTES = 256 * 1024 * 1024  # a larger file would keep the machines waiting: its copy is checked at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A ledger that was opened, and who it is."""

    tx: Connection
    ledger_id: str
    site: str
    epoch: int
    boot: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Upgraded:
    """The schema's number before and after, and the copy kept of the ledger before; None: nothing was due."""

    before: int
    after: int
    kept: Path | None


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

    Raise `LedgerLostError` when the file is lost or damaged, `LedgerFullError` when there is no room on the
    disk, `LedgerError` when it is of another site, newer than this program, or cannot be read.
    """
    path = state_dir / LEDGER
    remains.refuse_lost(state_dir)
    with translated(path):
        _refuse_short(path)
        tx = engine.connect(path)
        try:
            if inspect(tx).has_table("meta"):
                engine.abandon(tx)
                _continue(tx, path, site, migrations)
            else:
                engine.abandon(tx)
                _begin(tx, site, migrations)
            facts = meta(tx)
            engine.abandon(tx)
            Mark(ledger_id=facts["ledger_id"], epoch=facts["epoch"], boot=facts["boot"]).leave(state_dir)
        except BaseException:
            engine.close(tx)
            raise
    return Opened(tx=tx, ledger_id=facts["ledger_id"], site=facts["site"], epoch=facts["epoch"], boot=facts["boot"])


def close_state(opened: Opened, *, orderly: bool) -> None:
    """Close the file; after an orderly stop no log lies beside it."""
    tx = opened.tx
    try:
        if orderly:
            with suppress(LedgerFullError), translated(Path(LEDGER)):
                engine.raw(tx).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        engine.close(tx)


def upgrade(state_dir: Path, *, migrations: tuple[Migration, ...]) -> Upgraded:
    """Run the migrations that are due while no gateway runs, after a copy was kept; the boot is not counted.

    Raise `StateLockedError` while a gateway runs, `LedgerLostError` when the file is lost or damaged,
    `LedgerError` when there is none, it is newer than this program, or a migration fails: then it is as it was.
    """
    path = state_dir / LEDGER
    if not state_dir.is_dir():
        raise LedgerError(f"there is no ledger in {state_dir}")
    with state_lock(state_dir), translated(path):
        remains.refuse_lost(state_dir)
        if not path.is_file():
            raise LedgerError(f"there is no ledger in {state_dir}")
        _refuse_short(path)
        tx = engine.connect(path)
        try:
            have = meta(tx)["schema"]
            engine.abandon(tx)
            refuse_newer(path, have, migrations)
            _check(tx, path)
            kept = bring_up_to_date(tx, path, migrations)
        finally:
            engine.close(tx)
    return Upgraded(before=have, after=migrations[-1].number, kept=kept)


def refuse_newer(path: Path, have: int, migrations: tuple[Migration, ...]) -> None:
    """Raise `LedgerError` when a ledger was written by a newer program."""
    if have > migrations[-1].number:
        raise LedgerError(
            f"{path} has schema {have}, this program knows {migrations[-1].number}: it was written by a newer Kvot; "
            f"install that again, or restore the backup made before the upgrade"
        )


def bring_up_to_date(tx: Connection, path: Path, migrations: tuple[Migration, ...]) -> Path | None:
    """Run the migrations that a ledger lacks, each in its own transaction, after a copy was kept; give the copy."""
    have, newest = meta(tx)["schema"], migrations[-1].number
    engine.abandon(tx)
    due = [step for step in migrations if step.number > have]
    if not due:
        return None
    kept = path.with_name(f"before-schema-{newest:04}.db")
    _back_up(tx, kept)
    for step in due:
        step.upgrade(tx)
        change(tx, "UPDATE meta SET schema = :number", number=step.number)
        engine.commit(tx)
    return kept


def _refuse_short(path: Path) -> None:
    """Notice a file whose end is missing: its header says how many pages there are. That costs nothing."""
    short = remains.short_by(path)
    if short > 0:
        raise LedgerLostError(f"{path} is damaged: its last {short} bytes are missing; {remains.damaged(path)}")


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
        quote_secret=token_hex(32),
    )
    engine.commit(tx)


def _continue(tx: Connection, path: Path, site: str, migrations: tuple[Migration, ...]) -> None:
    """Check an existing ledger, count the boot, then bring its schema up to date."""
    facts = meta(tx)
    engine.abandon(tx)
    refuse_newer(path, facts["schema"], migrations)
    if facts["site"] != site:
        raise LedgerError(f"{path} is the ledger of site {facts['site']}, not of {site}: use another state directory")
    _check(tx, path)
    change(tx, "UPDATE meta SET boot = boot + 1")
    engine.commit(tx)
    bring_up_to_date(tx, path, migrations)


def meta(tx: Connection) -> Row:
    """Give what the ledger says of itself; raise `LedgerError` where it does not."""
    facts = row(tx, "SELECT * FROM meta")
    if facts is None:
        raise LedgerError("the ledger does not say which one it is: restore a backup")
    return facts


def _check(tx: Connection, path: Path) -> None:
    """Look for damage: 256 MB take 2 s on a computer at work, and a bit may flip after any stop.

    The log goes into the file first: where it covers a damaged page, the check would see the log's, and the gateway
    would work on until it needs the file's. The whole check and not the quick one, which takes an index that lost its
    content for one that is empty.
    """
    if path.stat().st_size >= CHECK_BELOW_BYTES:
        return
    engine.raw(tx).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    found = [line[0] for line in engine.raw(tx).execute("PRAGMA integrity_check(3)").fetchall()]
    if found != ["ok"]:
        raise LedgerLostError(f"{path} is damaged ({' '.join('; '.join(found).split())}); {remains.damaged(path)}")


def _back_up(tx: Connection, target: Path) -> None:
    """Copy the whole ledger beside itself and onto the disk; an older copy of the same name gives way."""
    copying.copy(engine.raw(tx), target)
    copying.sync(target)
    copying.sync(target.parent)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn the database's own errors into `LedgerError`."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        reason = engine.fatal(error) or error
        match engine.code_of(error):
            case engine.FULL:
                raise LedgerFullError(f"{path}: the disk is full: {error}") from error
            case engine.CORRUPT | engine.NOTADB:
                raise LedgerLostError(f"{path}: {reason}; {remains.damaged(path)}") from error
            case _:
                raise LedgerError(f"{path}: {reason}") from error
    except OSError as error:
        raise LedgerError(f"{path}: {error}") from error
