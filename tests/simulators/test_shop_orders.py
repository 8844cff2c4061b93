"""The traps of a WooCommerce shop are really there: dates, pages, metadata, refunds."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from simulators.shop import RunningShop, Wanted, running_shop

MORNING = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)  # 10:00 in Stockholm
TRAY = Wanted(sku="TRAY-12-W", quantity=2, options={"width_mm": 60.5, "engraving": 'Åsa "1" & två'})
META = {"key": "_kvot_state", "value": "released"}


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[tuple[RunningShop, httpx.AsyncClient]]:
    """Give a shop whose clock stands at MORNING but for real seconds, and a client that is let in."""
    async with (
        running_shop(behind_proxy=True, business_epoch=MORNING, **settings) as shop,
        httpx.AsyncClient(
            base_url=f"{shop.url}/wp-json/wc/v3",
            auth=("ck_demo", "cs_demo"),
            headers={"X-Forwarded-Proto": "https"},
        ) as http,
    ):
        yield shop, http


def later(shop: RunningShop, **delta: float) -> None:
    shop.state.step(shop.state.now + timedelta(**delta))


async def ids(http: httpx.AsyncClient, **params: str) -> list[int]:
    answer = await http.get("/orders", params=params)
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()]


async def test_an_order_has_the_shape_of_the_real_shop() -> None:
    async with opened() as (shop, http):
        order = shop.store.place_order([TRAY], freight="49.00", customer=17)
        text = (await http.get(f"/orders/{order.id}")).text
    body = json.loads(text)
    assert "\\u00c5sa" in text  # as PHP writes letters
    assert set(body) >= {
        "id", "parent_id", "status", "currency", "version", "prices_include_tax", "date_created", "date_modified",
        "discount_total", "discount_tax", "shipping_total", "shipping_tax", "cart_tax", "total", "total_tax",
        "customer_id", "order_key", "billing", "shipping", "payment_method", "payment_method_title", "transaction_id",
        "customer_ip_address", "customer_user_agent", "created_via", "customer_note", "date_completed", "date_paid",
        "cart_hash", "number", "meta_data", "line_items", "tax_lines", "shipping_lines", "fee_lines", "coupon_lines",
        "refunds", "payment_url", "is_editable", "needs_payment", "needs_processing", "date_created_gmt",
        "date_modified_gmt", "date_completed_gmt", "date_paid_gmt", "currency_symbol", "_links",
    }  # fmt: skip
    assert (body["date_created"][:16], body["date_created_gmt"][:16]) == ("2026-06-01T10:00", "2026-06-01T08:00")
    assert (body["total"], body["total_tax"], body["shipping_total"]) == ("367.00", "73.40", "39.20")
    assert (body["billing"]["first_name"], body["billing"]["last_name"]) == ("Kund", "17")
    line = body["line_items"][0]
    assert (line["sku"], line["quantity"], line["total"], line["price"]) == ("TRAY-12-W", 2, "254.40", 127.2)
    assert line["variation_id"] != line["product_id"]
    assert line["parent_name"] == "Bricka Åsa i färg"
    assert {meta["key"]: meta["value"] for meta in line["meta_data"]} == {
        "pa_farg": "vit",
        "width_mm": "60.5",  # a number comes back as text
        "engraving": 'Åsa "1" & två',
        "_reduced_stock": "2",
    }


async def test_the_date_header_and_all_dates_come_from_the_shops_business_clock() -> None:
    async with opened() as (shop, http):
        later(shop, hours=3)
        answer = await http.get("/orders")
    assert abs(parsedate_to_datetime(answer.headers["date"]) - MORNING - timedelta(hours=3)) < timedelta(minutes=1)


async def test_modified_after_is_strict_with_a_resolution_of_a_second() -> None:
    async with opened() as (shop, http):
        first, second = (shop.store.place_order([TRAY]).id for _ in "12")
        later(shop, seconds=1)
        third = shop.state.place_order([TRAY]).id
        when = shop.state.order(first).modified
        params = {"dates_are_gmt": "true", "orderby": "modified", "order": "asc"}
        at = await ids(http, modified_after=f"{when:%Y-%m-%dT%H:%M:%S}", **params)
        before = await ids(http, modified_after=f"{when - timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}", **params)
        until = await ids(http, modified_before=f"{when:%Y-%m-%dT%H:%M:%S}", **params)
    assert (at, before, until) == ([third], [first, second, third], [])


@pytest.mark.parametrize(
    ("text", "gmt", "found"),
    [
        ("2026-06-01T07:59:59", "true", True),  # GMT compared with GMT
        ("2026-06-01T09:59:59", "false", True),  # site time compared with site time
        ("2026-06-01T10:30:00", "false", False),
        ("2026-06-01T07:59:59Z", "false", True),  # converted to site time: right
        ("2026-06-01T09:59:59+02:00", "false", True),
        ("2026-06-01T07:59:59Z", "true", False),  # the trap: converted to site time, compared with GMT
        ("2026-06-01T05:59:59Z", "true", True),
    ],
)
async def test_a_date_means_what_the_real_shop_makes_of_it(text: str, gmt: str, found: bool) -> None:
    async with opened() as (shop, http):
        shop.store.place_order([TRAY])
        for name in ("modified_after", "after"):
            assert bool(await ids(http, **{name: text, "dates_are_gmt": gmt})) is found


async def test_pages_drift_when_an_order_changes_between_them() -> None:
    async with opened() as (shop, http):
        placed = []
        for _ in range(4):
            placed.append(shop.store.place_order([TRAY]).id)
            later(shop, seconds=5)
        params = {"orderby": "modified", "order": "asc", "per_page": "1"}
        walked = await ids(http, page="1", **params)
        await http.put(f"/orders/{placed[0]}", json={"status": "completed"})
        for page in "234":
            walked += await ids(http, page=page, **params)
    assert walked == [placed[0], placed[2], placed[3], placed[0]]


async def test_pages_are_counted_in_headers_and_linked() -> None:
    async with opened() as (shop, http):
        placed = [shop.store.place_order([TRAY]).id for _ in range(5)]
        answer = await http.get("/orders", params={"per_page": 2, "page": 2, "orderby": "id", "order": "asc"})
        beyond = await http.get("/orders", params={"per_page": 2, "page": 4})
    assert [row["id"] for row in answer.json()] == placed[2:4]
    assert (answer.headers["x-wp-total"], answer.headers["x-wp-totalpages"]) == ("5", "3")
    assert 'page=1&orderby=id&order=asc>; rel="prev"' in answer.headers["link"]
    assert 'page=3&orderby=id&order=asc>; rel="next"' in answer.headers["link"]
    assert (beyond.status_code, beyond.json()) == (200, [])


@pytest.mark.parametrize(
    "params",
    [
        {"per_page": "101"},
        {"per_page": "0"},
        {"page": "0"},
        {"status": "shipped"},
        {"orderby": "total"},
        {"order": "up"},
        {"modified_after": "yesterday"},
        {"modified_after": "2026-06-01"},
        {"modified_after": "2026-06-01T10:00:00 02:00"},  # a plus sign that was not encoded
        {"include": "1,x"},
    ],
)
async def test_a_parameter_that_is_not_acceptable_is_a_400(params: dict[str, str]) -> None:
    async with opened() as (_, http):
        answer = await http.get("/orders", params=params)
    assert (answer.status_code, answer.json()["code"]) == (400, "rest_invalid_param")
    assert list(answer.json()["data"]["params"]) == list(params)


async def test_orders_are_chosen_by_status_and_id_and_newest_come_first() -> None:
    async with opened() as (shop, http):
        paid = shop.store.place_order([TRAY]).id
        later(shop, seconds=2)
        waiting = shop.state.place_order([TRAY], status="pending", payment_method="bacs").id
        assert await ids(http) == [waiting, paid]
        assert await ids(http, status="processing,on-hold") == [paid]
        assert await ids(http, status="any", include=f"{waiting}") == [waiting]
        answer = await http.get(f"/orders?include[]={paid}&include[]={waiting}&_fields=id,status")
        assert answer.json() == [{"id": waiting, "status": "pending"}, {"id": paid, "status": "processing"}]


@pytest.mark.parametrize("hpos", [True, False])
async def test_only_with_hpos_a_metadata_write_moves_date_modified(hpos: bool) -> None:
    async with opened(hpos=hpos) as (shop, http):
        order = shop.store.place_order([TRAY])
        later(shop, minutes=1)
        await http.put(f"/orders/{order.id}", json={"meta_data": [META]})
        moved = shop.state.order(order.id).modified
        later(shop, minutes=1)
        await http.put(f"/orders/{order.id}", json={"meta_data": [META]})
    assert (moved > order.modified) is hpos
    assert shop.state.order(order.id).modified == moved  # the same values again change nothing
    assert [write.changed for write in shop.writes] == [True, False]


async def test_metadata_is_replaced_by_key_or_id_and_added_otherwise() -> None:
    async with opened() as (shop, http):
        order = shop.store.place_order([TRAY])

        async def put(*rows: dict[str, Any]) -> dict[str, dict[str, Any]]:
            answer = await http.put(f"/orders/{order.id}", json={"meta_data": list(rows)})
            return {row["key"]: row for row in answer.json()["meta_data"] if row["key"].startswith("_kvot")}

        first = await put({"key": "_kvot_progress", "value": 0.5}, {"key": "_kvot_state", "value": "released"})
        second = await put({"key": "_kvot_progress", "value": "1"})
        third = await put({"id": first["_kvot_state"]["id"], "key": "_kvot_state", "value": "made"})
        fourth = await put({"key": "_kvot_progress", "value": None})
    assert first["_kvot_progress"]["value"] == "0.5"
    assert second["_kvot_progress"] == {"id": first["_kvot_progress"]["id"], "key": "_kvot_progress", "value": "1"}
    assert third["_kvot_state"] == {"id": first["_kvot_state"]["id"], "key": "_kvot_state", "value": "made"}
    assert set(fourth) == {"_kvot_state"}


async def test_a_status_written_twice_is_fine_and_an_unknown_one_is_not() -> None:
    async with opened() as (shop, http):
        order = shop.store.place_order([TRAY])
        answers = [await http.put(f"/orders/{order.id}", json={"status": "completed"}) for _ in "12"]
        unknown = await http.put(f"/orders/{order.id}", json={"status": "shipped"})
        nobody = await http.put("/orders/99999", json={"status": "completed"})
        broken = await http.put(f"/orders/{order.id}", content=b"{")
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["date_completed"] is not None
    assert (unknown.status_code, unknown.json()["code"]) == (400, "rest_invalid_param")
    assert (nobody.status_code, nobody.json()["code"]) == (404, "woocommerce_rest_shop_order_invalid_id")
    assert (broken.status_code, broken.json()["code"]) == (400, "rest_invalid_json")
    assert [(write.keys, write.status) for write in shop.writes] == [
        (("status",), 200),
        ((), 200),
        ((), 400),
        ((), 404),
        ((), 400),
    ]


async def test_a_refund_is_a_negative_row_and_leaves_the_lines_quantity() -> None:
    async with opened() as (shop, http):
        order = shop.store.place_order([TRAY], freight="49.00")
        line = order.lines[0].id
        later(shop, minutes=1)
        refund = shop.state.refund_line(order.id, line, quantity=1, reason="Repa")
        body = (await http.get(f"/orders/{order.id}")).json()
        rows = (await http.get(f"/orders/{order.id}/refunds")).json()
        with pytest.raises(ValueError, match="1 pieces"):
            shop.state.refund_line(order.id, line, quantity=2)
    assert body["line_items"][0]["quantity"] == 2
    assert (body["status"], body["total"]) == ("processing", "367.00")
    assert body["refunds"] == [{"id": refund.id, "reason": "Repa", "total": "-159.00"}]
    assert body["date_modified"] > body["date_created"]
    assert (rows[0]["amount"], rows[0]["line_items"][0]["quantity"]) == ("159.00", -1)
    assert rows[0]["line_items"][0]["total"] == "-127.20"
    meta = rows[0]["line_items"][0]["meta_data"][0]
    assert (meta["key"], meta["value"]) == ("_refunded_item_id", str(line))


async def test_an_order_whose_money_all_went_back_is_refunded() -> None:
    async with opened() as (shop, _):
        order = shop.store.place_order([TRAY])
        shop.state.refund_line(order.id, order.lines[0].id, quantity=2)
    assert shop.state.order(order.id).status == "refunded"


async def test_an_edited_order_shows_the_new_rows_and_moves_its_date() -> None:
    async with opened() as (shop, http):
        order = shop.store.place_order([TRAY, Wanted(sku="MUG-RED")])
        tray, mug = (line.id for line in order.lines)
        later(shop, minutes=1)
        shop.state.edit_line(order.id, tray, quantity=3, options={"engraving": "Öl"})
        shop.state.edit_line(order.id, mug, quantity=0)
        shop.state.add_line(order.id, Wanted(sku="GIFT-500"))
        body = (await http.get(f"/orders/{order.id}")).json()
    assert [(line["sku"], line["quantity"]) for line in body["line_items"]] == [("TRAY-12-W", 3), ("GIFT-500", 1)]
    assert (body["total"], body["total_tax"]) == ("977.00", "95.40")
    assert {m["key"]: m["value"] for m in body["line_items"][0]["meta_data"]}["engraving"] == "Öl"
    assert body["date_modified"] > body["date_created"]


async def test_a_late_payment_gives_the_order_a_date_paid() -> None:
    async with opened() as (shop, http):
        order = shop.store.place_order([TRAY], status="pending", payment_method="bacs")
        unpaid = (await http.get(f"/orders/{order.id}")).json()
        later(shop, minutes=1)
        shop.state.mark_paid(order.id)
        paid = (await http.get(f"/orders/{order.id}")).json()
    assert (unpaid["date_paid"], unpaid["needs_payment"]) == (None, True)
    assert (paid["date_paid"] is None, paid["needs_payment"], paid["status"]) == (False, False, "processing")


async def test_products_are_found_by_article_number_and_take_a_price() -> None:
    async with opened() as (_, http):
        (found,) = (await http.get("/products", params={"sku": "TRAY-12-W"})).json()
        path = f"/products/{found['parent_id']}/variations/{found['id']}"
        variations = (await http.get(f"/products/{found['parent_id']}/variations")).json()
        written = await http.put(path, json={"regular_price": "171.00", "meta_data": [{"key": "lead", "value": 5}]})
        number = await http.put(path, json={"regular_price": 171})
        elsewhere = await http.get(f"/products/{found['id'] + 1000}")
        listed = (await http.get("/products", params={"per_page": 100})).json()
    assert (found["type"], found["regular_price"], found["attributes"][0]["option"]) == ("variation", "159.00", "Vit")
    assert sorted(row["sku"] for row in variations) == ["TRAY-12-B", "TRAY-12-W"]
    assert (written.json()["regular_price"], written.json()["meta_data"][0]["value"]) == ("171.00", "5")
    assert (number.status_code, elsewhere.status_code) == (400, 404)
    assert "TRAY-12-W" not in {row["sku"] for row in listed}


async def test_the_index_says_who_the_shop_is_without_a_key() -> None:
    async with running_shop(site_url="https://staging.example") as shop, httpx.AsyncClient() as http:
        body = (await http.get(f"{shop.url}/wp-json/")).json()
        unknown = await http.get(f"{shop.url}/wp-json/wc/v3/nothing")
    assert (body["url"], body["home"]) == ("https://staging.example", "https://staging.example")
    assert body["timezone_string"] == "Europe/Stockholm"
    assert body["gmt_offset"] in {"1", "2"}
    assert (unknown.status_code, unknown.json()["code"]) == (404, "rest_no_route")


async def test_the_system_status_names_the_site_to_those_with_a_key() -> None:
    async with opened() as (shop, http):
        assert (await http.get("/system_status")).json()["environment"]["site_url"] == shop.url
        assert (await http.get("/system_status", auth=("x", "y"))).status_code == 401
