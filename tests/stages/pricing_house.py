"""A small factory whose runs collect and price themselves: one family by distance, one by count-down."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from drivers.profile import Recipe
from gateway.domain.calendars import parse_calendar
from gateway.domain.intake import Catalogue, DueRule
from gateway.domain.pricing import (
    CampaignRules,
    Capacity,
    Costs,
    Demand,
    Distance,
    FamilyRules,
    Mode,
    Policy,
    PriceRules,
    PromiseRules,
    Release,
    RunRules,
)
from gateway.domain.products import Family, Product, Range, Step
from gateway.ledger import machines, offers, outbox
from gateway.ledger.database import Ledger, open_ledger
from gateway.ledger.sql import rows
from gateway.shops.base import Prices, Shop
from gateway.stages.board import Board
from gateway.stages.intake import Intake, bind, pull_once
from gateway.stages.plan import Floor, plan_once
from gateway.stages.price import Rounds
from gateway.stages.pricing import Pricing, promise_at_intake
from tests.shops.fake_shop import FakeShop, an_order
from tests.stages.factory import LOG, TestClock

SHOP = "webshop"
RECIPE = Recipe(version="1", parameters={})
START = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
RUN = RunRules(places=10, threshold=4, release=Release.LATEST_START, window_h=48)
RULES: Mapping[str, FamilyRules] = {
    name: FamilyRules(
        policy=policy,
        run=RUN,
        price=PriceRules(
            list_minor=10_000,
            currency="SEK",
            auto=(0.9, 1.2),
            hard=(0.85, 1.25),
            max_per_day=1.0,
            moves_per_day=1000,
        ),
        costs=Costs(unit_minor=3000, setup_minor=20_000, setup_h=1),
        capacity=Capacity(rate_h=10, margin_h=1),
        calendar=parse_calendar("always", zone=UTC),
        demand=Demand(visitors_h=2, conversion=0.1, lead_slope_day=0.1),
        distance=Distance(far=1.15, near=0.95, campaign_below_h=6),
        promise=PromiseRules(static_days=5),
        campaign=CampaignRules(cost_per_click_minor=1),
    )
    for name, policy in (("white", Policy.DISTANCE), ("black", Policy.COUNTDOWN))
}


def _step(family: str) -> Step:
    return Step(operation="bake", family=family, recipe="tray", parameters={}, drives_price=True)


FAMILIES = {
    **{
        name: Family(name=name, machines=("oven-1",), static_days=5, policy=rules.policy, run=RUN)
        for name, rules in RULES.items()
    },
    "press": Family(name="press", machines=("press-1",), static_days=1),
}
PRODUCTS = (
    Product(name="WHITE", make=True, route=(_step("white"),)),
    Product(name="BLACK", make=True, route=(_step("black"),)),
    Product(
        name="PRESSED",
        make=True,
        route=(Step(operation="press", family="press", recipe="tray", parameters={}), _step("black")),
    ),
    Product(name="PLAIN", make=True, route=(Step(operation="press", family="press", recipe="tray", parameters={}),)),
    Product(name="GIFT-*", make=False),
)
MACHINES = ("oven-1", "press-1")


@dataclass(kw_only=True)
class House:
    """The parts, and short ways to run and read them."""

    ledger: Ledger
    shop: FakeShop
    clock: TestClock
    board: Board = field(default_factory=Board)
    mode: Mode = Mode.AUTO
    rules: dict[str, FamilyRules] = field(default_factory=lambda: dict(RULES))
    shops: Mapping[str, Prices] | None = None
    write_back: frozenset[str] = frozenset({SHOP})
    periods_s: Mapping[str, float] = field(default_factory=dict)
    advise_for: timedelta = timedelta(0)
    _rounds: Rounds | None = None

    @property
    def pricing(self) -> Pricing:
        return Pricing(
            floor=Floor(families=FAMILIES, machines=MACHINES, rules=self.rules, by_hand=frozenset(MACHINES)),
            range=Range(products=PRODUCTS, families=FAMILIES),
            rules=self._rules,
            mode=self.mode,
            advise_for=self.advise_for,
            shops={SHOP: self.shop} if self.shops is None else self.shops,
            write_back=self.write_back,
            periods_s=self.periods_s,
        )

    @property
    def rounds(self) -> Rounds:
        """Give the stage of this life of the gateway."""
        if self._rounds is None:
            self._rounds = self.another_writer()
        return self._rounds

    def another_writer(self) -> Rounds:
        return Rounds(self.pricing, ledger=self.ledger, board=self.board, clock=self.clock, log=LOG)

    def restart(self) -> None:
        """Begin another life: what was only remembered is gone."""
        self._rounds, self.board = None, Board()

    def _rules(self, family: str, _shop: str | None, list_minor: int | None) -> FamilyRules:
        if family not in self.rules:
            raise ValueError(f"no rules for {family}")
        rules = self.rules[family]
        return rules if list_minor is None else replace(rules, price=replace(rules.price, list_minor=list_minor))

    @property
    def source(self) -> Intake:
        return Intake(
            shop=SHOP,
            poll_s=1.0,
            rule=DueRule(states=frozenset({"processing"})),
            catalogue=Catalogue(range=self.pricing.range, recipe=lambda _machine, _recipe: RECIPE),
            erase_after=timedelta(days=90),
            promising=lambda tx, shop, plan, now: promise_at_intake(tx, self.pricing, shop, plan, now),
        )

    async def price(self, *, minutes: float = 0.0, read: bool = False) -> None:
        """Let time pass, then read the shop's prices if asked, and make a round."""
        self.clock.business += timedelta(minutes=minutes)
        if read or SHOP not in self.rounds.sold:
            for shop in self.pricing.shops:
                await self.rounds.read(shop)
        await self.rounds.once()

    async def buy(self, number: str, sku: str, *, quantity: int = 1, ago_s: float = 0.0, **more: Any) -> dict[str, Any]:
        """Place an order, take it, let it join its run; give its line."""
        placed = self.clock.now() - timedelta(seconds=ago_s)
        self.shop.place(an_order(number, sku=sku, quantity=quantity, placed_at=placed, **more))
        await pull_once(self.source, self.shop, ledger=self.ledger, clock=self.clock, log=LOG)
        floor = self.pricing.floor
        await self.ledger.write(lambda tx: plan_once(tx, floor, site="LUND", epoch=1, now=self.clock.now()))
        return (await self.read("SELECT * FROM order_lines ORDER BY line_id DESC LIMIT 1"))[0]

    async def tell(self) -> None:
        """Let the shop take every offer that waits, as the report stage does."""
        for fact in await self.waiting():
            await self.tell_one(fact)

    async def tell_one(self, fact: outbox.Fact) -> None:
        """Let the shop take one offer."""
        body = fact.body
        await self.shop.write_offer(body["product_id"], price_minor=body["price_minor"], values=body["values"])

        def taken(tx: Any) -> None:
            offers.shown(tx, body, now=self.clock.now())
            outbox.delivered(tx, fact.destination, [fact.seq])

        await self.ledger.write(taken)

    async def waiting(self) -> list[outbox.Fact]:
        """Give the offers the shop has yet to hear."""
        now = self.clock.now()
        return await self.ledger.read(
            partial(outbox.pending, destination=f"shop:{SHOP}", limit=1000, now=now, kind="offer:")
        )

    async def read(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        return await self.ledger.read(lambda tx: [dict(one) for one in rows(tx, sql, **values)])

    async def offers(self, sku: str) -> list[dict[str, Any]]:
        """Give the offer log of an article, oldest first."""
        return await self.read("SELECT * FROM offers WHERE sku = :sku ORDER BY offer_id", sku=sku)

    async def facts(self, type_: str) -> list[dict[str, Any]]:
        """Give the facts of a type that were posted for MQTT."""
        now = self.clock.now()
        found = await self.ledger.read(lambda tx: outbox.pending(tx, "mqtt", limit=10_000, now=now))
        return [fact.body for fact in found if fact.body["type"] == type_]


@asynccontextmanager
async def a_house(state_dir: Path, *, shop: FakeShop | None = None, **more: Any) -> AsyncIterator[House]:
    """Open a house whose shop sells the three articles at 100.00."""
    clock = TestClock(business=more.pop("at", START))
    chosen = shop or FakeShop()
    if shop is None:
        for sku in ("WHITE", "BLACK", "PRESSED", "GIFT-1"):
            chosen.sell(sku, 10_000)
    async with open_ledger(state_dir, site="LUND", commit_interval_s=0.001) as ledger:
        house = House(ledger=ledger, shop=chosen, clock=clock, **more)
        port: Shop = chosen
        await bind(house.source, port, ledger=ledger, clock=clock)
        for name in MACHINES:
            await ledger.write(partial(machines.enrol, machine=name))
        yield house
