"""What is long finished moves to an archive of its year: copied, on the disk there, and only then deleted here."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Table, bindparam, create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from gateway.ledger import copying, schema
from gateway.ledger.columns import META
from gateway.ledger.database import Tx
from gateway.ledger.schema_told import ARCHIVED
from gateway.ledger.sql import change, rows
from gateway.ledger.times import to_text

ARCHIVE = "archive"
BATCH = 50  # orders, and ten times as many of the smaller things, in one event

_OVER = "('made','shipped','not_made','cancelled')"
_ENDED = "('completed','aborted','cancelled')"


class ArchiveError(Exception):
    """An archive cannot be written: nothing was deleted from the ledger."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaving:
    """Rows that leave together, by table, as SQLite's row numbers."""

    found: dict[str, set[int]] = field(default_factory=dict)

    def add(self, table: str, numbers: Iterable[int]) -> set[int]:
        """Add rows; give those that are new."""
        known = self.found.setdefault(table, set())
        fresh = set(numbers) - known
        known |= fresh
        return fresh


def move_orders(tx: Tx, state_dir: Path, *, before: datetime) -> int:
    """Move one batch of orders that were placed and ended before a time, with all that hangs on them.

    An order stays while anything about it is open: a line, a job, a question, or what its shop or the
    broker has yet to hear; and while the shelf has entries for it (`move_shelf`). Give the number of orders moved.
    """
    found = rows(tx, _FINISHED, before=to_text(before), limit=BATCH)
    for year, orders in _years(found):
        _move(tx, state_dir / ARCHIVE / f"{year}.db", _orders(tx, orders))
    return len(found)


def move_shelf(tx: Tx, state_dir: Path, *, before: datetime) -> int:
    """Move the shelf's entries of one batch of lots that are spent; give the number of lots.

    What lies there is the sum over a lot's entries, so they leave together: when that is 0, and each order that
    gave or took of the lot is over and old. The archive of each of those orders gets them all.
    """
    lots = [one["lot"] for one in rows(tx, _SPENT_LOTS, before=to_text(before), limit=BATCH)]
    entries: set[int] = set()
    by_year: dict[str, set[int]] = {}
    for lot in lots:
        numbers = {one["entry_id"] for one in rows(tx, "SELECT entry_id FROM shelf WHERE lot = :lot", lot=lot)}
        entries |= numbers
        for one in rows(tx, _YEARS_OF_LOT, lot=lot):
            by_year.setdefault(one["year"], set()).update(numbers)
    for year, numbers in by_year.items():
        _copy(tx, state_dir / ARCHIVE / f"{year}.db", Leaving(found={"shelf": numbers}))
    _delete(tx, Leaving(found={"shelf": entries}))
    return len(lots)


def move_runs(tx: Tx, state_dir: Path, *, before: datetime) -> int:
    """Move one batch of runs that ended, with cancelled jobs that serve nobody; give their number."""
    found = rows(tx, _EMPTY_RUNS, before=to_text(before), limit=BATCH * 10)
    for year, numbers in _years(found):
        leaving = Leaving()
        _with_children(tx, leaving, "runs", numbers)
        _move(tx, state_dir / ARCHIVE / f"{year}.db", leaving)
    return len(found)


def move_settled(tx: Tx, state_dir: Path, *, before: datetime) -> int:
    """Move one batch of resolved exceptions, ended offers, answered proposals and unused quotes; give their number."""
    moved = 0
    for name, at, condition in (
        ("exceptions", "resolved_at", "state = 'resolved'"),
        ("offers", "valid_until", "valid_until IS NOT NULL"),
        ("quotes", "held_until", "line_id IS NULL"),
        (
            "proposals",
            "decided_at",
            "state <> 'open' AND NOT EXISTS (SELECT 1 FROM quotes q WHERE q.proposal_id = proposals.proposal_id)",
        ),
    ):
        found = rows(
            tx,
            f"SELECT rowid AS number, substr({at}, 1, 4) AS year FROM {name} WHERE {condition} AND {at} < :before "  # noqa: S608
            "ORDER BY rowid LIMIT :limit",
            before=to_text(before),
            limit=BATCH * 10,
        )
        for year, numbers in _years(found):
            _move(tx, state_dir / ARCHIVE / f"{year}.db", Leaving(found={name: numbers}))
        moved += len(found)
    return moved


