"""The ledger: events go in as transactions, and whoever asked is answered when they are on the disk."""

import asyncio
import copy
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from gateway.errors import LedgerError, LedgerFullError
from gateway.ledger import migrations, writer
from gateway.ledger.ballast import Ballast
from gateway.ledger.migrations import Migration
from gateway.ledger.opening import Opened, close_state, open_state, state_lock
from gateway.ledger.writer import Ask, Copy, Outcome, Writer

__all__ = ["Ledger", "Tx", "open_ledger", "ring"]

Tx = Connection
T = TypeVar("T")

DEADLINE_S = 30.0
PLACES = 2000  # calls that may wait at once; further callers wait for a place
TRY_AGAIN_S = 1.0  # while the disk is full
COPY_S = 3600.0  # the longest that a copy of the whole may take
DISK = "disk"  # the bell that rings when a write found no room

ring = writer.ring


class Ledger:
    """Every durable fact of one site.

    `site`, `epoch` and `ledger_id` say which ledger it is; `boot` counts the starts of the gateway.
    """

    def __init__(
        self,
        opened: Opened,
        thread: Writer,
        *,
        loop: asyncio.AbstractEventLoop,
        deadline_s: float,
        ballast: Ballast,
    ) -> None:
        self.site = opened.site
        self.epoch = opened.epoch
        self.boot = opened.boot
        self.ledger_id = opened.ledger_id
        self.ballast = ballast
        self._loop = loop
        self._deadline_s = deadline_s
        self._patient = True
        self._places = asyncio.Semaphore(PLACES)
        self._bells: dict[str, asyncio.Event] = {}
        self._listened: set[str] = set()
        self._writer = thread
        self._writer.deliver = self._hand_over

    @property
    def full(self) -> bool:
        """Say whether the last write found no room on the disk."""
        return self._writer.full

    @property
    def broken(self) -> bool:
        """Say whether the ledger cannot be used any more."""
        return self._writer.fault is not None or self._writer.stopping

    def at_once(self) -> "Ledger":
        """Give the same ledger for callers who would rather be refused than wait for room on the disk."""
        hasty = copy.copy(self)
        hasty._patient = False  # noqa: SLF001 - it is one of us
        return hasty

    async def write(self, event: Callable[[Tx], T]) -> T:
        """Run an event in its own savepoint and return its answer once it is on the disk.

        An exception of the event undoes that event alone and is raised here. While the disk is full, wait
        and try again: whoever writes pauses. Raise `LedgerError` when the event could not be committed, did
        not end in time, or the ledger cannot be used any more; of a ledger `at_once` also `LedgerFullError`.
        """
        while True:
            known = self.full
            try:
                return await self._ask(event, writes=True)
            except LedgerFullError:
                if not known:
                    self.ring(DISK)
                if not self._patient:
                    raise
            await asyncio.sleep(TRY_AGAIN_S)

    async def copy(self, target: Path, *, progress: Callable[[int, int], None]) -> None:
        """Copy the whole ledger into a file while it is in use; the caller forces it to the disk.

        `progress` is told pages done and pages in all, on another thread. Raise `LedgerError` where it failed.
        """
        await self._put(lambda answer: Copy(target=target, progress=progress, answer=answer), COPY_S)

    async def lay_ballast(self) -> bool:
        """Lay the ballast again if there is room for it; say whether it lies."""
        return await self.read(lambda _tx: self.ballast.lay())

    async def read(self, question: Callable[[Tx], T]) -> T:
        """Ask a question of what is on the disk; a write in it is refused. Raise `LedgerError` like `write`."""
        return await self._ask(question, writes=False)

    async def changed(self, name: str, *, timeout_s: float) -> bool:
        """Wait until the bell of this name rings; False when the time has passed first.

        A bell that rang while nobody listened is heard at once; hearing it silences it. One listener
        per name.
        """
        self._refuse_unusable()
        if name in self._listened:
            raise RuntimeError(f"somebody already listens to {name}")
        bell = self._bells.setdefault(name, asyncio.Event())
        self._listened.add(name)
        try:
            async with asyncio.timeout(timeout_s):
                await bell.wait()
        except TimeoutError:
            return False
        else:
            self._refuse_unusable()
            return True
        finally:
            self._listened.discard(name)
            bell.clear()

    def ring(self, name: str) -> None:
        """Ring a bell from the event loop, for news that is no event of the ledger."""
        self._bells.setdefault(name, asyncio.Event()).set()

    async def _ask(self, call: Callable[[Tx], T], *, writes: bool) -> T:
        answer: T = await self._put(lambda answer: Ask(call=call, writes=writes, answer=answer), self._deadline_s)
        return answer

    async def _put(self, asked: Callable[[asyncio.Future[Any]], Ask | Copy], deadline_s: float) -> Any:
        """Queue one call and wait for its answer."""
        self._refuse_unusable()
        deadline = self._loop.time() + deadline_s
        try:
            async with asyncio.timeout_at(deadline):
                await self._places.acquire()
        except TimeoutError:
            raise self._give_up("there was no place in the queue") from None
        try:
            self._refuse_unusable()
        except LedgerError:
            self._places.release()
            raise
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._writer.put(asked(answer))
        try:
            await asyncio.wait((answer,), timeout=deadline - self._loop.time())
        except asyncio.CancelledError:
            answer.cancel()
            raise
        if not answer.done():
            answer.cancel()
            raise self._give_up("a call did not end")
        return answer.result()

    def _refuse_unusable(self) -> None:
        if self._writer.fault is not None:
            raise LedgerError(self._writer.fault)
        if self._writer.stopping:
            raise LedgerError("the ledger is closed")

    def _give_up(self, what: str) -> LedgerError:
        """Stop using a ledger that does not answer: nothing more is committed, and everybody is told."""
        fault = f"{what} within {self._deadline_s:g} s"
        self._writer.fault = self._writer.fault or fault
        self._wake_listeners()
        return LedgerError(fault)

    def _wake_listeners(self) -> None:
        for bell in self._bells.values():
            bell.set()

    def _hand_over(self, outcomes: list[Outcome], bells: list[str]) -> None:
        """Take a group's outcomes on the writer's thread."""
        writer.post(self._loop, self._answer, outcomes, bells)

    def _answer(self, outcomes: list[Outcome], bells: list[str]) -> None:
        for outcome in outcomes:
            self._places.release()
            answer = outcome.ask.answer
            if answer.done():
                continue
            if outcome.error is not None:
                answer.set_exception(outcome.error)
            else:
                answer.set_result(outcome.value)
        for name in bells:
            self._bells.setdefault(name, asyncio.Event()).set()
        if self._writer.fault is not None:
            self._wake_listeners()


