"""Settings become what keeps the ledger: recovery after a restore, backups, room on the disk, archives."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from gateway.clock import Clock
from gateway.errors import LedgerFullError
from gateway.ledger import exceptions, run_views
from gateway.ledger.database import Ledger, Tx
from gateway.settings import Settings
from gateway.stages.backup import Backups
from gateway.stages.board import Board
from gateway.stages.disk import watch_disk
from gateway.stages.recover import recover
from gateway.stages.retain import retain
from gateway.uplink.spool import Spool


def open_backups(settings: Settings, *, state_dir: Path, ledger: Ledger, clock: Clock, log: Any) -> Backups:
    """Give what makes the backups of a ledger; `keep` has it run."""
    chosen = settings.ledger.backups
    every = timedelta(hours=chosen.every_h)
    return Backups(ledger, state_dir, every=every, keep=chosen.keep, clock=clock, log=log)


async def look_after(ledger: Ledger) -> dict[str, object]:
    """Have the ledger answer; say whether there is room to write, and what people must decide and do."""

    def ask(tx: Tx) -> dict[str, object]:
        return {"exceptions_open": exceptions.count_open(tx), "to_do": len(run_views.to_do(tx))}

    try:
        found = await ledger.at_once().write(ask)
    except LedgerFullError:
        found = await ledger.read(ask)
    return {**found, "writable": not ledger.full}


def keep(
    group: asyncio.TaskGroup,
    settings: Settings,
    backups: Backups,
    *,
    state_dir: Path,
    ledger: Ledger,
    spool: Spool | None,
    board: Board,
    clock: Clock,
    log: Any,
) -> None:
    """Start one task for each of them."""
    recovery = recover(
        ledger,
        machines=tuple(settings.machines),
        shops=tuple(settings.shops),
        telling={name for name, shop in settings.shops.items() if shop.write_back},
        board=board,
        clock=clock,
        log=log,
    )
    group.create_task(recovery, name="recover")
    group.create_task(backups.run(), name="backups")
    group.create_task(watch_disk(ledger, spool, board=board, clock=clock, log=log), name="disk")
    kept = timedelta(days=settings.ledger.keep_days)
    zone = ZoneInfo(settings.site.timezone)
    group.create_task(retain(ledger, state_dir, keep=kept, zone=zone, clock=clock, log=log), name="retain")
