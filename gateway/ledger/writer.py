"""One thread owns the connection: events are committed in groups, and answered only after the commit."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy import Connection, NestedTransaction
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import LedgerError, LedgerFullError
from gateway.ledger import copying, engine

_BELLS = "bells"
LONGEST_GROUP_S = 0.02  # that calls that wait already go along: so long the first of them waits for the last


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One call from the event loop: an event that writes, or a question."""

    call: Callable[[Connection], Any]
    writes: bool
    answer: asyncio.Future[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """A call for a copy of the whole ledger; `progress` is told pages done and pages in all, on the writer's thread."""

    target: Path
    progress: Callable[[int, int], None]
    answer: asyncio.Future[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a call."""

    ask: Ask | Copy
    value: Any = None
    error: BaseException | None = None


Deliver = Callable[[list[Outcome], list[str]], None]


class _LostError(Exception):
    """The whole group was rolled back."""


class _FullError(Exception):
    """There was no room on the disk for the group: nothing of it was written."""


class _StoppedError(Exception):
    """A copy was given up: the ledger closes, or nobody waits for it any more."""


def ring(tx: Connection, name: str) -> None:
    """Ring a bell once the event of this transaction is committed; not at all when it is rolled back."""
    tx.info.setdefault(_BELLS, []).append(name)


class Writer:
    """Serves calls on its own thread until it is told to stop.

    `fault` is why the ledger cannot be used any more, None while it can; `full` says that the last group
    found no room on the disk; `stopping` says that no further call is taken. `deliver` is called on this
    thread with the outcomes of a group and the bells to ring, `relief` when the disk is full: it says
    whether it could make room.
    """

    def __init__(
        self, tx: Connection, *, interval_s: float, batch: int, relief: Callable[[], bool] = lambda: False
    ) -> None:
        self.fault: str | None = None
        self.full = False
        self.stopping = False
        self.deliver: Deliver = _to_nobody
        self._relief = relief
        self._copies: deque[Copy] = deque()
        self._tx = tx
        self._interval_s = interval_s
        self._batch = batch
        self._queue: SimpleQueue[Ask | Copy | None] = SimpleQueue()  # bounded by the places of the ledger
        self._stopped = False

    def put(self, ask: Ask | Copy) -> None:
        """Queue a call."""
        self._queue.put(ask)

    def stop(self) -> None:
        """Let `serve` return when everything queued before has been answered."""
        self.stopping = True
        self._queue.put(None)

    def serve(self) -> None:
        """Answer calls until `stop`."""
        while not self._stopped:
            ask = self._queue.get()
            if ask is None:
                break
            self._serve(ask)
            while self._copies and not self._stopped:
                self._serve_copy(self._copies.popleft())
        self.deliver([Outcome(ask=copy, error=LedgerError("the ledger is closed")) for copy in self._copies], [])

    def _serve(self, ask: Ask | Copy) -> None:
        """Answer one call, and those that come before its group closes."""
        if self.fault is not None:
            self.deliver([Outcome(ask=ask, error=LedgerError(self.fault))], [])
        elif isinstance(ask, Copy):
            self._copies.append(ask)
        elif ask.writes:
            self._serve_group(ask)
        else:
            self.deliver([self._question(ask)], [])

    def _serve_copy(self, ask: Copy) -> None:
        """Copy the ledger page by page; after each step one group of what came is served, and is in the copy too."""

        def between(done: int, pages: int) -> None:
            ask.progress(done, pages)
            with suppress(Empty):
                waiting = self._queue.get_nowait()
                if waiting is None:
                    self._stopped = True
                else:
                    self._serve(waiting)
            if self._stopped or self.fault is not None or ask.answer.cancelled():
                raise _StoppedError(self.fault or "it was given up")

        try:
            copying.copy(engine.raw(self._tx), ask.target, between=between)
            outcome = Outcome(ask=ask)
        except Exception as error:  # noqa: BLE001 - nobody may be left waiting, whatever went wrong
            outcome = Outcome(ask=ask, error=_caused(LedgerError(f"the ledger was not copied: {error}"), error))
        self.deliver([outcome], [])

    def _question(self, ask: Ask) -> Outcome:
        """Answer a question alone, outside any group: it sees only what is committed."""
        try:
            self._tx.begin()
            outcome = self._look(ask)
            engine.abandon(self._tx)
        except Exception as error:  # noqa: BLE001 - nobody may be left waiting, whatever went wrong
            outcome = self._lose([ask], error)[0]
        return outcome

    def _serve_group(self, first: Ask) -> None:
        """Run one group of events and commit them together; where the disk is full, once more if that made room."""
        taken: list[Ask] = []
        outcomes, bells, full = self._attempt(self._gather(first, taken), taken)
        if full and self._relief():
            outcomes, bells, full = self._attempt(tuple(taken), taken)
        if full:  # a question needs no room
            outcomes = [lost if ask.writes else self._question(ask) for ask, lost in zip(taken, outcomes, strict=True)]
        self.deliver(outcomes, bells)

    def _attempt(self, asks: Iterable[Ask], taken: Sequence[Ask]) -> tuple[list[Outcome], list[str], bool]:
        """Try one group; give its outcomes, the bells to ring, and whether there was no room for it.

        `taken` are by the end the calls that must be answered.
        """
        bells: list[str] = []
        self._tx.info[_BELLS] = bells
        outcomes: list[Outcome] = []
        raw = engine.raw(self._tx)
        changed = raw.total_changes
        try:
            self._tx.begin()
            outcomes.extend(self._run(ask, bells) if ask.writes else self._look(ask) for ask in asks)
            self._commit()
        except Exception as error:  # noqa: BLE001 - nobody may be left waiting, whatever went wrong
            bells.clear()
            outcomes = self._lose(taken, error)
            return outcomes, bells, self.fault is None and _is_full(error)
        self.full = self.full and raw.total_changes == changed  # what changed nothing needed no room
        return outcomes, bells, False

    def _commit(self) -> None:
        """Commit the group, unless a caller gave up waiting: nothing is committed behind its back."""
        if self.fault is not None:
            raise _LostError(self.fault)
        engine.commit(self._tx)

    def _gather(self, first: Ask, taken: list[Ask]) -> Iterator[Ask]:
        """Give the first call, those within the interval, and those that wait already by then, noted as taken."""
        began = time.monotonic()
        taken.append(first)
        yield first
        for _ in range(self._batch - 1):
            open_s = time.monotonic() - began
            if open_s >= max(LONGEST_GROUP_S, self._interval_s):
                return
            try:
                ask = self._queue.get(timeout=max(0.0, self._interval_s - open_s))
            except Empty:
                return
            if ask is None:
                self._stopped = True
                return
            if isinstance(ask, Copy):
                self._copies.append(ask)
                return
            taken.append(ask)
            yield ask

    def _run(self, ask: Ask, bells: list[str]) -> Outcome:
        """Run one event in its own savepoint; raise `_LostError` when more than the event was lost."""
        if ask.answer.cancelled():
            return Outcome(ask=ask)
        rung = len(bells)
        savepoint = self._tx.begin_nested()
        try:
            value = ask.call(self._tx)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the caller's
            self._raise_if_fatal(error)
            _raise_if_ended(savepoint)
            del bells[rung:]
            _undo(savepoint, error)
            return Outcome(ask=ask, error=_deliverable(error))
        _raise_if_ended(savepoint)
        savepoint.commit()
        return Outcome(ask=ask, value=value)

    def _look(self, ask: Ask) -> Outcome:
        """Ask a question; the database refuses a write meanwhile."""
        if ask.answer.cancelled():
            return Outcome(ask=ask)
        raw = engine.raw(self._tx)
        raw.execute("PRAGMA query_only = ON").fetchall()
        try:
            return Outcome(ask=ask, value=ask.call(self._tx))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the caller's
            if engine.code_of(error) != engine.READONLY:
                self._raise_if_fatal(error)
            return Outcome(ask=ask, error=_deliverable(error))
        finally:
            raw.execute("PRAGMA query_only = OFF").fetchall()

    def _raise_if_fatal(self, error: BaseException) -> None:
        if engine.code_of(error) == engine.FULL:
            raise _FullError(str(error)) from error
        reason = engine.fatal(error)
        if reason is not None:
            self.fault = reason
            raise _LostError(reason) from error

    def _lose(self, asks: Sequence[Ask], error: Exception) -> list[Outcome]:
        """Roll everything back and tell every caller; keep serving only after a full disk."""
        full = _is_full(error)
        self.full = self.full or full
        if self.fault is None and not full and not isinstance(error, _LostError):
            self.fault = engine.fatal(error) or f"a group could not be committed: {error}"
        try:
            engine.abandon(self._tx)
        except SQLAlchemyError as worse:
            self.fault = self.fault or f"a group could not be rolled back: {worse}"
        kind, text = LedgerError, self.fault or f"nothing was written: {error}"
        if full and self.fault is None:
            kind, text = LedgerFullError, f"the disk is full, so nothing was written: {error}"
        return [Outcome(ask=ask, error=_caused(kind(text), error)) for ask in asks]


def _is_full(error: Exception) -> bool:
    return isinstance(error, _FullError) or engine.code_of(error) == engine.FULL


def _to_nobody(outcomes: list[Outcome], bells: list[str]) -> None:
    """Stand in until somebody asks."""


def _raise_if_ended(savepoint: NestedTransaction) -> None:
    if not savepoint.is_active:
        raise _LostError("an event ended the transaction it shares with others")


def _undo(savepoint: NestedTransaction, error: BaseException) -> None:
    """Roll back a savepoint; where SQLite rolled back everything (a full disk), the group is lost."""
    try:
        savepoint.rollback()
    except SQLAlchemyError as lost:
        raise _LostError(f"the group was rolled back: {error}") from lost


def _caused(error: LedgerError, cause: Exception) -> LedgerError:
    error.__cause__ = cause
    return error


def _deliverable(error: BaseException) -> BaseException:
    """A future cannot carry StopIteration."""
    return RuntimeError(repr(error)) if isinstance(error, StopIteration) else error


def post(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *values: object) -> None:
    """Hand a call over to the event loop; where it has gone, nobody waits for it any more."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *values)
