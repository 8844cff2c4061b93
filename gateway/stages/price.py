"""Runs become offers: every change is planned, told on the board, logged, and written back to the shops."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple, Never

from gateway.clock import Clock
from gateway.domain.exceptions import Kind
from gateway.domain.offers import Offer, Origin, make_offer, what_changed, whose_price
from gateway.domain.pricing import About, FamilyRules, Mode, Policy, Published, RunPlan, Seen, Source, render
from gateway.domain.runs import foresee
from gateway.domain.standing import expectation
from gateway.errors import ShopError
from gateway.ledger import offers
from gateway.ledger.campaigns import follow_campaign
from gateway.ledger.database import Ledger, Tx, ring
from gateway.ledger.exceptions import open_exception, settle
from gateway.ledger.expectations import Awaited, awaited, expect
from gateway.ledger.list_prices import listed, set_list_price
from gateway.ledger.offers import Publication
from gateway.ledger.proposals import expire, propose, propose_near
from gateway.shops.base import ShopProduct
from gateway.stages.backoff import Backoff
from gateway.stages.board import Board
from gateway.stages.link import LinkState
from gateway.stages.offer_mirrors import campaign_view, offer_mirror, run_mirror
from gateway.stages.pricing import Ages, Article, FamilySeen, Pricing, Sold, look

BELL: Final = "price"
LOOK_AGAIN_S: Final = 1.0  # machine time; business time may run faster
PAUSE_S: Final = 0.2  # between two rounds, however often the bell rings
READ_S: Final = 30.0  # how often a shop is asked for its prices
FAMILIES: Final = 32  # planned in one step: neither the ledger nor the loop is held for a whole round
_UNKNOWN: Final = -1  # what was proposed before this life

Step = Callable[[Tx], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Priced:
    """An article with its plan, the offer that follows from it, and what is different about that."""

    article: Article
    rules: FamilyRules
    plan: RunPlan
    offer: Offer
    changed: tuple[str, ...]
    write: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """What a round found out about one family. `plan`: of an article whose campaign is open, else of the first."""

    seen: FamilySeen
    rules: FamilyRules
    plan: RunPlan
    sources: tuple[Source, ...]
    articles: tuple[Priced, ...]

    @property
    def stale(self) -> bool:
        """Say whether prices rest on what is too old."""
        return bool(self.articles) and self.plan.policy is not Policy.STATIC and any(one.stale for one in self.sources)


class Expected(NamedTuple):
    """What a family's plan says of its promises: orders that will be late, and when its machine is done."""

    late: Mapping[str, datetime]
    machine_done_at: datetime


async def price_stage(pricing: Pricing, *, ledger: Ledger, board: Board, clock: Clock, log: Any) -> None:
    """Read the shops' prices and keep every offer current, until cancelled."""
    rounds = Rounds(pricing, ledger=ledger, board=board, clock=clock, log=log)
    async with asyncio.TaskGroup() as group:
        for shop in pricing.shops:
            group.create_task(rounds.watch(shop), name=f"prices {shop}")
        group.create_task(rounds.run(), name="price rounds")


