"""The lowest price of 30 days is what a reckoning by hand over the whole history gives; old prices leave the log."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from gateway.domain.price_log import Entry, lowest_price, may_forget
from gateway.ledger import archive
from gateway.ledger.list_prices import log_price, lowest
from gateway.ledger.sql import rows
from tests.ledger.work import bare

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 24 * 60
NUMBERS = count()

# Minutes after the start and prices; times may come twice, and in any order.
HISTORIES = st.lists(st.tuples(st.integers(0, 90 * DAY), st.integers(1, 50)), max_size=40)


def naive(history: list[tuple[int, int]], now: int) -> int | None:
    """Walk over the history from change to change, and keep the least of what stood within 30 days before now."""
    in_force: int | None = None
    seen: list[int] = []
    moments = sorted({minute for minute, _ in history if minute <= now})
    for place, minute in enumerate(moments):
        in_force = [price for at, price in history if at == minute][-1]
        ends = moments[place + 1] if place + 1 < len(moments) else now + 1
        if ends > now - 30 * DAY:
            seen.append(in_force)
    return min(seen, default=None)


@settings(max_examples=200, deadline=None)
@given(HISTORIES, st.integers(0, 130 * DAY))
def test_the_lowest_price_is_that_of_a_walk_over_the_whole_history(history: list[tuple[int, int]], now: int) -> None:
    entries = [Entry(at=START + timedelta(minutes=at), price_minor=price) for at, price in history]
    found = lowest_price(entries, now=START + timedelta(minutes=now))
    assert (None if found is None else found.price_minor) == naive(history, now)


@pytest.fixture(scope="module")
def tables() -> Iterator[Connection]:
    with bare() as tx:
        yield tx


@settings(max_examples=60, deadline=None)
@given(HISTORIES, st.integers(0, 130 * DAY))
def test_the_ledger_gives_the_same_and_knows_one_article_from_another(
    tables: Connection, history: list[tuple[int, int]], now: int
) -> None:
    sku = f"TRAY-{next(NUMBERS)}"
    for minute, price in sorted(history, key=lambda one: one[0]):
        log_price(tables, "webshop", sku, "SEK", price, at=START + timedelta(minutes=minute))
        log_price(tables, "other", sku, "SEK", 0, at=START)
        log_price(tables, "webshop", sku, "EUR", 0, at=START)
        log_price(tables, "webshop", f"{sku}-LID", "SEK", 0, at=START)
    found = lowest(tables, "webshop", sku, "SEK", now=START + timedelta(minutes=now))
    assert (None if found is None else found.price_minor) == naive(history, now)


def test_a_price_that_stood_when_the_30_days_began_takes_part_and_one_that_ended_then_does_not() -> None:
    now = START + timedelta(days=60)
    began = now - timedelta(days=30)

    def least(ended: datetime) -> int | None:
        found = lowest_price([Entry(at=START, price_minor=5), Entry(at=ended, price_minor=9)], now=now)
        return None if found is None else found.price_minor

    assert least(began + timedelta(seconds=1)) == 5
    assert least(began) == 9


def test_a_log_that_is_younger_than_30_days_says_so() -> None:
    entries = [Entry(at=START, price_minor=5)]
    young, old = (lowest_price(entries, now=START + timedelta(days=days)) for days in (29, 30))
    assert young is not None
    assert old is not None
    assert (young.whole, old.whole) == (False, True)


def test_prices_older_than_400_days_move_to_the_archive_but_never_the_one_in_force(state_dir: Path) -> None:
    with bare() as tx:
        for day, price in ((0, 10), (1, 8), (5, 9)):
            log_price(tx, "webshop", "TRAY", "SEK", price, at=START + timedelta(days=day))
        log_price(tx, "webshop", "LID", "SEK", 3, at=START)

        def tidied(after_days: int) -> tuple[int, list[int]]:
            before = may_forget(now=START + timedelta(days=after_days))
            moved = archive.move_prices(tx, state_dir, before=before)
            return moved, [one["price_minor"] for one in rows(tx, "SELECT * FROM price_log ORDER BY price_id")]

        assert tidied(400) == (0, [10, 8, 9, 3])
        assert tidied(401) == (1, [8, 9, 3])
        assert tidied(2000) == (1, [9, 3])
    with closing(sqlite3.connect(state_dir / "archive" / "2026.db")) as kept:
        assert kept.execute("SELECT price_minor FROM price_log ORDER BY price_id").fetchall() == [(10,), (8,)]
