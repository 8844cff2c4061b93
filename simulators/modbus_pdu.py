"""Modbus requests as pure functions: a PDU in, its answer out (Modbus application protocol 1.1b3)."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

HEADER: Final = 7  # bytes before the PDU: transaction, protocol, length, unit
READ_BITS_MAX, READ_WORDS_MAX = 2000, 125
WRITE_BITS_MAX, WRITE_WORDS_MAX = 1968, 123

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3


class PduError(Exception):
    """A request that is answered with an exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


class Bank(Protocol):
    """What can be read and written; raises `PduError(ILLEGAL_ADDRESS)` for what is not there.

    A write is wholly done or refused.
    """

    def read_words(self, address: int, count: int, /) -> Sequence[int]:
        """Read holding registers, each 0..65535."""
        ...

    def write_words(self, address: int, values: Sequence[int], /) -> None:
        """Write holding registers."""
        ...

    def read_bits(self, address: int, count: int, /) -> Sequence[bool]:
        """Read coils."""
        ...

    def write_bits(self, address: int, values: Sequence[bool], /) -> None:
        """Write coils."""
        ...


def answer_to(pdu: bytes, bank: Bank) -> bytes:
    """Do what a request asks and give the answer's PDU; raise `PduError` where it is refused."""
    work = _FUNCTIONS.get(pdu[0])
    if work is None:
        raise PduError(ILLEGAL_FUNCTION)
    if len(pdu) < 5:  # noqa: PLR2004 - function, address, count or value
        raise PduError(ILLEGAL_VALUE)
    return pdu[:1] + work(pdu, bank)


def _read_bits(pdu: bytes, bank: Bank) -> bytes:
    address, count = _span(pdu, READ_BITS_MAX)
    bits = bank.read_bits(address, count)
    packed = sum(bool(bit) << place for place, bit in enumerate(bits)).to_bytes((count + 7) // 8, "little")
    return bytes([len(packed)]) + packed


def _read_words(pdu: bytes, bank: Bank) -> bytes:
    address, count = _span(pdu, READ_WORDS_MAX)
    words = bank.read_words(address, count)
    return bytes([2 * count]) + b"".join(word.to_bytes(2, "big") for word in words)


def _write_bit(pdu: bytes, bank: Bank) -> bytes:
    value = _number(pdu, 3)
    if len(pdu) != 5 or value not in (0x0000, 0xFF00):  # noqa: PLR2004
        raise PduError(ILLEGAL_VALUE)
    bank.write_bits(_number(pdu, 1), [value != 0])
    return pdu[1:5]


def _write_word(pdu: bytes, bank: Bank) -> bytes:
    if len(pdu) != 5:  # noqa: PLR2004
        raise PduError(ILLEGAL_VALUE)
    bank.write_words(_number(pdu, 1), [_number(pdu, 3)])
    return pdu[1:5]


def _write_many_bits(pdu: bytes, bank: Bank) -> bytes:
    address, count = _span(pdu, WRITE_BITS_MAX, follows=lambda count: (count + 7) // 8)
    packed = int.from_bytes(pdu[6:], "little")
    bank.write_bits(address, [bool(packed >> place & 1) for place in range(count)])
    return pdu[1:5]


def _write_many_words(pdu: bytes, bank: Bank) -> bytes:
    address, count = _span(pdu, WRITE_WORDS_MAX, follows=lambda count: 2 * count)
    bank.write_words(address, [_number(pdu, 6 + 2 * place) for place in range(count)])
    return pdu[1:5]


def _span(pdu: bytes, most: int, *, follows: Callable[[int], int] | None = None) -> tuple[int, int]:
    """Read address and count; `follows` gives the bytes that must follow, announced by a byte count."""
    address, count = _number(pdu, 1), _number(pdu, 3)
    if not 1 <= count <= most:
        raise PduError(ILLEGAL_VALUE)
    if follows is None and len(pdu) != 5:  # noqa: PLR2004
        raise PduError(ILLEGAL_VALUE)
    if follows is not None and not (len(pdu) == 6 + follows(count) and pdu[5] == follows(count)):
        raise PduError(ILLEGAL_VALUE)
    if address + count > 0x10000:  # noqa: PLR2004
        raise PduError(ILLEGAL_ADDRESS)
    return address, count


def _number(pdu: bytes, place: int) -> int:
    return int.from_bytes(pdu[place : place + 2], "big")


_FUNCTIONS: Final[dict[int, Callable[[bytes, Bank], bytes]]] = {
    1: _read_bits,
    3: _read_words,
    5: _write_bit,
    6: _write_word,
    15: _write_many_bits,
    16: _write_many_words,
}
