"""Ledger -> shop: what became of each order, and what each article costs; in order, each change once, never dropped."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, NoReturn

from gateway.clock import Clock
from gateway.domain.exceptions import Kind
from gateway.errors import ShopError, ShopRefusedError
from gateway.ledger import offers, outbox, reductions
from gateway.ledger.database import Ledger, Tx
from gateway.ledger.exceptions import open_exception
from gateway.ledger.outbox import Fact
from gateway.ledger.times import to_time
from gateway.shops.base import Coupon, Coupons, Prices, Shop
from gateway.stages.backoff import Backoff
from gateway.stages.board import Board
from gateway.stages.link import LinkState

BATCH = 50
EACH = 500  # looked through for one that may be tried now
DRAIN_S = 1.0  # between two lots of facts that nobody is told
IDLE_S = 30.0

Body = Mapping[str, Any]
Write = Callable[[Body], Awaitable[None]]
Taken = Callable[..., None]  # (tx, fact): in the event that lets go of it


async def report(name: str, shop: Shop, *, ledger: Ledger, board: Board, clock: Clock, log: Any) -> NoReturn:
    """Write the ledger's news of each order to its shop, the oldest first; a failure stops the line."""
    told = _Told(destination=f"shop:{name}", ledger=ledger, clock=clock)
    link = LinkState(f"report:{name}", board=board, clock=clock, log=log.bind(shop=name))
    backoff = Backoff(most_s=10.0)
    while True:
        facts = await told.pending("order:", BATCH)
        if not facts:
            await ledger.changed(outbox.bell(told.destination), timeout_s=IDLE_S)
            continue
        for fact in facts:
            try:
                await shop.write_status(fact.body["shop_order_id"], fact.body["values"])
            except ShopRefusedError as fault:
                await told.give_up(fact, fault, order=fact.body["shop_order_id"])
            except ShopError as fault:
                link.down(fault)
                await told.note(fact, fault)
                await clock.sleep(backoff.wait_s(fault.retry_after_s or 0.0))
                break
            else:
                link.up()
                backoff.reset()
                await ledger.write(partial(outbox.delivered, destination=fact.destination, seqs=[fact.seq]))


async def report_offers(name: str, shop: Prices, *, ledger: Ledger, board: Board, clock: Clock, log: Any) -> NoReturn:
    """Write the offer of each article to its shop; one that fails rests, and the others go on.

    It runs beside `report`, so that no order waits for an article that cannot be written.
    """

    async def write(body: Body) -> None:
        await shop.write_offer(body["product_id"], price_minor=body["price_minor"], values=body["values"])

    told = _Told(destination=f"shop:{name}", ledger=ledger, clock=clock)
    link = LinkState(f"offers:{name}", board=board, clock=clock, log=log.bind(shop=name))
    await _report_each(told, link, "offer:", offers.bell(name), write=write, taken=partial(_offer_taken, clock=clock))


async def report_coupons(name: str, shop: Coupons, *, ledger: Ledger, board: Board, clock: Clock, log: Any) -> NoReturn:
    """Have each shop keep the coupons of announced reductions, and remove them at the end; one that fails rests."""

    async def write(body: Body) -> None:
        said = body["coupon"]
        if said is None:
            await shop.end_coupon(body["code"])
            return
        coupon = Coupon(
            code=body["code"],
            percent=Decimal(said["percent"]),
            product_ids=tuple(said["product_ids"]),
            uses=said["uses"],
            until=to_time(said["until"]),
            text=said["text"],
        )
        await shop.put_coupon(coupon)

    told = _Told(destination=f"shop:{name}", ledger=ledger, clock=clock)
    link = LinkState(f"coupons:{name}", board=board, clock=clock, log=log.bind(shop=name))
    await _report_each(told, link, "coupon:", reductions.bell(name), write=write, taken=_delivered)


async def _report_each(told: "_Told", link: LinkState, kind: str, bell: str, *, write: Write, taken: Taken) -> NoReturn:
    """Write what waits of a kind, in order for each subject; a subject whose write failed rests."""
    ledger, clock = told.ledger, told.clock
    rests: dict[str, _Rest] = {}
    while True:
        facts, now_s = await told.pending(kind, EACH), clock.monotonic()
        waiting = {fact.subject for fact in facts}
        rests = {subject: rest for subject, rest in rests.items() if subject in waiting}
        due = next((one for one in facts if one.subject not in rests or rests[one.subject].until_s <= now_s), None)
        if due is None:
            soonest_s = min((rest.until_s - now_s for rest in rests.values()), default=IDLE_S)
            await ledger.changed(bell, timeout_s=min(IDLE_S, soonest_s))
            continue
        try:
            await write(due.body)
        except ShopRefusedError as fault:
            await told.give_up(due, fault, article=due.subject.partition(":")[2])
        except ShopError as fault:
            link.down(fault)
            await told.note(due, fault)
            rest = rests.setdefault(due.subject, _Rest())
            rest.until_s = clock.monotonic() + rest.backoff.wait_s(fault.retry_after_s or 0.0)
        else:
            link.up()
            rests.pop(due.subject, None)
            await ledger.write(partial(taken, fact=due))


async def drain(destination: str, *, ledger: Ledger, clock: Clock) -> NoReturn:
    """Let go of facts for a destination that the configuration does not have, many at once: nobody waits for it."""
    while True:
        facts = await ledger.read(lambda tx: outbox.pending(tx, destination, limit=BATCH, now=clock.now()))
        if facts:
            await ledger.write(partial(outbox.delivered, destination=destination, seqs=[fact.seq for fact in facts]))
        else:
            await ledger.changed(f"outbox:{destination}", timeout_s=IDLE_S)
            await clock.sleep(DRAIN_S)


@dataclass(kw_only=True, slots=True)
class _Rest:
    """An article whose last write failed: when it may be tried again, in machine time."""

    until_s: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(most_s=60.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    """The news of one shop, as the ledger keeps them."""

    destination: str
    ledger: Ledger
    clock: Clock

    async def pending(self, kind: str, limit: int) -> list[Fact]:
        now = self.clock.now()
        return await self.ledger.read(lambda tx: outbox.pending(tx, self.destination, limit=limit, now=now, kind=kind))

    async def note(self, fact: Fact, fault: ShopError) -> None:
        """Note a failed write; it stays first in line."""
        now, error = self.clock.now(), str(fault)
        await self.ledger.write(lambda tx: outbox.failed(tx, fact.destination, fact.seq, error=error, not_before=now))

    async def give_up(self, fact: Fact, fault: ShopError, **named: str) -> None:
        """Keep what the shop refuses as a dead letter, and ask a person."""
        await self.ledger.write(partial(_bury, fact=fact, error=str(fault), named=named, clock=self.clock))


def _offer_taken(tx: Tx, *, fact: Fact, clock: Clock) -> None:
    """Note that the shop has taken an offer, in the event that lets go of it."""
    offers.shown(tx, fact.body, now=clock.now())
    outbox.delivered(tx, fact.destination, [fact.seq])


def _delivered(tx: Tx, *, fact: Fact) -> None:
    outbox.delivered(tx, fact.destination, [fact.seq])


def _bury(tx: Tx, *, fact: Fact, error: str, named: dict[str, str], clock: Clock) -> None:
    outbox.bury(tx, fact.destination, fact.seq, error=error, at=clock.now())
    open_exception(
        tx,
        Kind.NOT_TOLD,
        subject=fact.subject,
        evidence={"text": error, "shop": fact.destination, **named},
        at=clock.now(),
    )