def move_prices(tx: Tx, state_dir: Path, *, before: datetime) -> int:
    """Move one batch of logged prices that another had replaced by a time, never the last; give their number."""
    found = rows(tx, _REPLACED, before=to_text(before), limit=BATCH * 10)
    for year, numbers in _years(found):
        _move(tx, state_dir / ARCHIVE / f"{year}.db", Leaving(found={"price_log": numbers}))
    return len(found)


def move_events(tx: Tx, state_dir: Path, *, before: datetime) -> int:
    """Move one batch of events, the oldest first and none out of order; give their number."""
    found = rows(
        tx,
        "SELECT event_id AS number, substr(at, 1, 4) AS year FROM events WHERE event_id < "
        "COALESCE((SELECT MIN(event_id) FROM events WHERE at >= :before), "
        "(SELECT MAX(event_id) + 1 FROM events)) ORDER BY event_id LIMIT :limit",
        before=to_text(before),
        limit=BATCH * 10,
    )
    if not found:
        return 0
    for year, numbers in _years(found):
        _copy(tx, state_dir / ARCHIVE / f"{year}.db", Leaving(found={"events": numbers}))
    change(
        tx,
        "INSERT INTO counters (name, value) VALUES (:name, :value) "
        "ON CONFLICT (name) DO UPDATE SET value = MAX(counters.value, excluded.value)",
        name=ARCHIVED,
        value=found[-1]["number"],
    )
    change(tx, "DELETE FROM events WHERE event_id <= :last", last=found[-1]["number"])
    return len(found)


def erase_personal(tx: Tx, *, now: datetime) -> int:
    """Erase one batch of personal fields whose time is over, of orders that are finished; give their number.

    No archive ever has them.
    """
    return change(
        tx,
        "DELETE FROM personal WHERE rowid IN (SELECT p.rowid FROM personal p WHERE p.erase_after <= :now "  # noqa: S608
        "AND NOT EXISTS (SELECT 1 FROM order_lines l "
        f"WHERE 'order:' || l.order_id = p.subject AND l.state NOT IN {_OVER}) LIMIT :limit)",
        now=to_text(now),
        limit=BATCH * 10,
    )


# Everything about an order `o` is over and old, but for what it gave to the shelf or took there.
_DONE = f"""
    o.placed_at < :before
    AND NOT EXISTS (SELECT 1 FROM order_lines l WHERE l.order_id = o.order_id
      AND (l.state NOT IN {_OVER} OR l.hold_reason IS NOT NULL))
    AND NOT EXISTS (SELECT 1 FROM events e WHERE e.subject = 'order:' || o.order_id AND e.at >= :before)
    AND NOT EXISTS (SELECT 1 FROM personal p WHERE p.subject = 'order:' || o.order_id)
    AND NOT EXISTS (SELECT 1 FROM files f JOIN order_lines l USING (line_id)
      WHERE l.order_id = o.order_id AND f.state <> 'erased')
    AND NOT EXISTS (SELECT 1 FROM outbox f WHERE f.subject = 'order:' || o.order_id)
    AND NOT EXISTS (SELECT 1 FROM exceptions x WHERE x.state <> 'resolved'
      AND (x.subject = 'order:' || o.order_id OR substr(x.subject, 1, length('order:' || o.order_id) + 1)
           = 'order:' || o.order_id || '/'))
    AND NOT EXISTS (
      SELECT 1 FROM order_lines l JOIN requirements r USING (line_id) JOIN allocations a USING (requirement_id)
      JOIN jobs j USING (job_id) LEFT JOIN results s ON s.job_id = j.job_id AND s.ended_at >= :before
      WHERE l.order_id = o.order_id AND (
        j.state NOT IN {_ENDED} OR (j.state <> 'cancelled' AND j.cleared_at IS NULL) OR s.job_id IS NOT NULL
        OR EXISTS (SELECT 1 FROM exceptions x WHERE x.state <> 'resolved' AND x.subject = 'job:' || j.job_id)
        OR EXISTS (SELECT 1 FROM commands c WHERE c.job_id = j.job_id AND c.settlement IS NULL)
        OR EXISTS (SELECT 1 FROM outbox f WHERE f.subject = 'job:' || j.job_id)
        OR EXISTS (
          SELECT 1 FROM allocations b JOIN requirements q USING (requirement_id) JOIN order_lines m USING (line_id)
          WHERE b.job_id = j.job_id AND m.order_id <> o.order_id)))"""  # noqa: S608 - constants

