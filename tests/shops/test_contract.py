"""What every shop must do, run over every entry of the catalog, with the fake in the same row."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import pytest

from gateway.domain.intake import content_hash
from gateway.domain.orders import ShopOrder
from gateway.errors import ShopError, ShopRefusedError
from gateway.shops.base import Prices, Shop
from gateway.shops.catalog import SHOP_TYPES, open_shop
from simulators.shop import FaultKind, RunningShop, Wanted, running_shop
from tests.shops.fake_shop import FakeShop, an_order
from tests.shops.loopback import access_to


class World(Protocol):
    """What a contract test does to a shop from outside."""

    def place(self) -> str: ...
    def reduce(self, order_id: str) -> None: ...
    def cancel(self, order_id: str) -> None: ...
    def break_reads(self) -> None: ...
    def lose_next_answer_to_a_write(self) -> None: ...
    def status_of(self, order_id: str) -> Mapping[str, str]: ...
    def effective_writes(self) -> int: ...
    def price(self, sku: str, price_minor: int) -> None: ...
    def shown(self, sku: str) -> tuple[int, Mapping[str, str]]: ...


@dataclass
class FakeWorld:
    shop: FakeShop

    def place(self) -> str:
        return self.shop.place(an_order(str(1000 + len(self.shop.orders)), quantity=2)).shop_order_id

    def reduce(self, order_id: str) -> None:
        (line,) = self.shop.orders[order_id].lines
        self.shop.edit(order_id, lines=(replace(line, quantity=1),))

    def cancel(self, order_id: str) -> None:
        self.shop.cancel(order_id)

    def break_reads(self) -> None:
        self.shop.fail("pull", times=100)
        self.shop.fail("products", times=100)

    def lose_next_answer_to_a_write(self) -> None:
        self.shop.fail("write_done")
        self.shop.fail("offer_done")

    def status_of(self, order_id: str) -> Mapping[str, str]:
        return self.shop.statuses[order_id]

    def effective_writes(self) -> int:
        return len(self.shop.status_writes) + len(self.shop.offer_writes)

    def price(self, sku: str, price_minor: int) -> None:
        self.shop.sell(sku, price_minor)

    def shown(self, sku: str) -> tuple[int, Mapping[str, str]]:
        return self.shop.price_of(sku), self.shop.offers.get(f"p-{sku}", {})


@dataclass
class SimulatedWorld:
    running: RunningShop

    def place(self) -> str:
        return str(self.running.store.place_order([Wanted(sku="TRAY-12", quantity=2)]).id)

    def reduce(self, order_id: str) -> None:
        line = self.running.store.order(int(order_id)).lines[0]
        self.running.store.refund_line(int(order_id), line.id)

    def cancel(self, order_id: str) -> None:
        self.running.store.set_status(int(order_id), "cancelled")

    def break_reads(self) -> None:
        self.running.faults.put(FaultKind.DOWN, method="GET")

    def lose_next_answer_to_a_write(self) -> None:
        self.running.faults.put(FaultKind.LOST, times=1, method="PUT")

    def status_of(self, order_id: str) -> Mapping[str, str]:
        return {meta.key: meta.value for meta in self.running.store.order(int(order_id)).meta}

    def effective_writes(self) -> int:
        return sum(1 for write in self.running.writes if write.changed)

    def price(self, sku: str, price_minor: int) -> None:
        article = self.running.store.article_of(sku)
        self.running.store.write_article(article.id, {"regular_price": f"{price_minor / 100:.2f}"})

    def shown(self, sku: str) -> tuple[int, Mapping[str, str]]:
        article = self.running.store.article_of(sku)
        return round(float(article.price) * 100), {meta.key: meta.value for meta in article.meta}


@asynccontextmanager
async def a_fake() -> AsyncIterator[tuple[Shop, World]]:
    shop = FakeShop()
    for sku, price_minor in (("TRAY-12", 14_900), ("TRAY-12-B", 15_900), ("MUG-BLUE", 8_900)):
        shop.sell(sku, price_minor)
    yield shop, FakeWorld(shop)


@asynccontextmanager
async def a_woocommerce() -> AsyncIterator[tuple[Shop, World]]:
    async with (
        running_shop(key="ck_canary", secret="cs_canary") as running,
        open_shop(access_to(running.url, per_page=2)) as shop,
    ):
        yield shop, SimulatedWorld(running)


OPENERS: Mapping[str, Callable[[], AbstractAsyncContextManager[tuple[Shop, World]]]] = {
    "fake": a_fake,
    "woocommerce": a_woocommerce,
}


@pytest.fixture(params=sorted(OPENERS))
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Shop, World]]:
    async with OPENERS[request.param]() as opened:
        yield opened


async def all_of(shop: Shop, cursor: str) -> tuple[dict[str, ShopOrder], str]:
    orders: dict[str, ShopOrder] = {}
    async for batch in shop.pull(cursor):
        orders |= {order.shop_order_id: order for order in batch.orders}
        cursor = batch.cursor
    return orders, cursor


def test_every_type_of_the_catalog_is_under_this_contract() -> None:
    assert set(OPENERS) == {"fake", *SHOP_TYPES}


async def test_the_site_is_the_same_every_time_and_not_empty(pair: tuple[Shop, World]) -> None:
    shop, _ = pair
    assert await shop.site()
    assert await shop.site() == await shop.site()


async def test_orders_placed_after_the_first_cursor_come_whole(pair: tuple[Shop, World]) -> None:
    shop, world = pair
    cursor = await shop.first_cursor()
    ids = [world.place() for _ in range(5)]
    orders, _ = await all_of(shop, cursor)
    assert set(orders) == set(ids)
    for order in orders.values():
        assert order.fault is None
        assert order.placed_at.tzinfo is not None
        assert not order.cancelled
        assert [(line.skus, line.quantity, line.fault) for line in order.lines] == [(("TRAY-12",), 2, None)]


async def test_a_pull_from_an_old_cursor_gives_the_same_orders_again(pair: tuple[Shop, World]) -> None:
    shop, world = pair
    cursor = await shop.first_cursor()
    world.place()
    assert await all_of(shop, cursor) == await all_of(shop, cursor)


async def test_a_changed_order_comes_again_in_its_newest_form(pair: tuple[Shop, World]) -> None:
    shop, world = pair
    cursor = await shop.first_cursor()
    first, second = world.place(), world.place()
    _, cursor = await all_of(shop, cursor)
    world.reduce(first)
    world.cancel(second)
    orders, _ = await all_of(shop, cursor)
    assert [line.quantity for line in orders[first].lines] == [1]
    assert orders[second].cancelled


async def test_a_status_written_twice_is_there_once(pair: tuple[Shop, World]) -> None:
    shop, world = pair
    order_id = world.place()
    values = {"_kvot_state": "in_production", "_kvot_progress": "1/2"}
    await shop.write_status(order_id, values)
    await shop.write_status(order_id, values)
    assert world.effective_writes() == 1
    await shop.write_status(order_id, {"_kvot_state": "made"})
    status = world.status_of(order_id)
    assert (status["_kvot_state"], status["_kvot_progress"]) == ("made", "1/2")


async def test_a_write_whose_answer_was_lost_is_an_error_and_may_be_repeated(pair: tuple[Shop, World]) -> None:
    shop, world = pair
    order_id = world.place()
    world.lose_next_answer_to_a_write()
    with pytest.raises(ShopError):
        await shop.write_status(order_id, {"_kvot_state": "made"})
    await shop.write_status(order_id, {"_kvot_state": "made"})
    assert world.status_of(order_id)["_kvot_state"] == "made"
    assert world.effective_writes() == 1


async def test_our_own_status_never_comes_back_as_a_different_order(pair: tuple[Shop, World]) -> None:
    shop, world = pair
    cursor = await shop.first_cursor()
    order_id = world.place()
    before, _ = await all_of(shop, cursor)
    await shop.write_status(order_id, {"_kvot_state": "made"})
    after, _ = await all_of(shop, cursor)
    assert {name: content_hash(order) for name, order in after.items()} == {
        name: content_hash(order) for name, order in before.items()
    }


async def test_what_we_told_of_an_order_can_be_read_again(pair: tuple[Shop, World]) -> None:
    shop, world = pair
    cursor = await shop.first_cursor()
    order_id = world.place()
    before, _ = await all_of(shop, cursor)
    await shop.write_status(order_id, {"_kvot_state": "made"})
    after, _ = await all_of(shop, cursor)
    assert (before[order_id].told, after[order_id].told) == ("", "made")


async def test_a_status_for_an_order_the_shop_does_not_know_is_refused_for_good(pair: tuple[Shop, World]) -> None:
    shop, _ = pair
    for order_id in ("987654321", "no-id-0123456789ab", "../customers/1", ""):
        with pytest.raises(ShopRefusedError):
            await shop.write_status(order_id, {"_kvot_state": "made"})


async def ids_of(prices: Prices) -> dict[str, str]:
    return {product.sku: product.product_id for product in await prices.products()}


def priced(shop: Shop) -> Prices:
    assert isinstance(shop, Prices)
    return shop


OFFER = {"_kvot_promise": "2026-05-08T12:00:00.000000Z", "_kvot_lead_days": "3", "_kvot_run_closes_at": ""}


async def test_every_article_with_a_price_is_told_variations_too(pair: tuple[Shop, World]) -> None:
    shop, world = pair
    world.price("MUG-BLUE", 9_905)
    products = await priced(shop).products()
    told = {product.sku: (product.price_minor, product.currency) for product in products}
    assert len(told) == len(products)
    assert told["TRAY-12"] == (14_900, "SEK")
    assert told["TRAY-12-B"] == (15_900, "SEK")
    assert told["MUG-BLUE"] == (9_905, "SEK")
    assert "TRAY-12-V" not in told  # it has variations, and they have the prices


@pytest.mark.parametrize("sku", ["TRAY-12", "TRAY-12-B"])
async def test_an_offer_written_twice_is_there_once(pair: tuple[Shop, World], sku: str) -> None:
    shop, world = pair
    prices = priced(shop)
    product_id = (await ids_of(prices))[sku]
    before = world.effective_writes()
    await prices.write_offer(product_id, price_minor=17_135, values=OFFER)
    await prices.write_offer(product_id, price_minor=17_135, values=OFFER)
    assert world.effective_writes() == before + 1
    assert world.shown(sku) == (17_135, OFFER)
    assert {product.sku: product.price_minor for product in await prices.products()}[sku] == 17_135


async def test_an_offer_without_a_price_leaves_the_price_alone(pair: tuple[Shop, World]) -> None:
    shop, world = pair
    prices = priced(shop)
    await prices.write_offer((await ids_of(prices))["TRAY-12"], price_minor=None, values=OFFER)
    assert world.shown("TRAY-12") == (14_900, OFFER)


async def test_an_offer_whose_answer_was_lost_is_an_error_and_may_be_repeated(pair: tuple[Shop, World]) -> None:
    shop, world = pair
    prices = priced(shop)
    product_id = (await ids_of(prices))["TRAY-12"]
    before = world.effective_writes()
    world.lose_next_answer_to_a_write()
    with pytest.raises(ShopError):
        await prices.write_offer(product_id, price_minor=13_000, values=OFFER)
    await prices.write_offer(product_id, price_minor=13_000, values=OFFER)
    assert world.shown("TRAY-12") == (13_000, OFFER)
    assert world.effective_writes() == before + 1


async def test_an_offer_for_an_article_the_shop_does_not_know_is_refused_for_good(pair: tuple[Shop, World]) -> None:
    shop, _ = pair
    for product_id in ("987654321", "12/987654321", "no-id", "../orders/1", ""):
        with pytest.raises(ShopRefusedError):
            await priced(shop).write_offer(product_id, price_minor=100, values=OFFER)


async def test_a_shop_that_is_down_tells_no_prices(pair: tuple[Shop, World]) -> None:
    shop, world = pair
    world.break_reads()
    with pytest.raises(ShopError):
        await priced(shop).products()


async def test_a_shop_that_is_down_is_a_shop_error(pair: tuple[Shop, World]) -> None:
    shop, world = pair
    cursor = await shop.first_cursor()
    world.break_reads()
    with pytest.raises(ShopError):
        await all_of(shop, cursor)
