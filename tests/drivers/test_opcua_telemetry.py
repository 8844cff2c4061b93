"""Notifications are read as the standard says, whatever is mixed in them; what cannot be believed is bad."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.blocks import BAD, GOOD, UNCERTAIN, Block
from drivers.opcua.binary import Opaque, WireError, WireNode
from drivers.opcua.telemetry import DATA_CHANGE, SILENCE_S, Telemetry, decode, to_blocks
from drivers.profile import Tag

T0 = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
T0_MS = round(T0.timestamp() * 1000)
OVERFLOW = 0x480
V = ua.VariantType

_NUMBERS: dict[V, st.SearchStrategy[Any]] = {
    V.Boolean: st.booleans(),
    V.SByte: st.integers(-128, 127),
    V.Byte: st.integers(0, 255),
    V.Int16: st.integers(-(2**15), 2**15 - 1),
    V.UInt16: st.integers(0, 2**16 - 1),
    V.Int32: st.integers(-(2**31), 2**31 - 1),
    V.UInt32: st.integers(0, 2**32 - 1),
    V.Int64: st.integers(-(2**63), 2**63 - 1),
    V.UInt64: st.integers(0, 2**64 - 1),
    V.Float: st.floats(width=32),
    V.Double: st.floats(),
    V.String: st.text(max_size=20),
}
variants = st.one_of(
    *(
        values.map(lambda value, kind=kind: ua.Variant(value, kind))  # type: ignore[misc]
        for kind, values in _NUMBERS.items()
    ),
    st.lists(st.integers(0, 9), max_size=3).map(lambda value: ua.Variant(value, V.Int32, is_array=True)),
    st.just(ua.Variant()),
)
items = st.builds(
    lambda variant, status, ticks, server: (variant, status, ticks, server),
    variants,
    st.sampled_from([0, 0, 0, 0x40000000, 0x80340000, OVERFLOW]),
    st.one_of(st.none(), st.integers(0, 10_000)),
    st.booleans(),
)
# Rows of like items, as servers send them, next to each other.
notifications = st.lists(st.tuples(items, st.integers(1, 5)), max_size=8).map(
    lambda rows: [item for item, times in rows for _ in range(times)]
)


def change(*found: tuple[ua.Variant, int, int | None, bool]) -> bytes:
    """Encode a DataChangeNotification by asyncua; the handles are the places."""
    told = ua.DataChangeNotification()
    for handle, (variant, status, after_ms, server) in enumerate(found):
        stamp = None if after_ms is None else _naive(T0 + timedelta(milliseconds=after_ms))
        value = ua.DataValue(
            variant,
            ua.StatusCode(ua.UInt32(status)) if status else None,
            SourceTimestamp=stamp,
            ServerTimestamp=_naive(T0) if server else None,
        )
        told.MonitoredItems.append(ua.MonitoredItemNotification(ClientHandle=handle, Value=value))
    raw = struct_to_binary(told)
    return bytes(raw)


def _naive(at: datetime) -> Any:
    return at.replace(tzinfo=None)


def number(value: float, *, at: int | None = 0, status: int = 0) -> tuple[ua.Variant, int, int | None, bool]:
    return (ua.Variant(value, V.Double), status, at, False)


@settings(max_examples=300, deadline=None)
@given(found=notifications)
def test_every_mix_of_types_and_parts_is_read_like_the_independent_encoder_wrote_it(
    found: list[tuple[ua.Variant, int, int | None, bool]],
) -> None:
    columns = decode(change(*found))
    assert list(columns.handles) == list(range(len(found)))
    assert columns.lost == sum(status == OVERFLOW for _, status, _, _ in found)
    for place, (variant, status, after_ms, _) in enumerate(found):
        value, quality = columns.values[place], columns.qualities[place]
        wanted = variant.Value
        usable = wanted is not None and not variant.is_array and status < 0x80000000
        if isinstance(wanted, float) and not math.isfinite(wanted):
            usable = False
        assert value == (wanted if usable else None)
        assert type(value) is type(wanted) or not usable
        assert quality == (BAD if not usable else UNCERTAIN if status == 0x40000000 else GOOD)
        if after_ms is not None:
            assert columns.times_ms[place] == T0_MS + after_ms
        else:
            assert columns.times_ms[place] is None


@given(raw=st.binary(max_size=80), count=st.integers(-1, 5))
def test_bytes_that_are_no_notification_are_refused_or_read_but_never_crash(raw: bytes, count: int) -> None:
    try:
        decode(count.to_bytes(4, "little", signed=True) + raw)
    except WireError:
        return


@given(cut=st.integers(0, 200))
def test_a_notification_cut_off_is_refused(cut: int) -> None:
    whole = change(*(number(n) for n in range(12)))
    short = whole[: min(cut, len(whole) - 5)]
    with pytest.raises(WireError):
        decode(short)


def names(count: int) -> tuple[str, ...]:
    return tuple(f"t{n}" for n in range(count))


def test_values_of_one_moment_are_one_block_with_the_machines_own_time() -> None:
    blocks = to_blocks(decode(change(number(1, at=5), number(2, at=8), number(3, at=5))), names(3))
    assert blocks == [Block(t_ms=T0_MS + 5, names=names(3), values=(1.0, 2.0, 3.0), qualities=bytes(3))]


def test_several_values_of_one_tag_are_blocks_in_the_order_of_their_times() -> None:
    told = ua.DataChangeNotification()
    for handle, value, at in ((0, 1.0, 0), (0, 2.0, 1), (1, 9.0, 200), (1, 8.0, 100)):
        stamp = _naive(T0 + timedelta(milliseconds=at))
        value_ = ua.DataValue(ua.Variant(value, V.Double), SourceTimestamp=stamp)
        told.MonitoredItems.append(ua.MonitoredItemNotification(ClientHandle=handle, Value=value_))
    blocks = to_blocks(decode(bytes(struct_to_binary(told))), ("a", "b"))
    assert [(block.t_ms, block.names, block.values) for block in blocks] == [
        (T0_MS, ("a",), (1.0,)),
        (T0_MS + 1, ("a",), (2.0,)),
        (T0_MS + 100, ("b",), (8.0,)),
        (T0_MS + 200, ("b",), (9.0,)),
    ]


def test_an_item_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(WireError):
        to_blocks(decode(change(number(1), number(2))), ("only",))


class Telling:
    """A telemetry with its notifications and its time in the hands of the test."""

    def __init__(self, **tags: Tag) -> None:
        self.now_s = 0.0
        self.telemetry = Telemetry(tags, lambda: self.now_s)

    def hear(self, *found: tuple[ua.Variant, int, int | None, bool]) -> tuple[Block, ...]:
        self.telemetry.hear(
            [Opaque(type_id=WireNode(namespace=0, identifier=DATA_CHANGE), body=change(*found))] if found else []
        )
        return self.telemetry.take()


def test_numbers_are_scaled_and_nothing_else_is() -> None:
    telling = Telling(a=Tag(address="a", scale=0.1, offset=-5), b=Tag(address="b"), c=Tag(address="c", scale=2))
    (block,) = telling.hear(number(100), number(7), (ua.Variant("text", V.String), 0, 0, False))
    assert block.values == (5.0, 7.0, "text")


def test_values_lost_in_the_servers_queue_are_counted() -> None:
    telling = Telling(a=Tag(address="a"), b=Tag(address="b"))
    (block,) = telling.hear(number(1, status=OVERFLOW), number(2))
    assert block.lost == 1
    assert block.good


def test_a_subscription_without_a_sign_of_life_takes_its_values_back_once() -> None:
    telling = Telling(a=Tag(address="a"), b=Tag(address="b"))
    telling.hear(number(1), number(2))
    telling.now_s = SILENCE_S - 1
    assert telling.hear() == ()
    telling.now_s += SILENCE_S + 1
    (block,) = telling.telemetry.take()
    assert (block.names, block.values, block.qualities) == (("a", "b"), (None, None), bytes([BAD, BAD]))
    assert telling.telemetry.take() == ()
