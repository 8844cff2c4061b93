"""Where a life of the gateway is struck: every place at which it touches disk, database, machine, shop or broker."""

import os
import random
import re
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from gateway.ledger import database, engine, opening, remains, sql
from gateway.ledger.migrations import Migration
from tests.faults import disk
from tests.faults.scenes import Act

# What a transaction is for, the most telling first: (name, the beginning of a statement in it).
_MEANINGS = (
    ("intent", r"INSERT INTO commands"),
    ("result", r"INSERT INTO results"),
    ("clear", r"UPDATE jobs SET cleared_at"),
    ("receipt", r"UPDATE commands SET settlement"),
    ("outbox", r"DELETE FROM outbox|UPDATE outbox"),
    ("intake", r"INSERT INTO (orders|order_lines|cursors)|UPDATE (orders|order_lines|cursors)"),
    ("plan", r"INSERT INTO (runs|jobs|allocations)"),
    ("create", r"CREATE "),
    ("boot", r"UPDATE meta|INSERT INTO meta"),
    ("other", r"INSERT|UPDATE|DELETE"),
)
_PATTERNS = tuple((name, re.compile(rf"\s*(?:{pattern})")) for name, pattern in _MEANINGS)
_RANK = {name: rank for rank, (name, _) in enumerate(_MEANINGS)}
_DISK = {
    "full": (disk.FULL, "write"),
    "io": (disk.IOERR_FSYNC, "sync"),
    "readonly": (disk.READONLY, "write"),
}


@dataclass(kw_only=True)
class Strikes:
    """Counts every point a life comes to, and does there what is to be done. `act` does what needs the life itself."""

    acts: tuple[Act, ...]
    directory: Path  # where the image of a power cut and the note of a strike are left
    seed: int
    act: Callable[[Act], None]
    touched: Counter[str] = field(default_factory=Counter)
    struck: bool = False
    _context: str = "boot"
    _meanings: set[str] = field(default_factory=set)
    _sick: dict[str, tuple[int, int]] = field(default_factory=dict)  # operation -> code, calls left
    _disk: disk.Disk | None = None

    def touch(self, point: str) -> None:
        """Note that the gateway has come to this point; what is to happen here happens."""
        self.touched[point] += 1
        for act in self.acts:
            if act.point == point and act.nth == self.touched[point]:
                self._strike(act)

    def install(self, *, with_disk: bool) -> None:
        """Watch this process: every statement, commit, close, and where possible every call to the disk."""
        event.listen(
            Engine, "before_cursor_execute", lambda _tx, _cursor, statement, *_more: self._on_statement(statement)
        )
        self._watch_statements()
        self._watch_commit()
        vars(database)["close_state"] = self._within("checkpoint", opening.close_state)
        opening._back_up = self._within("backup", opening._back_up)
        if with_disk:
            self._disk = disk.Disk(on_call=self._on_disk)
            self._disk.install()

    def watched(self, step: Migration) -> Migration:
        """Give a migration whose statements count as such."""
        return replace(step, upgrade=self._within("migration", step.upgrade))

    def _strike(self, act: Act) -> None:
        self.struck = True
        (self.directory / "struck").touch()
        if act.deed == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif act.deed == "cut":
            assert self._disk is not None
            self._disk.power_cut(self.directory / "cut", random.Random(self.seed))
            os.kill(os.getpid(), signal.SIGKILL)
        elif act.deed in _DISK:
            code, operation = _DISK[act.deed]
            self._sick[operation] = (code, max(1, int(act.amount)))
        else:
            self.act(act)

    def _on_disk(self, operation: str, path: Path) -> int | None:
        context = self._context
        if (
            path.name == remains.LEDGER
            and operation in ("write", "sync", "truncate")
            and context not in ("boot", "create")
        ):
            context = "checkpoint"
        elif path.name.startswith("before-schema"):
            context = "backup"
        self.touch(f"{context}: disk {operation}")
        self.touch(f"disk {operation}")
        code, left = self._sick.get(operation, (0, 0))
        if not left:
            return None
        self._sick[operation] = (code, left - 1)
        return code

    def _watch_statements(self) -> None:
        execute = vars(sql)["_execute"]

        def watched(tx: Any, statement: str, values: Any) -> Any:
            self._on_statement(statement)
            return execute(tx, statement, values)

        vars(sql)["_execute"] = watched

    def _on_statement(self, statement: str) -> None:
        if statement.startswith("BEGIN"):
            self._meanings.clear()
            return
        meaning = next((name for name, pattern in _PATTERNS if pattern.match(statement)), None)
        if meaning is None:
            return
        self._meanings.add(meaning)
        if self._context not in ("migration", "checkpoint", "backup"):
            self._context = min(self._meanings, key=_RANK.__getitem__)
        self.touch(f"{self._context}: statement")

    def _watch_commit(self) -> None:
        commit = engine.commit

        def watched(tx: Any) -> None:
            self.touch(f"{self._context}: before commit")
            commit(tx)
            self.touch(f"{self._context}: after commit")

        engine.commit = watched

    def _within(self, context: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*values: Any, **more: Any) -> Any:
            before, self._context = self._context, context
            self.touch(f"{context}: begin")
            try:
                return call(*values, **more)
            finally:
                self.touch(f"{context}: end")
                self._context = before

        return watched
