"""Data change notifications decoded by columns: runs of equal layout at once, the rest one by one."""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat

from drivers.base import MonotonicClock
from drivers.blocks import BAD, GOOD, UNCERTAIN, Block, Gathering, Value
from drivers.opcua.binary import Opaque, Reader, Reading, WireError
from drivers.profile import Tag

SPAN_MS = 10  # values of one block are at most this much younger than its time
SILENCE_S = 30.0  # three keep-alives: what was told before is not believed any more

DATA_CHANGE = 811  # DataChangeNotification, binary encoding (OPC 10000-6, annex A)

_EPOCH_TICKS = 116_444_736_000_000_000  # 1970 in 100 ns since 1601
_TICKS_PER_MS = 10_000
_SEVERITIES = (GOOD, UNCERTAIN, BAD, BAD)
_OVERFLOW = 0x0480  # info type DataValue, and the overflow bit (OPC 10000-4, 7.39)
_FORMATS = {1: "?", 2: "b", 3: "B", 4: "h", 5: "H", 6: "i", 7: "I", 8: "q", 9: "Q", 10: "f", 11: "d"}
_FLOATS = frozenset({10, 11})


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """A notification by columns: `handles[i]` had `values[i]` at `times_ms[i]`; `lost` values went before it."""

    handles: Sequence[int]
    values: Sequence[Value]
    qualities: bytes
    times_ms: Sequence[int | None]
    lost: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layout:
    """A monitored item's layout of fixed size: which columns it has."""

    items: struct.Struct
    mask: bytes
    kind: bytes
    is_float: bool
    has_status: bool
    has_time: bool


class Telemetry:
    """The tags of one session: notifications in, blocks out. A silent subscription is not believed."""

    def __init__(self, tags: Mapping[str, Tag], monotonic: MonotonicClock) -> None:
        self.gathering = Gathering()
        self._names = tuple(tags)
        self._scaled = {
            handle: (tag.scale, tag.offset)
            for handle, tag in enumerate(tags.values())
            if tag.scale != 1 or tag.offset != 0
        }
        self._monotonic = monotonic
        self._heard_s = monotonic()
        self._over = False

    def hear(self, notifications: Sequence[Opaque]) -> None:
        """Take one notification message; without notifications it is a sign of life."""
        self._heard_s, self._over = self._monotonic(), False
        for notification in notifications:
            if notification.type_id.identifier == DATA_CHANGE and notification.body is not None:
                for block in to_blocks(self._in_units(decode(notification.body)), self._names):
                    self.gathering.put(block)

    def end(self) -> None:
        """Take back all values, since nobody tells when they change."""
        self.refuse(range(len(self._names)))
        self._over = True

    def refuse(self, handles: Sequence[int]) -> None:
        """Say that these tags have no value that could be believed."""
        if handles:
            names = tuple(self._names[handle] for handle in handles)
            bad = Block(t_ms=None, names=names, values=(None,) * len(names), qualities=bytes([BAD]) * len(names))
            self.gathering.put(bad)

    def take(self) -> tuple[Block, ...]:
        """Give the blocks since the last call."""
        if not self._over and self._monotonic() - self._heard_s > SILENCE_S:
            self.end()
        return self.gathering.take()

    def _in_units(self, columns: Columns) -> Columns:
        scaled = self._scaled
        if not scaled:
            return columns
        values = [
            value * scaled[handle][0] + scaled[handle][1]
            if handle in scaled and isinstance(value, int | float) and not isinstance(value, bool)
            else value
            for handle, value in zip(columns.handles, columns.values, strict=True)
        ]
        return Columns(
            handles=columns.handles,
            values=values,
            qualities=columns.qualities,
            times_ms=columns.times_ms,
            lost=columns.lost,
        )


def decode(body: bytes) -> Columns:
    """Decode a DataChangeNotification's body; raise `WireError` where it is not what the standard says."""
    handles: list[int] = []
    values: list[Value] = []
    qualities = bytearray()
    times_ms: list[int | None] = []
    lost = 0
    if len(body) < 4:  # noqa: PLR2004 - the count
        raise WireError("a notification without a count")
    statuses: Sequence[int] | None
    left, at = int.from_bytes(body[:4], "little", signed=True), 4
    while left > 0:
        layout = _layout_at(body, at)
        run = _run(body, at, layout, left) if layout is not None else 0
        if layout is None or run == 0:
            at, status = _one(body, at, handles, values, times_ms)
            run, statuses = 1, (status,)
        elif run == 1:
            statuses = (_single(body[at : at + layout.items.size], layout, handles, values, times_ms),)
            at += layout.items.size
        else:
            end = at + run * layout.items.size
            statuses = _many(body[at:end], layout, handles, values, times_ms)
            at = end
        if statuses is None:
            qualities += bytes(run)
        else:
            qualities += bytes(_SEVERITIES[status >> 30] for status in statuses)
            lost += sum(status & _OVERFLOW == _OVERFLOW for status in statuses)
        left -= run
    _judge(values, qualities)
    return Columns(handles=handles, values=values, qualities=bytes(qualities), times_ms=times_ms, lost=lost)


def to_blocks(columns: Columns, names: Sequence[str]) -> list[Block]:
    """Give the blocks of one notification in the order of their times, no tag twice in one; unknown handles fall."""
    handles, times_ms, count = columns.handles, columns.times_ms, len(names)
    if any(handle >= count for handle in handles):
        raise WireError("a notification for an item nobody asked for")
    if not handles:
        return []
    stamps = [-1 if t_ms is None else t_ms for t_ms in times_ms]
    if max(stamps) - min(stamps) <= SPAN_MS and len(set(handles)) == len(handles):
        return [_block(columns, names, min(stamps))]
    return [
        _block(_part(columns, part, first=number == 0), names, stamps[part[0]])
        for number, part in enumerate(_parts(stamps, handles))
    ]


