"""Tags of a Modbus machine: which reads bring them, and what the words mean, prepared once (pure)."""

import math
import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from drivers.blocks import BAD, Value
from drivers.modbus.places import Area, Span, Spot, spans_of, word_spot
from drivers.profile import Profile, Tag, WordOrder
from drivers.scaling import Kind, Layout

GAP: Final = 16  # addresses in a row that are read along, because another read costs more
_FLOATS: Final = frozenset({Kind.FLOAT32, Kind.FLOAT64})
_ONE_REGISTER: Final = frozenset({Kind.BOOL, Kind.UINT16})


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """A tag at its place."""

    name: str
    spot: Spot
    layout: Layout

    @property
    def count(self) -> int:
        """Give how many addresses it takes."""
        return self.layout.words


@dataclass(frozen=True, kw_only=True, slots=True)
class Fence:
    """A block of holding registers that is written while it is read: whole only where two words of it are equal."""

    first: int
    count: int
    before: int
    after: int

    @property
    def span(self) -> Span:
        """Give the read of the whole block."""
        return Span(area=Area.HOLDING, first=self.first, count=self.count)

    def holds(self, tag: Placed) -> bool:
        """Say whether a tag lies in the block."""
        place = tag.spot.number - self.first
        return tag.spot.area is Area.HOLDING and 0 <= place <= place + tag.count <= self.count

    def whole(self, words: Sequence[int]) -> bool:
        """Say whether the block was not written meanwhile."""
        return words[self.before] == words[self.after]


@dataclass(frozen=True, kw_only=True, slots=True)
class TagRead:
    """One request and the tags that its reply brings, in the order of their addresses."""

    span: Span
    tags: tuple[Placed, ...]
    fence: Fence | None = None
    names: tuple[str, ...] = field(init=False)
    columns: "Columns" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(tag.name for tag in self.tags))
        object.__setattr__(self, "columns", Columns(self.span, self.tags))

    def parts(self) -> tuple["TagRead", ...]:
        """Give two reads of half as much, parted at the widest gap; nothing where there is nothing to part."""
        if self.fence is not None:
            return ()
        ends = [0]
        for tag in self.tags:
            ends.append(max(ends[-1], tag.spot.number + tag.count))
        gaps = {place: self.tags[place].spot.number - ends[place] for place in range(1, len(self.tags))}
        cuts = [place for place, gap in gaps.items() if gap >= 0]  # those that overlap stay together
        if not cuts:
            return ()
        cut = max(cuts, key=lambda place: (gaps[place], -abs(2 * place - len(self.tags))))
        return (*_reads(self.tags[:cut]), *_reads(self.tags[cut:]))


class Columns:
    """What the words of one read mean, prepared once: one gathering of bytes, one unpacking, then the exceptions."""

    def __init__(self, span: Span, tags: Sequence[Placed]) -> None:
        self._count = len(tags)
        if span.area.of_bits:
            self._bits: tuple[int, ...] | None = tuple(tag.spot.number - span.first for tag in tags)
            return
        self._bits = None
        self._wire = struct.Struct(f">{span.count}H")
        places = [2 * (tag.spot.number - span.first) + place for tag in tags for place in tag.layout.places]
        self._pick = None if places == list(range(2 * span.count)) else itemgetter(*places)
        self._values = struct.Struct(">" + "".join(tag.layout.format for tag in tags))
        layouts = list(enumerate(tag.layout for tag in tags))
        self._scaled = [(place, layout.scale, layout.offset) for place, layout in layouts if layout.scaled]
        self._meanings = [
            (place, layout.meaning)
            for place, layout in layouts
            if layout.bit is not None or layout.kind in {Kind.BOOL, Kind.STRING}
        ]
        self._unsure = [place for place, layout in layouts if layout.scaled or layout.kind in _FLOATS]

    def decode(self, words: Sequence[int]) -> tuple[tuple[Value, ...], bytes]:
        """Give the values of the tags and their qualities from all words, or bits, of the span.

        What is none, such as NaN or a text that is not printable, is None and bad.
        """
        if self._bits is not None:
            return tuple(bool(words[place]) for place in self._bits), bytes(self._count)
        octets = self._wire.pack(*words)
        if self._pick is not None:
            octets = bytes(self._pick(octets))
        values: list[Value] = list(self._values.unpack(octets))
        for place, meaning in self._meanings:
            values[place] = meaning(values[place])  # type: ignore[arg-type]
        for place, scale, offset in self._scaled:
            values[place] = values[place] * scale + offset  # type: ignore[operator]
        if not all(math.isfinite(values[place]) for place in self._unsure):  # type: ignore[arg-type]
            for place in self._unsure:
                if not math.isfinite(values[place]):  # type: ignore[arg-type]
                    values[place] = None
        if None not in values:
            return tuple(values), bytes(self._count)
        return tuple(values), bytes(BAD if value is None else 0 for value in values)


