"""Where a plain machine keeps something: `coil:5`, `discrete:5`, `holding:100`, `input:100`, `holding:100.3`."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from drivers import plain
from drivers.base import Scalar
from drivers.mailbox import COMMAND_WORDS, STATUS_WORDS
from drivers.mailbox_command import map_faults
from drivers.profile import MailboxMap, Place, PlainMap, Profile

_ADDRESS = re.compile(r"(?P<area>coil|discrete|holding|input):(?P<number>\d{1,5})(?:\.(?P<bit>\d{1,2}))?")
_LAST: Final = 0xFFFF
_BITS: Final = 16
_WRITTEN_BITS: Final = ("start", "reset_done")


class Area(StrEnum):
    """The four tables of a Modbus unit."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"

    @property
    def of_bits(self) -> bool:
        """Say whether its addresses are bits."""
        return self in {Area.COIL, Area.DISCRETE}

    @property
    def writable(self) -> bool:
        """Say whether the protocol can write it."""
        return self in {Area.COIL, Area.HOLDING}

    @property
    def read_max(self) -> int:
        """Give how many addresses fit into one read (Modbus Application Protocol 1.1b3, 6.1 and 6.3)."""
        return 2000 if self.of_bits else 125


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Spot:
    """An address of a unit; `bit` (0 the lowest) of a register, None for the whole of it."""

    area: Area
    number: int
    bit: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Spot":
        """Read an address; raise `ValueError` with a cure for what is none."""
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise ValueError(
                f"{text!r} is no address: write coil:5, discrete:5, holding:100, input:100 or holding:100.3"
            )
        area, number, bit = Area(found["area"]), int(found["number"]), found["bit"]
        if number > _LAST or (bit is not None and (area.of_bits or int(bit) >= _BITS)):
            raise ValueError(f"{text!r} does not exist: addresses end at 65535, and only registers have bits, 0 to 15")
        return cls(area=area, number=number, bit=None if bit is None else int(bit))


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Addresses read in one request."""

    area: Area
    first: int
    count: int


def bit_spot(text: str) -> Spot:
    """Read the address of something on or off: a coil, a discrete input, a bit of a register."""
    spot = Spot.parse(text)
    if not spot.area.of_bits and spot.bit is None:
        raise ValueError(f"{text!r} is a whole register where a bit is expected: write {text}.0")
    return spot


def word_spot(text: str, words: int) -> Spot:
    """Read the address of a value of so many registers."""
    spot = Spot.parse(text)
    if spot.area.of_bits or spot.bit is not None:
        raise ValueError(f"{text!r} is a bit where registers are expected: write holding:100")
    if spot.number + words > _LAST + 1:
        raise ValueError(f"{text!r} leaves no room for {words} registers")
    return spot


def spans_of(spots: Iterable[tuple[Spot, int]], *, gap: int = 0) -> tuple[Span, ...]:
    """Give the fewest reads of these, none parted; each spot comes with its number of addresses.

    A read touches at most `gap` addresses in a row that nobody asked for.
    """
    spans: list[Span] = []
    for spot, count in sorted(((spot, count) for spot, count in spots), key=lambda it: (it[0].area, it[0].number)):
        last = spans[-1] if spans else None
        end = spot.number + count
        if last is not None and last.area is spot.area and spot.number <= last.first + last.count + gap:
            reach = max(last.count, end - last.first)
            if reach <= spot.area.read_max:
                spans[-1] = Span(area=last.area, first=last.first, count=reach)
                continue
        spans.append(Span(area=spot.area, first=spot.number, count=count))
    return tuple(spans)


def plain_faults(profile: Profile) -> tuple[str, ...]:
    """List why a profile cannot be driven as a plain machine over Modbus, as `key.of.the.profile: what is wrong`."""
    found = list(plain.map_faults(profile))
    if profile.plain is not None:
        written: dict[tuple[Area, int], str] = {}
        found += _bit_faults(profile, profile.plain, written)
        found += _word_faults(profile, profile.plain, written)
        found += _value_faults(profile, profile.plain)
    return tuple(sorted(found))


def mailbox_faults(profile: Profile) -> tuple[str, ...]:
    """List why a profile cannot be driven through the mailbox over Modbus, as `key.of.the.profile: what is wrong`."""
    found = list(map_faults(profile))
    if profile.mailbox is not None:
        found += _base_faults(profile.mailbox)
    return tuple(sorted(found))


def _base_faults(spec: MailboxMap) -> Iterator[str]:
    blocks = {"status_base": (spec.status_base, STATUS_WORDS), "command_base": (spec.command_base, COMMAND_WORDS)}
    for name, (base, words) in blocks.items():
        if not 0 <= base <= _LAST + 1 - words:
            yield f"mailbox.{name}: {base} leaves no room for {words} registers"
    if spec.status_base < spec.command_base + COMMAND_WORDS and spec.command_base < spec.status_base + STATUS_WORDS:
        yield "mailbox: the status block and the command block overlap"
    if spec.nodes is not None:
        yield "mailbox.nodes: belongs to protocol opcua; remove it, Modbus has status_base and command_base"


def _bit_faults(profile: Profile, spec: PlainMap, written: dict[tuple[Area, int], str]) -> Iterator[str]:
    bits = plain.bits_of(profile, spec) | ({} if spec.reset_done is None else {"reset_done": spec.reset_done})
    for name, address in bits.items():
        key = f"permits.{name}" if name in {"remote", "ready", "handed_over"} else f"plain.{name}"
        try:
            spot = bit_spot(address)
        except ValueError as error:
            yield f"{key}: {error}"
            continue
        if name in _WRITTEN_BITS:
            if not spot.area.writable:
                yield f"{key}: {address!r} can only be read"
            written[(spot.area, spot.number)] = key
    for name, address in bits.items():
        if name not in _WRITTEN_BITS and _clashes(address, written):
            yield f"plain: {name} lies at {address}, which is written; nothing that is read may lie there"


def _word_faults(profile: Profile, spec: PlainMap, written: dict[tuple[Area, int], str]) -> Iterator[str]:
    shown = {f"plain.{name}" for name in ("good", "scrap", "boot")}
    places = plain.places_of(spec)
    if profile.setup_code is not None:
        places = {"setup_code": plain.numbers_of(profile, spec)["setup_code"]} | places
        shown.add("setup_code")
    fixed, recipes = dict(written), dict[str, dict[tuple[Area, int], str]]()
    for key, place in places.items():  # those of the recipes come last
        try:
            words = plain.layout_of(place).words
            spot = word_spot(place.address, words)
        except ValueError as error:
            yield f"{key}: {error}"
            continue
        if key not in shown and spot.area is not Area.HOLDING:
            yield f"{key}: {place.address!r} can only be read"
        # Two recipes may use the same registers; nothing may be in the way of what is read, or written twice.
        own = recipes.setdefault(key.split(".")[2], {}) if key.startswith("plain.recipes.") else fixed
        cells = [(spot.area, spot.number + more) for more in range(words)]
        if other := next((used[cell] for used in (fixed, own) for cell in cells if cell in used), None):
            yield f"{key}: lies where {other} is"
        own.update(dict.fromkeys(cells, key))


def _value_faults(profile: Profile, spec: PlainMap) -> Iterator[str]:
    """Find what may have to be written, and its registers cannot carry."""
    for name, recipe in spec.recipes.items():
        key = f"plain.recipes.{name}"
        if spec.recipe is not None and recipe.number is not None:
            yield from _carried(f"{key}.number", spec.recipe, (recipe.number,))
        known = profile.recipes.get(name)
        for parameter, place in recipe.parameters.items():
            limit = known.parameters.get(parameter) if known is not None else None
            if limit is not None and limit.max_length is not None:
                yield f"recipes.{name}.parameters.{parameter}: registers carry numbers only; give min and max"
            elif limit is not None:
                ends = (limit.min, limit.max, *limit.one_of)
                yield from _carried(f"{key}.parameters.{parameter}", place, [end for end in ends if end is not None])


def _carried(key: str, place: Place, values: Iterable[Scalar]) -> Iterator[str]:
    try:
        layout = plain.layout_of(place)
    except ValueError:
        return  # said already
    for value in values:
        try:
            layout.encode(value)
        except ValueError as error:
            yield f"{key}: a {place.type} cannot carry what the limits allow: {error}"
            return


def _clashes(address: str, written: dict[tuple[Area, int], str]) -> bool:
    try:
        spot = Spot.parse(address)
    except ValueError:
        return False
    return (spot.area, spot.number) in written
