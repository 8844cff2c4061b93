"""Shop -> ledger: every order exactly once, whatever the shop repeats, reorders or forgets to send."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NoReturn

from gateway.clock import Clock
from gateway.domain.exceptions import Kind
from gateway.domain.intake import Catalogue, DueRule, LinePlan, read_order
from gateway.domain.orders import ShopOrder
from gateway.errors import RefusedError, ShopError
from gateway.ledger import cursors, recovery, set_aside
from gateway.ledger.database import Ledger, Tx, ring
from gateway.ledger.exceptions import open_exception
from gateway.ledger.lines import Reading
from gateway.ledger.orders import Taken, bind_shop, let_in_of, take
from gateway.shops.base import Batch, Shop
from gateway.stages.backoff import Backoff
from gateway.stages.board import Board
from gateway.stages.link import LinkState

Promise = Callable[[Tx, str, LinePlan, datetime], datetime | None]  # (shop, line, now) -> None: a fixed lead


@dataclass(frozen=True, kw_only=True, slots=True)
class Intake:
    """One shop's way into the ledger: how often to ask, what is due, what its lines mean.

    `promising` computes the promise of a line that no offer was made for.
    """

    shop: str
    poll_s: float
    rule: DueRule
    catalogue: Catalogue
    erase_after: timedelta
    promising: Promise | None = None

    def reading(self, tx: Tx, order: ShopOrder) -> Reading:
        """Read an order with this shop's rules, and with what a person has said of it."""
        let_in = let_in_of(tx, self.shop, order.shop_order_id)
        plans = read_order(order, shop=self.shop, rule=self.rule, catalogue=self.catalogue, let_in=let_in)
        families = self.catalogue.range.families
        return Reading(
            shop=self.shop,
            due=self.rule.hold(order, let_in=let_in) is None,
            order=order,
            plans=plans,
            families=families,
            erase_after=self.erase_after,
            promising=self._promise if self.promising is not None else None,
        )

    def _promise(self, tx: Tx, plan: LinePlan, now: datetime) -> datetime | None:
        assert self.promising is not None
        return self.promising(tx, self.shop, plan, now)


async def intake(source: Intake, shop: Shop, *, ledger: Ledger, board: Board, clock: Clock, log: Any) -> NoReturn:
    """Ask the shop for what changed, again and again; lines set aside are read again when the stage starts."""
    log = log.bind(shop=source.shop)
    link = LinkState(f"shop:{source.shop}", board=board, clock=clock, log=log)
    backoff = Backoff(most_s=max(10.0, source.poll_s))
    await read_again(source, ledger=ledger, clock=clock)
    known = False  # that the site behind the address is the one this ledger is bound to
    while True:
        try:
            if not known:
                await bind(source, shop, ledger=ledger, clock=clock)
                known = True
            await pull_once(source, shop, ledger=ledger, clock=clock, log=log)
        except ShopError as fault:
            known = False
            link.down(fault)
            await clock.sleep(backoff.wait_s(fault.retry_after_s or 0.0))
            continue
        except RefusedError as fault:  # another site answers under this shop's name: nothing is taken from it
            link.down(fault)
            await ledger.write(partial(_another_site, shop=source.shop, text=str(fault), clock=clock))
            await clock.sleep(backoff.most_s)
            continue
        link.up()
        backoff.reset()
        if await ledger.changed(f"intake:{source.shop}", timeout_s=source.poll_s):
            await read_again(source, ledger=ledger, clock=clock)


async def bind(source: Intake, shop: Shop, *, ledger: Ledger, clock: Clock) -> None:
    """Check that the shop's own address is the one bound to its name; raise `RefusedError` when it is not.

    On first sight the address is bound, and the cursor set to now: older orders are not ours.
    """
    site = await shop.site()
    cursor = f"shop:{source.shop}"
    first = None
    if await ledger.read(lambda tx: cursors.get(tx, cursor)) is None:
        first = await shop.first_cursor()

    def event(tx: Tx) -> None:
        bind_shop(tx, shop=source.shop, site=site, at=clock.now())
        if first is not None:
            cursors.put(tx, cursor, first, clock.now())

    await ledger.write(event)


async def pull_once(source: Intake, shop: Shop, *, ledger: Ledger, clock: Clock, log: Any) -> None:
    """Store everything that changed since the cursor, each batch with its cursor; `bind` comes first."""
    cursor = await ledger.read(lambda tx: cursors.get(tx, f"shop:{source.shop}"))
    assert cursor is not None
    async for batch in shop.pull(cursor):
        taken = await ledger.write(partial(store, source=source, batch=batch, clock=clock))
        if new := taken.count(Taken.NEW):
            log.info("orders taken", new=new, changed=taken.count(Taken.CHANGED))
    if await ledger.read(recovery.pending):
        await ledger.write(partial(recovery.read_shop, shop=source.shop, now=clock.now()))


def store(tx: Tx, *, source: Intake, batch: Batch, clock: Clock) -> list[Taken]:
    """Store a batch and its cursor in one transaction."""
    taken = [take(tx, source.reading(tx, order), now=clock.now()) for order in batch.orders]
    cursors.put(tx, f"shop:{source.shop}", batch.cursor, clock.now())
    if recovery.pending(tx):
        recovery.saw_orders(tx, source.shop, batch.orders, now=clock.now())
    if any(one is not Taken.SAME for one in taken):
        ring(tx, "price")
    return taken


async def read_again(source: Intake, *, ledger: Ledger, clock: Clock) -> None:
    """Read the lines that were set aside again, with the configuration as it is now."""

    def again(tx: Tx) -> None:
        for order in set_aside.orders(tx, source.shop):
            set_aside.reread(tx, source.reading(tx, order), now=clock.now())

    await ledger.write(again)


def _another_site(tx: Tx, *, shop: str, text: str, clock: Clock) -> None:
    open_exception(tx, Kind.ANOTHER_SITE, subject=f"shop:{shop}", evidence={"text": text}, at=clock.now())
