"""What planning costs: one plan at a thousand open orders, and a round of prices over two thousand families.

`python -m tests.bench.planning [--families 2000]`. A round is what the price stage does each minute: it reads, plans,
logs and shows every family, each with an article and every tenth with a run that collects. Beside it a task asks the
loop for every turn: the most CPU that passed in the loop's thread between two turns is how long the loop was held, on a
busy computer too.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import structlog

from gateway.domain.pricing import FamilyRules, Mode, OpenOrder, Policy, RunInputs, RunRules, Seen, plan
from gateway.domain.products import Family, Product, Range, Step
from gateway.ledger import machines
from gateway.ledger.database import Ledger, open_ledger
from gateway.stages.board import Board
from gateway.stages.intake import bind, pull_once
from gateway.stages.plan import Floor, plan_once
from gateway.stages.price import Rounds
from gateway.stages.pricing import Pricing
from tests.domain.pricing.cases import OFFICE, START
from tests.shops.fake_shop import FakeShop, an_order
from tests.stages.factory import TestClock
from tests.stages.pricing_house import SHOP, House

ORDERS, PLANS, ROUNDS = 1000, 400, 3
BUSY = 10  # every tenth family has a run
_STEP = Step(operation="bake", family="", recipe="tray", parameters={}, drives_price=True)
LOG = structlog.get_logger("bench")


def one_plan() -> None:
    """Print what a plan takes with so many open orders, one after the other."""
    chance = random.Random(1)
    rules = replace(OFFICE, run=replace(OFFICE.run, places=2 * ORDERS))
    orders = tuple(
        OpenOrder(units=1, promise=START + timedelta(hours=200 + 100 * chance.random()), placed=START, order_id=str(n))
        for n in range(ORDERS)
    )
    inputs, spent = RunInputs(rules=rules, seen=Seen(orders=orders)), []
    for minute in range(PLANS):
        begun = time.perf_counter()
        plan(inputs, START + timedelta(minutes=minute))
        spent.append(1000 * (time.perf_counter() - begun))
    spent.sort()
    p99 = spent[int(0.99 * len(spent))]
    median = statistics.median(spent)
    _say(f"one plan at {ORDERS} open orders: {spent[0]:.2f} ms least, {median:.2f} median, {p99:.2f} p99 (goal 5)")


async def rounds(families: int) -> None:
    """Print what rounds over so many families take, and how long they hold the loop."""
    with tempfile.TemporaryDirectory(prefix="kvot-bench-") as directory:
        async with open_ledger(Path(directory), site="LUND") as ledger:
            stage = await _furnish(ledger, families)
            await stage.read(SHOP)
            for number in range(1, ROUNDS + 1):
                spent_s, cpu_s, held_ms = await _watched(stage)
                what = "first round, every offer is new" if number == 1 else f"round {number}, nothing is new"
                held = f"loop held {held_ms:.1f} ms of CPU at most (goal 20)"
                _say(f"{families} families, {what}: {spent_s:.1f} s (goal 60), {cpu_s:.1f} s of CPU; {held}")


async def _furnish(ledger: Ledger, families: int) -> Rounds:
    names = [f"family-{number:04}" for number in range(families)]
    run = RunRules(places=120, threshold=44, release=OFFICE.run.release)
    made = {
        name: Family(name=name, machines=(f"oven-{number % 20}",), static_days=5, policy=Policy.COUNTDOWN, run=run)
        for number, name in enumerate(names)
    }
    products = tuple(Product(name=name.upper(), make=True, route=(replace(_STEP, family=name),)) for name in names)
    places = tuple(f"oven-{number}" for number in range(20))
    rules = dict.fromkeys(names, OFFICE)
    floor = Floor(families=made, machines=places, rules=rules, by_hand=frozenset(places))
    shop, clock = FakeShop(), TestClock(business=START)
    for name in names:
        shop.sell(name.upper(), OFFICE.price.list_minor)
    pricing = Pricing(
        floor=floor,
        range=Range(products=products, families=made),
        rules=partial(_rules, rules),
        mode=Mode.AUTO,
        shops={SHOP: shop},
        write_back=frozenset({SHOP}),
    )
    plain = House(ledger=ledger, shop=shop, clock=clock).source
    catalogue = replace(plain.catalogue, range=pricing.range)
    source = replace(plain, catalogue=catalogue, promising=lambda *_: START + timedelta(days=4))
    await bind(source, shop, ledger=ledger, clock=clock)
    for place in places:
        await ledger.write(partial(machines.enrol, machine=place))
    for number, name in enumerate(names[::BUSY]):
        shop.place(an_order(str(number), sku=name.upper(), quantity=20, placed_at=START))
    await pull_once(source, shop, ledger=ledger, clock=clock, log=LOG)
    await ledger.write(lambda tx: plan_once(tx, floor, site="LUND", epoch=1, now=START))
    return Rounds(pricing, ledger=ledger, board=Board(), clock=clock, log=LOG)


def _rules(rules: dict[str, FamilyRules], family: str, _shop: str | None, _list_minor: int | None) -> FamilyRules:
    return rules[family]


async def _watched(stage: Rounds) -> tuple[float, float, float]:
    """Make a round; give its seconds, its CPU, and the most CPU of the loop's thread between two turns, ms."""
    most_s, done = 0.0, False

    async def watch() -> None:
        nonlocal most_s
        before = time.thread_time()
        while not done:
            await asyncio.sleep(0)
            most_s, before = max(most_s, time.thread_time() - before), time.thread_time()

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    began, cpu = time.perf_counter(), time.process_time()
    await stage.once()
    spent_s, cpu_s, done = time.perf_counter() - began, time.process_time() - cpu, True
    await watching
    return spent_s, cpu_s, 1000 * most_s


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", type=int, default=2000)
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    one_plan()
    asyncio.run(rounds(asked.families))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
