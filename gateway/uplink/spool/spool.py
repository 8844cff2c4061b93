"""The spool as the stages use it: samples go in without waiting, one thread has them on disk soon."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gateway.uplink.spool.records import Gap, Sample, lost
from gateway.uplink.spool.segment import Disk
from gateway.uplink.spool.store import Limits, Store

T = TypeVar("T")

LIVE_MAX = 1000  # messages that wait in memory to be sent; more wait on the disk
PENDING_MAX = 32 * 1024 * 1024  # bytes of messages in memory while the disk does not take them
_REST_S = 60.0  # the thread looks at the age of what is kept at least this often


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    work: Callable[[Store], Any]
    answer: asyncio.Future[Any]


class Spool:
    """Keeps samples until the broker has them. Everything here is called on the event loop.

    A sample acknowledged before its group is written never touches the disk.
    """

    def __init__(self, next_number: int, *, interval_s: float, loop: asyncio.AbstractEventLoop) -> None:
        self._next, self._interval_s, self._loop = next_number, interval_s, loop
        self._pending: dict[int, Sample] = {}
        self._pending_bytes = 0
        self._acknowledged: list[int] = []
        self._shed: list[Sample] = []
        self._jobs: list[_Job] = []
        self._taken: list[_Job] = []  # by the thread, not yet answered
        self._stopping = self._idle = False
        self._fault: BaseException | None = None
        self._wake = threading.Condition()
        self._feed: Feed | None = None

    def keep(self, machine: str, *, boot: int, seq: int, t_ms: int, count: int, body: bytes) -> Sample:
        """Take one message: it is sent if there is a feed, and on disk within the commit interval."""
        self._refuse_broken()
        sample = Sample(number=self._next, machine=machine, boot=boot, seq=seq, t_ms=t_ms, count=count, body=body)
        self._next += 1
        with self._wake:
            if self._pending_bytes + len(body) > PENDING_MAX:
                self._shed.append(sample)
                return sample
            self._pending[sample.number] = sample
            self._pending_bytes += len(body)
            self._stir()
        if self._feed is not None:
            self._feed.offer(sample)
        return sample

    def acknowledged(self, sample: Sample) -> None:
        """Let go of a message that the broker has."""
        with self._wake:
            if self._pending.pop(sample.number, None) is not None:
                self._pending_bytes -= len(sample.body)
                return
            self._acknowledged.append(sample.number)
            self._stir()

    async def commit(self) -> None:
        """Return when all that was kept before is on disk, acknowledged or declared as a gap."""
        await self.ask(lambda _store: None)

    async def give_way(self, enough: Callable[[], bool] | None) -> None:
        """Keep nothing more, and drop the oldest until there is enough room; None: keep samples again.

        All that is dropped is declared. `enough` is called on the spool's thread.
        """
        await self.ask(lambda store: store.give_way(enough))

    async def feed(self) -> "Feed":
        """Begin to send: what was kept so far is history, what comes from now on is live.

        There is one feed, that of the present connection; it replaces the one before.
        """
        fresh = Feed(self, first_live=self._next)
        self._feed = fresh
        # What went before must be safe before anything newer leaves: a crash must not open a hole.
        await self.commit()
        return fresh

    def close_feed(self, feed: "Feed") -> None:
        """End a feed; what it has not seen acknowledged is history for the next."""
        if self._feed is feed:
            self._feed = None

    async def ask(self, work: Callable[[Store], T]) -> T:
        """Do something on the spool's thread, behind all that was kept before."""
        self._refuse_broken()
        answer: asyncio.Future[T] = self._loop.create_future()
        with self._wake:
            self._jobs.append(_Job(work=work, answer=answer))
            self._wake.notify()
        return await answer

    def _stir(self) -> None:
        """Wake the thread where it has nothing to do; one that waits for its group to fill wakes by itself."""
        if self._idle:
            self._idle = False
            self._wake.notify()

    def _refuse_broken(self) -> None:
        if self._fault is not None:
            raise RuntimeError("the spool's thread has ended") from self._fault

    # On the thread -----------------------------------------------------------------------------------

    def serve(self, store: Store) -> None:
        """Write in groups until the spool is closed."""
        try:
            while not self._stopping:
                self._rest()
                self._turn(store)
            self._turn(store)
        except BaseException as fault:
            self._fault = fault
            for job in [*self._taken, *self._jobs]:
                post(self._loop, _answer, job.answer, None, fault)
            raise

    def stop(self) -> None:
        """Have the thread write what it has and end."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def _rest(self) -> None:
        """Wait for something to do, then for the group to fill, unless somebody waits for an answer."""
        with self._wake:
            self._idle = True
            self._wake.wait_for(
                lambda: self._pending or self._acknowledged or self._jobs or self._stopping, timeout=_REST_S
            )
            self._idle = False
            self._wake.wait_for(lambda: self._jobs or self._stopping, timeout=self._interval_s)

    def _turn(self, store: Store) -> None:
        with self._wake:
            batch, numbers, shed, self._taken = self._pending, self._acknowledged, self._shed, self._jobs
            self._pending, self._acknowledged, self._shed, self._jobs = {}, [], [], []
            self._pending_bytes = 0
        store.append(tuple(batch.values()))
        if shed:
            store.declare(lost(shed, "the disk was too slow"))
        store.acknowledge(numbers)
        store.tidy()
        for job in self._taken:
            post(self._loop, _answer, job.answer, job.work(store), None)
        self._taken = []


class Feed:
    """What one connection has to send: live as it comes, and beside it what waited."""

    def __init__(self, spool: Spool, *, first_live: int) -> None:
        self._spool = spool
        self._first_live = first_live
        self._live: deque[Sample] = deque()
        self._missed: list[tuple[int, int]] = []  # live ones that could not be sent in time
        self._after = 0
        self._bell = asyncio.Event()
        self._history_bell = asyncio.Event()

    def offer(self, sample: Sample) -> None:
        """Take a live sample; the oldest that nobody took becomes history."""
        self._live.append(sample)
        self._bell.set()
        if len(self._live) > LIVE_MAX:
            number = self._live.popleft().number
            if self._missed and self._missed[-1][1] == number - 1:
                self._missed[-1] = (self._missed[-1][0], number)
            else:
                self._missed.append((number, number))
            self._history_bell.set()

    async def live(self) -> Sample:
        """Wait for the next live sample."""
        while not self._live:
            self._bell.clear()
            await self._bell.wait()
        return self._live.popleft()

    async def history(self, limit: int) -> tuple[Sample, ...]:
        """Give the next samples that waited, oldest first; none when all are sent."""
        missed, first_live = tuple(self._missed), self._first_live
        stop = self._live[0].number if self._live else self._spool._next  # noqa: SLF001 - two halves of one thing

        def wanted(number: int) -> bool:
            return number < first_live or any(low <= number <= high for low, high in missed)

        found, self._after = await self._spool.ask(
            lambda store: store.read(self._after, limit=limit, wanted=wanted, stop=stop)
        )
        if not found:
            self._missed = [ends for ends in self._missed if ends[1] > self._after]
        return found

    async def gaps(self) -> tuple[Gap, ...]:
        """Give what must be declared as lost."""
        return await self._spool.ask(lambda store: store.gaps)

    async def gap_told(self, gap: Gap) -> None:
        """Let go of a gap that the broker knows."""
        await self._spool.ask(lambda store: store.told(gap))

    async def more(self, timeout_s: float) -> None:
        """Wait until there is more history, or that long: gaps come without a bell."""
        self._history_bell.clear()
        if self._missed:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._history_bell.wait()
        except TimeoutError:
            return


@asynccontextmanager
async def open_spool(
    directory: Path,
    limits: Limits,
    *,
    interval_s: float = 0.2,
    now_ms: Callable[[], int],
    log: Any,
    disk: Disk | None = None,
) -> AsyncIterator[Spool]:
    """Open the spool in a directory, creating it on first use; all that was kept is on disk when it closes.

    `now_ms` is asked on the spool's thread. Raise `OSError` where the directory cannot be used.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[Spool] = loop.create_future()
    over: asyncio.Future[None] = loop.create_future()

    def live() -> None:
        try:
            store = Store(directory, limits, now_ms=now_ms, log=log, disk=disk)
            spool = Spool(store.next_number, interval_s=interval_s, loop=loop)
            post(loop, _answer, ready, spool, None)
            spool.serve(store)
        except BaseException as fault:  # noqa: BLE001 - it is raised where the spool was opened
            post(loop, _answer, ready, None, fault)
            post(loop, _answer, over, None, fault)
        else:
            post(loop, _answer, over, None, None)

    threading.Thread(target=live, name="spool", daemon=True).start()
    spool = await ready
    try:
        yield spool
    finally:
        spool.stop()
        await over


def post(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: object) -> None:
    """Call something on the loop from the thread; a loop that has ended needs no answer."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(call, *arguments)


def _answer(future: asyncio.Future[Any], value: object, fault: BaseException | None) -> None:
    if future.done():
        return
    if fault is None:
        future.set_result(value)
    else:
        future.set_exception(fault)
        future.exception()  # seen, even where nobody waits for it
