"""The functions that expressions of the configuration may call, forgiving about how shops write numbers."""

import functools
import math
import re
import threading
import unicodedata
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]+|[0-9]{1,3}(?: [0-9]{3})+)(?:[.,][0-9]+)?")
_AMBIGUOUS: Final = re.compile(r"[-+]?[1-9][0-9]{0,2},[0-9]{3}")
_BLANKS: Final = str.maketrans({"\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2212": "-"})
_MAX_NUMBER: Final = 40
_MAX_TEXT: Final = 4096
_MAX_DIGITS: Final = 9


class FunctionFaultError(ValueError):
    """A function met a value it has no answer for."""

    def __init__(self, text: str, value: object) -> None:
        super().__init__(text)
        self.value = value


class UsageError(ValueError):
    """A function is called in a way that can never work."""


class _LastFault(threading.local):
    """The fault that a function raised last in this thread: the library passes on its text only."""

    def __init__(self) -> None:
        self._fault: FunctionFaultError | UsageError | None = None

    def clear(self) -> None:
        """Forget it."""
        self._fault = None

    def note(self, fault: FunctionFaultError | UsageError) -> None:
        """Keep it until the library has come back."""
        self._fault = fault

    def take(self) -> FunctionFaultError | UsageError | None:
        """Give it, if there is one."""
        return self._fault


last_fault: Final = _LastFault()


def num(value: object) -> float:
    """Read a decimal number: 60.5, "60,5" or "1 200"; what could be two numbers is refused."""
    return float(_number(value))


def whole(value: object) -> int:
    """Read a whole number; a fraction is refused, never rounded."""
    number = _number(value)
    if number != int(number):
        raise FunctionFaultError(f"{_shown(value)} is not a whole number", value)
    return int(number)


def text(value: object, max_length: int = _MAX_TEXT) -> str:
    """Give a text without blanks around it; too long or unprintable is refused, never cut."""
    match value:
        case str():
            plain = unicodedata.normalize("NFC", value).strip()
        case bool() | None:
            raise FunctionFaultError(f"{_shown(value)} is not a text", value)
        case int() | float():
            plain = f"{value:.15g}" if isinstance(value, float) else str(value)
        case _:
            raise FunctionFaultError("is not a single text", value)
    if isinstance(max_length, bool) or not isinstance(max_length, int):
        raise UsageError("text(value, 20): the second value is the largest number of characters")
    if len(plain) > max_length:
        raise FunctionFaultError(f"longer than {max_length} characters", value)
    if not plain.isprintable():
        raise FunctionFaultError("has a line break or another character that cannot be printed", value)
    return plain


def get(holder: object, key: object, default: object) -> object:
    """Look a key up; missing and empty give the default."""
    if not isinstance(holder, Mapping):
        raise UsageError('get(line.options, "name", default): the first value must be a mapping')
    value = holder.get(key)
    return default if value is None or value == "" else value


def kv(rows: object, key: object, value: object) -> dict[str, object]:
    """Turn rows such as [{key: "a", value: 1}] into a mapping; a key given twice keeps its last value."""
    if not isinstance(rows, list | tuple):
        raise FunctionFaultError("is not a list of rows", rows)
    usable = (row for row in rows if isinstance(row, Mapping) and isinstance(row.get(key), str))
    return {row[key]: row.get(value) for row in usable}


def round_(value: object, digits: int = 0) -> int | float:
    """Round half away from zero; without digits to a whole number."""
    if isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= _MAX_DIGITS:
        raise UsageError(f"round(value, digits): digits is a whole number from 0 to {_MAX_DIGITS}")
    rounded = _number(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    return float(rounded) if digits else int(rounded)


def ceil(value: object) -> int:
    """Give the next whole number upwards."""
    return math.ceil(_number(value))


def floor(value: object) -> int:
    """Give the next whole number downwards."""
    return math.floor(_number(value))


def min_(*values: object) -> int | float:
    """Give the smallest of some numbers, or of one list."""
    smallest: int | float = min(_numbers(values, "min"))
    return smallest


def max_(*values: object) -> int | float:
    """Give the largest of some numbers, or of one list."""
    largest: int | float = max(_numbers(values, "max"))
    return largest


def _numbers(values: tuple[object, ...], name: str) -> list[int] | list[float]:
    given = list(values[0]) if len(values) == 1 and isinstance(values[0], list | tuple) else list(values)
    if not given:
        raise UsageError(f"{name}() needs at least one number")
    whole_ones = [value for value in given if isinstance(value, int) and not isinstance(value, bool)]
    if len(whole_ones) == len(given):
        return whole_ones
    return [num(value) for value in given]


def _number(value: object) -> Decimal:
    match value:
        case bool() | None:
            raise FunctionFaultError(f"{_shown(value)} is not a number", value)
        case int():
            return Decimal(value)
        case float():
            if not math.isfinite(value) or abs(value) > 1e18:  # noqa: PLR2004 - beyond what any machine parameter is
                raise FunctionFaultError("is too large a number", value)
            return Decimal(repr(value))
        case str():
            return _read(value)
    raise FunctionFaultError("is not a single number", value)


def _read(value: str) -> Decimal:
    plain = value.translate(_BLANKS).strip()
    if not plain:
        raise FunctionFaultError("is empty where a number is needed", value)
    if len(plain) > _MAX_NUMBER or not _NUMBER.fullmatch(plain):
        raise FunctionFaultError(f"{_shown(value)} is not a number", value)
    if _AMBIGUOUS.fullmatch(plain):
        other = plain.replace(",", "")
        raise FunctionFaultError(f"{_shown(value)} could be {float(plain.replace(',', '.')):g} or {other}", value)
    number = Decimal(plain.replace(" ", "").replace(",", "."))
    if abs(number) > Decimal("1e18"):
        raise FunctionFaultError("is too large a number", value)
    return number


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value[:40]) if isinstance(value, str) else "nothing" if value is None else str(value)


def _guarded(name: str, function: Callable[..., Any], least: int, most: int | None) -> Callable[..., Any]:
    """Count the values given and keep the fault, for the library passes on only its text."""

    @functools.wraps(function)
    def call(*values: object) -> object:
        try:
            _count(name, len(values), least, most)
            return function(*values)
        except (FunctionFaultError, UsageError) as fault:
            last_fault.note(fault)
            raise

    return call


def _count(name: str, given: int, least: int, most: int | None) -> None:
    if least <= given and (most is None or given <= most):
        return
    count = (
        f"{least} to {most}" if most is not None and most != least else f"{least}{' or more' if most is None else ''}"
    )
    raise UsageError(f"{name}() takes {count} value{'' if count == '1' else 's'}, not {given}")


# A plain dict, because the library accepts no other mapping.
FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    name: _guarded(name, function, least, most)
    for name, function, least, most in (
        ("num", num, 1, 1),
        ("whole", whole, 1, 1),
        ("text", text, 1, 2),
        ("get", get, 3, 3),
        ("kv", kv, 3, 3),
        ("round", round_, 1, 2),
        ("ceil", ceil, 1, 1),
        ("floor", floor, 1, 1),
        ("min", min_, 1, None),
        ("max", max_, 1, None),
    )
}
