"""Raw 16-bit words <-> engineering values: every type, word order, scale, bit field and text."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from drivers.base import Scalar
from drivers.profile import WordOrder

_WORD_MAX = 0xFFFF
_WORDS_MAX = 125  # registers of one read


class Kind(StrEnum):
    """What the registers of a value hold."""

    BOOL = "bool"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"


_FORMATS = {
    Kind.INT16: ">h",
    Kind.UINT16: ">H",
    Kind.INT32: ">i",
    Kind.UINT32: ">I",
    Kind.INT64: ">q",
    Kind.UINT64: ">Q",
    Kind.FLOAT32: ">f",
    Kind.FLOAT64: ">d",
}
_UNSIGNED = frozenset({Kind.UINT16, Kind.UINT32, Kind.UINT64})
_FLOATS = frozenset({Kind.FLOAT32, Kind.FLOAT64})
_SWAPPED = frozenset({WordOrder.BADC, WordOrder.DCBA})  # the bytes of each register
_LOW_FIRST = frozenset({WordOrder.CDAB, WordOrder.DCBA})


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How one value lies in registers: `value = raw * scale + offset`.

    `length` is the number of registers of a text. `bit` is the lowest bit of a field `bits` wide in an
    unsigned integer, or the one bit of a register that is a BOOL (without it: any bit set is true).
    Texts lie in register order whatever the word order, NUL-padded; only their bytes may be swapped.
    Raise `ValueError` for a layout that cannot be.
    """

    kind: Kind
    order: WordOrder = WordOrder.ABCD
    scale: float = 1.0
    offset: float = 0.0
    length: int = 1
    bit: int | None = None
    bits: int = 1
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and math.isfinite(self.offset)) or self.scale == 0:
            raise ValueError("scale and offset are finite numbers, and scale is not 0")
        if self.scaled and (self.kind in {Kind.BOOL, Kind.STRING} or self.bit is not None):
            raise ValueError(f"a {self.kind} or a bit field is not scaled")
        if not 1 <= self.length <= _WORDS_MAX:
            raise ValueError(f"a text has 1 to {_WORDS_MAX} registers")
        if self.bit is None:
            return
        if self.kind is not Kind.BOOL and self.kind not in _UNSIGNED:
            raise ValueError(f"a {self.kind} has no bit fields; read it as an unsigned integer")
        if self.bits < 1 or self.bit < 0 or self.bit + self.bits > 16 * self.words:
            raise ValueError(f"bits {self.bit} to {self.bit + self.bits - 1} do not lie in a {self.kind}")

    @property
    def words(self) -> int:
        """Give the number of registers of the value."""
        if self.kind is Kind.STRING:
            return self.length
        return 1 if self.kind is Kind.BOOL else struct.calcsize(_FORMATS[self.kind]) // 2

    @property
    def format(self) -> str:
        """Give how `struct` unpacks the raw value from the bytes at `places`, big-endian and without padding."""
        if self.kind is Kind.STRING:
            return f"{2 * self.length}s"
        return "H" if self.kind is Kind.BOOL else _FORMATS[self.kind][1:]

    @property
    def places(self) -> tuple[int, ...]:
        """Give where the value's bytes stand among those on the wire, the most significant first."""
        words = range(self.words)
        if self.order in _LOW_FIRST and self.kind is not Kind.STRING:
            words = words[::-1]
        first, second = (1, 0) if self.order in _SWAPPED else (0, 1)
        return tuple(place for word in words for place in (2 * word + first, 2 * word + second))

    def decode(self, words: Sequence[int]) -> Scalar | None:
        """Give the value of exactly `self.words` registers; None where they hold none.

        None for too few or too many registers, for what is no 16-bit word, for NaN and infinity, and for
        bytes that are no printable text.
        """
        if len(words) != self.words or not all(0 <= word <= _WORD_MAX for word in words):
            return None
        octets = self._arranged(b"".join(word.to_bytes(2, "big") for word in words))
        raw: int | float | bytes = struct.unpack(f">{self.format}", octets)[0]
        return self.meaning(raw)

    def meaning(self, raw: float | bytes) -> Scalar | None:
        """Give the value of what `format` unpacked; None where it is none."""
        if isinstance(raw, bytes):
            return self._text(raw)
        if self.kind is Kind.BOOL:
            return bool(raw) if self.bit is None else bool(int(raw) >> self.bit & 1)
        if self.bit is not None:
            return int(raw) >> self.bit & (1 << self.bits) - 1
        value = raw * self.scale + self.offset if self.scaled else raw
        return value if math.isfinite(value) else None

    def encode(self, value: Scalar) -> tuple[int, ...]:
        """Give the registers of a value; raise `ValueError` where they cannot carry it.

        A scaled value is rounded to the nearest step. A bit field gives a register whose other bits are
        0: combine it with what the register holds before writing.
        """
        octets = self._arranged(self._octets(value))
        return tuple(int.from_bytes(octets[place : place + 2], "big") for place in range(0, len(octets), 2))

    @property
    def scaled(self) -> bool:
        """Say whether the value is another number than the raw one."""
        return self.scale != 1 or self.offset != 0

    def _octets(self, value: Scalar) -> bytes:
        if self.kind is Kind.STRING:
            return self._text_octets(value)
        if self.kind is Kind.BOOL:
            if not isinstance(value, bool):
                raise ValueError(f"{value!r} is no truth value")
            return (value << (self.bit or 0)).to_bytes(2, "big")
        if isinstance(value, bool | str) or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(f"{value!r} is no finite number")
        if self.bit is not None:
            if value != int(value) or not 0 <= value < 1 << self.bits:
                raise ValueError(f"{value!r} does not fit into {self.bits} bits")
            return (int(value) << self.bit).to_bytes(2 * self.words, "big")
        return self._number(value)

    def _number(self, value: float) -> bytes:
        try:
            raw = (value - self.offset) / self.scale if self.scaled else value
            if self.kind not in _FLOATS:
                if not self.scaled and raw != int(raw):
                    raise ValueError(f"{value!r} is no whole number")
                raw = round(raw)
            return struct.pack(_FORMATS[self.kind], raw)
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{value!r} does not fit into a {self.kind}") from error

    def _arranged(self, octets: bytes) -> bytes:
        """Bring wire order into reading order, or back: each of the four orders is its own inverse."""
        return bytes(map(octets.__getitem__, self.places))

    def _text(self, octets: bytes) -> str | None:
        try:
            text = octets.partition(b"\0")[0].decode(self.encoding)
        except UnicodeDecodeError:
            return None
        return text if text.isprintable() else None

    def _text_octets(self, value: Scalar) -> bytes:
        if not isinstance(value, str) or not value.isprintable():
            raise ValueError(f"{value!r} is no printable text")
        octets = value.encode(self.encoding)
        if len(octets) > 2 * self.length:
            raise ValueError(f"{value!r} is longer than {2 * self.length} bytes")
        return octets.ljust(2 * self.length, b"\0")
