"""What prices are decided from: articles a shop sells, open runs, offers in force, and how old all that is."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from gateway.clock import Clock
from gateway.domain.intake import LinePlan
from gateway.domain.offers import Logged, rest_of
from gateway.domain.price_log import Lowest
from gateway.domain.pricing import (
    CampaignSeen,
    Control,
    FamilyRules,
    Mode,
    Policy,
    PriceMove,
    Said,
    Seen,
    Source,
    strictest,
)
from gateway.domain.products import Family, Range
from gateway.domain.reductions import rests_until
from gateway.domain.runs import Member, OpenRun, Situation, choose_machine, foresee
from gateway.ledger import collecting, offers, proposals
from gateway.ledger.campaigns import campaign_seen
from gateway.ledger.database import Tx
from gateway.ledger.list_prices import ListPrice, list_price, listed, lowest
from gateway.ledger.pricing_control import Acts, acts
from gateway.ledger.reductions import ended_at
from gateway.ledger.sql import row
from gateway.ledger.times import to_time
from gateway.shops.base import Prices, ShopProduct
from gateway.stages.board import Board
from gateway.stages.offer_mirrors import RunView
from gateway.stages.plan import Floor, situation

CAMPAIGN: Final = "campaign"  # kinds of proposals: one that only shows the run to more people,
REDUCTION: Final = "reduction"  # and an announced lower price
SHORTEST_PERIOD_S: Final = 30.0  # a hiccup of a fast poll is nothing that prices should move for
CONFIGURED: Final = "kvot.yaml"
FIRST_WEEKS: Final = "first weeks"
_DAY: Final = timedelta(days=1)

# (family, shop, list price in minor units if known) -> rules; ValueError where no list price is known.
RulesOf = Callable[[str, str | None, int | None], FamilyRules]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sold:
    """An article of a shop that is made here: the family that prices it, and what its other steps take at least."""

    product: ShopProduct
    family: str
    rest: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Pricing:
    """What the price stage knows: the factory, the families' rules, the shops that can be priced.

    `write_back`: the shops that are told. `periods_s`: how often links of the board (`shop:<name>`,
    `machine:<name>`) are heard of; what is missing twice as long is stale. `advise_for`: how long every price and
    campaign of a family is a proposal, from its first price on.
    """

    floor: Floor
    range: Range
    rules: RulesOf
    mode: Mode
    advise_for: timedelta = timedelta(0)
    zone: tzinfo = UTC
    shops: Mapping[str, Prices] = field(default_factory=dict)
    write_back: frozenset[str] = frozenset()
    periods_s: Mapping[str, float] = field(default_factory=dict)

    def control(self, family: str, acts: Acts, *, now: datetime) -> Control:
        """Give how far the prices of a family go now: the configuration, its first weeks and people, the strictest."""
        since = acts.priced_since.get(family)
        until = (since or now) + self.advise_for
        said = [Said(who=CONFIGURED, mode=self.mode)]
        if now < until:
            said.append(Said(who=FIRST_WEEKS, family=family, mode=Mode.ADVISE, since=since, until=until))
        return strictest([*said, *acts.about(family)])

    def mode_for(self, shop: str, control: Control) -> Mode:
        """Give how far prices go in a shop; one that is not written to is only advised."""
        return control.mode if control.mode is not Mode.AUTO or shop in self.write_back else Mode.ADVISE

    def sold(self, product: ShopProduct) -> Sold | None:
        """Find who prices an article, None for what is not made here."""
        line = {"sku": product.sku, "name": "", "quantity": 1, "options": {}}
        found = self.range.find((product.sku,), line)
        family = None if found is None else found.priced_by
        if found is None or family is None or not found.make or self.range.families[family].station:
            return None
        return Sold(product=product, family=family, rest=rest_of(found, self.range.families))

    def families(self) -> tuple[str, ...]:
        """Give the families that price something, and those whose runs collect."""
        pricing = {product.priced_by for product in self.range.products if product.make}
        named = {name for name in pricing if name is not None and not self.range.families[name].station}
        return tuple(sorted(named | set(self.floor.rules)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Article:
    """An article of a shop with what the ledger knows of its price."""

    shop: str
    sold: Sold
    base: ListPrice
    standing: Logged | None
    moves: tuple[PriceMove, ...]
    lowest: Lowest | None = None

    @property
    def price_minor(self) -> int:
        """Give the price in force by the offer log; a new list price starts over."""
        if self.standing is None or self.standing.valid_from < self.base.since:
            return self.base.price_minor
        return self.standing.offer.price_minor

    @property
    def lowest_minor(self) -> int | None:
        """Give the lowest price of the last 30 days."""
        return None if self.lowest is None else self.lowest.price_minor


@dataclass(frozen=True, kw_only=True, slots=True)
class FamilySeen:
    """A family's open run and campaign, its articles, and how far its prices go.

    `approved`: kinds of campaigns that a person approved for this run, with depths; `begun`: it was priced before.
    """

    view: RunView
    campaign: CampaignSeen
    articles: tuple[Article, ...]
    control: Control
    approved: Mapping[str, float] = field(default_factory=dict)
    begun: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Driving:
    """What of a line drives price and promise: the family, the units it takes, what the route's other steps take."""

    family: Family
    units: int
    rest: timedelta


