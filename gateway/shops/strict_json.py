"""JSON from strangers: no duplicate keys, no NaN, no deep nesting, and fractions stay exact."""

import json
from decimal import Decimal, InvalidOperation
from typing import NoReturn

DEPTH_MAX = 40
DIGITS_MAX = 40


class JsonFaultError(ValueError):
    """The text is not JSON that can be trusted; the message says why, without quoting it."""


def parse(body: bytes) -> object:
    """Parse one complete JSON text in UTF-8 (a byte order mark is tolerated, PHP files leave some).

    Fractions become `Decimal`, so money never passes through a float. A number of more than
    `DIGITS_MAX` characters stays text: it is one field's trouble, not the page's.
    """
    try:
        tree = json.loads(
            body.decode("utf-8-sig"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_whole,
            parse_float=_fraction,
        )
    except UnicodeDecodeError:
        raise JsonFaultError("it is not UTF-8") from None
    except RecursionError:
        raise JsonFaultError("it is nested too deep") from None
    except json.JSONDecodeError as error:
        if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated"):
            raise JsonFaultError(f"it ends in the middle, after {len(body)} bytes") from None
        raise JsonFaultError(f"it is no JSON at byte {error.pos}") from None
    _check_depth(tree)
    return tree


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise JsonFaultError("a key is given twice")
    return tree


def _refuse_constant(_: str) -> NoReturn:
    raise JsonFaultError("it contains a number that is none (NaN or infinite)")


def _whole(text: str) -> int | str:
    return int(text) if len(text) <= DIGITS_MAX else text


def _fraction(text: str) -> Decimal | str:
    if len(text) > DIGITS_MAX:
        return text
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    # 1e400 is lawful JSON and fits no machine and no price.
    return number if abs(number.adjusted()) <= DIGITS_MAX else text


def _check_depth(tree: object) -> None:
    level = [tree]
    for _ in range(DEPTH_MAX):
        level = [
            child
            for branch in level
            if isinstance(branch, dict | list)
            for child in (branch.values() if isinstance(branch, dict) else branch)
        ]
        if not level:
            return
    raise JsonFaultError("it is nested too deep")
