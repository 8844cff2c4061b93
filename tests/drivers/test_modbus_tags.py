"""Tags become few reads with each value in one of them, and words become values whatever their type and order."""

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.blocks import BAD, GOOD
from drivers.catalog import profile_faults
from drivers.modbus.places import Area, Span
from drivers.modbus.tags import GAP, Fence, TagRead, reads_of
from drivers.profile import Tag, WordOrder
from tests.drivers.modbus_samples import mailbox_profile
from tests.drivers.plain_samples import plain_profile

_LETTERS = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}


def spans(tags: dict[str, Tag], fence: Fence | None = None) -> list[Span]:
    return [read.span for read in reads_of(tags, fence)]


def holding(first: int, count: int) -> Span:
    return Span(area=Area.HOLDING, first=first, count=count)


def decoded(reads: tuple[TagRead, ...], cells: dict[tuple[str, int], int]) -> dict[str, tuple[Any, int]]:
    """Answer each read from these cells, all others being 0xAAAA, and give each tag's value and quality."""
    found: dict[str, tuple[Any, int]] = {}
    for read in reads:
        at = range(read.span.first, read.span.first + read.span.count)
        words = [cells.get((read.span.area.value, number), 0xAAAA) for number in at]
        values, qualities = read.columns.decode(words)
        found |= dict(zip(read.names, zip(values, qualities, strict=True), strict=True))
    return found


# Merging ------------------------------------------------------------------------------------------------


def test_neighbours_share_a_read_and_small_gaps_are_read_along() -> None:
    assert spans({"a": Tag(address="holding:10"), "b": Tag(address=f"holding:{11 + GAP}", type="float32")}) == [
        holding(10, GAP + 3)
    ]
    assert spans({"a": Tag(address="holding:10"), "b": Tag(address=f"holding:{12 + GAP}")}) == [
        holding(10, 1),
        holding(12 + GAP, 1),
    ]


def test_each_table_is_read_by_its_own_function() -> None:
    tags = {name: Tag(address=f"{name}:5") for name in ("coil", "discrete", "holding", "input")}
    assert spans(tags) == [Span(area=area, first=5, count=1) for area in sorted(Area)]


def test_a_read_is_never_longer_than_the_protocol_allows() -> None:
    words = {f"w{number}": Tag(address=f"holding:{number}") for number in range(300)}
    assert [span.count for span in spans(words)] == [125, 125, 50]
    bits = {f"b{number}": Tag(address=f"coil:{number}") for number in range(2500)}
    assert [span.count for span in spans(bits)] == [2000, 500]


@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from(sorted(_LETTERS))), min_size=1, max_size=150))
def test_each_value_lies_whole_in_exactly_one_read(places: list[tuple[int, str]]) -> None:
    tags = {f"t{n}": Tag(address=f"holding:{first}", type=kind) for n, (first, kind) in enumerate(places)}
    reads = reads_of(tags)
    assert sorted(name for read in reads for name in read.names) == sorted(tags)
    for read in reads:
        assert 1 <= read.span.count <= 125
        for tag in read.tags:
            assert read.span.first <= tag.spot.number
            assert tag.spot.number + tag.count <= read.span.first + read.span.count
            assert tag.count == struct.calcsize(_LETTERS[places[int(tag.name[1:])][1]]) // 2 or tag.count == 1


def test_a_refused_read_is_parted_at_its_widest_gap_then_in_the_middle_and_never_through_a_value() -> None:
    tags = {"a": Tag(address="holding:0", type="uint32"), "b": Tag(address="holding:2"), "c": Tag(address="holding:9")}
    (read,) = reads_of(tags)
    left, right = read.parts()
    assert (left.span, right.span) == (holding(0, 3), holding(9, 1))
    assert [part.span for part in left.parts()] == [holding(0, 2), holding(2, 1)]
    assert right.parts() == ()


def test_values_that_share_a_register_are_refused_together() -> None:
    (read,) = reads_of({"whole": Tag(address="holding:7"), "bit": Tag(address="holding:7.3")})
    assert read.parts() == ()


def test_tags_in_a_block_that_is_written_meanwhile_come_with_the_whole_of_it() -> None:
    fence = Fence(first=0, count=64, before=9, after=63)
    tags = {"in": Tag(address="holding:30", type="uint32"), "out": Tag(address="holding:64")}
    assert spans(tags, fence) == [holding(0, 64), holding(64, 1)]
    assert spans({"out": tags["out"]}, fence) == [holding(64, 1)]
    inside = reads_of(tags, fence)[0]
    assert inside.parts() == ()
    words = [0] * 64
    assert fence.whole(words)
    words[9] = 1
    assert not fence.whole(words)


# Decoding -----------------------------------------------------------------------------------------------