def reads_of(tags: Mapping[str, Tag], fence: Fence | None = None) -> tuple[TagRead, ...]:
    """Give the reads that bring all tags, each value in one; raise `ValueError` for a tag that cannot be.

    Tags inside the fence come by one read of the whole block.
    """
    found = [placed(name, tag) for name, tag in tags.items()]
    fenced = tuple(sorted((tag for tag in found if fence and fence.holds(tag)), key=_order))
    free = [tag for tag in found if not (fence and fence.holds(tag))]
    inside = (TagRead(span=fence.span, tags=fenced, fence=fence),) if fence and fenced else ()
    return (*inside, *_reads(free))


def tag_faults(profile: Profile) -> tuple[str, ...]:
    """List why tags cannot be read over Modbus, as `key.of.the.profile: what is wrong`."""
    return tuple(sorted(f"tags.{name}.{fault}" for name, tag in profile.tags.items() for fault in _faults(tag)))


def _reads(tags: Sequence[Placed]) -> tuple[TagRead, ...]:
    spans = spans_of(((tag.spot, tag.count) for tag in tags), gap=GAP)
    firsts = [(span.area, span.first) for span in spans]
    found: list[list[Placed]] = [[] for _ in spans]
    for tag in sorted(tags, key=_order):
        at = bisect_right(firsts, (tag.spot.area, tag.spot.number)) - 1
        # Where two spans begin alike, the first may be the one that has room for it.
        while not _within(tag, spans[at]):
            at -= 1
        found[at].append(tag)
    return tuple(TagRead(span=span, tags=tuple(some)) for span, some in zip(spans, found, strict=True) if some)


def _within(tag: Placed, span: Span) -> bool:
    place = tag.spot.number - span.first
    return tag.spot.area is span.area and 0 <= place <= place + tag.count <= span.count


def _order(tag: Placed) -> tuple[Area, int, int]:
    return (tag.spot.area, tag.spot.number, tag.count)


class _TagError(ValueError):
    """A tag that cannot be, and the key that says so."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


def placed(name: str, tag: Tag) -> Placed:
    """Find a tag's place; raise `_TagError` where it has none."""
    try:
        spot = Spot.parse(tag.address)
    except ValueError as error:
        raise _TagError("address", str(error)) from error
    if spot.area.of_bits:
        return Placed(name=name, spot=spot, layout=_of_bit(spot, tag))
    layout = _of_words(spot, tag)
    spot = Spot(area=spot.area, number=spot.number)
    try:
        word_spot(f"{spot.area}:{spot.number}", layout.words)
    except ValueError as error:
        raise _TagError("address", str(error)) from error
    return Placed(name=name, spot=spot, layout=layout)


def _of_bit(spot: Spot, tag: Tag) -> Layout:
    if tag.type not in {None, Kind.BOOL}:
        raise _TagError("type", f"a {spot.area} is on or off; write bool, or leave it out")
    plain = Tag(address=tag.address)
    for key in ("bit", "length", "order", "scale", "offset"):
        if getattr(tag, key) != getattr(plain, key):
            raise _TagError(key, f"a {spot.area} is one bit; remove it")
    return Layout(kind=Kind.BOOL)


def _of_words(spot: Spot, tag: Tag) -> Layout:
    if spot.bit is not None and tag.bit is not None:
        raise _TagError("bit", f"{tag.address!r} names the bit already; remove one of the two")
    bit = spot.bit if spot.bit is not None else tag.bit
    kind = _kind(tag, Kind.UINT16 if bit is None else Kind.BOOL)
    if spot.bit is not None and kind not in _ONE_REGISTER:
        raise _TagError("type", f"{tag.address!r} is a bit of one register; write bool, or leave it out")
    if tag.length != 1 and kind is not Kind.STRING:
        raise _TagError("length", f"a {kind} has its own length; remove it")
    if (tag.scale, tag.offset) != (1, 0) and (bit is not None or kind in {Kind.BOOL, Kind.STRING}):
        raise _TagError("scale" if tag.scale != 1 else "offset", "only a number is scaled; remove it")
    try:
        return Layout(
            kind=kind, order=WordOrder(tag.order), scale=tag.scale, offset=tag.offset, length=tag.length, bit=bit
        )
    except ValueError as error:
        key = "bit" if bit is not None else "length" if kind is Kind.STRING else "scale"
        raise _TagError(key, str(error)) from error


def _kind(tag: Tag, default: Kind) -> Kind:
    try:
        return default if tag.type is None else Kind(tag.type)
    except ValueError as error:
        raise _TagError("type", f"{tag.type!r} is none; write one of {', '.join(Kind)}") from error


def _faults(tag: Tag) -> Iterator[str]:
    try:
        layout = placed("", tag).layout
    except _TagError as error:
        yield f"{error.key}: {error}"
        return
    if tag.deadband and (layout.bit is not None or layout.kind in {Kind.BOOL, Kind.STRING}):
        yield "deadband: every change of what is no measured number counts; remove it"
