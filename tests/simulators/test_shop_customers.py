"""The customers place the same orders for the same seed and window, and buy by price, promise and campaign."""

from datetime import UTC, datetime, timedelta

import pytest

from simulators.shop import Store, Why
from simulators.shop.appeal import Look, Taste, Window
from simulators.shop.crowd import Crowd, Visitor, passers
from simulators.shop.customers import Visit, Wares, plan

HOUR = timedelta(minutes=60)
OPENING = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
USUAL = Look()


def visits(seed: int = 7, orders: int = 40, unpaid: int = 3, trouble: bool = False) -> tuple[Visit, ...]:
    return plan(seed=seed, orders=orders, unpaid=unpaid, trouble=trouble, within=HOUR)


def store_of(planned: tuple[Visit, ...], opens_at: datetime | None = OPENING, *, seed: int = 7) -> Store:
    orders = sum(visit.why is Why.PAID for visit in planned)
    visitors = passers(seed=seed, orders=orders, within=HOUR, taste=Taste())
    return Store(crowd=Crowd(planned, visitors), now=OPENING, opens_at=opens_at)


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
    """A crowd of nobody but those who find no good moment: each order is placed at its latest one."""
    planned = visits()
    store = Store(crowd=Crowd(planned), now=OPENING, opens_at=OPENING)
    last = planned[-1].after
    store.step(OPENING + last - timedelta(seconds=1))
    assert not store.done
    store.step(OPENING + last)
    assert max(order.created for order in store.orders.values()) == OPENING + last


def test_time_never_goes_back() -> None:
    store = store_of(visits())
    store.step(OPENING + HOUR)
    store.step(OPENING)
    assert store.now == OPENING + HOUR


# What they make of price and promise


def a_crowd(seed: int, *, orders: int = 60) -> Crowd:
    planned = plan(seed=seed, orders=orders, unpaid=0, trouble=False, within=HOUR, wares=Wares.ALL)
    return Crowd(planned, passers(seed=seed, orders=orders, within=HOUR, taste=Taste()))


def sold(crowd: Crowd, see: dict[str, Look], *, until: timedelta = HOUR) -> list[tuple[timedelta, Visit]]:
    """Give who has bought what by then, with the moment."""
    found: list[tuple[timedelta, Visit]] = []
    while (after := crowd.next_after) is not None and after <= until:
        found += [(after, visit) for visit in crowd.pass_by(lambda sku: see.get(sku, USUAL))]
    return found


def plates(found: list[tuple[timedelta, Visit]], sku: str) -> int:
    return sum(line.sku == sku for _, visit in found for line in visit.lines)


SEEDS = range(12)
BEFORE_THE_RUSH = HOUR * 0.75  # who found no good moment comes after that


def bought(see: dict[str, Look], sku: str, *, until: timedelta = BEFORE_THE_RUSH) -> int:
    return sum(plates(sold(a_crowd(seed), see, until=until), sku) for seed in SEEDS)


@pytest.mark.parametrize(
    "worse", [Look(dearer_percent=30), Look(later_percent=150), Look(dearer_percent=15, later_percent=80)]
)
def test_what_is_dearer_or_takes_longer_than_usual_is_bought_less(worse: Look) -> None:
    assert bought({"PLATE-W-1": worse}, "PLATE-W-1") < 0.8 * bought({}, "PLATE-W-1")


def test_what_is_cheaper_and_comes_sooner_is_bought_more() -> None:
    better = Look(dearer_percent=-10, later_percent=-80)
    assert bought({"PLATE-W-1": better}, "PLATE-W-1") > 1.2 * bought({}, "PLATE-W-1")


def test_who_would_take_either_colour_takes_the_more_attractive_one() -> None:
    dear, cheap = {"PLATE-W-1": Look(dearer_percent=30)}, {"PLATE-W-1": Look(dearer_percent=-30)}
    assert bought(dear, "PLATE-B-1", until=HOUR) > bought({}, "PLATE-B-1", until=HOUR)
    assert bought(cheap, "PLATE-B-1", until=HOUR) < bought({}, "PLATE-B-1", until=HOUR)


