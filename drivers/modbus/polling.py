"""Polls of a machine's tags over a link that commands use too: one read a turn, bad is what the machine refuses."""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from drivers.base import DriverError, MonotonicClock
from drivers.blocks import BAD, Block, Gathering
from drivers.link import Line
from drivers.modbus.tags import TagRead
from drivers.modbus.wire import ExceptionReplyError, ModbusWire

TURN_S: Final = 5.0  # the longest a read waits for others; then what was told before is not believed
AGAIN_S: Final = 60.0  # what was refused is asked for again, and what was parted read together again
_WHOLE_READS: Final = 5
_ILLEGAL_FUNCTION: Final = 1
_NOT_THERE: Final = frozenset({_ILLEGAL_FUNCTION, 2, 3, 4})  # exceptions that will come again; 4 is what some say for 2

_log = logging.getLogger(__name__)


class Poller:
    """The tags of one session. A block is what one read brought, so its time is that of the read.

    Another session of the link may have lost the connection meanwhile, and a fresh one may lead to another machine or
    another program: `prove` looks at it before its values are believed, and raises `DriverError` where it is not the
    one of this session. A read that the machine refuses is parted until only what it refuses is left; that is bad, and
    the rest goes on. The plan so learned holds for a minute.
    """

    def __init__(
        self,
        line: Line[ModbusWire],
        *,
        unit: int,
        reads: Sequence[TagRead],
        timeout_s: float,
        monotonic: MonotonicClock,
        prove: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._gathering = Gathering()
        self.take, self.listen = self._gathering.take, self._gathering.listen
        self._line, self._unit, self._timeout_s, self._monotonic = line, unit, timeout_s, monotonic
        self._all = self._plan = tuple(reads)
        self._refused: tuple[str, ...] = ()
        self._told: set[str] = set()
        self._again_at_s: float | None = None
        self._prove, self._proven = prove, line.number  # of the wire behind which the session's machine answers

    async def poll(self) -> None:
        """Read every tag once; raise `DriverError` where the machine, or its gateway, does not answer properly."""
        await self._know_the_machine()
        if self._again_at_s is not None and self._monotonic() >= self._again_at_s:
            self._plan, self._refused, self._again_at_s = self._all, (), None
        refused: list[str] = []
        kept: list[TagRead] = []
        waiting = deque(self._plan)
        while waiting:
            read = waiting.popleft()
            try:
                words = await self._words(read)
            except ExceptionReplyError as error:
                if error.silent:
                    raise
                if error.code not in _NOT_THERE:  # busy, or a fault that may pass
                    self._put_bad(read.names)
                    kept.append(read)
                elif error.code != _ILLEGAL_FUNCTION and (parts := read.parts()):
                    waiting.extendleft(reversed(parts))
                else:
                    self._tell(read, error)
                    refused += read.names
                continue
            kept.append(read)
            if words is None:
                self._put_bad(read.names)
                continue
            values, qualities = read.columns.decode(words)
            self._gathering.put(Block(t_ms=None, names=read.names, values=values, qualities=qualities))
        self._learn(tuple(kept), refused)
        self._put_bad(self._refused)

    async def _know_the_machine(self) -> None:
        """See that the machine behind a fresh connection is the one that the session was opened with."""
        if self._prove is not None and self._proven != self._line.number:
            await self._prove()
            self._proven = self._line.number

    def _learn(self, plan: tuple[TagRead, ...], refused: Sequence[str]) -> None:
        """Go by what was learned of the machine in one whole poll."""
        if len(plan) != len(self._plan) or refused:
            self._plan = plan
            self._refused += tuple(refused)
            if self._again_at_s is None:
                self._again_at_s = self._monotonic() + AGAIN_S

    async def _words(self, read: TagRead) -> Sequence[int] | None:
        """Read a span in one request; None for a block that was being written each time it was read."""
        for _ in range(_WHOLE_READS if read.fence is not None else 1):
            words = await self._line.exchange(
                lambda wire: wire.read_span(self._unit, read.span), timeout_s=self._timeout_s, turn_s=TURN_S
            )
            if self._prove is not None and self._proven != self._line.number:
                raise DriverError("the connection is a fresh one: what answers there is not known yet")
            if read.fence is None or read.fence.whole(words):
                return words
        return None

    def _put_bad(self, names: tuple[str, ...]) -> None:
        if names:
            values = (None,) * len(names)
            self._gathering.put(Block(t_ms=None, names=names, values=values, qualities=bytes([BAD]) * len(names)))

    def _tell(self, read: TagRead, error: ExceptionReplyError) -> None:
        """Log once what is refused."""
        if not self._told.issuperset(read.names):
            self._told.update(read.names)
            place = f"{read.span.area}:{read.span.first}"
            _log.warning("unit %d: tags %s at %s cannot be read: %s", self._unit, ", ".join(read.names), place, error)