@asynccontextmanager
async def open_ledger(
    state_dir: Path,
    *,
    site: str,
    commit_interval_s: float = 0.0,
    batch: int = 200,
    deadline_s: float = DEADLINE_S,
    steps: tuple[Migration, ...] | None = None,
    ballast_bytes: int = 0,
) -> AsyncIterator[Ledger]:
    """Open the ledger of a site, creating it on first use; what is queued is still written when it closes.

    A group of events waits for more for `commit_interval_s`, takes along what waits already, and holds at
    most `batch`; what comes while it is written to the disk is the next group. `ballast_bytes` are kept
    for it on the disk. Raise `StateLockedError` when another process has the directory, `LedgerError`
    when the ledger there cannot be used. `steps` are the migrations, by default those shipped.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[tuple[Ledger, Writer]] = loop.create_future()
    over: asyncio.Future[None] = loop.create_future()

    def live() -> None:
        """Hold lock and connection from the first check to the last commit, on the ledger's own thread."""
        try:
            with state_lock(state_dir):
                ballast = Ballast(state_dir, size=ballast_bytes)
                opened = _open(state_dir, site, steps or migrations.known(), ballast)
                ballast.lay()
                thread = Writer(opened.tx, interval_s=commit_interval_s, batch=batch, relief=ballast.free)
                ledger = Ledger(opened, thread, loop=loop, deadline_s=deadline_s, ballast=ballast)
                orderly = False
                try:
                    writer.post(loop, _welcome, ready, (ledger, thread))
                    thread.serve()
                    orderly = thread.fault is None
                finally:
                    close_state(opened, orderly=orderly)
        except BaseException as error:  # noqa: BLE001 - it is raised where the ledger was opened
            writer.post(loop, _fail, ready, over, error)
        else:
            writer.post(loop, _end, over)

    threading.Thread(target=live, name="ledger", daemon=True).start()
    ledger, thread = await ready
    try:
        yield ledger
    finally:
        thread.stop()
        await asyncio.wait((over,), timeout=deadline_s)
        if not over.done():
            over.cancel()
            raise LedgerError(f"the ledger did not close within {deadline_s:g} s")
        over.result()


def _open(state_dir: Path, site: str, steps: tuple[Migration, ...], ballast: Ballast) -> Opened:
    """Open the ledger; where the disk is full, once more without the ballast."""
    with suppress(LedgerFullError):
        return open_state(state_dir, site=site, migrations=steps)
    ballast.free()
    return open_state(state_dir, site=site, migrations=steps)


def _welcome(ready: asyncio.Future[tuple[Ledger, Writer]], opened: tuple[Ledger, Writer]) -> None:
    """Hand over an opened ledger; where nobody waits for it any more, close it again."""
    if ready.done():
        opened[1].stop()
    else:
        ready.set_result(opened)


def _fail(ready: asyncio.Future[Any], over: asyncio.Future[None], error: BaseException) -> None:
    """Raise an error of the ledger's thread where it is waited for."""
    waiting = over if ready.done() else ready
    if not waiting.done():
        waiting.set_exception(error)


def _end(over: asyncio.Future[None]) -> None:
    """Say that the ledger is closed."""
    if not over.done():
        over.set_result(None)
