"""Numbered steps from one schema to the next, forward only.

A new ledger is made whole by `schema.create` and bears the newest number. An existing one runs every
step above its own number. A step `NNNN_name.py` has `def upgrade(tx) -> None`; whoever changes
`schema.py` after a release adds the step that brings an existing ledger to the same tables.
"""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """One step; `number` is the schema's number after it."""

    number: int
    name: str
    upgrade: Callable[[Connection], None]


def known() -> tuple[Migration, ...]:
    """Give every step, in order; their numbers are 1, 2, 3 and so on."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if _FILE.fullmatch(path.stem))
    steps = tuple(
        Migration(number=int(name[:4]), name=name, upgrade=importlib.import_module(f"{__name__}.{name}").upgrade)
        for name in names
    )
    assert [step.number for step in steps] == list(range(1, len(steps) + 1)), f"numbers must be dense: {names}"
    return steps
