"""A plan is quick enough to be made on every order: below 5 ms at a thousand open orders."""

import random
from dataclasses import replace
from datetime import timedelta
from time import perf_counter

from gateway.domain.pricing import FamilyRules, OpenOrder, RunInputs, Seen, Shipping, plan
from tests.domain.pricing.cases import HOUSE, OFFICE, START


def _best_ms(rules: FamilyRules) -> float:
    chance = random.Random(1)
    rules = replace(rules, run=replace(rules.run, places=2000))
    orders = tuple(
        OpenOrder(units=1, promise=START + timedelta(hours=200 + 100 * chance.random()), placed=START, order_id=str(n))
        for n in range(1000)
    )
    inputs = RunInputs(rules=rules, seen=Seen(orders=orders))
    spent = []
    for minute in range(40):
        begun = perf_counter()
        plan(inputs, START + timedelta(minutes=minute))
        spent.append(perf_counter() - begun)
    return 1000 * min(spent)  # the others had to share the processor


def test_a_thousand_open_orders_are_planned_within_five_milliseconds() -> None:
    assert _best_ms(HOUSE) < 5
    assert _best_ms(OFFICE) < 5
    assert _best_ms(replace(OFFICE, shipping=Shipping(hours=24))) < 5
