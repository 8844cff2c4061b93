"""Runs become offers: every change is planned, told on the board, logged, and written back to the shops."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple, Never

from gateway.clock import Clock
from gateway.domain.exceptions import Kind
from gateway.domain.offers import Origin, make_offer, what_changed, whose_price
from gateway.domain.pricing import About, CampaignKind, FamilyRules, Mode, Published, RunPlan, Seen, Source
from gateway.domain.reductions import Reduced, percent_off
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
from gateway.ledger.pricing_control import BELL, acts, begin
from gateway.ledger.proposals import known
from gateway.ledger.reductions import Announced, follow_reduction
from gateway.shops.base import ShopProduct
from gateway.stages.backoff import Backoff
from gateway.stages.board import Board
from gateway.stages.decided import Decided, Priced, texts
from gateway.stages.link import LinkState
from gateway.stages.offer_mirrors import campaign_view, offer_mirror, run_mirror
from gateway.stages.pricing import CAMPAIGN, REDUCTION, Ages, Article, FamilySeen, Pricing, Sold, look
from gateway.stages.proposing import Step, proposal_steps

LOOK_AGAIN_S: Final = 1.0  # machine time; business time may run faster
PAUSE_S: Final = 0.2  # between two rounds, however often the bell rings
READ_S: Final = 30.0  # how often a shop is asked for its prices
FAMILIES: Final = 32  # planned in one step: neither the ledger nor the loop is held for a whole round


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
        waiting, said = await self._ledger.read(lambda tx: (awaited(tx), acts(tx)))
        off = {name for name in names if self._pricing.control(name, said, now=now).mode is Mode.OFF}
        steps = self._expectations(expected, waiting, now)
        steps += [partial(_withdraw, shop=shop, sold=sold, off=off, now=now) for shop, sold in self.sold.items()]
        if steps:
            await self._ledger.write(lambda tx: [step(tx) for step in steps])
        self._stale = stale

    async def _some(self, names: Sequence[str], now: datetime) -> list[Decided]:
        """Plan these families, put in force what changed, and show it."""
        seen, answered = await self._ledger.read(
            lambda tx: (look(tx, self._pricing, self.sold, names, now=now), known(tx, now=now))
        )
        decided = [one for family in seen if (one := await self._decide(family, now)) is not None]
        steps = [step for one in decided for step in self._steps(one, now)]
        steps += proposal_steps(decided, answered, self._pricing, shops=frozenset(self.sold), now=now)
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
            mode = self._pricing.mode_for(article.shop, seen.control)
            key = (article.shop, article.base.price_minor, article.price_minor, article.moves)
            if key not in plans:
                rules = self._pricing.rules(family.name, article.shop, article.base.price_minor)
                plans[key] = rules, _plan(seen, rules, _seen(seen, article, rules, sources, mode), now)
                await self._clock.sleep(0)
            articles.append(_priced(article, *plans[key], written=article.shop in self._pricing.write_back, mode=mode))
        leading = _leading(articles)
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
            steps.append(self._campaign_step(one, now))
        if one.stale != self._stale.get(family, not one.stale):
            steps.append(partial(_alarm if one.stale else _all_clear, family=family, sources=one.sources, now=now))
        if one.seen.control.mode is Mode.OFF:
            return steps
        if one.articles and not one.seen.begun:
            steps.append(partial(begin, family=family, now=now))
        steps += [
            partial(_publish, one=self._publication(priced), now=now) for priced in one.articles if priced.changed
        ]
        return steps

    def _campaign_step(self, one: Decided, now: datetime) -> Step:
        """Open or close the campaign; an announced reduction has a coupon besides."""
        family, campaign = one.seen.view.family, one.plan.campaign
        why = next((texts(self._pricing, one.plan, About.CAMPAIGN)), "")
        if campaign.open and campaign.kind is not CampaignKind.REDUCTION:
            return partial(follow_campaign, family=family, decided=campaign, why=why, now=now)
        floors = {
            (priced.article.shop, priced.article.sold.product.sku): priced.plan.price.floor_minor
            for priced in one.articles
        }
        announced = Announced(family=family, decided=campaign, floors=floors, shops=self._pricing.write_back, why=why)
        return partial(follow_reduction, one=announced, now=now)

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
            texts=tuple(texts(self._pricing, priced.plan)),
            write=priced.write,
        )

    def _show(self, one: Decided) -> None:
        """Put the run, the campaign and every changed offer on the board."""
        family = one.seen.view.family
        run = run_mirror(
            one.seen.view,
            one.rules,
            one.plan,
            sources=one.sources,
            frozen=one.seen.control.frozen,
            zone=self._pricing.zone,
        )
        self._board.put(("run", family), run)
        why = [reason.code for reason in one.plan.reasons if reason.about is About.CAMPAIGN]
        self._board.put(("campaign", family), {"family": family, **campaign_view(one.plan), "why": why})
        if one.seen.control.mode is Mode.OFF:
            return
        for priced in one.articles:
            sku, shop = priced.article.sold.product.sku, priced.article.shop
            shown = self._shown.setdefault(sku, {})
            lowest = {"lowest_30d_minor": priced.article.lowest_minor}
            if priced.changed or not lowest.items() <= shown.get(shop, {}).items():
                shown[shop] = offer_mirror(
                    shop,
                    sku,
                    family,
                    priced.offer,
                    priced.plan,
                    lowest_minor=priced.article.lowest_minor,
                    zone=self._pricing.zone,
                )
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
    known = replace(known, reserved=seen.view.reserved)
    return foresee(seen.view.run, rules, free_h=seen.view.queue_h, now=now, seen=known)


def _leading(articles: Sequence[Priced]) -> Priced | None:
    """Give the article that speaks for its family: one whose campaign is open; a reduction needs that of all."""
    first = articles[0] if articles else None
    if first is not None and first.rules.campaign.kind is CampaignKind.REDUCTION:
        return next((one for one in articles if not one.plan.campaign.open), first)
    return next((one for one in articles if one.plan.campaign.open), first)


def _seen(seen: FamilySeen, article: Article, rules: FamilyRules, sources: tuple[Source, ...], mode: Mode) -> Seen:
    depth, kind = rules.campaign.depth, REDUCTION if rules.campaign.kind is CampaignKind.REDUCTION else CAMPAIGN
    campaign = replace(seen.campaign, approved=seen.approved.get(kind) == depth)
    if rules.campaign.kind is CampaignKind.REDUCTION:
        known = [(one.price_minor, one.lowest_minor) for one in seen.articles]
        reduced = [Reduced(price_minor=price, prior_minor=prior) for price, prior in known if prior is not None]
        campaign = replace(campaign, share=float(percent_off(reduced, depth)) / 100 if reduced else depth)
    return Seen(
        published=Published(price_minor=article.price_minor, moves=article.moves),
        campaign=campaign,
        sources=sources,
        mode=mode,
        frozen=seen.control.frozen,
        at_list=seen.control.at_list,
    )


def _priced(article: Article, rules: FamilyRules, plan: RunPlan, *, written: bool, mode: Mode) -> Priced:
    """Make the offer. Where each change waits for a person, a shop is told nothing before he approved something."""
    standing = article.standing
    before = None if standing is None else standing.offer
    offer = make_offer(plan, before, exact=rules.shipping.cutoff is not None, rest=article.sold.rest)
    told = standing is not None and standing.to_shop
    write = written and (mode is Mode.AUTO or told or offer.campaign is not None)
    changed = what_changed(before, offer)
    if standing is not None and standing.to_shop != write:
        changed = (*changed, "mode")
    return Priced(article=article, rules=rules, plan=plan, offer=offer, changed=changed, write=write)


def _publish(tx: Tx, *, one: Publication, now: datetime) -> None:
    """Put an offer in force; where somebody else was first, look again."""
    if not offers.publish(tx, one, now=now):
        ring(tx, BELL)


def _withdraw(tx: Tx, *, shop: str, sold: Sequence[Sold], off: Collection[str], now: datetime) -> None:
    """End the offers of articles that the shop does not sell any more, and of families whose prices are off."""
    priced = {one.product.sku for one in sold if one.family not in off}
    gone = sorted(offers.offered(tx, shop) - priced)
    offers.withdraw(tx, shop, gone, sold={one.product.sku for one in sold}, now=now)


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
