"""The ways this package asks the database: all rows, one row, a change, one row more.

The text goes to SQLite as it is, with its own `:name` for values, inside SQLAlchemy's transaction but not through its
cursors: what they do around a statement costs several times what SQLite takes to run it. Errors are those of `sqlite3`.
"""

from collections.abc import Mapping, Sequence
from sqlite3 import Cursor
from typing import Any

from sqlalchemy import Connection

from gateway.ledger.engine import raw

Row = Mapping[str, Any]  # column name -> value


def rows(tx: Connection, sql: str, **values: Any) -> Sequence[Row]:
    """Give every row of a query."""
    found = _execute(tx, sql, values)
    names = _names(found)
    return [dict(zip(names, one, strict=True)) for one in found.fetchall()]


def row(tx: Connection, sql: str, **values: Any) -> Row | None:
    """Give the first row of a query, or None."""
    found = _execute(tx, sql, values)
    one = found.fetchone()
    return None if one is None else dict(zip(_names(found), one, strict=True))


def change(tx: Connection, sql: str, **values: Any) -> int:
    """Run a statement; give the number of rows it touched."""
    return int(_execute(tx, sql, values).rowcount)


def insert(tx: Connection, table: str, **values: Any) -> int:
    """Insert one row; give its rowid. Table and column names come from this package alone."""
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    done = _execute(tx, f"INSERT INTO {table} ({names}) VALUES ({marks})", values)  # noqa: S608
    return int(done.lastrowid or 0)


def _execute(tx: Connection, sql: str, values: Mapping[str, Any]) -> Cursor:
    """Run a statement in the open transaction, or in one that begins here, as SQLAlchemy would."""
    if not tx.in_transaction():
        tx.begin()
    return raw(tx).execute(sql, values)


def _names(found: Cursor) -> Sequence[str]:
    return [column[0] for column in found.description or ()]
