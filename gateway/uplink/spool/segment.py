"""One file of the spool: opened and repaired, appended to, read, thinned out."""

import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gateway.uplink.spool.gaps import replace_file, sync_directory
from gateway.uplink.spool.records import (
    HEADER_SIZE,
    Header,
    Sample,
    decode_all,
    decode_header,
    encode,
    encode_header,
)

SUFFIX = ".seg"


class Disk:
    """The calls that can find a disk full; a test puts a smaller one here."""

    def write(self, descriptor: int, raw: bytes) -> None:
        """Append all of it, or raise `OSError` with some of it written."""
        view = memoryview(raw)
        while view:
            view = view[os.write(descriptor, view) :]

    def sync(self, descriptor: int) -> None:
        """Return when what was written is on the disk."""
        os.fdatasync(descriptor)


class Segment:
    """One file and what is known of it. `count` is None until the records were read once."""

    def __init__(self, path: Path, header: Header, *, size: int) -> None:
        self.path, self.header, self.size = path, header, size
        self.count: int | None = None
        self.acked: set[int] = set()
        self.holes: list[int] = []
        self.judged = False  # its damage, if any, was declared
        self._samples: list[Sample] = []
        self._read_to = self._sound_to = HEADER_SIZE

    @classmethod
    def create(cls, directory: Path, header: Header) -> "Segment":
        """Make an empty segment, safely named in its directory; raise `OSError` where there is no room."""
        path = directory / f"{header.first:020d}{SUFFIX}"
        path.write_bytes(encode_header(header))
        sync_directory(directory)
        made = cls(path, header, size=HEADER_SIZE)
        made.count = 0
        return made

    @classmethod
    def open(cls, path: Path) -> "Segment | None":
        """Open an existing file; None for one whose header is not whole, which holds nothing.

        Raise `UnknownVersionError` for one of another version.
        """
        with path.open("rb") as file:
            header = decode_header(file.read(HEADER_SIZE))
        return None if header is None else cls(path, header, size=path.stat().st_size)

    @property
    def done(self) -> bool:
        """Say whether everything in it was acknowledged."""
        return self.count is not None and len(self.acked) >= self.count

    @property
    def damaged(self) -> bool:
        """Say whether its end could not be read."""
        return self._sound_to < self._read_to

    def repair(self) -> int:
        """Cut off what is not whole at the end; give the number of bytes cut."""
        self.samples()
        cut = self.size - self._sound_to
        if cut:
            os.truncate(self.path, self._sound_to)
            self.size = self._read_to = self._sound_to
        return cut

    def append(self, batch: Sequence[Sample], disk: Disk) -> None:
        """Append records and have them on the disk; where that fails, none of them is there."""
        raw = b"".join(map(encode, batch))
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            disk.write(descriptor, raw)
            disk.sync(descriptor)
        except OSError:
            os.ftruncate(descriptor, self.size)
            raise
        finally:
            os.close(descriptor)
        self.size += len(raw)
        self.count = (self.count or 0) + len(batch)

    def samples(self) -> list[Sample]:
        """Give all sound records; only what was appended since the last call is read."""
        if self._read_to < self.size or self.count is None:
            with self.path.open("rb") as file:
                file.seek(self._read_to)
                raw = file.read(self.size - self._read_to)
            found, end, holes = decode_all(raw, 0)
            self.holes += [len(self._samples) + place for place in holes]
            self._samples += found
            self._read_to, self._sound_to = self.size, self._read_to + end
            self.count = len(self._samples)
        return self._samples

    def after(self, number: int) -> Sequence[Sample]:
        """Give the records behind a number, in order."""
        samples = self.samples()
        return samples[bisect_right(samples, number, key=lambda sample: sample.number) :]

    def waiting(self) -> list[Sample]:
        """Give the records that nobody has acknowledged."""
        return [sample for sample in self.samples() if sample.number not in self.acked]

    def forget(self) -> None:
        """Keep the records on the disk only."""
        self._samples, self.holes = [], []
        self._read_to = self._sound_to = HEADER_SIZE

    def rewrite(self, kept: Sequence[Sample]) -> None:
        """Put a thinner file in its place, once the rest was declared; raise `OSError` where there is no room."""
        header = replace(self.header, thinned=self.header.thinned + 1)
        raw = encode_header(header) + b"".join(map(encode, kept))
        replace_file(self.path, raw)
        self.header, self.size = header, len(raw)
        self.acked.clear()
        self.forget()
        self.samples()


def halves(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Part samples into every second one of each machine, which stays, and the others."""
    seen: Counter[str] = Counter()
    parts: tuple[list[Sample], list[Sample]] = [], []
    for sample in samples:
        parts[seen[sample.machine] % 2].append(sample)
        seen[sample.machine] += 1
    return parts
