"""All segments of the spool, on one thread: append, acknowledge, read, and give way when it is full."""

import errno
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from zlib import crc32

from gateway.uplink.spool.gaps import keep_gaps, load_gaps, merged, replace_file, without
from gateway.uplink.spool.records import Gap, Header, Sample, UnknownVersionError, lost
from gateway.uplink.spool.segment import SUFFIX, Disk, Segment, halves

SEGMENT_BYTES_MAX = 4 * 1024 * 1024
THINNED_MAX = 4  # times; then the oldest go
NO_ROOM = "the disk is full: orders come first"
_SEGMENTS = 8  # at least that many make up a full spool
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_RANGE = struct.Struct("<QQ")
_HOUR_MS = 3_600_000
_OVERHEAD = 64  # bytes of a record beside name and message, and some


class Policy(StrEnum):
    """What gives way when the spool is full."""

    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    THIN = "thin"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much is kept, for how long, and what gives way."""

    max_bytes: int = 268_435_456
    max_age_h: float = 72.0
    policy: Policy = Policy.DROP_OLDEST

    @property
    def max_age_ms(self) -> int:
        """Give the longest time in milliseconds."""
        return round(self.max_age_h * _HOUR_MS)

    @property
    def segment_bytes(self) -> int:
        """Give the size at which a new segment begins."""
        return min(SEGMENT_BYTES_MAX, self.max_bytes // _SEGMENTS)


class Store:
    """What is on the disk, and what will be. Samples come with rising numbers, from `next_number` on.

    No fault of the disk leaves it: what cannot be kept becomes a gap. Raise `OSError` only at the start.
    """

    def __init__(
        self, directory: Path, limits: Limits, *, now_ms: Callable[[], int], log: Any, disk: Disk | None = None
    ) -> None:
        self._directory, self._limits, self._now_ms, self._log = directory, limits, now_ms, log
        self._disk = disk or Disk()
        directory.mkdir(parents=True, exist_ok=True)
        self._trouble = ""
        self._gives_way = False
        self._active: Segment | None = None  # an old one is never appended to
        self._segments = self._open()
        self.gaps = load_gaps(self._gaps_path)
        self._gaps_kept, self._acks_changed = True, False
        self.next_number = 1 + max(self._newest(), self._load_acks())

    @property
    def size(self) -> int:
        """Give the bytes on disk."""
        return sum(segment.size for segment in self._segments)

    def append(self, batch: Sequence[Sample]) -> None:
        """Have samples on the disk, or declared as gaps."""
        if not batch:
            return
        if self._gives_way:
            self._shed(batch, NO_ROOM)
            return
        if not self._make_room(sum(len(sample.body) + len(sample.machine) + _OVERHEAD for sample in batch)):
            self._shed(batch, "the spool is full")
            return
        try:
            self._write(batch)
            self._trouble = ""
        except OSError as fault:
            self._active = None
            self._shed(batch, "the disk is full" if fault.errno in _FULL else f"the disk failed: {fault.strerror}")

    def give_way(self, enough: Callable[[], bool] | None) -> None:
        """Keep nothing more, and drop the oldest segments until there is enough room; None: keep samples again."""
        self._gives_way = enough is not None
        while enough is not None and self._segments and not enough():
            self._drop(self._segments[0], NO_ROOM)

    def acknowledge(self, numbers: Iterable[int]) -> None:
        """Take note that the broker has these; a segment goes when it has all of them."""
        firsts = [segment.header.first for segment in self._segments]
        touched: set[int] = set()
        for number in numbers:
            place = bisect_right(firsts, number) - 1
            if place >= 0:
                self._segments[place].acked.add(number)
                touched.add(place)
        self._acks_changed = self._acks_changed or bool(touched)
        for segment in [self._segments[place] for place in touched]:
            if segment.done:
                self._remove(segment)

    def read(
        self, after: int, *, limit: int, wanted: Callable[[int], bool], stop: int
    ) -> tuple[tuple[Sample, ...], int]:
        """Give at most `limit` waiting samples behind a number and below `stop`, and where to go on."""
        found: list[Sample] = []
        for segment in list(self._segments):
            behind = [sample for sample in self._readable(segment, after) if sample.number < stop]
            for sample in behind:
                after = sample.number
                if sample.number not in segment.acked and wanted(sample.number):
                    found.append(sample)
                    if len(found) >= limit:
                        return tuple(found), after
            if segment is not self._active:
                segment.forget()
        return tuple(found), after

    def declare(self, gaps: Iterable[Gap]) -> None:
        """Add gaps to those that are to be told, on the disk if there is any room at all."""
        self.gaps = merged(self.gaps, gaps)
        self._gaps_kept = False
        self._keep_gaps()

    def told(self, gap: Gap) -> None:
        """Forget a gap that the broker knows."""
        self.gaps = without(self.gaps, gap)
        self._gaps_kept = False
        self._keep_gaps()

    def tidy(self) -> None:
        """Drop what is too old, and keep on the disk what changed in memory."""
        oldest_ms = self._now_ms() - self._limits.max_age_ms
        while self._segments and self._ends_ms(self._segments[0]) < oldest_ms:
            self._drop(self._segments[0], "older than max_age_h")
        self._keep_gaps()
        self._keep_acks()

    # Segments ----------------------------------------------------------------------------------------

    @property
    def _gaps_path(self) -> Path:
        return self._directory / "gaps.json"

    @property
    def _acks_path(self) -> Path:
        return self._directory / "acknowledged"

    def _ends_ms(self, segment: Segment) -> int:
        """Give the time after which nothing more is appended to a segment."""
        return segment.header.created_ms + self._limits.max_age_ms // _SEGMENTS

    def _newest(self) -> int:
        """Give the highest number in use, also by a segment of another version."""
        names = [path.stem for path in self._directory.glob(f"*{SUFFIX}")]
        samples = self._segments[-1].samples() if self._segments else []
        return max([0, *(int(name) for name in names if name.isdecimal()), *(one.number for one in samples[-1:])])

    def _open(self) -> list[Segment]:
        """Open the segments; what is torn at the end of the newest is cut off, another version's is left alone."""
        found: list[Segment] = []
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            try:
                segment = Segment.open(path)
            except UnknownVersionError as unknown:
                self._log.warning("spool: a segment is left alone", segment=path.name, reason=str(unknown))
                continue
            if segment is None:
                self._log.warning("spool: a segment without a whole header holds nothing", segment=path.name)
                path.unlink()
            else:
                found.append(segment)
        if found and (cut := found[-1].repair()):
            self._log.warning("spool: a torn end was cut off", segment=found[-1].path.name, bytes=cut)
        if found and not found[-1].count:
            found.pop().path.unlink()
        return found

    def _write(self, batch: Sequence[Sample]) -> None:
        try:
            self._appendable(batch[0].number).append(batch, self._disk)
        except OSError as fault:
            # Order facts outrank telemetry: a full disk takes the oldest samples first.
            if fault.errno not in _FULL or self._limits.policy is Policy.DROP_NEWEST or len(self._segments) < 2:  # noqa: PLR2004
                raise
            self._drop(self._segments[0], "the disk is full")
            self._appendable(batch[0].number).append(batch, self._disk)

    def _appendable(self, first: int) -> Segment:
        active = self._active
        if active is None or active.size >= self._limits.segment_bytes or self._ends_ms(active) <= self._now_ms():
            active = self._active = Segment.create(self._directory, Header(first=first, created_ms=self._now_ms()))
            self._segments.append(active)
        return active

    def _shed(self, batch: Sequence[Sample], reason: str) -> None:
        self._complain("samples are dropped", reason)
        self.declare(lost(batch, reason))

    def _complain(self, what: str, reason: str) -> None:
        """Log a trouble once, until another one comes or it is over."""
        if self._trouble != reason:
            self._trouble = reason
            self._log.warning(f"spool: {what}", reason=reason)

    def _make_room(self, more: int) -> bool:
        while self._segments and self.size + more > self._limits.max_bytes:
            match self._limits.policy:
                case Policy.DROP_NEWEST:
                    return False
                case Policy.THIN if (thinnable := self._least_thinned()) is not None:
                    self._thin(thinnable)
                case _:
                    self._drop(self._segments[0], "the spool is full")
        return True

    def _least_thinned(self) -> Segment | None:
        sealed = [segment for segment in self._segments if segment is not self._active]
        least = min(sealed, key=lambda segment: segment.header.thinned, default=None)
        return None if least is None or least.header.thinned >= THINNED_MAX else least

    def _thin(self, segment: Segment) -> None:
        kept, gone = halves(segment.waiting())
        if not kept:
            self._remove(segment)
            return
        self.declare(lost(gone, "thinned out"))
        try:
            segment.rewrite(kept)
        except OSError:
            self._drop(segment, "the disk is full")

    def _drop(self, segment: Segment, reason: str) -> None:
        """Declare what waits in a segment, then delete it: a crash in between declares too much, never too little."""
        try:
            waiting = segment.waiting()
        except OSError as fault:
            self._log.warning("spool: a segment cannot be read", segment=segment.path.name, reason=str(fault))
            waiting = []
        if waiting:
            self._shed(waiting, reason)
        self._remove(segment)

    def _remove(self, segment: Segment) -> None:
        segment.path.unlink(missing_ok=True)
        self._segments.remove(segment)
        if segment is self._active:
            self._active = None

    def _readable(self, segment: Segment, after: int) -> Sequence[Sample]:
        """Read a segment; where it is damaged, declare what lies between its sound neighbours."""
        try:
            found = segment.after(after)
        except OSError as fault:
            self._log.warning("spool: a segment cannot be read", segment=segment.path.name, reason=str(fault))
            return ()
        if not segment.judged and (segment.holes or segment.damaged):
            self._log.warning("spool: a segment is damaged", segment=segment.path.name)
            self.declare(self._holes(segment))
        segment.judged = True
        return found

    def _holes(self, segment: Segment) -> Iterable[Gap]:
        """Declare the messages between the last sound one before damage and the first one after it."""
        place = self._segments.index(segment)
        samples = segment.samples()
        later = [sample for other in self._segments[place + 1 : place + 2] for sample in other.samples()]
        ends = [*segment.holes, *([len(samples)] if segment.damaged else [])]
        for end in ends:
            before = {(sample.machine, sample.boot): sample.seq for sample in samples[:end]}
            behind = {(sample.machine, sample.boot): sample.seq for sample in reversed([*samples[end:], *later])}
            for (machine, boot), seq in before.items():
                missing = behind.get((machine, boot), seq) - seq - 1
                if missing > 0:
                    last = seq + missing
                    yield Gap(
                        machine=machine,
                        boot=boot,
                        first=seq + 1,
                        last=last,
                        count=missing,
                        values=0,
                        reason="damaged on the disk",
                    )

    # What is remembered beside the segments ------------------------------------------------------------

    def _keep_gaps(self) -> None:
        if self._gaps_kept:
            return
        try:
            keep_gaps(self._gaps_path, self.gaps)
            self._gaps_kept = True
        except OSError as fault:
            self._complain("gaps are kept in memory only", str(fault))

    def _keep_acks(self) -> None:
        """Remember acknowledgements; not forced to the disk, since losing them only sends samples twice."""
        if not self._acks_changed:
            return
        raw = b"".join(_RANGE.pack(*ends) for ends in _ranges(self._segments))
        try:
            replace_file(self._acks_path, crc32(raw).to_bytes(4, "little") + raw, durable=False)
            self._acks_changed = False
        except OSError as fault:
            self._complain("acknowledgements are not kept", str(fault))

    def _load_acks(self) -> int:
        """Give the segments what was acknowledged in them; give the highest number of all."""
        try:
            raw = self._acks_path.read_bytes()
        except FileNotFoundError:
            return 0
        if len(raw) % _RANGE.size != 4 or crc32(raw[4:]) != int.from_bytes(raw[:4], "little"):  # noqa: PLR2004
            return 0
        ranges = list(_RANGE.iter_unpack(raw[4:]))
        known = list(self._segments)
        for place, segment in enumerate(known, start=1):
            end = known[place].header.first if place < len(known) else 1 << 64
            inside = [(low, high) for low, high in ranges if low < end and high >= segment.header.first]
            if not inside:
                continue
            for low, high in inside:
                segment.acked.update(sample.number for sample in segment.after(low - 1) if sample.number <= high)
            if segment.done:
                self._remove(segment)
            segment.forget()
        return max((high for _, high in ranges), default=0)


def _ranges(segments: Sequence[Segment]) -> Iterable[tuple[int, int]]:
    """Give the acknowledged numbers as first and last of each unbroken row of them."""
    first = last = None
    for number in (number for segment in segments for number in sorted(segment.acked)):
        if last is None or number > last + 1:
            if first is not None and last is not None:
                yield first, last
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last
