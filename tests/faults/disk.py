"""A disk that a test holds in its hands: SQLite's own file calls, recorded, failed on request, and cut like power.

SQLite reaches the disk through a table of functions (its VFS). This module registers a copy of the usual table
in which open, write, truncate and sync go through here. So every write and every sync is seen as it is made,
with its offset and its bytes, whatever the program above claims. What was written and not yet synced is what
a power cut may lose, in any order and torn at any sector.
"""

import ctypes
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

IOERR_FSYNC, IOERR_WRITE, FULL, READONLY = 10 | 4 << 8, 10 | 3 << 8, 13, 8
SECTOR = 512
_KEPT_FLAGS = 0x100 | 0x800 | 0x80000  # main database, its journal, its log
_P = ctypes.c_void_p
_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, _P, _P, _P, ctypes.c_int, _P)
_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, _P, _P, ctypes.c_int, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, _P, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, _P, ctypes.c_int)
_DELETE = ctypes.CFUNCTYPE(ctypes.c_int, _P, _P, ctypes.c_int)


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("iVersion", ctypes.c_int),
        ("szOsFile", ctypes.c_int),
        ("mxPathname", ctypes.c_int),
        ("pNext", _P),
        ("zName", ctypes.c_char_p),
        ("pAppData", _P),
        ("xOpen", _P),
        ("xDelete", _P),
        *[(f"other{n}", _P) for n in range(13)],
    ]


