"""Values in 16-bit registers: numbers of 32 bits, floats and texts, in either word order."""

import struct
from collections.abc import Sequence
from enum import StrEnum


class WordOrder(StrEnum):
    """Which word of a 32-bit value comes first."""

    BIG = "big"  # the high one
    LITTLE = "little"


def u32(value: int, order: WordOrder) -> list[int]:
    """Give the two registers of a number; it wraps at 32 bits."""
    pair = [value >> 16 & 0xFFFF, value & 0xFFFF]
    return pair if order is WordOrder.BIG else pair[::-1]


def f32(value: float, order: WordOrder) -> list[int]:
    """Give the two registers of a float32 (IEEE 754)."""
    return u32(int.from_bytes(struct.pack(">f", value), "big"), order)


def read_u32(words: Sequence[int], place: int, order: WordOrder) -> int:
    """Read the number whose first register is at `place`."""
    high, low = (place, place + 1) if order is WordOrder.BIG else (place + 1, place)
    return words[high] << 16 | words[low]


def read_f32(words: Sequence[int], place: int, order: WordOrder) -> float:
    """Read the float32 whose first register is at `place`."""
    value: float = struct.unpack(">f", read_u32(words, place, order).to_bytes(4, "big"))[0]
    return value


def text(words: Sequence[int]) -> str:
    """Read a text of two characters a register, padded with NUL."""
    return b"".join(word.to_bytes(2, "big") for word in words).rstrip(b"\0").decode("utf-8", "replace")


def after(number: int) -> int:
    """Give the number after this one in a 16-bit register that never shows 0."""
    return number % 0xFFFF + 1
