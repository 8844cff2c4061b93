"""Raw words and engineering values: every type and order, and never a value where there is none."""

import math
import struct
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drivers.profile import WordOrder
from drivers.scaling import Kind, Layout

_ORDERS = st.sampled_from(list(WordOrder))
_FORMATS = {
    Kind.INT16: "h",
    Kind.UINT16: "H",
    Kind.INT32: "i",
    Kind.UINT32: "I",
    Kind.INT64: "q",
    Kind.UINT64: "Q",
    Kind.FLOAT32: "f",
    Kind.FLOAT64: "d",
}
_TEXT = st.text(st.characters(codec="utf-8").filter(str.isprintable), max_size=20)


def _values(kind: Kind) -> st.SearchStrategy[Any]:
    match kind:
        case Kind.BOOL:
            return st.booleans()
        case Kind.STRING:
            return _TEXT.filter(lambda text: len(text.encode()) <= 40)
        case Kind.FLOAT32:
            return st.floats(width=32, allow_nan=False, allow_infinity=False)
        case Kind.FLOAT64:
            return st.floats(allow_nan=False, allow_infinity=False)
    size = 8 * struct.calcsize(_FORMATS[kind])
    signed = _FORMATS[kind].islower()
    return st.integers(-(1 << size - 1) if signed else 0, (1 << size - signed) - 1)


_KIND_AND_VALUE = st.sampled_from(list(Kind)).flatmap(lambda kind: st.tuples(st.just(kind), _values(kind)))


@given(_KIND_AND_VALUE, _ORDERS)
def test_every_value_of_every_type_survives_the_way_there_and_back(pair: tuple[Kind, Any], order: WordOrder) -> None:
    kind, value = pair
    layout = Layout(kind=kind, order=order, length=20)
    words = layout.encode(value)
    assert len(words) == layout.words
    back = layout.decode(words)
    assert back == value
    assert type(back) is type(value)


def test_the_orders_are_those_that_devices_use() -> None:
    assert {order: Layout(kind=Kind.UINT32, order=order).encode(0x0A0B0C0D) for order in WordOrder} == {
        WordOrder.ABCD: (0x0A0B, 0x0C0D),
        WordOrder.CDAB: (0x0C0D, 0x0A0B),
        WordOrder.BADC: (0x0B0A, 0x0D0C),
        WordOrder.DCBA: (0x0D0C, 0x0B0A),
    }
    eight = Layout(kind=Kind.UINT64, order=WordOrder.CDAB)
    assert eight.encode(0x0102030405060708) == (0x0708, 0x0506, 0x0304, 0x0102)
    assert Layout(kind=Kind.UINT16, order=WordOrder.DCBA).encode(0x0102) == (0x0201,)
    assert Layout(kind=Kind.FLOAT32).encode(123.456) == (0x42F6, 0xE979)
    assert Layout(kind=Kind.STRING, length=2, order=WordOrder.CDAB).encode("ABC") == (0x4142, 0x4300)
    assert Layout(kind=Kind.STRING, length=2, order=WordOrder.BADC).encode("ABC") == (0x4241, 0x0043)


@given(_KIND_AND_VALUE, _ORDERS, st.integers(-3, 3).filter(bool))
def test_too_few_or_too_many_registers_are_no_value(pair: tuple[Kind, Any], order: WordOrder, off: int) -> None:
    kind, value = pair
    layout = Layout(kind=kind, order=order, length=20)
    words = layout.encode(value)
    wrong = words + (0,) * off if off > 0 else words[:off]
    assume(len(wrong) != layout.words)
    assert layout.decode(wrong) is None


@given(st.sampled_from([Kind.FLOAT32, Kind.FLOAT64]), _ORDERS, st.sampled_from([math.nan, math.inf, -math.inf]))
def test_what_is_no_number_is_no_value_and_is_not_written(kind: Kind, order: WordOrder, value: float) -> None:
    octets = struct.pack(f">{_FORMATS[kind]}", value)
    plain = [int.from_bytes(octets[at : at + 2], "big") for at in range(0, len(octets), 2)]
    whole = Layout(kind=Kind.UINT64 if kind is Kind.FLOAT64 else Kind.UINT32, order=order)
    words = whole.encode(int.from_bytes(octets, "big"))
    assert sorted(plain) == sorted(words) or order in (WordOrder.BADC, WordOrder.DCBA)
    assert Layout(kind=kind, order=order).decode(words) is None
    with pytest.raises(ValueError):
        Layout(kind=kind, order=order).encode(value)


