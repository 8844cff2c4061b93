"""Blocks of machine values: columns that share one source time, never an object per value."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from drivers.base import Quality, Scalar

GOOD, UNCERTAIN, BAD = range(3)
QUALITIES = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD)
VALUES_MAX = 100_000  # that a session keeps between two calls of `take`

Value = Scalar | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Values of one machine at one moment: `values[i]` and `qualities[i]` (0, 1, 2) are those of `names[i]`.

    `t_ms` is the machine's own time of the values, milliseconds since 1970 in UTC; None where it gives none.
    A name occurs once; a bad value is None. `lost` counts values that were lost before this block, which
    may then be empty.
    """

    t_ms: int | None
    names: tuple[str, ...] = ()
    values: tuple[Value, ...] = ()
    qualities: bytes = b""
    lost: int = 0

    @property
    def good(self) -> bool:
        """Say whether every value is good."""
        return not any(self.qualities)


@runtime_checkable
class Sampler(Protocol):
    """What a session also has where its machine has tags: blocks, gathered between two calls."""

    def take(self) -> tuple[Block, ...]:
        """Give all blocks since the last call in their order, and nothing twice; never waits."""
        ...

    def listen(self, on_blocks: Callable[[], None]) -> None:
        """Have this called, on the event loop, when there are blocks to take; a later listener replaces it."""
        ...


@runtime_checkable
class Polled(Sampler, Protocol):
    """A sampler that somebody must ask to read its tags, because its machine tells no changes."""

    async def poll(self) -> None:
        """Read every tag once into blocks; raise `DriverError` where the machine does not answer properly."""
        ...


class Gathering:
    """The blocks of one session on their way to whoever takes them: bounded, and what did not fit is counted."""

    def __init__(self, values_max: int = VALUES_MAX) -> None:
        self._blocks: deque[Block] = deque()
        self._values = self._lost = 0
        self._values_max = values_max
        self._on_blocks: Callable[[], None] = _nobody

    def put(self, block: Block) -> None:
        """Add a block; the oldest make room, because the newest values are those somebody waits for."""
        self._blocks.append(block)
        self._values += len(block.names)
        while self._values > self._values_max and len(self._blocks) > 1:
            oldest = self._blocks.popleft()
            self._values -= len(oldest.names)
            self._lost += len(oldest.names) + oldest.lost
        self._on_blocks()

    def take(self) -> tuple[Block, ...]:
        """Give all blocks since the last call; the first one tells what was lost before it."""
        blocks, lost = tuple(self._blocks), self._lost
        self._blocks.clear()
        self._values = self._lost = 0
        if not lost:
            return blocks
        return (replace(blocks[0], lost=blocks[0].lost + lost), *blocks[1:])

    def listen(self, on_blocks: Callable[[], None]) -> None:
        """Have this called whenever a block was added, and now where some wait already."""
        self._on_blocks = on_blocks
        if self._blocks:
            on_blocks()


def _nobody() -> None:
    """Stand in for a listener."""