def on_the_wire(octets: bytes, order: str) -> list[int]:
    """Lay a big-endian value down in registers as the four letters say; written apart from the driver's code."""
    pairs = [octets[at : at + 2] for at in range(0, len(octets), 2)]
    if order in ("CDAB", "DCBA"):
        pairs.reverse()
    if order in ("BADC", "DCBA"):
        pairs = [bytes(reversed(pair)) for pair in pairs]
    return [int.from_bytes(pair, "big") for pair in pairs]


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, str, float, float]:
    """Give a type, an order, a raw value and a scale."""
    kind = draw(st.sampled_from(sorted(_LETTERS)))
    letter = _LETTERS[kind]
    if letter in "fd":
        raw = draw(st.floats(width=32 if letter == "f" else 64, allow_nan=True, allow_infinity=True))
    else:
        size = 8 * struct.calcsize(letter)
        low = -(1 << size - 1) if letter.islower() else 0
        raw = draw(st.integers(low, low + (1 << size) - 1))
    return kind, draw(st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"])), raw, draw(st.sampled_from([1, 0.5, -2]))


@given(st.lists(st.tuples(numbers(), st.integers(0, 20)), min_size=1, max_size=60))
def test_all_types_and_orders_side_by_side_with_gaps_between(
    drawn: list[tuple[tuple[str, str, float, float], int]],
) -> None:
    tags: dict[str, Tag] = {}
    cells: dict[tuple[str, int], int] = {}
    wanted: dict[str, tuple[Any, int]] = {}
    at = 0
    for number, ((kind, order, raw, scale), gap) in enumerate(drawn):
        name, at = f"t{number}", at + gap
        tags[name] = Tag(address=f"input:{at}", type=kind, order=WordOrder(order), scale=scale)
        for word in on_the_wire(struct.pack(f">{_LETTERS[kind]}", raw), order):
            cells["input", at] = word
            at += 1
        value = raw if scale == 1 else raw * scale + 0.0
        wanted[name] = (value, GOOD) if math.isfinite(value) else (None, BAD)
    found = decoded(reads_of(tags), cells)
    assert found == wanted
    assert all(type(found[name][0]) is type(wanted[name][0]) for name in tags)


def test_bits_truth_values_and_texts_are_decoded_among_numbers() -> None:
    tags = {
        "number": Tag(address="holding:0"),
        "third": Tag(address="holding:0.3"),
        "fourth": Tag(address="holding:0", bit=4),
        "code": Tag(address="holding:0", type="uint16", bit=3),
        "any": Tag(address="holding:0", type="bool"),
        "high": Tag(address="holding:1", type="uint32", order=WordOrder.CDAB, bit=31),
        "name": Tag(address="holding:3", type="string", length=3),
        "noise": Tag(address="holding:6", type="string"),
        "on": Tag(address="coil:17"),
        "off": Tag(address="discrete:17", type="bool"),
    }
    cells = {("holding", 0): 0b01000, ("holding", 1): 0, ("holding", 2): 0x8000, ("holding", 6): 0x0107}
    cells |= {("holding", 3 + at): word for at, word in enumerate((0x4F76, 0x656E, 0))}
    cells |= {("coil", 17): True, ("discrete", 17): False}
    assert {name: value for name, (value, _) in decoded(reads_of(tags), cells).items()} == {
        "number": 8,
        "third": True,
        "fourth": False,
        "code": 1,
        "any": True,
        "high": 1,
        "name": "Oven",
        "noise": None,
        "on": True,
        "off": False,
    }
    assert decoded(reads_of(tags), cells)["noise"][1] == BAD


def test_a_scaled_number_that_leaves_the_finite_ones_is_none() -> None:
    tags = {"huge": Tag(address="holding:0", type="float64", scale=1e300), "next": Tag(address="holding:4")}
    cells = {("holding", at): word for at, word in enumerate(on_the_wire(struct.pack(">d", 1e300), "ABCD"))}
    assert decoded(reads_of(tags), cells | {("holding", 4): 7}) == {"huge": (None, BAD), "next": (7, GOOD)}


# Faults -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [mailbox_profile, plain_profile])
@pytest.mark.parametrize(
    ("tag", "says"),
    [
        (Tag(address="40001"), "tags.one.address: '40001' is no address"),
        (Tag(address="holding:65535", type="uint32"), "tags.one.address: 'holding:65535' leaves no room"),
        (Tag(address="holding:1", type="real"), "tags.one.type: 'real' is none; write one of bool, int16"),
        (Tag(address="holding:1", bit=16), "tags.one.bit: bits 16 to 16 do not lie in a bool"),
        (Tag(address="holding:1", type="float32", bit=1), "tags.one.bit: a float32 has no bit fields"),
        (Tag(address="holding:1.2", bit=2), "tags.one.bit: 'holding:1.2' names the bit already"),
        (Tag(address="holding:1.2", type="uint32"), "tags.one.type: 'holding:1.2' is a bit of one register"),
        (Tag(address="holding:1", length=2), "tags.one.length: a uint16 has its own length"),
        (Tag(address="holding:1.2", scale=2), "tags.one.scale: only a number is scaled"),
        (Tag(address="holding:1", type="string", offset=2), "tags.one.offset: only a number is scaled"),
        (Tag(address="holding:1.2", deadband=2), "tags.one.deadband: every change"),
        (Tag(address="coil:1", type="uint16"), "tags.one.type: a coil is on or off"),
        (Tag(address="discrete:1", scale=2), "tags.one.scale: a discrete is one bit"),
        (Tag(address="coil:1", order=WordOrder.CDAB), "tags.one.order: a coil is one bit"),
    ],
)
def test_a_tag_that_cannot_be_is_told_by_its_key(profile: Any, tag: Tag, says: str) -> None:
    faults = profile_faults(profile(tags={"one": tag}))
    assert any(fault.startswith(says) for fault in faults), faults


@pytest.mark.parametrize("address", ["coil:0", "discrete:1", "holding:2", "input:3", "holding:4.15"])
def test_every_kind_of_address_can_be_a_tag(address: str) -> None:
    assert profile_faults(mailbox_profile(tags={"one": Tag(address=address)})) == ()
