"""Walking through a shop's changes: nothing is lost, and a shop that lies is not believed."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from gateway.domain.orders import ShopOrder
from gateway.errors import ShopError
from gateway.shops import woocommerce
from gateway.shops.base import Batch, Shop
from gateway.shops.catalog import open_shop
from gateway.shops.woocommerce import Cursor, site_address
from tests.shops.loopback import NOW, Question, access_to, response, serving
from tests.shops.lying_shop import LyingShop, Rows, at
from tests.shops.rows import a_refund

LONG_AGO = at(86_400)


@asynccontextmanager
async def opened(lying: LyingShop, **fields: Any) -> AsyncIterator[Shop]:
    async with serving(lying) as served, open_shop(access_to(served.url, **fields)) as shop:
        yield shop


async def pulled(lying: LyingShop, *, start: str | None = None, **fields: Any) -> list[Batch]:
    cursor = start or Cursor(read_to=at(3600), since=LONG_AGO).text()
    async with opened(lying, **fields) as shop:
        return [batch async for batch in shop.pull(cursor)]


def orders_of(batches: Sequence[Batch]) -> list[ShopOrder]:
    return [order for batch in batches for order in batch.orders]


def ids_of(batches: Sequence[Batch]) -> set[int]:
    return {int(order.shop_order_id) for order in orders_of(batches)}


def read_to(batch: Batch) -> Any:
    return Cursor.parse(batch.cursor).read_to


async def test_all_changes_come_in_bounded_batches_and_the_cursor_ends_at_the_shops_clock_less_the_lag() -> None:
    lying = LyingShop()
    for place in range(23):
        lying.place(1 + place, at(1000 - place * 7))
    batches = await pulled(lying, per_page=5)
    assert ids_of(batches) == set(range(1, 24))
    assert all(len(batch.orders) <= 5 for batch in batches)
    assert read_to(batches[-1]) == at(5)


async def test_the_question_is_asked_without_a_zone_and_starts_before_the_cursor() -> None:
    lying = LyingShop()
    async with serving(lying) as served, open_shop(access_to(served.url)) as shop:
        assert [batch async for batch in shop.pull("2026-05-04T09:00:00/since/2026-05-01T00:00:00")]
    query = served.questions[-1].query
    assert query["modified_after"] == "2026-05-04T08:58:00"
    assert query["dates_are_gmt"] == "true"
    assert (query["orderby"], query["order"], query["page"]) == ("modified", "asc", "1")


async def test_the_cursor_never_passes_a_row_that_may_have_a_twin_on_the_next_page() -> None:
    lying = LyingShop()
    for order_id, age in ((1, 600), (2, 500), (3, 500), (4, 400)):
        lying.place(order_id, at(age))
    batches = await pulled(lying, per_page=2)
    assert ids_of(batches) == {1, 2, 3, 4}
    assert read_to(batches[0]) == at(501)


async def test_many_orders_of_one_second_are_neither_lost_nor_looped_over() -> None:
    lying = LyingShop()
    for order_id in range(1, 12):
        lying.place(order_id, at(300))
    lying.place(50, at(299))
    lying.place(51, at(100))
    batches = await pulled(lying, per_page=3)
    assert ids_of(batches) == {*range(1, 12), 50, 51}
    assert lying.pages < 15


async def test_an_order_that_changes_while_pages_are_read_hides_no_other() -> None:
    lying = LyingShop()
    for order_id in range(1, 10):
        lying.place(order_id, at(1000 - order_id * 10))

    def finish_one(_: Question, page: int) -> None:
        if 1 < page < 11:
            lying.place(page - 1, at(10), status="completed")

    lying.before_page = finish_one
    assert ids_of(await pulled(lying, per_page=2)) == set(range(1, 10))


async def test_an_order_that_leaves_a_crowded_second_hides_no_other() -> None:
    lying = LyingShop()
    for order_id in range(1, 10):
        lying.place(order_id, at(300))
    moved = count(1)

    def leave(question: Question, _: int) -> None:
        if question.query["page"] == "2" and next(moved) == 1:
            lying.place(1, at(10))

    lying.before_page = leave
    batches = await pulled(lying, per_page=4)
    assert ids_of(batches) == set(range(1, 10))


async def test_a_crowded_second_that_never_stands_still_is_an_error_not_a_loss() -> None:
    lying = LyingShop()
    for order_id in range(1, 40):
        lying.place(order_id, at(300))
    leaving = count(1)

    def leave(question: Question, _: int) -> None:
        if question.query["page"] == "2":
            lying.place(next(leaving), at(10))

    lying.before_page = leave
    with pytest.raises(ShopError, match="cannot be read completely"):
        await pulled(lying, per_page=4)


async def test_pages_that_repeat_for_ever_are_an_error() -> None:
    lying = LyingShop()
    for order_id in range(1, 10):
        lying.place(order_id, at(300))
    lying.spoil = lambda question, rows: (
        [lying.rows[n] for n in range(4)] if "modified_before" in question.query else rows
    )
    with pytest.raises(ShopError, match="cannot be read completely"):
        await pulled(lying, per_page=4)
    assert lying.pages < 20


async def test_rows_from_outside_the_filter_are_an_error() -> None:
    lying = LyingShop(ignore_filter=True)
    lying.place(1, at(50_000))
    lying.place(2, at(100))
    with pytest.raises(ShopError, match="outside the time asked for"):
        await pulled(lying)


async def test_rows_in_another_order_are_an_error() -> None:
    lying = LyingShop(spoil=lambda _, rows: rows[::-1])
    lying.place(1, at(200))
    lying.place(2, at(100))
    with pytest.raises(ShopError, match="not sorted"):
        await pulled(lying)


async def test_a_page_with_fewer_rows_than_the_shop_counts_is_an_error() -> None:
    lying = LyingShop(spoil=lambda _, rows: rows[:-1])
    lying.place(1, at(200))
    lying.place(2, at(100))
    with pytest.raises(ShopError, match="counts 2 changed orders but gave 1"):
        await pulled(lying)


async def test_without_a_count_a_full_page_is_followed_by_another() -> None:
    lying = LyingShop(total=lambda _: None)
    for order_id in range(1, 6):
        lying.place(order_id, at(1000 - order_id * 10))
    assert ids_of(await pulled(lying, per_page=2)) == {1, 2, 3, 4, 5}


async def test_anything_but_a_list_is_an_error() -> None:
    lying = LyingShop(spoil=lambda _, __: {"orders": []})
    with pytest.raises(ShopError, match="did not come as a list"):
        await pulled(lying)


async def test_one_order_without_a_time_of_change_is_set_aside_and_the_rest_comes() -> None:
    def rename(_: Question, rows: Rows) -> Rows:
        return [row if row["id"] != 2 else {"id": 2, "modified": "x"} for row in rows]

    lying = LyingShop(spoil=rename)
    for order_id in (1, 2, 3):
        lying.place(order_id, at(1000 - order_id * 10))
    orders = {order.shop_order_id: order for order in orders_of(await pulled(lying))}
    assert set(orders) == {"1", "2", "3"}
    assert "date_modified_gmt: is missing" in str(orders["2"].fault)
    assert orders["1"].fault is orders["3"].fault is None


async def test_all_orders_without_a_time_of_change_are_an_error() -> None:
    lying = LyingShop(spoil=lambda _, rows: [{"id": row["id"]} for row in rows])
    lying.place(1, at(200))
    lying.place(2, at(100))
    with pytest.raises(ShopError, match="date_modified_gmt"):
        await pulled(lying)


async def test_a_row_that_is_no_order_at_all_is_set_aside_under_a_made_up_id() -> None:
    lying = LyingShop(spoil=lambda _, rows: [*rows, None], total=lambda found: str(found + 1))
    lying.place(1, at(200))
    good, bad = orders_of(await pulled(lying))
    assert (good.shop_order_id, good.fault) == ("1", None)
    assert bad.shop_order_id.startswith("no-id-")
    assert bad.fault


async def test_a_repeated_row_of_a_page_comes_once() -> None:
    lying = LyingShop(spoil=lambda _, rows: [rows[0], *rows])
    lying.place(1, at(200))
    assert len(orders_of(await pulled(lying))) == 1


async def test_a_shop_clock_that_went_back_loses_no_order() -> None:
    lying = LyingShop(now=at(3600))
    lying.place(1, at(3605))
    # The cursor was stored while the shop's clock was an hour fast.
    ahead = Cursor(read_to=NOW, since=LONG_AGO).text()
    batches = await pulled(lying, start=ahead)
    assert ids_of(batches) == {1}
    assert read_to(batches[-1]) == at(3605)


async def test_orders_stamped_after_the_shops_own_clock_do_not_draw_the_cursor_along() -> None:
    lying = LyingShop()
    lying.place(1, NOW + timedelta(hours=1))
    for order_id in range(2, 6):
        lying.place(order_id, NOW + timedelta(hours=2, seconds=order_id))
    batches = await pulled(lying, per_page=2)
    assert ids_of(batches) == {1, 2, 3, 4, 5}
    assert all(read_to(batch) <= at(5) for batch in batches)


async def test_a_walk_has_a_bound_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(woocommerce, "PAGES_MAX", 3)
    lying = LyingShop()
    for order_id in range(1, 20):
        lying.place(order_id, at(2000 - order_id * 10))
    cursor: str | None = None
    seen: set[int] = set()
    for _ in range(10):
        batches = await pulled(lying, per_page=3, overlap_s=2, start=cursor)
        seen |= ids_of(batches)
        if not batches:
            break
        cursor = batches[-1].cursor
    assert seen == set(range(1, 20))


async def test_a_bounded_walk_that_gets_nowhere_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(woocommerce, "PAGES_MAX", 3)
    lying = LyingShop()
    for order_id in range(1, 20):
        lying.place(order_id, NOW + timedelta(seconds=order_id * 10))
    start = Cursor(read_to=at(5), since=LONG_AGO).text()
    with pytest.raises(ShopError, match="ahead of the shop's own clock"):
        await pulled(lying, per_page=3, start=start)


async def test_a_quiet_shop_moves_the_cursor_only_now_and_then() -> None:
    lying = LyingShop()
    assert await pulled(lying, start=Cursor(read_to=at(30), since=LONG_AGO).text()) == []
    (batch,) = await pulled(lying, start=Cursor(read_to=at(300), since=LONG_AGO).text())
    assert (batch.orders, read_to(batch)) == ((), at(5))


async def test_orders_placed_before_the_first_cursor_are_not_ours() -> None:
    lying = LyingShop()
    lying.place(1, at(100), date_created_gmt="2020-01-01T00:00:00", status="completed")
    lying.place(2, at(100), date_created_gmt="2026-05-04T09:58:00")
    async with opened(lying) as shop:
        first = await shop.first_cursor()
    assert Cursor.parse(first) == Cursor(read_to=at(5), since=NOW)
    start = Cursor(read_to=at(3600), since=at(3600)).text()
    assert ids_of(await pulled(lying, start=start)) == {2}


async def test_a_cart_in_the_making_is_not_an_order_yet() -> None:
    lying = LyingShop()
    lying.place(1, at(100), status="checkout-draft")
    lying.place(2, at(100), status="pending")
    assert ids_of(await pulled(lying)) == {2}


async def test_refunds_are_read_with_the_orders_that_have_some() -> None:
    lying = LyingShop(refunds=lambda _: response([a_refund()]))
    lying.place(1, at(100), refunds=[{"id": 50, "total": "-149.00"}])
    lying.place(2, at(100))
    quantities = {order.shop_order_id: order.lines[0].quantity for order in orders_of(await pulled(lying))}
    assert quantities == {"1": 2, "2": 3}


async def test_refunds_that_are_not_there_set_only_that_order_aside() -> None:
    lying = LyingShop(refunds=lambda _: response({"code": "rest_no_route"}, status=404))
    lying.place(1, at(100), refunds=[{"id": 50}])
    lying.place(2, at(100))
    faults = {order.shop_order_id: order.fault for order in orders_of(await pulled(lying))}
    assert faults == {"1": "refunds: the shop names some but does not give them", "2": None}


async def test_refunds_that_cannot_be_read_right_now_stop_the_pull() -> None:
    lying = LyingShop(refunds=lambda _: response({}, status=503, Retry_After="9"))
    lying.place(1, at(100), refunds=[{"id": 50}])
    with pytest.raises(ShopError) as caught:
        await pulled(lying)
    assert caught.value.retry_after_s == 9


async def test_a_shop_without_a_clock_is_an_error() -> None:
    with pytest.raises(ShopError, match="no Date header"):
        await pulled(LyingShop(date=False))


STATE = {"id": 1, "key": "_kvot_state", "value": "made"}


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ({"id": 7, "meta_data": []}, "the shop did not keep _kvot_state"),
        ({"id": 7, "meta_data": [STATE | {"value": "received"}]}, "the shop did not keep _kvot_state"),
        ({"id": 7}, "the shop did not keep _kvot_state"),
        ({"id": 8, "meta_data": [STATE]}, "about another order"),
        ([], "about another order"),
    ],
)
async def test_a_status_that_is_not_in_the_answer_was_not_written(written: Any, why: str) -> None:
    async with opened(LyingShop(written=written)) as shop:
        with pytest.raises(ShopError, match=why):
            await shop.write_status("7", {"_kvot_state": "made"})


@pytest.mark.parametrize("text", ["", "5", "2026-05-04T09:00:00", "x/since/y", "2026-05-04T09:00:00/since/"])
def test_a_cursor_of_another_shop_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        Cursor.parse(text)


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("https://Shop.Example/", "shop.example"),
        ("http://shop.example:80", "shop.example"),
        ("https://shop.example:8443/butik/", "shop.example:8443/butik"),
        ("https://shop.example:99999", None),
        ("shop.example", None),
        ("", None),
    ],
)
def test_a_site_address_has_one_form(address: str, site: str | None) -> None:
    assert site_address(address) == site
