"""The machine's own diary: one synced line per physical event, written before the motion it tells of."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self


class Event(StrEnum):
    """What happened to a job at the machine."""

    START = "start"
    INTERRUPT = "interrupt"
    RESUME = "resume"
    MADE = "made"  # a cycle has ended and the job goes on; not every machine writes it
    END = "end"
    ABORT = "abort"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One physical event. `t` is wall seconds since 1970; counts are pieces made so far."""

    t: float
    machine: str
    job: str
    job_no: int | None
    event: Event
    good: int
    scrap: int


class Journal:
    """Appends entries to one machine's file; each is on the disk before `write` returns."""

    def __init__(self, path: Path, *, machine: str, wall: Callable[[], float] = time.time) -> None:
        self._machine = machine
        self._wall = wall
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        _cut_torn_line(self._file)
        _sync_directory(path.parent)

    def write(self, event: Event, *, job: str, job_no: int | None = None, good: int = 0, scrap: int = 0) -> Entry:
        """Append one entry and return it once it is on the disk; raise `OSError` where it is not."""
        entry = Entry(
            t=self._wall(), machine=self._machine, job=job, job_no=job_no, event=event, good=good, scrap=scrap
        )
        line = json.dumps(asdict(entry), ensure_ascii=False) + "\n"
        written = os.write(self._file, line.encode())
        if written != len(line.encode()):
            raise OSError(f"only {written} bytes of a journal line were written")
        os.fsync(self._file)
        return entry

    def close(self) -> None:
        """Close the file; the journal is finished."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def read(path: Path) -> list[Entry]:
    """Read all entries in order; no file is an empty journal, a torn last line has not happened.

    Raise `ValueError` for any other line that is not an entry.
    """
    if not path.exists():
        return []
    *lines, _torn = path.read_bytes().split(b"\n")
    return [_entry(line) for line in lines]


def _entry(line: bytes) -> Entry:
    fields = json.loads(line)
    if not isinstance(fields, dict) or fields.keys() != Entry.__dataclass_fields__.keys():
        raise ValueError(f"not a journal entry: {line!r}")
    return Entry(**{**fields, "event": Event(fields["event"])})


def _cut_torn_line(file: int) -> None:
    """Remove what a power cut left of an entry: it was never synced, so nothing has moved for it."""
    size = os.lseek(file, 0, os.SEEK_END)
    content = os.pread(file, size, 0)
    whole = content.rfind(b"\n") + 1
    if whole != size:
        os.ftruncate(file, whole)
        os.fsync(file)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
