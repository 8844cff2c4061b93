"""The customers place the same orders for the same seed, whatever the pace of the clock."""

from datetime import UTC, datetime, timedelta

import pytest

from simulators.shop import Store, Why
from simulators.shop.customers import Visit, plan

HOUR = timedelta(minutes=60)
OPENING = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)


def visits(seed: int = 7, orders: int = 40, unpaid: int = 3, trouble: bool = False) -> tuple[Visit, ...]:
    return plan(seed=seed, orders=orders, unpaid=unpaid, trouble=trouble, within=HOUR)


def store_of(planned: tuple[Visit, ...], opens_at: datetime | None = OPENING) -> Store:
    return Store(visits=planned, now=OPENING, opens_at=opens_at)


def test_a_seed_fixes_every_order_however_time_goes_by() -> None:
    slow, fast = store_of(visits()), store_of(visits())
    for second in range(3601):
        slow.step(OPENING + timedelta(seconds=second))
    fast.step(OPENING + HOUR)
    assert slow.orders == fast.orders
    assert visits(seed=7) != visits(seed=8)


@pytest.mark.parametrize("seed", range(20))
def test_all_orders_come_within_the_hour_and_n_of_them_are_to_be_made(seed: int) -> None:
    store = store_of(visits(seed=seed))
    store.step(OPENING + HOUR)
    assert store.done
    due = [o for o in store.orders.values() if o.status == "processing" or o.payment_method == "invoice"]
    assert len(due) == store.count(Why.PAID) == store.target(Why.PAID) == 40
    unpaid = [order for order in store.orders.values() if store.why[order.id] is Why.UNPAID]
    assert [(order.status, order.payment_method, order.paid) for order in unpaid] == [("pending", "bacs", None)] * 3
    assert max(order.created for order in store.orders.values()) < OPENING + HOUR


def test_forty_orders_show_all_that_a_gateway_has_to_tell_apart() -> None:
    store = store_of(visits())
    store.step(OPENING + HOUR)
    orders = list(store.orders.values())
    lines = [line for order in orders for line in order.lines]
    skus = {line.article.sku for line in lines}
    assert {"TRAY-12", "TRAY-12-W", "TRAY-12-B", "GIFT-500"} <= skus
    assert any(sku.startswith("MUG-") for sku in skus)
    assert any(order.status == "on-hold" and order.payment_method == "invoice" for order in orders)
    assert any(order.freight for order in orders)
    assert any(isinstance(meta.value, list) for line in lines for meta in line.meta)
    assert {1, 2, 3} <= {line.quantity for line in lines if line.article.sku.startswith("TRAY")}
    assert len({order.created for order in orders}) < len(orders)  # two in the same second


@pytest.mark.parametrize("seed", range(20))
def test_what_is_to_be_made_can_be_made(seed: int) -> None:
    for visit in visits(seed=seed, orders=100):
        for line in visit.lines:
            if line.sku.startswith("TRAY"):
                assert 0 < float(line.options["width_mm"]) <= 120
                assert 0 < len(line.options["engraving"]) <= 20


def test_trouble_comes_on_top_and_is_one_unknown_article_and_one_bad_width() -> None:
    store = store_of(visits(trouble=True))
    store.step(OPENING + HOUR)
    assert store.count(Why.PAID) == 40
    troubled = [store.orders[number].lines[0] for number, why in store.why.items() if why is Why.TROUBLE]
    assert sorted(line.article.sku for line in troubled) == ["LAMP-9", "TRAY-12"]
    assert "9999" in {meta.value for line in troubled for meta in line.meta}


def test_customers_wait_until_the_shop_is_opened_and_can_be_stopped() -> None:
    store = store_of(visits(), opens_at=None)
    store.step(OPENING + timedelta(hours=5))
    assert store.orders == {}
    store.open(OPENING + timedelta(hours=5))
    store.step(OPENING + timedelta(hours=5, minutes=30))
    half = store.count(Why.PAID)
    store.stop(OPENING + timedelta(hours=5, minutes=30))
    store.step(OPENING + timedelta(hours=9))
    assert 0 < half == store.count(Why.PAID) < 40
    store.open(OPENING + timedelta(hours=9))
    store.step(OPENING + timedelta(hours=9, minutes=30))
    assert store.done


def test_an_order_is_there_from_its_own_second_on_and_not_before() -> None:
    store = store_of(visits())
    last = visits()[-1].after
    store.step(OPENING + last - timedelta(seconds=1))
    assert not store.done
    store.step(OPENING + last)
    assert max(order.created for order in store.orders.values()) == OPENING + last


def test_time_never_goes_back() -> None:
    store = store_of(visits())
    store.step(OPENING + HOUR)
    store.step(OPENING)
    assert store.now == OPENING + HOUR