class _Methods(ctypes.Structure):
    _fields_ = [
        ("iVersion", ctypes.c_int),
        ("xClose", _P),
        ("xRead", _P),
        ("xWrite", _P),
        ("xTruncate", _P),
        ("xSync", _P),
        *[(f"other{n}", _P) for n in range(13)],
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One change of a file that is not synced yet: bytes at an offset, or with None a new size."""

    at: int
    octets: bytes | None


@dataclass(kw_only=True, slots=True)
class Image:
    """One file as the disk holds it for certain, and what was changed since."""

    synced: bytes = b""
    exists: bool = False
    pending: list[Change] = field(default_factory=list)

    def sync(self) -> None:
        """Make everything certain."""
        self.synced, self.exists = _applied(self.synced, self.pending), True
        self.pending.clear()

    def cut(self, chance: random.Random) -> bytes | None:
        """Give what a power cut leaves of the file; None where it may not even exist."""
        kept = _survivors(self.pending, chance)
        if not self.exists and not kept and chance.random() < 0.5:
            return None
        return _applied(self.synced, kept)


@dataclass(kw_only=True)
class Disk:
    """The files SQLite writes in this process. `on_call` hears of each call before it is made (operation, file name).

    It may end the process, or give one of SQLite's error codes, which is then what the call answers.
    """

    on_call: Callable[[str, Path], int | None]
    images: dict[Path, Image] = field(default_factory=dict)
    _files: dict[int, Path] = field(default_factory=dict)
    _tables: dict[int, tuple[_Methods, Any, Any, Any]] = field(default_factory=dict)
    _kept: list[Any] = field(default_factory=list)

    def install(self) -> None:
        """Become the way in which this process reaches the disk, for every database opened from now on."""
        library = library_in_use()
        if library is None:
            raise OSError("the SQLite library of this Python cannot be reached: it is linked into the program")
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        usual = library.sqlite3_vfs_find(None)
        ours = _Vfs.from_buffer_copy(usual.contents)
        ours.zName = b"recorded"
        usual_open, usual_delete = _OPEN(usual.contents.xOpen), _DELETE(usual.contents.xDelete)

        def opened(_vfs: int, name: int, file: int, flags: int, out: int) -> int:
            code = int(usual_open(ctypes.addressof(usual.contents), name, file, flags, out))
            if code == 0 and name and flags & _KEPT_FLAGS:
                self._take(file, Path(ctypes.string_at(name).decode()))
            return code

        def deleted(_vfs: int, name: int, sync: int) -> int:
            path = Path(ctypes.string_at(name).decode())
            if (code := self.on_call("delete", path)) is not None:
                return code
            self.images.pop(path, None)
            return int(usual_delete(ctypes.addressof(usual.contents), name, sync))

        callbacks = (_OPEN(opened), _DELETE(deleted))
        ours.xOpen, ours.xDelete = (ctypes.cast(each, _P).value for each in callbacks)
        self._kept += [ours, *callbacks, usual_open, usual_delete]
        if library.sqlite3_vfs_register(ctypes.byref(ours), 1) != 0:
            raise OSError("SQLite did not take the recorded disk")

    def power_cut(self, into: Path, chance: random.Random) -> None:
        """Leave in a directory what the disk would hold if the power failed now; a file that is gone is not there."""
        into.mkdir()
        for path, image in self.images.items():
            left = image.cut(chance)
            if left is not None:
                (into / path.name).write_bytes(left)

    def _take(self, file: int, path: Path) -> None:
        """Put our own functions in the place of the usual ones in a file that was just opened."""
        if path not in self.images:
            there = path.read_bytes() if path.exists() else b""
            self.images[path] = Image(synced=there, exists=bool(there))
        self._files[file] = path
        place = _P.from_address(file)
        assert place.value is not None
        if place.value not in self._tables:
            self._tables[place.value] = self._table(_Methods.from_address(place.value))
        place.value = ctypes.addressof(self._tables[place.value][0])

    def _table(self, usual: _Methods) -> tuple[_Methods, Any, Any, Any]:
        ours = _Methods.from_buffer_copy(usual)
        write, truncate, sync = _WRITE(usual.xWrite), _TRUNCATE(usual.xTruncate), _SYNC(usual.xSync)

        def written(file: int, octets: int, count: int, at: int) -> int:
            return self._do("write", file, lambda: write(file, octets, count, at), (at, octets, count))

        def truncated(file: int, size: int) -> int:
            return self._do("truncate", file, lambda: truncate(file, size), (size, 0, 0))

        def synced(file: int, flags: int) -> int:
            return self._do("sync", file, lambda: sync(file, flags), None)

        callbacks = (_WRITE(written), _TRUNCATE(truncated), _SYNC(synced))
        ours.xWrite, ours.xTruncate, ours.xSync = (ctypes.cast(each, _P).value for each in callbacks)
        return ours, callbacks, (write, truncate, sync), usual

    def _do(self, operation: str, file: int, usual: Callable[[], int], what: tuple[int, int, int] | None) -> int:
        path = self._files[file]
        if (code := self.on_call(operation, path)) is not None:
            return code
        code = usual()
        image = self.images.setdefault(path, Image())
        if code == 0 and what is None:
            image.sync()
        elif code == 0 and what is not None:
            at, octets, count = what
            image.pending.append(Change(at=at, octets=ctypes.string_at(octets, count) if octets else None))
        return code


def library_in_use() -> ctypes.CDLL | None:
    """Give the SQLite library that Python's module uses, None where it is no library of its own."""
    assert sqlite3.sqlite_version
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.rpartition(" ")[2]
        if "libsqlite3" in path:
            return ctypes.CDLL(path)
    return None


def _survivors(pending: list[Change], chance: random.Random) -> list[Change]:
    """Choose what of the unsynced changes reached the disk: nothing, all, all up to a torn one, or any sectors."""
    match chance.randrange(4):
        case 0:
            return []
        case 1:
            return list(pending)
        case 2:
            whole = chance.randint(0, len(pending))
            kept = pending[:whole]
            if whole < len(pending) and (octets := pending[whole].octets):
                torn = chance.randrange(0, len(octets) + SECTOR, SECTOR)
                kept = [*kept, Change(at=pending[whole].at, octets=octets[:torn])]
            return kept
        case _:
            return [part for change in pending for part in _sectors(change) if chance.random() < 0.5]


def _sectors(change: Change) -> list[Change]:
    if change.octets is None:
        return [change]
    return [
        Change(at=change.at + n, octets=change.octets[n : n + SECTOR]) for n in range(0, len(change.octets), SECTOR)
    ]


def _applied(octets: bytes, changes: list[Change]) -> bytes:
    image = bytearray(octets)
    for change in changes:
        if change.octets is None:
            del image[change.at :]
            image.extend(b"\0" * (change.at - len(image)))
        else:
            image.extend(b"\0" * (change.at - len(image)))
            image[change.at : change.at + len(change.octets)] = change.octets
    return bytes(image)
