"""A link: one bus or connection that several machines share, first come, first served."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from drivers.base import DriverError, MonotonicClock

REST_MAX_S = 20.0  # a dead unit is asked again at least this often
_REST_FACTOR = 4  # times what its silence cost the others, doubled each time
TURN_S = 30.0  # longest wait for one's turn


class UnitError(DriverError):
    """A unit answered that it cannot, or a gateway that the unit does not answer (`silent`); the wire is sound."""

    def __init__(self, text: str, *, silent: bool = False) -> None:
        super().__init__(text)
        self.silent = silent


class Wire(Protocol):
    """An open connection; whoever exchanges something on it is alone on it."""

    async def close(self) -> None:
        """Let go of it now; what was not yet sent is thrown away, not sent late."""
        ...


WireT = TypeVar("WireT", bound=Wire)
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rest:
    """A unit that did not answer is left alone until then, so that the others keep their rate."""

    failures: int
    until_s: float


class Link(Generic[WireT]):
    """A FIFO of requests, one at a time, each with a deadline; a fresh wire after any doubt.

    A wire is opened by the first request that needs one and closed when the last user leaves. Anything
    but an answer or a `UnitError` closes it at once: a timeout, a broken frame, a cancelled request.
    """

    def __init__(
        self, name: str, *, open_wire: Callable[[], Awaitable[WireT]], open_s: float, monotonic: MonotonicClock
    ) -> None:
        self.name = name
        self._open_wire, self._open_s, self._monotonic = open_wire, open_s, monotonic
        self._turn = asyncio.Lock()  # wakes its waiters in the order of their arrival
        self._waiting = 0  # for their turn
        self._wire: WireT | None = None
        self._wires = 0  # opened so far
        self._users: list[int] = []
        self._resting: dict[int, _Rest] = {}

    @property
    def number(self) -> int:
        """Give the number of the wire in use, or of the one that comes: another one may lead to another machine."""
        return self._wires + (self._wire is None)

    @asynccontextmanager
    async def use(self, unit: int) -> AsyncIterator["Line[WireT]"]:
        """Join the link as the user of one unit."""
        self._users.append(unit)
        try:
            yield Line(self, unit)
        finally:
            self._users.remove(unit)
            if not self._users:
                self._resting.clear()
                await self._drop()

    async def exchange(
        self,
        unit: int,
        call: Callable[[WireT], Awaitable[Result]],
        *,
        timeout_s: float,
        deadline_s: float | None = None,
        turn_s: float = TURN_S,
    ) -> Result:
        """Wait for one's turn, then exchange one request and its reply.

        Raise `DriverError` where the unit does not answer properly within `timeout_s`; also, with
        nothing sent, where the turn comes at or after `deadline_s` or not within `turn_s`, or the unit rests.
        """
        await self._wait_for_turn(turn_s)
        try:
            self._check(unit, deadline_s)
            wire = await self._opened()
            self._check(unit, deadline_s)
            started_s = self._monotonic()
            try:
                result = await self._alone(wire, call, timeout_s)
            except DriverError as error:
                if isinstance(error, UnitError) and not error.silent:
                    self._resting.pop(unit, None)  # a no is an answer too
                else:
                    self._rest(unit, self._monotonic() - started_s)
                raise
            self._resting.pop(unit, None)
            return result
        finally:
            if not self._users:
                await self._drop()  # they left while the wire was opened
            self._turn.release()

    async def _wait_for_turn(self, turn_s: float) -> None:
        if not self._waiting and not self._turn.locked():
            await self._turn.acquire()  # at once
            return
        self._waiting += 1
        try:
            async with asyncio.timeout(turn_s):
                await self._turn.acquire()
        except TimeoutError as error:
            raise DriverError(f"{self.name}: no turn within {turn_s:g} s") from error
        finally:
            self._waiting -= 1

    def _check(self, unit: int, deadline_s: float | None) -> None:
        now_s = self._monotonic()
        if unit not in self._users:
            raise DriverError(f"{self.name}: unit {unit} is no longer used")
        if deadline_s is not None and now_s >= deadline_s:
            raise DriverError("not sent: the command's deadline has passed")
        rest = self._resting.get(unit)
        if rest is not None and now_s < rest.until_s:
            raise DriverError(
                f"{self.name}: unit {unit} does not answer; the next try is in {rest.until_s - now_s:.1f} s"
            )

    async def _opened(self) -> WireT:
        if self._wire is None:
            try:
                async with asyncio.timeout(self._open_s):
                    self._wire = await self._open_wire()
            except TimeoutError as error:
                raise DriverError(f"{self.name}: no connection within {self._open_s:g} s") from error
            self._wires += 1
        return self._wire

    async def _alone(self, wire: WireT, call: Callable[[WireT], Awaitable[Result]], timeout_s: float) -> Result:
        sound = False
        try:
            async with asyncio.timeout(timeout_s):
                result = await call(wire)
            sound = True
        except UnitError:
            sound = True
            raise
        except TimeoutError as error:
            raise DriverError(f"{self.name}: no answer within {timeout_s:g} s") from error
        finally:
            if not sound:
                await self._drop()
        return result

    def _rest(self, unit: int, cost_s: float) -> None:
        """Let a unit that cost time without an answer rest, where others wait for the wire."""
        if not any(user != unit for user in self._users):
            return
        failures = self._resting[unit].failures + 1 if unit in self._resting else 1
        rest_s = min(REST_MAX_S, _REST_FACTOR * cost_s * 2 ** min(failures - 1, 16))
        self._resting[unit] = _Rest(failures=failures, until_s=self._monotonic() + rest_s)

    async def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()


class Line(Generic[WireT]):
    """One unit's place on a link."""

    def __init__(self, link: Link[WireT], unit: int) -> None:
        self._link, self._unit = link, unit

    @property
    def number(self) -> int:
        """Give the number of the link's wire."""
        return self._link.number

    async def exchange(
        self,
        call: Callable[[WireT], Awaitable[Result]],
        *,
        timeout_s: float,
        deadline_s: float | None = None,
        turn_s: float = TURN_S,
    ) -> Result:
        """Exchange as `Link.exchange` for this unit."""
        return await self._link.exchange(self._unit, call, timeout_s=timeout_s, deadline_s=deadline_s, turn_s=turn_s)


class Links:
    """All links of one gateway: machines behind the same address get the same one."""

    def __init__(self) -> None:
        self._links: dict[str, tuple[object, Link[Any]]] = {}

    def share(self, name: str, terms: object, make: Callable[[], Link[WireT]]) -> Link[WireT]:
        """Give the link called `name`; raise `ValueError` where two machines set it up differently."""
        if name not in self._links:
            self._links[name] = (terms, make())
        known, link = self._links[name]
        if known != terms:
            raise ValueError(f"{name} is shared by machines that set it differently: {known} and {terms}")
        return link
