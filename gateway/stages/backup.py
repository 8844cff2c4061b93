"""Ledger -> backups: copied while it is in use, checked as a whole in a process of its own, then kept."""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

from gateway.clock import Clock
from gateway.domain.exceptions import Kind
from gateway.errors import LedgerError
from gateway.ledger import check, copying, opening, remains
from gateway.ledger.database import Ledger, Tx
from gateway.ledger.exceptions import open_exception, settle
from gateway.ledger.remains import BACKUPS, LEDGER, Backup
from gateway.ledger.times import to_text

FIRST_S = 600.0  # after the start: a gateway that cannot stay up must not push its good backups out
LOOK_AGAIN_S = 60.0
CHECK_S = 3600.0  # the longest that the check of a copy may take
_PART = ".part"


class Phase(StrEnum):
    """How far a backup has come."""

    COPYING = "copying"
    CHECKING = "checking"
    DONE = "done"
    FAILED = "failed"


@dataclass(kw_only=True, slots=True)
class Making:
    """One backup on its way; `number` counts those of this start."""

    number: int
    phase: Phase = Phase.COPYING
    done: int = 0
    pages: int = 0
    path: Path | None = None
    error: str = ""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self) -> dict[str, object]:
        """Give it as the API shows it."""
        return {
            "number": self.number,
            "phase": self.phase.value,
            "done": self.done,
            "pages": self.pages,
            "file": None if self.path is None else str(self.path),
            "error": self.error,
        }


class BackupFailedError(Exception):
    """No backup came of it; the text says why."""


class Backups:
    """Makes the backups of one ledger: when they are due, and when somebody asks."""

    def __init__(self, ledger: Ledger, state_dir: Path, *, every: timedelta, keep: int, clock: Clock, log: Any) -> None:
        self._ledger, self._state_dir = ledger, state_dir
        self._every, self._keep, self._clock, self._log = every, keep, clock, log
        self._wanted = asyncio.Event()
        self._number = 0
        self.latest: Making | None = None

    def ask(self) -> int:
        """Have a backup made now; give its number. One that is under way already will do: it holds all till its end."""
        latest = self.latest
        if latest is not None and latest.phase is Phase.COPYING:
            return latest.number
        self._wanted.set()
        return self._number + 1

    def list(self) -> list[Backup]:
        """List those there are, oldest first."""
        return remains.backups(self._state_dir)

    async def run(self) -> NoReturn:
        """Make a backup when one is due or asked for; one that fails is told to people, and tried again when due."""
        rests_until_s = self._clock.monotonic() + FIRST_S
        self._sweep()
        if (self._state_dir / LEDGER).stat().st_size >= opening.CHECK_BELOW_BYTES:
            await self._check_large()
        while True:
            due = self._clock.monotonic() >= rests_until_s and self._is_due()
            if not due and not self._wanted.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AGAIN_S):
                        await self._wanted.wait()
                continue
            self._wanted.clear()
            made = await self._make()
            rests_until_s = self._clock.monotonic() + (0.0 if made else FIRST_S)

    async def _check_large(self) -> None:
        """Check a copy of a ledger that was too large to be checked before the start, and call people if it is damaged.

        The copy is not kept: a gateway that cannot stay up must not push its good backups out.
        """
        part = self._state_dir / BACKUPS / f"start{_PART}"
        try:
            part.parent.mkdir(mode=0o700, exist_ok=True)
            await self._ledger.copy(part, progress=lambda _done, _pages: None)
            found = await _faults(part)
        except (LedgerError, OSError, BackupFailedError) as fault:
            if self._ledger.broken:
                raise
            self._log.warning("the ledger could not be checked", reason=str(fault))
            return
        finally:
            part.unlink(missing_ok=True)
        self._log.info("ledger checked", faults=len(found))
        await self._ledger.write(lambda tx: _tell_damage(tx, found, at=self._clock.now()))

    def _is_due(self) -> bool:
        known = self.list()
        return not known or self._clock.now() - known[-1].made_at >= self._every

    async def _make(self) -> bool:
        """Make one backup; say whether it is there."""
        self._number += 1
        making = self.latest = Making(number=self._number)
        try:
            making.path = await self._copy(making)
            making.phase = Phase.DONE
        except (LedgerError, OSError, BackupFailedError) as fault:
            if self._ledger.broken:
                raise
            making.phase, making.error = Phase.FAILED, str(fault)
            self._log.warning("backup failed", reason=str(fault))
        else:
            self._log.info("backup made", file=making.path.name, pages=making.pages)
        finally:
            making.over.set()
        await self._tell(making)
        return making.phase is Phase.DONE

    async def _copy(self, making: Making) -> Path:
        """Copy, check, name and keep; a copy that does not hold is not kept."""

        def progress(done: int, pages: int) -> None:
            making.done, making.pages = done, pages

        directory = self._state_dir / BACKUPS
        directory.mkdir(mode=0o700, exist_ok=True)
        path = directory / remains.backup_name(self._clock.now(), self._ledger.epoch)
        part = path.with_suffix(_PART)
        try:
            await self._ledger.copy(part, progress=progress)
            await asyncio.to_thread(copying.sync, part)
            making.phase = Phase.CHECKING
            if found := await _faults(part):
                raise BackupFailedError(f"the copy is damaged, so the ledger may be: {'; '.join(found[:3])}")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        await asyncio.to_thread(copying.sync, directory)
        for old in self.list()[: -self._keep]:
            old.path.unlink(missing_ok=True)
        return path

    async def _tell(self, making: Making) -> None:
        """Call a person while backups fail; take it back with the next that does not."""

        def event(tx: Tx) -> None:
            now = self._clock.now()
            if making.phase is Phase.DONE:
                settle(tx, subject="ledger", cause=Kind.BACKUP.cause, at=now)
            else:
                _call(tx, error=making.error, newest=known[-1].made_at if known else None, at=now)

        known = self.list()
        await self._ledger.write(event)

    def _sweep(self) -> None:
        """Remove what a crash has left half made."""
        for part in (self._state_dir / BACKUPS).glob(f"*{_PART}"):
            part.unlink(missing_ok=True)


def _call(tx: Tx, *, error: str, newest: datetime | None, at: datetime) -> None:
    evidence = {"text": error, "newest": None if newest is None else to_text(newest)}
    open_exception(tx, Kind.BACKUP, subject="ledger", evidence=evidence, at=at)


def _tell_damage(tx: Tx, found: Sequence[str], *, at: datetime) -> None:
    """Call a person where a check has found damage; take it back where it has found none."""
    if not found:
        settle(tx, subject="ledger", cause=Kind.DAMAGED.cause, at=at)
        return
    text = f"{'; '.join(found[:3])}: stop the gateway, then `kvot db check` and `kvot backup restore`"
    open_exception(tx, Kind.DAMAGED, subject="ledger", evidence={"text": text}, at=at)


async def _faults(path: Path) -> list[str]:
    """Check a copy in a child process; give what is wrong with it. Raise `BackupFailedError` without an answer."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", check.__name__, str(path)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(CHECK_S):
            said, _ = await child.communicate()
    except TimeoutError:
        raise BackupFailedError(f"the check of the copy did not end within {CHECK_S:g} s") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise BackupFailedError(f"the check of the copy ended with {child.returncode}")
    found: list[str] = json.loads(said)
    return found
