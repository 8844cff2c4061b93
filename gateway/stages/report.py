"""Ledger -> shop: what became of each order, in order, each change once, never dropped."""

from functools import partial
from typing import Any, NoReturn

from gateway.clock import Clock
from gateway.errors import ShopError, ShopRefusedError
from gateway.ledger import outbox
from gateway.ledger.database import Ledger, Tx
from gateway.ledger.exceptions import open_exception
from gateway.ledger.outbox import Fact
from gateway.shops.base import Shop
from gateway.stages.backoff import Backoff
from gateway.stages.board import Board
from gateway.stages.link import LinkState

BATCH = 50
IDLE_S = 30.0


async def report(name: str, shop: Shop, *, ledger: Ledger, board: Board, clock: Clock, log: Any) -> NoReturn:
    """Write the ledger's news of each order to its shop, the oldest first."""
    destination = f"shop:{name}"
    link = LinkState(f"report:{name}", board=board, clock=clock, log=log.bind(shop=name))
    backoff = Backoff(most_s=10.0)
    while True:
        facts = await ledger.read(lambda tx: outbox.pending(tx, destination, limit=BATCH, now=clock.now()))
        if not facts:
            await ledger.changed(f"outbox:{destination}", timeout_s=IDLE_S)
            continue
        for fact in facts:
            try:
                await shop.write_status(fact.body["shop_order_id"], fact.body["values"])
            except ShopRefusedError as fault:
                await ledger.write(partial(_give_up, fact=fact, error=str(fault), clock=clock))
            except ShopError as fault:
                link.down(fault)
                await ledger.write(partial(_try_again, fact=fact, error=str(fault), clock=clock))
                await clock.sleep(backoff.wait_s(fault.retry_after_s or 0.0))
                break
            else:
                link.up()
                backoff.reset()
                await ledger.write(partial(outbox.delivered, destination=destination, seqs=[fact.seq]))


async def drain(destination: str, *, ledger: Ledger, clock: Clock) -> NoReturn:
    """Let go of facts for a destination that the configuration does not have."""
    while True:
        facts = await ledger.read(lambda tx: outbox.pending(tx, destination, limit=BATCH, now=clock.now()))
        if facts:
            await ledger.write(partial(outbox.delivered, destination=destination, seqs=[fact.seq for fact in facts]))
        else:
            await ledger.changed(f"outbox:{destination}", timeout_s=IDLE_S)


def _try_again(tx: Tx, *, fact: Fact, error: str, clock: Clock) -> None:
    """Note a failed write; it stays first in line."""
    outbox.failed(tx, fact.destination, fact.seq, error=error, not_before=clock.now())


def _give_up(tx: Tx, *, fact: Fact, error: str, clock: Clock) -> None:
    """Keep what the shop refuses as a dead letter, and ask a person."""
    outbox.bury(tx, fact.destination, fact.seq, error=error, at=clock.now())
    open_exception(
        tx,
        subject=fact.subject,
        cause="the shop refuses to be told",
        evidence={"text": error, "shop": fact.destination, "order": fact.body["shop_order_id"]},
        actions=("close",),
        at=clock.now(),
    )
