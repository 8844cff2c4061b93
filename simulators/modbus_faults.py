"""The ways in which a Modbus machine can misbehave on the wire, switchable while it runs."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final, Self

KNOWN_EXCEPTIONS: Final = frozenset({1, 2, 3, 4, 5, 6, 8, 10, 11})
_NUMBERS: Final = {"late_s": (int, float), "exception": (int,), "times": (int,)}


class Lie(StrEnum):
    """What becomes of the answer to a request that has been executed."""

    NONE = "none"
    NEVER = "never"  # it never comes; later ones do
    CLOSE = "close"  # the connection is cut instead
    SHORT = "short"  # the last byte is missing, and the length says so
    BYTE_COUNT = "byte_count"  # a read says two bytes more than it brings
    COUNT = "count"  # a read brings two bytes more than asked for, a write says one more than written
    TRANSACTION = "transaction"  # another transaction's number
    UNIT = "unit"  # another unit's number
    FUNCTION = "function"  # another function's number
    PREVIOUS = "previous"  # the answer before comes once more, ahead of this one
    GARBAGE = "garbage"  # bytes that are no Modbus at all


@dataclass(frozen=True, kw_only=True, slots=True)
class WireFaults:
    """What is wrong at present; the default is nothing.

    `exception`, `late_s` (machine seconds) and `lie` concern requests of the given functions, of all where
    none is given, for the next `times` requests, or until switched off where it is None.
    """

    late_s: float = 0.0
    exception: int | None = None  # answered instead of doing what is asked, or after it
    executes: bool = False  # with `exception`: it is done all the same, as behind a gateway that gives up
    lie: Lie = Lie.NONE
    functions: frozenset[int] = frozenset()
    times: int | None = None
    mute: bool = False  # a request to another unit is not answered at all; else the gateway says that it is silent
    frozen: bool = False  # nothing is read or answered; connections stay open
    dead: bool = False  # connections are cut and refused

    def __post_init__(self) -> None:
        if self.exception is not None and self.exception not in KNOWN_EXCEPTIONS:
            raise ValueError(f"exception is one of {sorted(KNOWN_EXCEPTIONS)}, not {self.exception}")
        if self.late_s < 0 or (self.times is not None and self.times < 0):
            raise ValueError("late_s and times are not below 0")

    @classmethod
    def from_json(cls, wanted: dict[str, Any]) -> Self:
        """Read plain JSON values; what is not named is in order. Raise `ValueError` for what is not known."""
        known = {entry.name for entry in fields(cls)}
        if unknown := wanted.keys() - known:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
        return cls(**{name: _value(name, value) for name, value in wanted.items()})


def _value(name: str, value: Any) -> Any:
    match name:
        case "lie":
            return Lie(value)
        case "functions":
            if not isinstance(value, list) or not all(type(entry) is int for entry in value):
                raise ValueError(f"functions is a list of numbers, not {value!r}")
            return frozenset(value)
        case "late_s" | "exception" | "times":
            if type(value) not in _NUMBERS[name] and not (value is None and name != "late_s"):
                raise ValueError(f"{name} is a number, not {value!r}")
            return value
        case _:
            if not isinstance(value, bool):
                raise ValueError(f"{name} is true or false, not {value!r}")  # noqa: TRY004 - from outside
            return value


def spoiled(lie: Lie, answer: bytes, previous: bytes) -> bytes | None:
    """Give what is sent instead of an answer (whole frames, header included); None for nothing at all."""
    return _SPOILERS[lie](answer, previous)


def _frame(answer: bytes, body: bytes) -> bytes:
    """Put another body (unit and PDU) behind the header of an answer."""
    return answer[:4] + len(body).to_bytes(2, "big") + body


def _changed(answer: bytes, place: int, change: int) -> bytes:
    return answer[:place] + bytes([(answer[place] + change) % 256]) + answer[place + 1 :]


def _wrong_count(answer: bytes) -> bytes:
    if answer[7] in (1, 2, 3, 4):
        return _frame(answer, answer[6:8] + bytes([answer[8] + 2]) + answer[9:] + b"\0\0")
    return answer[:-1] + bytes([(answer[-1] + 1) % 256])


def _wrong_function(answer: bytes) -> bytes:
    return _changed(answer, 7, 1 if answer[7] == 3 else 3 - answer[7])  # noqa: PLR2004 - 3 is said to be 4, all else 3


_SPOILERS: Final[dict[Lie, Callable[[bytes, bytes], bytes | None]]] = {
    Lie.NONE: lambda answer, _: answer,
    Lie.NEVER: lambda *_: None,
    Lie.CLOSE: lambda *_: None,
    Lie.SHORT: lambda answer, _: _frame(answer, answer[6:-1]),
    Lie.BYTE_COUNT: lambda answer, _: _changed(answer, 8, 2),
    Lie.COUNT: lambda answer, _: _wrong_count(answer),
    Lie.TRANSACTION: lambda answer, _: _changed(answer, 1, 7),
    Lie.UNIT: lambda answer, _: _changed(answer, 6, 5),
    Lie.FUNCTION: lambda answer, _: _wrong_function(answer),
    Lie.PREVIOUS: lambda answer, previous: previous + answer,
    Lie.GARBAGE: lambda answer, _: b"\xff\x00garbage" + answer[:3],
}
