"""When the disk is full, samples give way to orders, and the ballast is laid again once there is room."""

from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from gateway.clock import Clock
from gateway.errors import LedgerFullError
from gateway.ledger import cursors
from gateway.ledger.database import DISK, Ledger
from gateway.stages.board import Board
from gateway.uplink.spool import Spool

LOOK_AGAIN_S = 5.0
PROBE = "disk"  # the cursor that is written to see whether there is room
STANDING = ("disk", "ledger")  # on the board: whether the ledger can be written, and whether its ballast lies


async def watch_disk(ledger: Ledger, spool: Spool | None, *, board: Board, clock: Clock, log: Any) -> NoReturn:
    """Look whenever a write found no room, and every few seconds.

    As long as the ballast does not lie, no sample is kept, and the oldest give way until there is room for it;
    each is declared as a gap.
    """
    tight = False
    while True:
        lies = ledger.ballast.lies or (not ledger.full and await ledger.lay_ballast())
        if spool is not None and lies is tight:
            await spool.give_way(None if lies else lambda: ledger.ballast.fits)
        if lies is tight:
            tight = not lies
            log.log(30 if tight else 20, "the disk is full: samples give way" if tight else "there is room again")
        if tight or ledger.full:
            with suppress(LedgerFullError):  # nobody else may be writing, and health tells the truth
                await ledger.at_once().write(partial(cursors.put, name=PROBE, value="", at=clock.now()))
        board.put(STANDING, {"writable": not ledger.full, "ballast": lies})
        await ledger.changed(DISK, timeout_s=LOOK_AGAIN_S)