def test_a_campaign_brings_more_visitors() -> None:
    campaign = {"PLATE-W-1": Look(campaign=True)}
    assert bought(campaign, "PLATE-W-1") > 1.3 * bought({}, "PLATE-W-1")


def test_who_was_asked_by_a_campaign_looks_only_at_what_it_is_open_for() -> None:
    planned = plan(seed=3, orders=40, unpaid=0, trouble=False, within=HOUR, wares=Wares.ALL)
    asked = [Visitor(after=timedelta(seconds=n), wants=n / 40, doubts=0.0, asked=True) for n in range(40)]
    silent, loud = Crowd(planned, asked), Crowd(planned, asked)
    assert sold(silent, {}, until=HOUR / 2) == []
    found = sold(loud, {"SET-12": Look(campaign=True)}, until=HOUR / 2)
    assert silent.clicks == 0
    assert len(found) - 1 <= loud.clicks < len(asked)  # who finds nothing left of it is not a visitor
    others = [visit for _, visit in found if plates([(HOUR, visit)], "SET-12") == 0]
    assert len(found) > len(others) <= 1  # but for the one who comes in the same second as another


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "look", [USUAL, Look(dearer_percent=500), Look(dearer_percent=-90, later_percent=-100, campaign=True)]
)
def test_whatever_the_shop_shows_each_planned_order_is_placed_once_and_in_time(seed: int, look: Look) -> None:
    skus = ("PLATE-W-1", "PLATE-B-1", "SET-12", "TRAY-12", "TRAY-12-W", "TRAY-12-B", "MUG-RED", "MUG-BLUE", "GIFT-500")
    crowd = a_crowd(seed, orders=20)
    found = sold(crowd, dict.fromkeys(skus, look))
    assert sorted(visit.customer for _, visit in found) == list(range(1, 21))
    assert crowd.done
    assert all(line.instead == "" for _, visit in found for line in visit.lines)


def test_as_long_as_nothing_moves_most_orders_come_evenly_over_the_hour() -> None:
    moments = [after for seed in SEEDS for after, _ in sold(a_crowd(seed), {})]
    thirds = [sum(HOUR / 3 * n <= after < HOUR / 3 * (n + 1) for after in moments) for n in range(3)]
    assert min(thirds) > 0.6 * max(thirds)


def test_visitors_remember_the_first_price_and_the_first_lead_they_saw() -> None:
    store = store_of(visits(), opens_at=None)
    article = store.article_of("PLATE-W-1")
    window = Window(store.articles.values())
    assert window.look(article, OPENING) == USUAL

    def shown(price: str, hours: float, campaign: str = "") -> Look:
        meta = [
            {"key": "_kvot_promise", "value": (OPENING + timedelta(hours=hours)).isoformat()},
            {"key": "_kvot_campaign", "value": campaign},
        ]
        store.write_article(article.id, {"regular_price": price, "meta_data": meta})
        window.notice(store.article_of("PLATE-W-1"), OPENING)
        return window.look(store.article_of("PLATE-W-1"), OPENING)

    assert shown("129.00", 40) == USUAL
    later = shown("141.90", 60, "visibility")
    assert (round(later.dearer_percent, 6), later.later_percent, later.campaign) == (10, 50, True)
    assert shown("129.00", -5).later_percent == -100
    store.write_article(article.id, {"meta_data": [{"key": "_kvot_promise", "value": "soon"}]})
    assert window.look(store.article_of("PLATE-W-1"), OPENING).later_percent == 0


def test_the_log_odds_fall_with_price_and_lead_from_the_usual_conversion() -> None:
    taste = Taste(conversion=0.2, price_slope_percent=0.03, lead_slope_percent=0.006)
    assert taste.chance(taste.liking(USUAL)) == pytest.approx(0.2)
    assert taste.liking(Look(dearer_percent=10, later_percent=40)) == pytest.approx(-0.54)
