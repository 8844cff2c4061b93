"""What the computer allows: a plain script's transactions, and the leanest way to have lines safely on the disk."""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from gateway.domain.orders import ShopOrder

Place = TypeVar("Place", sqlite3.Connection, int)  # where an order goes: a database, or an open file

_SCRIPT = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, shop TEXT, number TEXT UNIQUE, at TEXT, status TEXT);
CREATE TABLE lines (
  id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders, sku TEXT, quantity INTEGER, options TEXT
);
"""


def by_script(directory: Path, orders: Sequence[ShopOrder]) -> list[float]:
    """Store orders as a plain script does, a transaction each (WAL, FULL); give the seconds each took."""
    with closing(sqlite3.connect(directory / "plain.db", isolation_level=None)) as ledger:
        for name, value in (("journal_mode", "WAL"), ("synchronous", "FULL")):
            ledger.execute(f"PRAGMA {name} = {value}").fetchall()
        ledger.executescript(_SCRIPT)
        return [_timed(_insert, ledger, order) for order in orders]


def by_append(directory: Path, orders: Sequence[ShopOrder]) -> list[float]:
    """Append a line of JSON for each order and have it on the disk (fdatasync); give the seconds each took."""
    with _appending(directory / "lines.jsonl") as handle:
        return [_timed(_append, handle, order) for order in orders]


def syncs(directory: Path, count: int) -> float:
    """Give the seconds that so many small appends take, each on the disk before the next."""
    with _appending(directory / "sync") as handle:
        began = time.perf_counter()
        for _ in range(count):
            os.write(handle, bytes(512))
            os.fdatasync(handle)
        return time.perf_counter() - began


def _timed(step: Callable[[Place, ShopOrder], None], place: Place, order: ShopOrder) -> float:
    before = time.perf_counter()
    step(place, order)
    return time.perf_counter() - before


def _insert(ledger: sqlite3.Connection, order: ShopOrder) -> None:
    ledger.execute("BEGIN IMMEDIATE")
    order_id = ledger.execute(
        "INSERT INTO orders (shop, number, at, status) VALUES (?, ?, ?, ?)",
        ("bench", order.number, order.placed_at.isoformat(), order.status),
    ).lastrowid
    ledger.executemany(
        "INSERT INTO lines (order_id, sku, quantity, options) VALUES (?, ?, ?, ?)",
        [(order_id, line.skus[0], line.quantity, json.dumps(dict(line.options))) for line in order.lines],
    )
    ledger.execute("COMMIT")


def _append(handle: int, order: ShopOrder) -> None:
    lines = [[line.skus[0], line.quantity, dict(line.options)] for line in order.lines]
    os.write(handle, json.dumps({"number": order.number, "status": order.status, "lines": lines}).encode() + b"\n")
    os.fdatasync(handle)


@contextmanager
def _appending(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)