_FINISHED = f"""
    SELECT o.order_id AS number, substr(o.placed_at, 1, 4) AS year FROM orders o WHERE {_DONE}
    AND NOT EXISTS (SELECT 1 FROM order_lines l JOIN shelf g USING (line_id) WHERE l.order_id = o.order_id)
    AND NOT EXISTS (
      SELECT 1 FROM order_lines l JOIN requirements r USING (line_id) JOIN allocations a USING (requirement_id)
      JOIN lots t USING (job_id) JOIN shelf g USING (lot) WHERE l.order_id = o.order_id)
    ORDER BY o.order_id LIMIT :limit"""  # noqa: S608 - constants

_REPLACED = """
    SELECT p.price_id AS number, substr(p.at, 1, 4) AS year FROM price_log p WHERE EXISTS (
      SELECT 1 FROM price_log q WHERE q.shop = p.shop AND q.sku = p.sku AND q.currency = p.currency
      AND q.market = p.market AND q.at <= :before AND (q.at > p.at OR (q.at = p.at AND q.price_id > p.price_id)))
    ORDER BY p.price_id LIMIT :limit"""

# Lots of which nothing lies on the shelf any more, and whose every entry was for an order that is done.
_SPENT_LOTS = f"""
    SELECT g.lot FROM shelf g GROUP BY g.lot
    HAVING SUM(CASE WHEN g.kind IN ('put','back') THEN g.pieces ELSE -g.pieces END) = 0 AND MAX(g.at) < :before
    AND NOT EXISTS (SELECT 1 FROM shelf e JOIN order_lines n USING (line_id) JOIN orders o USING (order_id)
      WHERE e.lot = g.lot AND NOT ({_DONE}))
    ORDER BY g.lot LIMIT :limit"""  # noqa: S608 - constants

_YEARS_OF_LOT = (
    "SELECT DISTINCT substr(o.placed_at, 1, 4) AS year FROM shelf s JOIN order_lines l USING (line_id) "
    "JOIN orders o USING (order_id) WHERE s.lot = :lot"
)

_EMPTY_RUNS = f"""
    SELECT r.run_id AS number, substr(r.opened_at, 1, 4) AS year FROM runs r
    WHERE r.state IN ('finished','cancelled') AND r.opened_at < :before
    AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.run_id = r.run_id AND (
      j.state NOT IN {_ENDED} OR EXISTS (SELECT 1 FROM allocations a WHERE a.job_id = j.job_id)))
    ORDER BY r.run_id LIMIT :limit"""  # noqa: S608 - constants


def _orders(tx: Tx, orders: set[int]) -> Leaving:
    """Gather orders, their jobs, and whatever refers to either."""
    leaving = Leaving()
    jobs = _select(
        tx,
        "SELECT DISTINCT j.rowid FROM order_lines l JOIN requirements r USING (line_id) "
        "JOIN allocations a USING (requirement_id) JOIN jobs j USING (job_id) WHERE l.order_id IN :these",
        orders,
    )
    _with_children(tx, leaving, "orders", orders)
    _with_children(tx, leaving, "jobs", jobs)
    return leaving


def _with_children(tx: Tx, leaving: Leaving, table: str, numbers: Iterable[int]) -> None:
    """Add rows and every row that refers to them, as the schema's foreign keys say."""
    fresh = leaving.add(table, numbers)
    if not fresh:
        return
    for child in META.sorted_tables:
        for key in child.foreign_keys:
            if key.column.table.name != table or key.parent.computed is not None:
                continue
            found = _select(
                tx,
                f"SELECT c.rowid FROM {child.name} c JOIN {table} p "  # noqa: S608 - names of the schema
                f"ON c.{key.parent.name} = p.{key.column.name} WHERE p.rowid IN :these",
                fresh,
            )
            _with_children(tx, leaving, child.name, found)