class Ages:
    """How long ago each link was last seen up, in machine time."""

    def __init__(self, pricing: Pricing, *, board: Board, clock: Clock) -> None:
        self._pricing, self._board, self._clock = pricing, board, clock
        self._began_s = clock.monotonic()
        self._heard_s: dict[str, float] = {}

    def look(self) -> None:
        """Note which links are up now."""
        for name in self._pricing.periods_s:
            if self._board.get(("link", name)).get("state") == "up":
                self._heard_s[name] = self._clock.monotonic()

    @property
    def settled(self) -> bool:
        """Say whether every link was heard of, or has had its time since the start to be heard."""
        waiting = [name for name in self._pricing.periods_s if name not in self._heard_s]
        return not any(self._source(name, (name,)).age_s <= 2 * self._period_s(name) for name in waiting)

    def sources(self, machines: Sequence[str]) -> tuple[Source, ...]:
        """Give the ages of what a family's prices rest on: its youngest machine, and the oldest shop's orders."""
        links = [name for name in (f"machine:{machine}" for machine in machines) if name in self._pricing.periods_s]
        found = [self._source("machine", links)] if links else []
        shops = [self._source("orders", (name,)) for name in self._pricing.periods_s if name.startswith("shop:")]
        return (*found, *([max(shops, key=lambda one: one.age_s / one.period_s)] if shops else []))

    def _source(self, name: str, links: Sequence[str]) -> Source:
        now_s = self._clock.monotonic()
        age_s = min(now_s - self._heard_s.get(link, self._began_s) for link in links)
        return Source(name=name, age_s=max(0.0, age_s), period_s=max(self._period_s(link) for link in links))

    def _period_s(self, link: str) -> float:
        return max(SHORTEST_PERIOD_S, self._pricing.periods_s[link])


def look(
    tx: Tx, pricing: Pricing, sold: Mapping[str, Sequence[Sold]], families: Sequence[str], *, now: datetime
) -> list[FamilySeen]:
    """Read everything that the prices of these families are decided from, in one go."""
    scene = situation(tx, pricing.floor, now=now)
    owed, said = _owed(tx, now=now), acts(tx)
    answered, ended = proposals.known(tx, now=now), ended_at(tx)
    articles: dict[str, list[Article]] = {}
    for shop, ones in sorted(sold.items()):
        for one in ones:
            if one.family not in families:
                continue
            article = article_of(tx, shop, one, now=now)
            if article is not None:
                articles.setdefault(one.family, []).append(article)
    seen: list[FamilySeen] = []
    for family in families:
        view = _run_view(tx, pricing.range.families[family], scene, owed.get(family, ()))
        seen.append(
            FamilySeen(
                view=view,
                campaign=replace(
                    campaign_seen(tx, family, now=now),
                    rests_until=_rests(articles.get(family, ()), ended, family),
                ),
                articles=tuple(articles.get(family, ())),
                control=pricing.control(family, said, now=now),
                approved=_approved(answered, view),
                begun=family in said.priced_since,
            )
        )
    return seen


def promise_at_intake(tx: Tx, pricing: Pricing, shop: str, plan: LinePlan, now: datetime) -> datetime | None:
    """Compute the promise of a line by the plan of the family that prices it; None where its lead is fixed.

    What other steps of the route take is their fixed lead, if that is longer.
    """
    driving = find_driving(pricing, plan)
    if driving is None or driving.family.policy is Policy.STATIC or driving.family.station:
        return None
    known = next((price for sku in plan.line.skus if (price := list_price(tx, shop, sku)) is not None), None)
    rules = pricing.rules(driving.family.name, shop, known or max(1, plan.line.unit_price_minor))
    view = view_of(tx, driving.family, situation(tx, pricing.floor, now=now), now=now)
    planned = foresee(view.run, rules, free_h=view.queue_h, now=now, seen=Seen(reserved=view.reserved))
    return max(planned.promise_for(driving.units).at, now + driving.rest)