class Rounds:
    """Plans all families again and again, and remembers between rounds only what it can read anew."""

    def __init__(self, pricing: Pricing, *, ledger: Ledger, board: Board, clock: Clock, log: Any) -> None:
        self._pricing, self._ledger, self._board = pricing, ledger, board
        self._clock, self._log = clock, log
        self.ages = Ages(pricing, board=board, clock=clock)
        self.sold: dict[str, tuple[Sold, ...]] = {}  # by shop, once it was read
        self._shown: dict[str, dict[str, dict[str, object]]] = {}  # sku -> shop -> offer
        self._stale: dict[str, bool] = {}
        self._unplanned: dict[str, str] = {}  # family -> why
        self._proposed: dict[str, int | None] = {}

    async def run(self) -> Never:
        """Make a round on every change, and every few seconds."""
        while True:
            self.ages.look()
            if self.ages.settled:
                await self.once()
            await self._clock.sleep(PAUSE_S)
            await self._ledger.changed(BELL, timeout_s=LOOK_AGAIN_S)

    async def watch(self, shop: str) -> Never:
        """Read the prices of a shop again and again."""
        link = LinkState(f"prices:{shop}", board=self._board, clock=self._clock, log=self._log.bind(shop=shop))
        backoff = Backoff(most_s=READ_S)
        while True:
            try:
                await self.read(shop)
            except ShopError as fault:
                link.down(fault)
                await self._clock.sleep(backoff.wait_s(fault.retry_after_s or 0.0))
            else:
                link.up()
                backoff.reset()
                await self._ledger.changed(f"prices:{shop}", timeout_s=READ_S)

    async def read(self, shop: str) -> None:
        """Read the prices of a shop once: new articles, and prices that its owner changed."""
        read_at = self._clock.now()
        products = await self._pricing.shops[shop].products()
        ordered = sorted(products, key=lambda one: one.sku)
        sold = tuple(found for one in ordered if (found := self._pricing.sold(one)) is not None)
        made = [one.product for one in sold]
        await self._ledger.write(partial(observe, shop=shop, products=made, read_at=read_at, now=self._clock.now()))
        self.sold[shop] = sold
        self._ledger.ring(BELL)

    async def once(self) -> None:
        """Plan every family, put in force what changed, and show it all; a few families in each step."""
        now, stale, expected = self._clock.now(), dict[str, bool](), dict[str, Expected]()
        names = self._pricing.families()
        for first in range(0, len(names), FAMILIES):
            for one in await self._some(names[first : first + FAMILIES], now):
                stale[one.seen.view.family] = one.stale
                if not one.stale:
                    expected[one.seen.view.family] = Expected(one.plan.late, one.plan.machine_done_at)
        waiting = await self._ledger.read(awaited)
        steps = self._expectations(expected, waiting, now)
        steps += [partial(_withdraw, shop=shop, sold=sold, now=now) for shop, sold in self._still_offered()]
        if steps:
            await self._ledger.write(lambda tx: [step(tx) for step in steps])
        self._stale = stale

    async def _some(self, names: Sequence[str], now: datetime) -> list[Decided]:
        """Plan these families, put in force what changed, and show it."""
        seen = await self._ledger.read(lambda tx: look(tx, self._pricing, self.sold, names, now=now))
        decided = [one for family in seen if (one := await self._decide(family, now)) is not None]
        steps = [step for one in decided for step in self._steps(one, now)]
        if steps:
            await self._ledger.write(lambda tx: [step(tx) for step in steps])
        for one in decided:
            self._show(one)
            await self._clock.sleep(0)
        return decided

    async def _decide(self, seen: FamilySeen, now: datetime) -> Decided | None:
        """Plan a family, or say in the log why it cannot be."""
        family = seen.view.family
        try:
            decided = await self._planned(seen, now)
        except ValueError as fault:  # no list price is known yet, or the calendar has no working time
            if self._unplanned.get(family) != str(fault):
                self._log.info("no plan", family=family, reason=str(fault))
            self._unplanned[family] = str(fault)
            return None
        self._unplanned.pop(family, None)
        return decided

    async def _planned(self, seen: FamilySeen, now: datetime) -> Decided:
        """Plan each article by its own price; articles that look the same share a plan."""
        family = self._pricing.range.families[seen.view.family]
        sources = self.ages.sources(family.machines)
        plans: dict[object, tuple[FamilyRules, RunPlan]] = {}
        articles: list[Priced] = []
        for article in seen.articles:
            mode = self._pricing.mode_for(article.shop)
            key = (article.shop, article.base.price_minor, article.price_minor, article.moves)
            if key not in plans:
                rules = self._pricing.rules(family.name, article.shop, article.base.price_minor)
                published = Published(price_minor=article.price_minor, moves=article.moves)
                known = Seen(published=published, campaign=seen.campaign, sources=sources, mode=mode)
                plans[key] = rules, _plan(seen, rules, known, now)
                await self._clock.sleep(0)
            articles.append(_priced(article, *plans[key], write=mode is Mode.AUTO))
        leading = next((one for one in articles if one.plan.campaign.open), articles[0] if articles else None)
        if leading is not None:
            rules, plan = leading.rules, leading.plan
        else:
            rules = self._pricing.rules(family.name, None, None)
            plan = _plan(seen, rules, Seen(campaign=seen.campaign, sources=sources, mode=Mode.OFF), now)
            await self._clock.sleep(0)
        return Decided(seen=seen, rules=rules, plan=plan, sources=sources, articles=tuple(articles))

    def _steps(self, one: Decided, now: datetime) -> list[Step]:
        """Give what has to be written for one family; nothing where all stands."""
        steps: list[Step] = []
        family, campaign = one.seen.view.family, one.plan.campaign
        if campaign.open != one.seen.campaign.open:
            why = next((_texts(self._pricing, one.plan, About.CAMPAIGN)), "")
            steps.append(partial(follow_campaign, family=family, decided=campaign, why=why, now=now))
        if one.stale != self._stale.get(family, not one.stale):
            steps.append(partial(_alarm if one.stale else _all_clear, family=family, sources=one.sources, now=now))
        if self._pricing.mode is Mode.OFF:
            return steps
        steps += [
            partial(_publish, one=self._publication(priced), now=now) for priced in one.articles if priced.changed
        ]
        for priced in one.articles:
            steps += self._proposals(priced, now)
        steps += self._campaign_proposal(one, now)
        return steps

    def _expectations(self, expected: Mapping[str, Expected], waiting: Sequence[Awaited], now: datetime) -> list[Step]:
        """Give what has to be written because an order line comes on another day than its customer was told last."""
        steps: list[Step] = []
        for line in waiting:
            late = [expected[name].late.get(str(line.order_id)) for name in line.waits if name in expected]
            late += [expected[name].machine_done_at for name in line.under_way if name in expected]
            if not late:
                continue
            forecast = max((at for at in late if at is not None), default=None)
            at = expectation(forecast, promise=line.promise_at, before=line.expected_at, zone=self._pricing.zone)
            if at is not None:
                steps.append(partial(expect, line=line, at=at, now=now))
        return steps

    def _publication(self, priced: Priced) -> Publication:
        article = priced.article
        return Publication(
            shop=article.shop,
            sku=article.sold.product.sku,
            product_id=article.sold.product.product_id,
            family=article.sold.family,
            offer=priced.offer,
            list_minor=article.base.price_minor,
            before=None if article.standing is None else article.standing.offer_id,
            changed=priced.changed,
            texts=tuple(_texts(self._pricing, priced.plan)),
            write=priced.write,
        )

    def _proposals(self, priced: Priced, now: datetime) -> list[Step]:
        """Propose a price that a person has to decide about; small changes of what is proposed are none."""
        subject = f"offer:{priced.article.shop}/{priced.article.sold.product.sku}"
        price, before = priced.plan.price, self._proposed.get(subject, _UNKNOWN)
        if price.proposed_minor is None:
            self._proposed[subject] = None
            return [] if before is None else [partial(expire, kind="price", subject=subject, now=now)]
        band = priced.rules.price.deadband * price.list_minor
        if isinstance(before, int) and abs(before - price.proposed_minor) < max(1.0, band):
            return []
        self._proposed[subject] = price.proposed_minor
        body = {
            "from_minor": price.price_minor,
            "to_minor": price.proposed_minor,
            "list_minor": price.list_minor,
            "currency": price.currency,
            "why": list(_texts(self._pricing, priced.plan, About.PRICE)),
        }
        return [partial(propose_near, subject=subject, body=body, band=band, now=now)]

    def _campaign_proposal(self, one: Decided, now: datetime) -> list[Step]:
        subject, wanted = f"campaign:{one.seen.view.family}", one.plan.campaign.proposed
        if self._proposed.get(subject, _UNKNOWN) == int(wanted):
            return []
        self._proposed[subject] = int(wanted)
        if not wanted:
            return [partial(expire, kind="campaign", subject=subject, now=now)]
        run = one.seen.view.run
        body = {
            "family": one.seen.view.family,
            "run": None if run is None else run.run_id,
            "kind": one.plan.campaign.kind.value,
            "depth": one.plan.campaign.depth,
        }
        return [partial(propose, kind="campaign", subject=subject, body=body, now=now)]

    def _still_offered(self) -> list[tuple[str, frozenset[str]]]:
        """Give the articles of each shop whose offers may stand; those of a shop not read yet are left alone."""
        if self._pricing.mode is Mode.OFF:
            return [(shop, frozenset()) for shop in self._pricing.shops]
        return [(shop, frozenset(one.product.sku for one in sold)) for shop, sold in self.sold.items()]

    def _show(self, one: Decided) -> None:
        """Put the run, the campaign and every changed offer on the board."""
        family = one.seen.view.family
        run = run_mirror(one.seen.view, one.rules, one.plan, sources=one.sources, zone=self._pricing.zone)
        self._board.put(("run", family), run)
        why = [reason.code for reason in one.plan.reasons if reason.about is About.CAMPAIGN]
        self._board.put(("campaign", family), {"family": family, **campaign_view(one.plan), "why": why})
        if self._pricing.mode is Mode.OFF:
            return
        for priced in one.articles:
            sku, shop = priced.article.sold.product.sku, priced.article.shop
            shown = self._shown.setdefault(sku, {})
            if priced.changed or shop not in shown:
                shown[shop] = offer_mirror(shop, sku, family, priced.offer, priced.plan, zone=self._pricing.zone)
                first, *others = (shown[name] for name in sorted(shown))
                self._board.put(("offer", sku), {**first, "others": others} if others else first)


