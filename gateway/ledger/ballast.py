"""A file that takes up room so that there is some to give back: orders go on when the disk is full."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from gateway.ledger.copying import sync

NAME = "ballast"
ROOM = 2  # so many times its size must be free before it is laid: the ledger comes first
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Ballast:
    """The ballast of one state directory, `size` bytes; none where that is 0. For the ledger's thread alone."""

    def __init__(self, state_dir: Path, *, size: int) -> None:
        self._path, self._size = state_dir / NAME, size

    @property
    def lies(self) -> bool:
        """Say whether it lies there in its full size, or is not wanted."""
        try:
            return self._path.stat().st_size == self._size
        except FileNotFoundError:
            return self._size == 0

    @property
    def fits(self) -> bool:
        """Say whether there is room for it and for as much again."""
        found = os.statvfs(self._path.parent)
        return found.f_bavail * found.f_frsize >= ROOM * self._size

    def free(self) -> bool:
        """Give its room back; say whether there was any to give."""
        try:
            freed = self._path.stat().st_size > 0
            self._path.unlink()
        except FileNotFoundError:
            return False
        return freed

    def lay(self) -> bool:
        """Take the room up again where it fits, on the disk for good; say whether it lies there now.

        Raise `OSError` where the disk fails in another way than being full.
        """
        if self.lies:
            return True
        self._path.unlink(missing_ok=True)
        if self._size == 0 or not self.fits:
            return self._size == 0
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, self._size)
            os.fsync(handle)
        except OSError as fault:
            if fault.errno not in _NO_ROOM:
                raise
            with suppress(FileNotFoundError):
                self._path.unlink()
            return False
        finally:
            os.close(handle)
        sync(self._path.parent)
        return True
