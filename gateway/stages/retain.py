"""Every night: personal fields whose time is over are erased, and what is long finished moves to the archives."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from gateway.clock import Clock
from gateway.domain.exceptions import Kind
from gateway.domain.price_log import may_forget
from gateway.ledger import archive, cursors
from gateway.ledger.database import Ledger, Tx
from gateway.ledger.exceptions import open_exception, settle

HOUR = 3  # by the factory's clock: when nobody waits
CURSOR = "retention"  # the day it was last done
EVENTS_KEPT = timedelta(days=366)  # at least, whatever becomes of the orders
LOOK_AGAIN_S = 60.0
_PAUSE_S = 0.05  # between two batches, so that nobody waits long

Batch = Callable[[Tx], int]


async def retain(
    ledger: Ledger, state_dir: Path, *, keep: timedelta, zone: ZoneInfo, clock: Clock, log: Any
) -> NoReturn:
    """Tidy once a night, or as soon as possible afterwards; each batch is an event of its own."""
    while True:
        now = clock.now()
        today = _night(now, zone)
        if await ledger.read(lambda tx: cursors.get(tx, CURSOR)) != today:
            try:
                done = await tidy(ledger, state_dir, keep=keep, clock=clock)
                if any(done.values()):
                    log.info("tidied", **done)
                await ledger.write(partial(settle, subject="ledger", cause=Kind.ARCHIVE.cause, at=now))
            except archive.ArchiveError as fault:
                log.warning("not archived", reason=str(fault))
                await ledger.write(partial(_call, text=str(fault), at=now))
            await ledger.write(partial(cursors.put, name=CURSOR, value=today, at=now))
        await clock.sleep(LOOK_AGAIN_S)


async def tidy(ledger: Ledger, state_dir: Path, *, keep: timedelta, clock: Clock) -> dict[str, int]:
    """Do all there is to do now, in batches; give the rows of each kind. Raise `ArchiveError`: nothing is lost then."""
    now = clock.now()
    before, events_before = now - keep, now - max(keep, EVENTS_KEPT)
    kinds: dict[str, Batch] = {
        "personal": partial(archive.erase_personal, now=now),
        "shelf": partial(archive.move_shelf, state_dir=state_dir, before=before),
        "orders": partial(archive.move_orders, state_dir=state_dir, before=before),
        "runs": partial(archive.move_runs, state_dir=state_dir, before=before),
        "settled": partial(archive.move_settled, state_dir=state_dir, before=before),
        "prices": partial(archive.move_prices, state_dir=state_dir, before=may_forget(now=now)),
        "events": partial(archive.move_events, state_dir=state_dir, before=events_before),
    }
    done = dict.fromkeys(kinds, 0)
    for kind, batch in kinds.items():
        while moved := await ledger.write(batch):
            done[kind] += moved
            await clock.sleep(_PAUSE_S)
    return done


def _call(tx: Tx, *, text: str, at: datetime) -> None:
    open_exception(tx, Kind.ARCHIVE, subject="ledger", evidence={"text": text}, at=at)


def _night(now: datetime, zone: ZoneInfo) -> str:
    """Name the last night that has come by the factory's clock."""
    return (now.astimezone(zone) - timedelta(hours=HOUR)).date().isoformat()