def observe(tx: Tx, *, shop: str, products: Sequence[ShopProduct], read_at: datetime, now: datetime) -> None:
    """Compare the prices a shop shows with ours: first sights, changes by its owner, and writes that were lost.

    What was read before our own last write took effect says nothing.
    """
    for product in products:
        base = listed(tx, shop, product.sku, product.currency)
        if base is None:
            set_list_price(tx, shop, product.sku, product.currency, product.price_minor, now=now)
            continue
        standing = offers.standing(tx, shop, product.sku)
        changes = (base.in_force_at, None if standing is None else standing.valid_from)
        if any(at is not None and at > read_at for at in changes):
            continue
        tried = frozenset[int]()
        if base.in_force_at is not None:
            tried = offers.tried_since(tx, shop, product.sku, base.in_force_at)
        match whose_price(
            product.price_minor,
            list_minor=base.price_minor,
            offered_minor=standing.offer.price_minor if standing is not None and standing.to_shop else None,
            in_force_minor=base.in_force_minor,
            tried=tried,
        ):
            case Origin.OWNER:
                set_list_price(tx, shop, product.sku, product.currency, product.price_minor, now=now)
                offers.forget_waiting(tx, shop, product.sku)
            case Origin.ON_ITS_WAY:
                offers.write_again(tx, shop, product.sku, product.product_id, now=now)
            case Origin.AS_OFFERED:
                pass


