"""What lies in a state directory beside the ledger: which one it was, its backups, and what tells that it is lost."""

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.errors import LedgerLostError
from gateway.ledger.copying import sync

LEDGER = "ledger.db"
MARK = "ledger.id"  # which ledger lives here: a lost file is noticed, never replaced by an empty one
BACKUPS = "backups"
LOGS = ("-wal", "-journal")  # what SQLite keeps beside a database and must go where it goes
_LEFT_BEHIND = ("spool/*.seg", "stations/*.jsonl", "archive/*.db", "before-*.db", "damaged-*.db")
_BACKUP = re.compile(r"(\d{8}T\d{6}Z)-(\d+)\.db")
_STAMP = "%Y%m%dT%H%M%SZ"
_HEADER = 100  # bytes
_MAGIC = b"SQLite format 3\0"
_SMALLEST, _LARGEST = 512, 65_536  # bytes of a page; the header writes the largest as 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Which ledger lived in a directory, its epoch, and how often it was started."""

    ledger_id: str
    epoch: int
    boot: int

    @classmethod
    def find(cls, state_dir: Path) -> "Mark | None":
        """Read the mark of a directory; None where no ledger ever lived. What cannot be read counts as the first."""
        try:
            words = (state_dir / MARK).read_text(errors="replace").split()
        except FileNotFoundError:
            return None
        numbers = [int(word) for word in words[1:3] if word.isdecimal()]
        epoch, boot = numbers if len(numbers) == 2 else (1, 1)  # noqa: PLR2004 - epoch and boot
        return cls(ledger_id=words[0] if words else "unknown", epoch=epoch, boot=boot)

    def leave(self, state_dir: Path) -> None:
        """Put the mark in a directory, on the disk for good."""
        if Mark.find(state_dir) == self:
            return
        mark = state_dir / MARK
        fresh = mark.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(f"{self.ledger_id} {self.epoch} {self.boot}\n")
        sync(fresh)
        fresh.replace(mark)
        sync(state_dir)


@dataclass(frozen=True, kw_only=True, slots=True)
class Backup:
    """A backup in the directory for them; its name says when it was made and of which epoch."""

    path: Path
    made_at: datetime
    epoch: int

    @property
    def size(self) -> int:
        """Give its bytes."""
        return self.path.stat().st_size


def backup_name(made_at: datetime, epoch: int) -> str:
    """Name a backup."""
    return f"{made_at.astimezone(UTC).strftime(_STAMP)}-{epoch}.db"


def backup_of(path: Path) -> Backup | None:
    """Read a backup's name; None for a file of another kind."""
    named = _BACKUP.fullmatch(path.name)
    if named is None:
        return None
    made_at = datetime.strptime(named[1], _STAMP).replace(tzinfo=UTC)
    return Backup(path=path, made_at=made_at, epoch=int(named[2]))


def backups(state_dir: Path) -> list[Backup]:
    """List the backups of a state directory, oldest first."""
    found = (backup_of(path) for path in (state_dir / BACKUPS).glob("*.db"))
    return sorted((one for one in found if one is not None), key=lambda one: (one.made_at, one.epoch))


def refuse_lost(state_dir: Path) -> None:
    """Never start empty in silence: raise `LedgerLostError` where a ledger has been and none is."""
    path = state_dir / LEDGER
    if path.exists() and path.stat().st_size > 0:
        return
    mark = Mark.find(state_dir)
    if mark is not None:
        why = f"this directory held ledger {mark.ledger_id}"
    elif found := _signs(state_dir):
        why = f"{found} shows that there was one"
    else:
        return
    raise LedgerLostError(
        f"{path} is gone or empty, but {why}. {cure(state_dir)}; to begin anew on purpose, give it an empty "
        f"state directory"
    )


def damaged(path: Path) -> str:
    """Keep a copy of a damaged ledger aside, once, and say so with the cure."""
    stamp = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime(_STAMP)
    aside = path.with_name(f"damaged-{stamp}.db")
    kept = f"a copy is kept as {aside}"
    try:
        if not aside.exists():
            for end in ("", *LOGS):
                with suppress(FileNotFoundError):
                    shutil.copyfile(f"{path}{end}", f"{aside}{end}")
    except OSError as fault:
        kept = f"no copy could be kept ({fault.strerror}), so keep it yourself"
    return f"{kept}. {cure(path.parent)}"


def cure(state_dir: Path) -> str:
    """Say what to do about a ledger that is lost."""
    known = backups(state_dir)
    if not known:
        return f"Bring a backup here and `kvot backup restore FILE` (there is none in {state_dir / BACKUPS})"
    return f"Restore the newest backup: `kvot backup restore {known[-1].path}`"


def short_by(path: Path) -> int:
    """Give the bytes that are missing at the end of a database by its own header, 0 where none are known to be.

    What a log beside it still has to bring in is not missing.
    """
    if not path.exists() or any(_has_content(Path(f"{path}{end}")) for end in LOGS):
        return 0
    with path.open("rb") as file:
        header = file.read(_HEADER)
        size = os.fstat(file.fileno()).st_size
    if len(header) < _HEADER:
        return _HEADER - len(header) if header else 0
    page = int.from_bytes(header[16:18], "big")
    page = _LARGEST if page == 1 else page
    if header[:16] != _MAGIC or page < _SMALLEST or header[24:28] != header[92:96]:
        return 0  # no database at all, or one whose header does not vouch for its size
    return max(0, page * int.from_bytes(header[28:32], "big") - size)


def _signs(state_dir: Path) -> str | None:
    """Name what only a ledger's life can have left behind."""
    for pattern in (
        f"{BACKUPS}/*.db",
        "spool/*.seg",
        "stations/*.jsonl",
        "archive/*.db",
        "before-*.db",
        "damaged-*.db",
    ):
        for path in state_dir.glob(pattern):
            return str(path.relative_to(state_dir))
    return None


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
