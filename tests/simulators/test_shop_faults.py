"""What can go wrong with a shop goes wrong on demand, and nothing else does."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulators.shop import RunningShop, ShopSimulation, Wanted, running_shop, serve
from simulators.shop.serving import main

SIMULATOR = {"X-Simulator": "1"}
TRAY = Wanted(sku="TRAY-12", options={"width_mm": "80", "engraving": "Sjöbris"})


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[tuple[RunningShop, httpx.AsyncClient]]:
    async with (
        running_shop(behind_proxy=True, **settings) as shop,
        httpx.AsyncClient(
            base_url=shop.url, auth=("ck_demo", "cs_demo"), headers={"X-Forwarded-Proto": "https"}
        ) as http,
    ):
        yield shop, http


async def get(http: httpx.AsyncClient, **params: int) -> httpx.Response:
    return await http.get("/wp-json/wc/v3/orders", params=params)


async def test_a_shop_that_is_down_comes_back_after_n_requests() -> None:
    async with opened() as (shop, http):
        shop.faults.put("down", times=2)
        assert [(await get(http)).status_code for _ in range(3)] == [503, 503, 200]


async def test_a_limited_shop_says_when_to_try_again() -> None:
    async with opened() as (shop, http):
        shop.faults.put("limited", seconds=7)
        answer = await get(http)
        shop.faults.clear("limited")
        assert (await get(http)).status_code == 200
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


async def test_html_and_half_json_come_with_a_200() -> None:
    async with opened() as (shop, http):
        shop.store.place_order([TRAY])
        shop.faults.put("html", times=1)
        page = await get(http)
        shop.faults.put("truncated", times=1)
        half = await get(http)
    assert (page.status_code, page.text[:9]) == (200, "<!DOCTYPE")
    assert half.status_code == 200
    with pytest.raises(ValueError):
        half.json()


async def test_a_lost_answer_leaves_the_change_made() -> None:
    async with opened() as (shop, http):
        order = shop.store.place_order([TRAY])
        shop.faults.put("lost", times=1, method="PUT")
        assert (await get(http)).status_code == 200
        answer = await http.put(f"/wp-json/wc/v3/orders/{order.id}", json={"status": "completed"})
    assert answer.status_code == 502
    assert shop.state.order(order.id).status == "completed"
    assert [(write.changed, write.status) for write in shop.writes] == [(True, 200)]


async def test_a_write_to_a_shop_that_is_down_changes_nothing_and_is_logged() -> None:
    async with opened() as (shop, http):
        order = shop.store.place_order([TRAY])
        shop.faults.put("down", times=1)
        await http.put(f"/wp-json/wc/v3/orders/{order.id}", json={"status": "completed"})
    assert shop.state.order(order.id).status == "processing"
    assert [(write.values, write.changed, write.status) for write in shop.writes] == [
        ({"status": "completed"}, False, 503)
    ]


async def test_a_slow_shop_outlasts_a_clients_patience() -> None:
    async with opened() as (shop, http):
        shop.faults.put("slow", seconds=30, times=1)
        with pytest.raises(httpx.ReadTimeout):
            await http.get("/wp-json/wc/v3/orders", timeout=0.2)
        assert (await get(http)).status_code == 200


async def test_one_order_has_a_field_under_another_name() -> None:
    async with opened() as (shop, http):
        sick, well = (shop.store.place_order([TRAY]).id for _ in "12")
        shop.faults.put("renamed", order=sick, field="line_items.0.quantity", to="qty")
        rows = {row["id"]: row["line_items"][0] for row in (await get(http)).json()}
    assert ("quantity" in rows[sick], rows[sick]["qty"]) == (False, 1)
    assert rows[well]["quantity"] == 1


async def test_a_page_comes_twice_or_not_at_all() -> None:
    async with opened() as (shop, http):
        for _ in range(4):
            shop.store.place_order([TRAY])
        first = (await get(http, per_page=2, page=1)).json()
        shop.faults.put("duplicate_page", page=2, times=1)
        assert (await get(http, per_page=2, page=2)).json() == first
        shop.faults.put("missing_page", page=2, times=1)
        gone = await get(http, per_page=2, page=2)
        assert (gone.json(), gone.headers["x-wp-total"]) == ([], "4")
        assert len((await get(http, per_page=2, page=2)).json()) == 2


async def test_the_control_addresses_are_hidden_without_their_header() -> None:
    async with opened() as (_, http):
        assert (await http.get("/_simulator/status")).status_code == 404
        assert (await http.get("/_simulator/status", headers=SIMULATOR)).status_code == 200


async def test_orders_are_placed_edited_refunded_and_paid_over_the_control_addresses() -> None:
    async with opened() as (shop, http):
        lines = [{"sku": "TRAY-12", "quantity": 2, "options": {"width_mm": "80"}}]
        placed = await http.post(
            "/_simulator/orders",
            json={"lines": lines, "status": "pending", "payment_method": "bacs", "freight": "49.00"},
            headers=SIMULATOR,
        )
        number, line = placed.json()["id"], placed.json()["lines"][0]["id"]
        path = f"/_simulator/orders/{number}"
        await http.put(path, json={"lines": [{"id": line, "quantity": 3}]}, headers=SIMULATOR)
        await http.post(f"{path}/refunds", json={"line": line, "quantity": 1, "reason": "Repa"}, headers=SIMULATOR)
        paid = await http.post(f"{path}/paid", headers=SIMULATOR)
        too_many = await http.post(f"{path}/refunds", json={"line": line, "quantity": 9}, headers=SIMULATOR)
        nobody = await http.post("/_simulator/orders/99999/paid", headers=SIMULATOR)
        unknown = await http.post("/_simulator/orders", json={"lines": [{"sku": "NO-SUCH"}]}, headers=SIMULATOR)
    order = shop.state.order(number)
    assert (placed.status_code, paid.json()["status"]) == (201, "processing")
    assert (order.lines[0].quantity, order.refunds[0].line.quantity) == (3, -1)
    assert (too_many.status_code, nobody.status_code, unknown.status_code) == (400, 404, 404)


async def test_faults_are_switched_over_the_control_addresses() -> None:
    async with opened() as (_, http):
        fault = {"kind": "down", "times": 5}
        assert (await http.post("/_simulator/faults", json=fault, headers=SIMULATOR)).json()[0]["kind"] == "down"
        assert (await get(http)).status_code == 503
        assert (await http.delete("/_simulator/faults", headers=SIMULATOR)).json() == []
        assert (await get(http)).status_code == 200
        wrong = await http.post("/_simulator/faults", json={"kind": "tired"}, headers=SIMULATOR)
        assert wrong.status_code == 400


async def test_the_status_says_how_far_the_customers_are() -> None:
    async with opened(orders=5, unpaid=1, waiting=True, speed=3600.0 * 1000) as (_, http):
        before = (await http.get("/_simulator/status", headers=SIMULATOR)).json()
        await http.post("/_simulator/customers", json={"running": True}, headers=SIMULATOR)
        after = (await http.get("/_simulator/status", headers=SIMULATOR)).json()
    assert (before["placed"], before["target"], before["unpaid"], before["done"]) == (0, 5, 0, False)
    assert (after["placed"], after["target"], after["unpaid"], after["done"]) == (5, 5, 1, True)


async def test_the_log_has_a_line_for_each_write(tmp_path: Path) -> None:
    log = tmp_path / "shop.jsonl"
    async with opened(log=log) as (shop, http):
        order = shop.store.place_order([TRAY])
        body = {"meta_data": [{"key": "_kvot_state", "value": "made"}, {"key": "_kvot_progress", "value": "1"}]}
        for _ in "12":
            await http.put(f"/wp-json/wc/v3/orders/{order.id}", json=body)
    first, second = (json.loads(line) for line in log.read_text().splitlines())
    assert abs(first.pop("t") - time.time()) < 60
    assert datetime.fromisoformat(first.pop("business")).tzinfo is not None
    assert first == {
        "subject": "order",
        "order": order.id,
        "keys": ["_kvot_state", "_kvot_progress"],
        "values": {"_kvot_state": "made", "_kvot_progress": "1"},
        "changed": True,
        "status": 200,
    }
    assert (second["keys"], second["changed"]) == ([], False)


async def test_a_served_shop_ends_when_its_task_is_cancelled() -> None:
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(ShopSimulation(orders=0), ready=ready.set_result))
    url = await ready
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{url}/wp-json/")).status_code == 200
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(f"{url}/wp-json/")


async def test_a_failing_block_shows_its_own_error() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with running_shop():
            raise KeyError("mine")


@pytest.mark.parametrize(
    "wrong",
    [{"host": "192.0.2.1"}, {"tls_cert": Path("only")}, {"speed": 0.0}, {"wall_epoch": datetime(2026, 1, 1)}],  # noqa: DTZ001
)
def test_a_shop_that_is_no_simulation_on_this_machine_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ShopSimulation(**wrong)


def test_a_wrong_setting_ends_the_program_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host", "192.0.2.1"]) == 2
    assert "loopback" in capsys.readouterr().err


@pytest.mark.factory
def test_the_program_says_where_it_listens_goes_on_in_business_time_and_ends_on_sigterm() -> None:
    epoch = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
    arguments = ["--orders", "4", "--speed", "60", "--port", "0", "--seed", "7"]
    arguments += ["--wall-epoch", str(time.time() - 600), "--business-epoch", epoch.isoformat(), "--waiting"]
    child = subprocess.Popen([sys.executable, "-m", "simulators.shop", *arguments], stdout=subprocess.PIPE, text=True)
    with child:
        try:
            line = json.loads(child.stdout.readline() if child.stdout else "")
            answer = httpx.get(f"{line['url']}/_simulator/status", headers=SIMULATOR).json()
        finally:
            os.kill(child.pid, signal.SIGTERM)
        assert child.wait(timeout=10) == 0
    assert (line["ready"], line["placed_target"]) == (True, 4)
    assert 600 * 60 <= (datetime.fromisoformat(answer["now"]) - epoch).total_seconds() < 660 * 60
