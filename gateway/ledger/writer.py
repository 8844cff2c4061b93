"""One thread owns the connection: events are committed in groups, and answered only after the commit."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy import Connection, NestedTransaction
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import LedgerError
from gateway.ledger import engine

_BELLS = "bells"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One call from the event loop: an event that writes, or a question."""

    call: Callable[[Connection], Any]
    writes: bool
    answer: asyncio.Future[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a call."""

    ask: Ask
    value: Any = None
    error: BaseException | None = None


Deliver = Callable[[list[Outcome], list[str]], None]


class _LostError(Exception):
    """The whole group was rolled back."""


def ring(tx: Connection, name: str) -> None:
    """Ring a bell once the event of this transaction is committed; not at all when it is rolled back."""
    tx.info.setdefault(_BELLS, []).append(name)


class Writer:
    """Serves calls on its own thread until it is told to stop.

    `fault` is why the ledger cannot be used any more, None while it can; `stopping` says that no
    further call is taken. `deliver` is called on this thread with the outcomes of a group and the
    bells to ring.
    """

    def __init__(self, tx: Connection, *, interval_s: float, batch: int) -> None:
        self.fault: str | None = None
        self.stopping = False
        self.deliver: Deliver = _to_nobody
        self._tx = tx
        self._interval_s = interval_s
        self._batch = batch
        self._queue: SimpleQueue[Ask | None] = SimpleQueue()  # bounded by the places of the ledger
        self._stopped = False

    def put(self, ask: Ask) -> None:
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
                return
            if self.fault is not None:
                self.deliver([Outcome(ask=ask, error=LedgerError(self.fault))], [])
            elif ask.writes:
                self._serve_group(ask)
            else:
                self._serve_question(ask)

    def _serve_question(self, ask: Ask) -> None:
        """Answer a question alone, outside any group: it sees only what is committed."""
        try:
            self._tx.begin()
            outcome = self._look(ask)
            engine.abandon(self._tx)
        except Exception as error:  # noqa: BLE001 - nobody may be left waiting, whatever went wrong
            outcome = self._lose([ask], error)[0]
        self.deliver([outcome], [])

    def _serve_group(self, first: Ask) -> None:
        """Run one group of events and commit them together."""
        bells: list[str] = []
        self._tx.info[_BELLS] = bells
        taken: list[Ask] = []
        outcomes: list[Outcome] = []
        try:
            self._tx.begin()
            for ask in self._gather(first):
                taken.append(ask)
                outcomes.append(self._run(ask, bells) if ask.writes else self._look(ask))
            self._commit()
        except Exception as error:  # noqa: BLE001 - nobody may be left waiting, whatever went wrong
            bells.clear()
            outcomes = self._lose(taken, error)
        self.deliver(outcomes, bells)

    def _commit(self) -> None:
        """Commit the group, unless a caller gave up waiting: nothing is committed behind its back."""
        if self.fault is not None:
            raise _LostError(self.fault)
        engine.commit(self._tx)

    def _gather(self, first: Ask) -> Iterator[Ask]:
        """Give the first call and those that come before the group closes."""
        closes_at = time.monotonic() + self._interval_s
        yield first
        for _ in range(self._batch - 1):
            left_s = closes_at - time.monotonic()
            if left_s <= 0:
                return
            try:
                ask = self._queue.get(timeout=left_s)
            except Empty:
                return
            if ask is None:
                self._stopped = True
                return
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
        reason = engine.fatal(error)
        if reason is not None:
            self.fault = reason
            raise _LostError(reason) from error

    def _lose(self, asks: list[Ask], error: Exception) -> list[Outcome]:
        """Roll everything back and tell every caller; keep serving only after a full disk."""
        if self.fault is None and engine.code_of(error) != engine.FULL and not isinstance(error, _LostError):
            self.fault = engine.fatal(error) or f"a group could not be committed: {error}"
        try:
            engine.abandon(self._tx)
        except SQLAlchemyError as worse:
            self.fault = self.fault or f"a group could not be rolled back: {worse}"
        text = self.fault or f"nothing was written: {error}"
        return [Outcome(ask=ask, error=_caused(LedgerError(text), error)) for ask in asks]


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
