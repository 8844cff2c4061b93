"""What a machine has really made of each job, whatever its controller remembers of it."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

from simulators.journal import Entry, Event


class Counts(StrEnum):
    """What a machine's quantities and counters count."""

    PIECES = "pieces"
    CYCLES = "cycles"


class Diary(Protocol):
    """Writes down a physical event; it has happened only when this has returned."""

    def __call__(self, event: Event, *, job: str, job_no: int | None, good: int, scrap: int) -> Entry:
        """Write one event of one job with its counts so far."""
        ...


class Tally:
    """Adds up pieces per job over restarts, by the journal itself, and writes on."""

    def __init__(self, entries: Iterable[Entry], diary: Diary) -> None:
        self._diary = diary
        self._made: dict[str, tuple[int, int]] = {}
        self._at_start: dict[str, tuple[int, int]] = {}
        self._highest = 0
        self._last: dict[str, Event] = {}
        self._under_way: dict[str, int | None] = {}
        for entry in entries:
            self._take(entry)

    def write(self, event: Event, *, job: str, job_no: int | None = None, good: int = 0, scrap: int = 0) -> None:
        """Write an event with that many pieces more."""
        good_before, scrap_before = self._made.get(job, (0, 0))
        self._take(self._diary(event, job=job, job_no=job_no, good=good_before + good, scrap=scrap_before + scrap))

    def since_start(self, job: str) -> tuple[int, int] | None:
        """Give good and scrap pieces made since the last start of a job; None where it has not started."""
        if job not in self._at_start:
            return None
        (good, scrap), (good_then, scrap_then) = self._made[job], self._at_start[job]
        return good - good_then, scrap - scrap_then

    def last(self, job: str) -> Event | None:
        """Give what happened last to a job."""
        return self._last.get(job)

    def total(self) -> tuple[int, int]:
        """Give the good and scrap pieces of all jobs."""
        return sum(good for good, _ in self._made.values()), sum(scrap for _, scrap in self._made.values())

    def highest(self) -> int:
        """Give the highest number of a job so far."""
        return self._highest

    def unfinished(self) -> dict[str, int | None]:
        """Give the jobs, with their numbers, that have started and not ended."""
        return dict(self._under_way)

    def _take(self, entry: Entry) -> None:
        self._last[entry.job] = entry.event
        self._highest = max(self._highest, entry.job_no or 0)
        self._made[entry.job] = (entry.good, entry.scrap)
        if entry.event is Event.START:
            self._at_start[entry.job] = (entry.good, entry.scrap)
            self._under_way[entry.job] = entry.job_no
        if entry.event in (Event.END, Event.ABORT):
            self._under_way.pop(entry.job, None)
