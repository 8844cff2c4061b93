"""After a restore: wait until every machine was read and every shop pulled, then let dispatch go on."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any

from gateway.clock import Clock
from gateway.domain.recovery import waits_for
from gateway.ledger import recovering, recovery
from gateway.ledger.database import Ledger
from gateway.stages.board import Board

LOOK_AGAIN_S = 5.0
STANDING = ("recovery", "ledger")  # on the board: since when, and what is waited for; empty in ordinary times


async def recover(
    ledger: Ledger,
    *,
    machines: Collection[str],
    shops: Collection[str],
    telling: Collection[str],
    board: Board,
    clock: Clock,
    log: Any,
) -> None:
    """See a recovery to its end; return at once in ordinary times. `telling`: the shops that are told of their orders.

    A machine that does not answer holds up everything: its memory is what a second run would be known by.
    """
    while (since := await ledger.read(recovery.since)) is not None:
        waiting = waits_for(machines, shops, await ledger.read(recovery.asked))
        board.put(STANDING, {"since": since, "waits_for": list(waiting)})
        if not waiting:
            done = await ledger.write(
                lambda tx: recovering.finish(tx, site=ledger.site, telling=telling, now=clock.now())
            )
            log.warning("recovered", since=since, free=done.free, asked=done.asked, strangers=done.strangers)
            break
        log.info("recovering", since=since, waits_for=list(waiting))
        await ledger.changed(recovery.BELL, timeout_s=LOOK_AGAIN_S)
    board.put(STANDING, {})


async def afterwards(stage: Callable[[], Awaitable[Any]], *, ledger: Ledger, clock: Clock) -> None:
    """Run a stage once nothing is being recovered: a shop must not be told anything that it is still asked about."""
    while await ledger.read(recovery.pending):
        await clock.sleep(1.0)
    await stage()
