"""Which values of a block are news: change and deadband by whole blocks, and never a bad value as good."""

from collections.abc import Mapping
from dataclasses import replace

from drivers.blocks import BAD, Block, Value
from drivers.profile import Tag

_UNKNOWN = (None, -1)  # equal to no value


class Screen:
    """Remembers what was told last of each tag of one machine, and lets through what differs.

    A number within its tag's deadband of the last one told is no news; a change of quality always is.
    """

    def __init__(self, tags: Mapping[str, Tag]) -> None:
        self._deadbands = {name: tag.deadband for name, tag in tags.items() if tag.deadband > 0}
        self._told: dict[str, tuple[Value, int]] = {}

    def news(self, block: Block) -> Block | None:
        """Give what is new of a block; None where nothing is."""
        told, bands = self._told, self._deadbands
        pairs = list(zip(block.values, block.qualities, strict=True))
        before = list(map(told.get, block.names))
        fresh = [place for place, (was, now) in enumerate(zip(before, pairs, strict=True)) if was != now]
        if bands:
            fresh = [
                place
                for place in fresh
                if block.names[place] not in bands
                or not _within(before[place] or _UNKNOWN, pairs[place], bands[block.names[place]])
            ]
        if not fresh:
            return replace(block, names=(), values=(), qualities=b"") if block.lost else None
        if len(fresh) == len(pairs):
            told.update(zip(block.names, pairs, strict=True))
            return block
        told.update((block.names[place], pairs[place]) for place in fresh)
        return replace(
            block,
            names=tuple(block.names[place] for place in fresh),
            values=tuple(block.values[place] for place in fresh),
            qualities=bytes(block.qualities[place] for place in fresh),
        )

    def away(self, t_ms: int) -> Block | None:
        """Give the block that takes back every value of a machine that is away; None where none is believed."""
        believed = tuple(name for name, (_, quality) in self._told.items() if quality != BAD)
        if not believed:
            return None
        block = Block(t_ms=t_ms, names=believed, values=(None,) * len(believed), qualities=bytes([BAD]) * len(believed))
        self._told.update((name, (None, BAD)) for name in believed)
        return block


def _within(told: tuple[Value, int], now: tuple[Value, int], band: float) -> bool:
    """Say whether two numbers of the same quality differ by no more than the deadband."""
    (before, quality), (after, quality_now) = told, now
    if quality != quality_now or isinstance(before, bool | str) or isinstance(after, bool | str):
        return False
    return before is not None and after is not None and abs(after - before) <= band