def _move(tx: Tx, archive: Path, leaving: Leaving) -> None:
    _copy(tx, archive, leaving)
    _delete(tx, leaving)


def _delete(tx: Tx, leaving: Leaving) -> None:
    for table in reversed(META.sorted_tables):  # what refers to others goes first, and so does the younger job
        for some in reversed(list(_portions(leaving.found.get(table.name, ())))):
            statement = text(f"DELETE FROM {table.name} WHERE rowid IN :these")  # noqa: S608 - a name of the schema
            tx.execute(statement.bindparams(bindparam("these", expanding=True)), {"these": some})


def _copy(tx: Tx, archive: Path, leaving: Leaving) -> None:
    """Copy rows into an archive, on its disk when this returns; what is there already is written over."""
    contents = {
        name: (_columns(META.tables[name]), _read(tx, name, numbers)) for name, numbers in leaving.found.items()
    }
    try:
        fresh = not archive.exists()
        archive.parent.mkdir(mode=0o700, exist_ok=True)
        archive.touch(mode=0o600)
        _bring_up_to_date(archive)
        with _opened(archive) as raw:
            for name, (columns, found) in contents.items():
                marks = ", ".join("?" for _ in columns)
                raw.executemany(f"INSERT OR REPLACE INTO {name} ({', '.join(columns)}) VALUES ({marks})", found)  # noqa: S608
        if fresh:
            copying.sync(archive.parent)
    except (OSError, sqlite3.Error, SQLAlchemyError) as fault:
        raise ArchiveError(f"{archive}: {fault}") from fault


def _read(tx: Tx, name: str, numbers: Iterable[int]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    columns = ", ".join(_columns(META.tables[name]))
    for some in _portions(numbers):
        statement = text(f"SELECT {columns} FROM {name} WHERE rowid IN :these")  # noqa: S608 - names of the schema
        answer = tx.execute(statement.bindparams(bindparam("these", expanding=True)), {"these": some})
        found += [tuple(one) for one in answer]
    return found


def _columns(table: Table) -> list[str]:
    return [column.name for column in table.columns if column.computed is None]


@contextmanager
def _opened(archive: Path) -> Iterator[sqlite3.Connection]:
    """Open an archive for one transaction that is on the disk when this ends."""
    with closing(sqlite3.connect(archive, isolation_level=None, timeout=5)) as raw:
        raw.execute("PRAGMA synchronous = FULL").fetchall()
        raw.execute("PRAGMA foreign_keys = OFF").fetchall()  # states and neighbours stay where they are
        raw.execute("BEGIN IMMEDIATE")
        yield raw
        raw.execute("COMMIT")


def _bring_up_to_date(archive: Path) -> None:
    """Give an archive the tables and columns that the ledger has; what an older program wrote stays readable."""
    engine = create_engine(f"sqlite+pysqlite:///{archive}", poolclass=NullPool)
    try:
        with engine.begin() as connection:
            META.create_all(connection, tables=_archived())
            for table in _archived():
                have = {one["name"] for one in inspect(connection).get_columns(table.name)}
                for column in table.columns:
                    if column.computed is None and column.name not in have:
                        kind = column.type.compile(engine.dialect)
                        connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"))
    finally:
        engine.dispose()


def _archived() -> list[Table]:
    kept_here = {schema.meta.name, schema.counters.name, schema.cursors.name, schema.outbox.name, schema.personal.name}
    return [table for table in META.sorted_tables if table.name not in kept_here]


def _select(tx: Tx, sql: str, these: Iterable[int]) -> list[int]:
    """Give the first column of a query over a set of numbers."""
    found: list[int] = []
    for some in _portions(these):
        statement = text(sql).bindparams(bindparam("these", expanding=True))
        found += [int(one) for one in tx.execute(statement, {"these": some}).scalars()]
    return found


def _portions(numbers: Iterable[int]) -> Iterator[list[int]]:
    ordered = sorted(numbers)
    for at in range(0, len(ordered), 500):
        yield ordered[at : at + 500]


def _years(found: Sequence[Any]) -> Iterator[tuple[str, set[int]]]:
    by_year: dict[str, set[int]] = {}
    for one in found:
        by_year.setdefault(one["year"], set()).add(one["number"])
    return iter(by_year.items())
