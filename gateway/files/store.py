"""Files on our own disk, each named by the hash of its content, and their way into a machine's hot folder."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Final, TypeVar

T = TypeVar("T")
DEADLINE_S: Final = 60.0
_NO_FOLDER_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP})  # some network mounts cannot sync a folder
_READABLE: Final = 0o640
_PIECE: Final = 1 << 20


class StoreError(Exception):
    """A folder cannot be read or written right now: try again later. The text names the folder and why."""


class LostFileError(Exception):
    """Our own copy of a file is gone or damaged: it must be fetched again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A file as it lies on the disk."""

    sha256: str
    bytes: int


class FileStore:
    """The folder of all files, below the state directory.

    Every method raises `StoreError`; none of them takes longer than `deadline_s`, also where a network folder
    hangs: what was asked of it then goes on in its thread, and until it ends nothing more is asked of that folder.
    """

    def __init__(self, directory: Path, *, deadline_s: float = DEADLINE_S) -> None:
        self._directory, self._deadline_s = directory, deadline_s
        self._hanging: dict[Path, threading.Thread] = {}

    def path(self, digest: str) -> Path:
        """Say where the file with this content lies, if it is there."""
        return self._directory / digest

    def part(self, name: str) -> Path:
        """Say where a file is written while it comes in; the next attempt writes over what an earlier one left."""
        return self._directory / f"{name}.part"

    async def prepare(self) -> None:
        """Make the folder where there is none."""
        await self._do(self._directory, lambda: self._directory.mkdir(mode=0o700, exist_ok=True))

    async def keep(self, part: Path) -> Stored:
        """Put a file that has come in under the hash of its content; afterwards it survives a power cut."""
        return await self._do(self._directory, lambda: self._keep(part))

    async def drop(self, part: Path) -> None:
        """Forget a file that came in and is of no use."""
        await self._do(self._directory, lambda: part.unlink(missing_ok=True))

    async def sweep(self, known: Collection[str]) -> None:
        """Delete every file whose name (a hash, or NAME.part of one that comes in) is not among the known ones."""
        await self._do(self._directory, lambda: self._sweep(frozenset(known)))

    async def deliver(self, digest: str, folder: Path, name: str) -> None:
        """Lay a file into a folder under this name; one that lies there already with this content is left.

        Raise `LostFileError` when our own copy is gone or damaged.
        """
        await self._do(folder, lambda: self._deliver(digest, folder, name))

    async def _do(self, folder: Path, work: Callable[[], T]) -> T:
        """Do what may block on a thread of its own; a daemon's end does not wait for it."""
        before = self._hanging.get(folder)
        if before is not None and before.is_alive():
            raise StoreError(f"{folder} still does not answer")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                _tell(loop, answer.set_result, work(), answer)
            except BaseException as error:  # noqa: BLE001 - it is raised where it was asked
                _tell(loop, answer.set_exception, error, answer)

        thread = threading.Thread(target=run, name=f"files {folder.name}", daemon=True)
        thread.start()
        try:
            async with asyncio.timeout(self._deadline_s):
                done = await answer
        except TimeoutError:
            self._hanging[folder] = thread
            raise StoreError(f"{folder} does not answer within {self._deadline_s:g} s") from None
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror or type(error).__name__}") from None
        return done

    def _keep(self, part: Path) -> Stored:
        with part.open("r+b") as file:
            stored = Stored(sha256=file_digest(file, "sha256").hexdigest(), bytes=os.fstat(file.fileno()).st_size)
            os.fsync(file.fileno())
        part.replace(self.path(stored.sha256))
        _sync(self._directory)
        return stored

    def _sweep(self, known: frozenset[str]) -> None:
        for path in self._directory.iterdir():
            if path.name not in known:
                path.unlink(missing_ok=True)

    def _deliver(self, digest: str, folder: Path, name: str) -> None:
        target, part = folder / name, folder / f".{name}.part"
        if _holds(target, digest):
            _sync(folder)  # it may have been laid here just before a power cut
            return
        if not self.path(digest).is_file():
            raise LostFileError(digest)
        part.unlink(missing_ok=True)
        copied = sha256()
        # Others may write in this folder: a link that somebody laid there is not followed.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with self.path(digest).open("rb") as source, os.fdopen(os.open(part, flags, _READABLE), "wb") as copy:
            os.fchmod(copy.fileno(), _READABLE)
            while piece := source.read(_PIECE):
                copied.update(piece)
                copy.write(piece)
            copy.flush()
            os.fsync(copy.fileno())
        if copied.hexdigest() != digest:
            part.unlink(missing_ok=True)
            raise LostFileError(digest)
        part.replace(target)
        _sync(folder)


def _holds(path: Path, digest: str) -> bool:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return file_digest(file, "sha256").hexdigest() == digest
    except FileNotFoundError:
        return False


def _sync(folder: Path) -> None:
    """Make the folder's names survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def _tell(
    loop: asyncio.AbstractEventLoop, give: Callable[[Any], None], value: object, answer: "asyncio.Future[Any]"
) -> None:
    def tell() -> None:
        if not answer.done():
            give(value)

    with suppress(RuntimeError):  # the loop has ended meanwhile, and nobody waits any more
        loop.call_soon_threadsafe(tell)
