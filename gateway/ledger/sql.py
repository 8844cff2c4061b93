"""The three ways this package asks the database: all rows, one row, a change.

The text goes to SQLite as it is, with its own `:name` for values: to have SQLAlchemy read and compile it first
costs more than SQLite takes to run it.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping


def rows(tx: Connection, sql: str, **values: Any) -> Sequence[RowMapping]:
    """Give every row of a query."""
    return tx.exec_driver_sql(sql, values).mappings().all()


def row(tx: Connection, sql: str, **values: Any) -> RowMapping | None:
    """Give the first row of a query, or None."""
    return tx.exec_driver_sql(sql, values).mappings().first()


def change(tx: Connection, sql: str, **values: Any) -> int:
    """Run a statement; give the number of rows it touched."""
    return int(tx.exec_driver_sql(sql, values).rowcount)


def insert(tx: Connection, table: str, **values: Any) -> int:
    """Insert one row; give its rowid. Table and column names come from this package alone."""
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    done = tx.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)  # noqa: S608
    return int(done.lastrowid or 0)
