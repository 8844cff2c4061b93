"""A backup takes the ledger's place: another epoch begins, no machine is armed, and everything is asked again."""

import shutil
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from gateway.domain.machines import Lapse, Level
from gateway.errors import LedgerError, RefusedError
from gateway.ledger import check, copying, engine, events, machines, migrations, recovery, remains
from gateway.ledger.migrations import Migration
from gateway.ledger.opening import bring_up_to_date, refuse_newer, state_lock, translated
from gateway.ledger.remains import LEDGER, LOGS, Mark
from gateway.ledger.sql import change, rows
from gateway.ledger.times import to_text

FRESH = "ledger.restoring"
LAPSED = Lapse(left=Level.READ, reason="a backup was restored")


@dataclass(frozen=True, kw_only=True, slots=True)
class Restored:
    """What was restored: which ledger as of when, its new epoch, and where the one before lies now."""

    ledger_id: str
    site: str
    as_of: str
    epoch: int
    aside: Path | None


def restore(
    state_dir: Path, backup: Path, *, who: str, now: datetime, steps: tuple[Migration, ...] | None = None
) -> Restored:
    """Put a backup in the ledger's place, and keep what was there beside it.

    A crash on the way leaves the old ledger, or none: then the gateway refuses to start, and the same is done
    again. Raise `StateLockedError` while a gateway runs, `RefusedError` for a file that is damaged or of
    another ledger, `LedgerError` where it was written by a newer program or cannot be brought up to date.
    """
    known = steps or migrations.known()
    with state_lock(state_dir):
        fresh = state_dir / FRESH
        with translated(backup):
            _fetch(backup, fresh)
        facts = _vouch(state_dir, backup, fresh)
        refuse_newer(backup, int(str(facts["schema"])), known)
        before = _before(state_dir, facts)
        named = remains.backup_of(backup)
        as_of = str(facts["last_event_at"] or to_text(now)) if named is None else to_text(named.made_at)
        with translated(fresh):
            _prepare(fresh, known, before, as_of=as_of, who=who, now=now)
            aside = _exchange(state_dir, fresh, now=now)
        mark = Mark(ledger_id=str(facts["ledger_id"]), epoch=before.epoch + 1, boot=before.boot)
        mark.leave(state_dir)
    return Restored(ledger_id=mark.ledger_id, site=str(facts["site"]), as_of=as_of, epoch=mark.epoch, aside=aside)


def _fetch(backup: Path, fresh: Path) -> None:
    """Bring the backup beside the present ledger, with the log that one set aside may have; it stays as it is."""
    if not backup.is_file():
        raise RefusedError(f"{backup} is no file")
    for end in ("", *LOGS):
        Path(f"{fresh}{end}").unlink(missing_ok=True)
        if not end or Path(f"{backup}{end}").exists():
            shutil.copyfile(f"{backup}{end}", f"{fresh}{end}")


def _vouch(state_dir: Path, backup: Path, fresh: Path) -> dict[str, object]:
    """See that what was brought is a sound ledger, and the one that lives here."""
    whole = not any(Path(f"{fresh}{end}").exists() for end in LOGS)
    if found := check.faults(fresh, whole=whole):
        raise RefusedError(f"{backup} is damaged and cannot be restored: {'; '.join(found[:3])}")
    facts = check.identity(fresh)
    mark = Mark.find(state_dir)
    if mark is not None and mark.ledger_id != facts["ledger_id"]:
        raise RefusedError(
            f"{backup} is a backup of ledger {facts['ledger_id']}, but {state_dir} holds {mark.ledger_id}: "
            f"restore it in a state directory of its own"
        )
    return facts


def _before(state_dir: Path, facts: dict[str, object]) -> Mark:
    """Give the highest epoch and boot that this ledger is known to have had: none is ever used again."""
    seen = [(int(str(facts["epoch"])), int(str(facts["boot"])))]
    if (mark := Mark.find(state_dir)) is not None:
        seen.append((mark.epoch, mark.boot))
    with suppress(sqlite3.Error, TypeError, KeyError):  # lost or damaged: the mark has to do
        present = check.identity(state_dir / LEDGER)
        seen.append((int(str(present["epoch"])), int(str(present["boot"]))))
    seen += [(one.epoch, 0) for one in remains.backups(state_dir)]
    return Mark(ledger_id=str(facts["ledger_id"]), epoch=max(one for one, _ in seen), boot=max(one for _, one in seen))


def _prepare(fresh: Path, steps: tuple[Migration, ...], before: Mark, *, as_of: str, who: str, now: datetime) -> None:
    """Make the restored ledger beside the present one, complete and on the disk."""
    tx = engine.connect(fresh)
    try:
        bring_up_to_date(tx, fresh, steps)
        _begin_epoch(tx, before, as_of=as_of, who=who, now=now)
        engine.commit(tx)
        engine.raw(tx).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        engine.close(tx)
    copying.sync(fresh)


def _begin_epoch(tx: Connection, before: Mark, *, as_of: str, who: str, now: datetime) -> None:
    change(
        tx,
        "UPDATE meta SET epoch = :epoch, boot = :boot, recovering = :as_of",
        epoch=before.epoch + 1,
        boot=before.boot,
        as_of=as_of,
    )
    recovery.forget(tx)
    after = {"as_of": as_of, "epoch": before.epoch + 1}
    events.record(tx, what="ledger.restored", who=who, subject="ledger", at=now, after=after)
    _renumber_facts(tx)
    for machine in rows(tx, "SELECT machine FROM machine_facts WHERE level <> 'read' ORDER BY machine"):
        machines.lapse(tx, machine["machine"], LAPSED, now=now)


def _renumber_facts(tx: Connection) -> None:
    """Number what the world has yet to hear from 1 on: its numbers are dense within an epoch."""
    counted: dict[str, int] = {}
    for fact in rows(tx, "SELECT destination, seq FROM outbox ORDER BY destination, seq"):
        number = counted[fact["destination"]] = counted.get(fact["destination"], 0) + 1
        change(
            tx,
            "UPDATE outbox SET seq = :number WHERE destination = :destination AND seq = :seq",
            number=number,
            destination=fact["destination"],
            seq=fact["seq"],
        )
    change(tx, "DELETE FROM counters WHERE substr(name, 1, 7) = 'outbox:'")
    for destination, number in counted.items():
        change(
            tx,
            "INSERT INTO counters (name, value) VALUES (:name, :value)",
            name=f"outbox:{destination}",
            value=number,
        )


def _exchange(state_dir: Path, fresh: Path, *, now: datetime) -> Path | None:
    """Put the new file in the old one's place; at no moment is there a ledger without its log, or with another's."""
    path = state_dir / LEDGER
    stamp = remains.backup_name(now, 0).partition("-")[0]
    aside = _unused(state_dir, f"before-restore-{stamp}")
    kept = path.exists()
    for end in ("", *LOGS):
        with suppress(FileNotFoundError):
            Path(f"{path}{end}").replace(f"{aside}{end}")
    copying.sync(state_dir)
    fresh.replace(path)
    copying.sync(state_dir)
    return aside if kept else None


def _unused(state_dir: Path, name: str) -> Path:
    """Give a file name that nothing bears yet."""
    for number in range(1, 1000):
        path = state_dir / (f"{name}.db" if number == 1 else f"{name}-{number}.db")
        if not path.exists():
            return path
    raise LedgerError(f"{state_dir} is full of {name}-*.db: take them away")
