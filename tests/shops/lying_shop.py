"""A shop that lists orders rightly until a test tells it how to lie."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from gateway.shops.fields import parse_utc
from tests.shops.loopback import NOW, Question, Wire, response
from tests.shops.rows import a_row

Rows = list[dict[str, Any]]


@dataclass(kw_only=True)
class LyingShop:
    """`spoil` may change the rows of a page, `before_page` the shop just before a page is read."""

    rows: Rows = field(default_factory=list)
    now: datetime = NOW
    spoil: Callable[[Question, Rows], Any] = lambda _, rows: rows
    before_page: Callable[[Question, int], None] = lambda _, __: None
    total: Callable[[int], str | None] = str
    refunds: Callable[[str], bytes] = lambda _: response([])
    written: Any = None
    date: bool = True
    ignore_filter: bool = False
    pages: int = 0

    def place(self, order_id: int, modified: datetime, **fields: Any) -> None:
        self.rows = [row for row in self.rows if row["id"] != order_id]
        self.rows.append(a_row(order_id, modified=modified, **fields))

    async def __call__(self, question: Question, wire: Wire) -> None:
        date = self.now if self.date else None
        if question.path == "/wp-json/":
            await wire.send(response({"home": "http://Shop.Example:80/"}, date=date))
        elif question.method == "PUT":
            await wire.send(response(self.written, date=date))
        elif question.path.endswith("/refunds"):
            await wire.send(self.refunds(question.path))
        else:
            self.pages += 1
            self.before_page(question, self.pages)
            found = sorted(filter(lambda row: self._matches(question, row), self.rows), key=_modified)
            size, number = int(question.query["per_page"]), int(question.query["page"])
            page = self.spoil(question, found[(number - 1) * size : number * size])
            total = self.total(len(found))
            headers: dict[str, Any] = {} if total is None else {"X_WP_Total": total}
            await wire.send(response(page, date=date, **headers))

    def _matches(self, question: Question, row: dict[str, Any]) -> bool:
        if self.ignore_filter or _modified(row) is None:
            return True
        after, before = (parse_utc(question.query.get(name)) for name in ("modified_after", "modified_before"))
        assert after is not None
        return after < _modified(row) and (before is None or _modified(row) < before)


def _modified(row: dict[str, Any]) -> Any:
    return parse_utc(row["date_modified_gmt"])


def at(seconds: float) -> datetime:
    """Give a time that many seconds before the shop's now."""
    return NOW - timedelta(seconds=seconds)
