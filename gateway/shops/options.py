"""A line's key/value list becomes flat options; what is ambiguous is kept apart, never guessed."""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from drivers.base import Scalar
from gateway.shops.fields import is_readable

OPTIONS_MAX = 64
KEY_LENGTH_MAX = 100
VALUE_LENGTH_MAX = 2000
DEPTH_MAX = 4
ROWS_MAX = 500
FRACTION_MAX = 10**15


class OptionFaultError(ValueError):
    """An option cannot be carried; the text names it."""


def flatten(meta: Iterable[object]) -> dict[str, Scalar]:
    """Turn rows of `{key, value}` into options.

    Hidden keys (leading `_`) and empty values are dropped, `{"a": {"b": 1}}` becomes `a.b`, a list
    of plain values one text joined by `, `, a list of anything else `a.0`, `a.1`. A key that is
    given twice with different values becomes `key.0`, `key.1`, so that nothing picks one by chance.
    Raises `OptionFaultError`.
    """
    found: dict[str, list[Scalar]] = {}
    for key, value in _pairs(meta):
        values = found.setdefault(key, [])
        # True == 1 in Python, but not on a label.
        if not any(value == seen and type(value) is type(seen) for seen in values):
            values.append(value)
        if len(found) > OPTIONS_MAX or len(values) > OPTIONS_MAX:
            raise OptionFaultError(f"there are more than {OPTIONS_MAX} options")
    options: dict[str, Scalar] = {}
    for key, values in found.items():
        if len(values) == 1:
            options.setdefault(key, values[0])
        else:
            options.update({f"{key}.{place}": value for place, value in enumerate(values)})
    if len(options) > OPTIONS_MAX:
        raise OptionFaultError(f"there are more than {OPTIONS_MAX} options")
    return options


def _pairs(meta: Iterable[object]) -> Iterator[tuple[str, Scalar]]:
    for place, row in enumerate(meta):
        if place >= ROWS_MAX:
            raise OptionFaultError(f"there are more than {ROWS_MAX} entries")
        if not isinstance(row, dict):
            raise OptionFaultError(f"entry {place} is not an object")
        key = row.get("key")
        if not isinstance(key, str) or not key.strip():
            raise OptionFaultError(f"entry {place} has no key")
        yield from _walk(key.strip(), row.get("value"), DEPTH_MAX)


def _walk(key: str, value: object, depth: int) -> Iterator[tuple[str, Scalar]]:
    if key.rpartition(".")[2].startswith("_") or value is None:
        return
    if len(key) > KEY_LENGTH_MAX or not is_readable(key):
        raise OptionFaultError(f"the option {_shown(key)} has a name that cannot be used")
    if not depth:
        raise OptionFaultError(f"the option {_shown(key)} is nested too deep")
    match value:
        case dict():
            yield from _walk_mapping(key, value, depth)
        case list():
            yield from _walk_list(key, value, depth)
        case _:
            yield key, _scalar(key, value)


def _walk_mapping(key: str, value: Mapping[object, object], depth: int) -> Iterator[tuple[str, Scalar]]:
    for sub, inner in value.items():
        yield from _walk(f"{key}.{sub}", inner, depth - 1)


def _walk_list(key: str, value: list[object], depth: int) -> Iterator[tuple[str, Scalar]]:
    if any(isinstance(each, dict | list) for each in value):
        for place, inner in enumerate(value):
            yield from _walk(f"{key}.{place}", inner, depth - 1)
    elif texts := [str(_scalar(key, each)) for each in value if each is not None]:
        yield key, _scalar(key, ", ".join(texts))


def _scalar(key: str, value: object) -> Scalar:
    match value:
        case bool():
            return value
        case int() if abs(value) < 2**63:
            return value
        case Decimal() if abs(value) < FRACTION_MAX:
            return float(value)
        case str() if not is_readable(value):
            raise OptionFaultError(f"the option {_shown(key)} holds characters that are no text")
        case str() if len(value) > VALUE_LENGTH_MAX:
            raise OptionFaultError(f"the option {_shown(key)} is longer than {VALUE_LENGTH_MAX} characters")
        case str():
            return value
        case _:
            raise OptionFaultError(f"the option {_shown(key)} is not a usable value")


def _shown(key: str) -> str:
    return re.sub(r"[^\w .()-]", "?", key)[:40]