@given(st.lists(st.integers(-70_000, 70_000), min_size=1, max_size=6), st.sampled_from(list(Kind)), _ORDERS)
def test_whatever_the_registers_hold_the_answer_is_a_finite_value_or_none(
    words: list[int], kind: Kind, order: WordOrder
) -> None:
    layout = Layout(kind=kind, order=order, length=len(words))
    value = layout.decode(words)
    if any(not 0 <= word <= 0xFFFF for word in words):
        assert value is None
    if isinstance(value, float):
        assert math.isfinite(value)
    if isinstance(value, str):
        assert value.isprintable()


@given(st.integers(-32768, 32767), _ORDERS)
def test_a_scaled_value_comes_back_to_the_same_raw_word(raw: int, order: WordOrder) -> None:
    layout = Layout(kind=Kind.INT16, order=order, scale=0.1, offset=-40)
    words = Layout(kind=Kind.INT16, order=order).encode(raw)
    value = layout.decode(words)
    assert value == pytest.approx(raw * 0.1 - 40)
    assert value is not None
    assert layout.encode(value) == words


def test_a_scale_that_leads_beyond_every_number_gives_none() -> None:
    words = Layout(kind=Kind.FLOAT64).encode(1e300)
    assert Layout(kind=Kind.FLOAT64, scale=1e300).decode(words) is None


@given(st.integers(0, 0xFFFF_FFFF), st.integers(0, 31), st.integers(1, 8), _ORDERS)
def test_a_bit_field_is_the_bits_it_names(raw: int, bit: int, bits: int, order: WordOrder) -> None:
    assume(bit + bits <= 32)
    words = Layout(kind=Kind.UINT32, order=order).encode(raw)
    field = Layout(kind=Kind.UINT32, order=order, bit=bit, bits=bits)
    value = field.decode(words)
    assert value == int(f"{raw:032b}"[::-1][bit : bit + bits][::-1], 2)
    assert value is not None
    assert field.decode(field.encode(value)) == value


@given(st.integers(0, 15), st.booleans(), _ORDERS)
def test_one_bit_of_a_register_is_a_truth_value(bit: int, value: bool, order: WordOrder) -> None:
    layout = Layout(kind=Kind.BOOL, order=order, bit=bit)
    assert layout.encode(value) == Layout(kind=Kind.UINT16, order=order).encode(value << bit)
    assert layout.decode(layout.encode(value)) is value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.UINT16, -1),
        (Kind.UINT16, 65536),
        (Kind.INT16, 32768),
        (Kind.UINT32, 10**400),
        (Kind.FLOAT32, 10**400),
        (Kind.FLOAT32, 1e39),
        (Kind.INT32, 1.5),
        (Kind.UINT16, True),
        (Kind.UINT16, "7"),
        (Kind.BOOL, 1),
        (Kind.STRING, 7),
        (Kind.STRING, "more than two"),
        (Kind.STRING, "a\n"),
        (Kind.STRING, "\ud800"),
    ],
)
def test_what_the_registers_cannot_carry_is_refused(kind: Kind, value: Any) -> None:
    with pytest.raises(ValueError):
        Layout(kind=kind).encode(value)


@given(st.integers(-(10**400), 10**400))
def test_a_number_of_any_size_is_carried_or_refused(value: int) -> None:
    for layout in (Layout(kind=Kind.INT64), Layout(kind=Kind.INT64, scale=3), Layout(kind=Kind.FLOAT32)):
        try:
            words = layout.encode(value)
        except ValueError:
            continue
        assert len(words) == layout.words


@pytest.mark.parametrize("octets", [b"\xff\xfe\xfd\xfc", b"a\x07bc", b"\xc3\0\0\0"])
def test_bytes_that_are_no_text_are_no_value(octets: bytes) -> None:
    words = struct.unpack(">2H", octets)
    assert Layout(kind=Kind.STRING, length=2).decode(words) is None
    assert Layout(kind=Kind.STRING, length=2, encoding="latin-1").decode((0xE565, 0)) == "åe"


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": Kind.UINT16, "scale": 0},
        {"kind": Kind.UINT16, "scale": math.nan},
        {"kind": Kind.UINT16, "offset": math.inf},
        {"kind": Kind.STRING, "length": 0},
        {"kind": Kind.STRING, "scale": 2},
        {"kind": Kind.BOOL, "scale": 2},
        {"kind": Kind.UINT16, "bit": 16},
        {"kind": Kind.UINT16, "bit": 15, "bits": 2},
        {"kind": Kind.UINT16, "bit": 1, "scale": 2},
        {"kind": Kind.INT16, "bit": 1},
        {"kind": Kind.FLOAT32, "bit": 1},
        {"kind": Kind.UINT16, "bit": -1},
    ],
)
def test_a_layout_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Layout(**wrong)