def find_driving(pricing: Pricing, plan: LinePlan) -> Driving | None:
    """Give what of a line drives its price and promise, None where nothing does."""
    product = next((one for one in pricing.range.products if one.name == plan.product), None)
    family = None if product is None else product.priced_by
    need = next((one for one in plan.requirements if one.family == family), None)
    if product is None or family is None or need is None:
        return None
    return Driving(
        family=pricing.range.families[family],
        units=max(1, math.ceil(need.quantity * need.places)),
        rest=rest_of(product, pricing.range.families),
    )


def view_of(tx: Tx, family: Family, scene: Situation, *, now: datetime) -> RunView:
    """Give the open run of one family as it will be once everything owed has joined it."""
    return _run_view(tx, family, scene, _owed(tx, now=now).get(family.name, ()))


def article_of(tx: Tx, shop: str, sold: Sold, *, now: datetime) -> Article | None:
    """Give what the ledger knows of an article's price, None before its first sight."""
    sku = sold.product.sku
    base = listed(tx, shop, sku, sold.product.currency)
    if base is None:
        return None
    return Article(
        shop=shop,
        sold=sold,
        base=base,
        standing=offers.standing(tx, shop, sku),
        moves=offers.price_moves(tx, shop, sku, base=base, since=now - _DAY),
        lowest=lowest(tx, shop, sku, sold.product.currency, now=now),
    )


def _rests(articles: Sequence[Article], ended: Mapping[str, datetime | None], family: str) -> datetime | None:
    """Give before when no reduction may be announced; nothing of the kind while one is open."""
    if family in ended and ended[family] is None:
        return None
    return rests_until([one.lowest for one in articles if one.lowest is not None], last_ended=ended.get(family))


def _approved(answered: Mapping[proposals.Key, proposals.Proposal], view: RunView) -> Mapping[str, float]:
    """Give which campaigns of this run a person has approved, with their depths."""
    run = None if view.run is None else view.run.run_id
    found = [answered.get((kind, f"{kind}:{view.family}")) for kind in (CAMPAIGN, REDUCTION)]
    return {
        one.kind: one.body["depth"]
        for one in found
        if one is not None and one.state == "approved" and one.body["run"] == run
    }


def _run_view(tx: Tx, chosen: Family, scene: Situation, owed: Sequence[Member]) -> RunView:
    """Give the open run as it will be once everything owed has joined it; those of single customers are others."""
    family, machine = chosen.name, choose_machine(chosen, scene.candidates)
    queue_h, reserved = scene.free_h.get(machine, 0.0), scene.reserved.get(family, ())
    run = next((one for one in collecting.open_runs(tx, family) if one.own is None), None)
    if run is not None:
        found = row(tx, "SELECT state, opened_at FROM runs WHERE run_id = :run", run=run.run_id)
        assert found is not None
        joined = replace(run, members=(*run.members, *owed))
        return RunView(
            family=family,
            machine=machine,
            run=joined,
            state=found["state"],
            opened_at=found["opened_at"],
            queue_h=queue_h,
            reserved=reserved,
        )
    if not owed:
        return RunView(family=family, machine=machine, run=None, queue_h=queue_h, reserved=reserved)
    opening = OpenRun(run_id=0, family=family, setup_key=family, held=None, members=tuple(owed))
    return RunView(family=family, machine=machine, run=opening, queue_h=queue_h, reserved=reserved)


def _owed(tx: Tx, *, now: datetime) -> dict[str, list[Member]]:
    """Give what is ordered and has not joined a run yet, by family, but what gets a run of its own."""
    members: dict[str, list[Member]] = {}
    for need in collecting.owed(tx):
        if need.own is not None:
            continue
        member = Member(
            job_id="",
            order_id=0,
            quantity=need.quantity,
            places=need.places,
            ready=need.ready,
            promise_at=to_time(need.promise_at) if need.promise_at else None,
            placed_at=now,
        )
        members.setdefault(need.family, []).append(member)
    return members
