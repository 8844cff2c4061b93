"""What a life does beside its rounds: it writes its log, keeps alive, answers `/healthz`, and says what it held."""

import asyncio
import gc
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import structlog

from gateway.api.app import create_app
from gateway.api.desk import Desk
from gateway.api.serve import control_socket, serve
from gateway.house import House
from gateway.ledger.database import Ledger
from gateway.log import configure_logging
from gateway.stages.board import Board
from tests.stages import lives
from tests.stages.factory import PRESS


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What a process holds: open files, tasks, resident memory now and at its most (KB)."""

    files: int = field(default_factory=lambda: len(list(Path("/proc/self/fd").iterdir())))
    tasks: int = field(default_factory=lambda: len(asyncio.all_tasks()))
    kb: int = field(default_factory=lambda: _kb("VmRSS"))
    most_kb: int = field(default_factory=lambda: _kb("VmHWM"))


def note_held(began: Held, path: Path) -> None:
    """Write down what the process holds, and by how much it had grown at its most, for whoever judges."""
    now = Held()
    told = {"files": now.files - began.files, "tasks": now.tasks, "grown_kb": now.most_kb - began.kb}
    path.write_text(json.dumps(told))


def settled() -> Held:
    """Give what the process holds once what nobody needs is gone."""
    gc.collect()
    return Held()


def write_log(path: Path, *, level: str) -> None:
    """Write the log of this process into a file, as its supervisor would keep it."""
    sys.stderr = path.open("a", buffering=1)
    speak(level)


def speak(level: str) -> None:
    """Log by the product's own rules to what stderr is now."""
    configure_logging(level=level, format="json")
    lives.LOG = structlog.get_logger("kvot")


@asynccontextmanager
async def beating(ledger: Ledger, board: Board, directory: Path, clock: Any) -> AsyncIterator[None]:
    """Keep alive and serve the control API until the block ends, by the product's own code."""
    desk = Desk(ledger=ledger.at_once(), board=board, clock=clock, machines={}, shops=(), started_at=clock.now())
    # Of a house its pulse needs no more than this.
    house = SimpleNamespace(
        _ledger=ledger,
        _board=board,
        _gateway_id="kvot-1",
        _settings=SimpleNamespace(machines={PRESS: None}),
        _clock=SimpleNamespace(sleep=asyncio.sleep),
    )
    with control_socket(directory / "kvot.sock") as bound:
        async with asyncio.TaskGroup() as group:
            tasks = (
                group.create_task(serve(create_app(desk), bound), name="api"),
                group.create_task(House.pulse(cast("House", house)), name="pulse"),
            )
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()


def _kb(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{name}:")))
