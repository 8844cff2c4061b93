"""What the witness reads from files: the machines' journals and the shop's own log."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from simulators.witness_prices import ShopWrite


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of a machine's journal; counts are pieces made of the job so far."""

    machine: str
    job: str
    event: str
    good: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """One line of the shop's own log: a request to change an order or an article, and whether anything changed.

    article: what an article was told.
    """

    changed: bool
    order: str | None = None
    product: str | None = None
    article: ShopWrite | None = None


def read_journal(path: Path) -> tuple[Entry, ...]:
    """Read a machine's journal (JSON lines); no file is an empty one, a torn last line has not happened."""
    return tuple(
        Entry(machine=line["machine"], job=str(line["job"]), event=line["event"], good=int(line["good"]))
        for line in _lines(path)
    )


def read_writes(path: Path) -> tuple[Write, ...]:
    """Read from the shop's log (JSON lines), like a journal, the requests to change an order or an article."""
    return tuple(
        Write(
            changed=bool(line["changed"]),
            order=str(line["order"]) if "order" in line else None,
            product=str(line["product"]) if "product" in line else None,
            article=_article(line) if "sku" in line else None,
        )
        for line in _lines(path)
    )


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    *whole, _torn = path.read_bytes().split(b"\n")
    for line in whole:
        yield json.loads(line)


def _article(line: Mapping[str, Any]) -> ShopWrite:
    values = line["values"]
    price, promise = values.get("regular_price"), values.get("_kvot_promise")
    return ShopWrite(
        sku=str(line["sku"]),
        at=datetime.fromisoformat(line["business"]),
        price_minor=None if price is None else round(Decimal(str(price)) * 100),
        promise_at=None if promise is None else datetime.fromisoformat(promise),
    )
