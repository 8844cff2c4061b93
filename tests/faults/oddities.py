"""What is odd about a row of an order, or about the text of a whole answer, when strangers write it."""

import itertools
import json
import re
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
LONG = 10_000_000  # bytes of one field
LONG_TIMES = 3
DEPTH = 100_000
_TOLD = itertools.count()


def _renamed(name: str, to: str) -> Callable[[Row], None]:
    def change(row: Row) -> None:
        row[to] = row.pop(name)

    return change


def _given(**values: Any) -> Callable[[Row], None]:
    return lambda row: row.update(values)


def _more(row: Row) -> None:
    """Add what nobody has heard of: nothing is wrong with it."""
    row.update(extra={"deep": [{"er": None}]}, quantities=[1, 2], _links={"self": []}, Quantity="7")


def _long(row: Row) -> None:
    """Make a field far too long; after some times only too long, which is wrong in the same way and costs less."""
    row["name"] = "x" * (LONG if next(_TOLD) < LONG_TIMES else 1000)


# By name: the change of the row. All but `EXTRA` make it a row that nobody can be sure to understand.
EXTRA = "extra fields"
ODDITIES: dict[str, Callable[[Row], None]] = {
    "renamed quantity": _renamed("quantity", "qty"),
    "renamed total": _renamed("total", "sum"),
    "renamed name": _renamed("name", "title"),
    "null quantity": _given(quantity=None),
    "null total": _given(total=None),
    "null name": _given(name=None),
    "quantity as text": _given(quantity="2"),
    "quantity with a fraction": _given(quantity=2.5),
    "total as a list": _given(total=["149.00"]),
    "name as an object": _given(name={"sv": "Tray"}),
    "options as text": _given(meta_data="width_mm=60"),
    EXTRA: _more,
    "field of 10 MB": _long,
    "NUL in a text": _given(name="Tray\0"),
    "negative quantity": _given(quantity=-3),
    "quantity 1e30": _given(quantity=1e30),
    "quantity 10^30": _given(quantity=10**30),
    "quantity 1e400": _given(quantity="RAW 1e400"),
}
MISTYPED = tuple(ODDITIES)[:11]
MALFORMED = tuple(ODDITIES)[12:]


def written(rows: list[Any]) -> bytes:
    """Write rows as JSON; a text `RAW ...` becomes what no encoder writes."""
    return re.sub(rb'"RAW ([^"]*)"', rb"\1", json.dumps(rows).encode())


def _first_quantity(body: bytes, text: str) -> bytes:
    """Put a text that no encoder writes in the place of the first quantity."""
    rows = json.loads(body)
    if not rows:
        return body
    rows[0]["line_items"][0]["quantity"] = f"RAW {text}"
    return written(rows)


# By name: the change of the whole text. None of them is JSON that can be trusted, so nothing of it is taken.
ODD_TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "depth 10^5": lambda body: _first_quantity(body, "[" * DEPTH + "]" * DEPTH),
    "a key twice": lambda body: body.replace(b'"line_items":', b'"line_items":[],"line_items":', 1),
    "NaN": lambda body: _first_quantity(body, "NaN"),
    "not UTF-8": lambda body: body.replace(b"Tray", b"Tr\xe5y") + b"\xff",
}