def _plan(seen: FamilySeen, rules: FamilyRules, known: Seen, now: datetime) -> RunPlan:
    return foresee(seen.view.run, rules, free_h=seen.view.queue_h, now=now, seen=known)


def _priced(article: Article, rules: FamilyRules, plan: RunPlan, *, write: bool) -> Priced:
    standing = article.standing
    before = None if standing is None else standing.offer
    offer = make_offer(plan, before, exact=rules.shipping.cutoff is not None, rest=article.sold.rest)
    changed = what_changed(before, offer)
    if standing is not None and standing.to_shop != write:
        changed = (*changed, "mode")
    return Priced(article=article, rules=rules, plan=plan, offer=offer, changed=changed, write=write)


def _texts(pricing: Pricing, plan: RunPlan, about: About | None = None) -> Iterator[str]:
    for reason in plan.reasons:
        if about in (None, reason.about):
            yield render(reason, "en", zone=pricing.zone, currency=plan.price.currency)


def _publish(tx: Tx, *, one: Publication, now: datetime) -> None:
    """Put an offer in force; where somebody else was first, look again."""
    if not offers.publish(tx, one, now=now):
        ring(tx, BELL)


def _withdraw(tx: Tx, *, shop: str, sold: frozenset[str], now: datetime) -> None:
    offers.withdraw(tx, shop, sorted(offers.offered(tx, shop) - sold), now=now)


def _alarm(tx: Tx, *, family: str, sources: Sequence[Source], now: datetime) -> None:
    open_exception(
        tx,
        Kind.STALE,
        subject=f"family:{family}",
        evidence={one.name: {"age_s": round(one.age_s), "period_s": one.period_s} for one in sources if one.stale},
        at=now,
    )


def _all_clear(tx: Tx, *, family: str, sources: Sequence[Source], now: datetime) -> None:
    del sources
    settle(tx, subject=f"family:{family}", cause=Kind.STALE.cause, at=now)
