"""How columns are written in this ledger: strict types, named rules, states with their allowed moves."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Integer, MetaData, Table, Text

META = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def among(column: str, values: Iterable[str], name: str | None = None) -> CheckConstraint:
    """Allow only these values in a column (and null, where the column allows it)."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=name or f"{column}_known")


def flag(name: str, default: int | None = None) -> Column[int]:
    """A yes or no."""
    check = CheckConstraint(f"{name} IN (0, 1)", name=f"{name}_flag")
    return Column(name, Integer, check, nullable=False, server_default=None if default is None else str(default))


def count(name: str, default: int | None = None, *, nullable: bool = False) -> Column[int]:
    """A number that is never negative."""
    check = CheckConstraint(f"{name} >= 0", name=f"{name}_counted")
    return Column(name, Integer, check, nullable=nullable, server_default=None if default is None else str(default))


def words(name: str, default: str | None = None) -> Column[str]:
    """A text that is always there."""
    return Column(name, Text, nullable=False, server_default=default)


def maybe(name: str) -> Column[str]:
    """A text that may be missing."""
    return Column(name, Text, nullable=True)


def table(name: str, *parts: Any, sqlite_autoincrement: bool = False) -> Table:
    """A strict table; with `sqlite_autoincrement` the number of a deleted row is not given again."""
    return Table(name, META, *parts, sqlite_strict=True, sqlite_autoincrement=sqlite_autoincrement)


def moves(name: str) -> Table:
    """The pairs of states something may go through."""
    return table(name, Column("prev_state", Text, primary_key=True), Column("state", Text, primary_key=True))


def states(moves: str, first: Iterable[StrEnum], known: type[StrEnum]) -> tuple[Any, ...]:
    """Give the columns and rules of something with a state."""
    begin = ", ".join(f"'{state.value}'" for state in sorted(first))
    return (
        words("state"),
        maybe("prev_state"),
        maybe("hold_reason"),
        among("state", [state.value for state in known]),
        CheckConstraint(f"prev_state IS NOT NULL OR state IN ({begin})", name="first_state"),
        ForeignKeyConstraint(["prev_state", "state"], [f"{moves}.prev_state", f"{moves}.state"]),
    )