def _block(columns: Columns, names: Sequence[str], stamp: int) -> Block:
    return Block(
        t_ms=None if stamp < 0 else stamp,
        names=tuple(map(names.__getitem__, columns.handles)),
        values=tuple(columns.values),
        qualities=columns.qualities,
        lost=columns.lost,
    )


def _part(columns: Columns, places: Sequence[int], *, first: bool) -> Columns:
    return Columns(
        handles=[columns.handles[place] for place in places],
        values=[columns.values[place] for place in places],
        qualities=bytes(columns.qualities[place] for place in places),
        times_ms=[columns.times_ms[place] for place in places],
        lost=columns.lost if first else 0,
    )


def _parts(stamps: Sequence[int], handles: Sequence[int]) -> Sequence[Sequence[int]]:
    """Part the places of a notification, in the order of time, where time goes on or a tag comes again."""
    parts: list[list[int]] = []
    begun, seen = -SPAN_MS, set[int]()
    for place in sorted(range(len(stamps)), key=stamps.__getitem__):
        if not parts or stamps[place] - begun > SPAN_MS or handles[place] in seen:
            parts.append([])
            begun, seen = stamps[place], set()
        parts[-1].append(place)
        seen.add(handles[place])
    return parts


def _judge(values: list[Value], qualities: bytearray) -> None:
    """A bad value is none at all, and what cannot be a value is bad."""
    if any(qualities):
        for place, quality in enumerate(qualities):
            if quality == BAD:
                values[place] = None
    if None in values:
        for place, value in enumerate(values):
            if value is None:
                qualities[place] = BAD


def _layout_at(body: bytes, at: int) -> _Layout | None:
    if at + 6 > len(body):
        return None
    return _LAYOUTS.get((body[at + 4], body[at + 5]))


def _run(body: bytes, at: int, layout: _Layout, left: int) -> int:
    """Count how many items of this layout follow each other; each one's place follows from those before it."""
    size = layout.items.size
    most = min(left, (len(body) - at) // size)
    if most < 2 or body[at + size + 4 : at + size + 6] != body[at + 4 : at + 6]:  # noqa: PLR2004
        return min(most, 1)  # most often the case where types are mixed: look no further
    end = at + most * size
    masks, kinds = body[at + 4 : end : size], body[at + 5 : end : size]
    return min(most, len(masks) - len(masks.lstrip(layout.mask)), len(kinds) - len(kinds.lstrip(layout.kind)))


def _many(
    raw: bytes, layout: _Layout, handles: list[int], values: list[Value], times_ms: list[int | None]
) -> Sequence[int] | None:
    columns = list(zip(*layout.items.iter_unpack(raw), strict=True))
    handles += columns[0]
    found: Sequence[Value] = columns[1]
    if layout.is_float and not all(map(math.isfinite, columns[1])):
        found = [value if math.isfinite(value) else None for value in columns[1]]
    values += found
    times_ms += _milliseconds(columns[-1]) if layout.has_time else repeat(None, len(found))
    return columns[2] if layout.has_status and any(columns[2]) else None


def _single(raw: bytes, layout: _Layout, handles: list[int], values: list[Value], times_ms: list[int | None]) -> int:
    row = layout.items.unpack(raw)
    handles.append(row[0])
    values.append(row[1] if not layout.is_float or math.isfinite(row[1]) else None)
    times_ms.append(_millisecond(row[-1]) if layout.has_time else None)
    return int(row[2]) if layout.has_status else 0


def _milliseconds(ticks: Sequence[int]) -> list[int | None]:
    if len(set(ticks)) == 1:
        return [_millisecond(ticks[0])] * len(ticks)
    return [_millisecond(tick) for tick in ticks]


def _millisecond(ticks: int) -> int | None:
    return None if ticks <= 0 else (ticks - _EPOCH_TICKS) // _TICKS_PER_MS


def _one(body: bytes, at: int, handles: list[int], values: list[Value], times_ms: list[int | None]) -> tuple[int, int]:
    reader = Reader(body, at)
    handles.append(reader.u32())
    reading = reader.data_value()
    values.append(_value(reading))
    source = reading.source_time
    times_ms.append(None if source is None else round(source.timestamp() * 1000))
    return reader.at, reading.status


def _value(reading: Reading) -> Value:
    """Give the value of a scalar that has one; an array or a structure has none."""
    value = reading.variant.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, bool | int | str) and not reading.variant.array else None


def _layouts() -> dict[tuple[int, int], _Layout]:
    """Make a layout for each number type with each set of parts that a DataValue can carry."""
    made = {}
    for mask in range(0x01, 0x40, 2):
        status, source, server = mask & 0x02, mask & 0x04, mask & 0x08
        tail = ("I" if status else "") + ("q" if source else "") + ("2x" if mask & 0x10 else "")
        tail += ("8x" if server else "") + ("2x" if mask & 0x20 else "")
        for kind, letter in _FORMATS.items():
            made[mask, kind] = _Layout(
                items=struct.Struct(f"<I2x{letter}{tail}"),
                mask=bytes([mask]),
                kind=bytes([kind]),
                is_float=kind in _FLOATS,
                has_status=bool(status),
                has_time=bool(source),
            )
    return made


_LAYOUTS = _layouts()
