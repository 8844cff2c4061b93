"""Quotes over the control socket: what a caller gets, and how each refusal is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio

from gateway.api.app import create_app
from gateway.api.desk import Desk
from gateway.api.serve import control_socket, serve
from gateway.domain.products import ExpressionFaultError, Product, Range, Step
from gateway.stages.quotes import Quoting
from tests.stages.pricing_house import FAMILIES, SHOP, START, a_house
from tests.stages.test_quotes import PLACES, Counter, offer


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Asks over the socket; gives status, content and headers."""

    path: Path
    counter: Counter

    async def ask(self, method: str, path: str = "", body: object = None, **headers: str) -> tuple[int, Any, Any]:
        transport = httpx.AsyncHTTPTransport(uds=str(self.path))
        async with httpx.AsyncClient(transport=transport, timeout=60) as client:
            answer = await client.request(method, f"http://kvot/api/v1/quotes{path}", json=body, headers=headers)
        return answer.status_code, answer.json(), answer.headers


@asynccontextmanager
async def a_window(counter: Counter, path: Path, quoting: Quoting | None = None) -> AsyncIterator[Window]:
    house = counter.house
    desk = Desk(
        ledger=house.ledger,
        board=house.board,
        clock=house.clock,
        machines={},
        shops=(SHOP,),
        started_at=START,
        floor=house.pricing.floor,
        quoting=quoting or counter.quoting,
    )
    with control_socket(path) as bound:
        async with asyncio.TaskGroup() as group:
            server = group.create_task(serve(create_app(desk), bound))
            try:
                yield Window(path=path, counter=counter)
            finally:
                server.cancel()


@pytest_asyncio.fixture
async def window(state_dir: Path) -> AsyncIterator[Window]:
    async with a_house(state_dir) as house:
        await house.price()
        async with a_window(Counter(house), state_dir / "kvot.sock") as opened:
            yield opened


async def test_a_quote_is_given_listed_and_shown_again(window: Window) -> None:
    asked = {"sku": "BLACK", "quantity": 2, "wanted": "2026-05-20T12:00:00+02:00", "options": {"text": "Åsa"}}
    status, quote, headers = await window.ask("POST", body=asked)
    assert status == 201
    assert headers["location"] == f"/api/v1/quotes/{quote['quote_id']}"
    assert offer(quote, "with_run")["in_time"]
    assert quote["options"] == {"text": "Åsa"}
    status, shown, _ = await window.ask("GET", f"/{quote['quote_id']}")
    assert (status, shown) == (200, quote)
    assert (await window.ask("GET"))[1] == {
        "items": [
            {
                "quote_id": quote["quote_id"],
                "shop": SHOP,
                "sku": "BLACK",
                "quantity": 2,
                "valid_until": quote["valid_until"],
                "used": None,
                "order_id": None,
                "state": "open",
                "offers": [one["kind"] for one in quote["offers"]],
            }
        ],
        "next": None,
    }
    assert (await window.ask("GET", "/Q1-99"))[0] == 404


async def test_a_repeated_request_is_answered_with_the_same_quote(window: Window) -> None:
    asked, key = {"sku": "BLACK", "quantity": 2}, {"Idempotency-Key": "a b c"}
    first = await window.ask("POST", body=asked, **key)
    again = await window.ask("POST", body=asked, **key)
    assert (first[0], again[0]) == (201, 200)
    assert again[1] == first[1]
    status, problem, _ = await window.ask("POST", body={"sku": "BLACK", "quantity": 3}, **key)
    assert (status, problem["status"]) == (409, 409)
    assert first[1]["quote_id"] in problem["detail"]


async def test_refusals_name_what_is_wrong(window: Window) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"sku": "NOBODY", "quantity": 1}, "body.sku"),
        ({"sku": "BLACK", "quantity": 0}, "body.quantity"),
        ({"sku": "BLACK", "quantity": 1, "wanted": "2026-05-20T12:00:00"}, "body.wanted"),
        ({"sku": "BLACK", "quantity": 1, "shop": "other"}, "body.shop"),
        ({"sku": "BLACK", "quantity": 1, "colour": "red"}, "body.colour"),
    ]
    for asked, path in cases:
        status, problem, headers = await window.ask("POST", body=asked)
        assert (status, problem["errors"][0]["path"]) == (422, path)
        assert headers["content-type"] == "application/problem+json"


async def test_a_bad_option_is_named(state_dir: Path) -> None:
    def refuse(_of: object) -> float:
        raise ExpressionFaultError("line.options.width_mm: is no number")

    step = Step(operation="bake", family="black", recipe="tray", parameters={"width": refuse})
    picky = Range(products=(Product(name="BLACK", make=True, route=(step,)),), families=FAMILIES)
    async with a_house(state_dir) as house:
        counter = Counter(house)
        quoting = replace(counter.quoting, catalogue=replace(counter.quoting.catalogue, range=picky))
        async with a_window(counter, state_dir / "kvot.sock", quoting) as window:
            status, problem, _ = await window.ask("POST", body={"sku": "BLACK", "quantity": 1})
    assert (status, problem["errors"][0]["path"]) == (422, "body.options.width_mm")
    assert "width: line.options.width_mm: is no number" in problem["detail"]


async def test_full_and_stale_are_told_apart(window: Window) -> None:
    await window.counter.house.buy("1", "WHITE", quantity=PLACES - 1)
    assert (await window.ask("POST", body={"sku": "WHITE", "quantity": PLACES}))[0] == 201  # the next run as a whole
    status, problem, _ = await window.ask("POST", body={"sku": "WHITE", "quantity": 2})
    assert status == 409
    assert "free places: 0" in problem["detail"]
    window.counter.house.board.put(("run", "black"), {"inputs": {"orders": {"age_s": 90, "stale": True}}})
    status, problem, _ = await window.ask("POST", body={"sku": "BLACK", "quantity": 1})
    assert status == 503
    assert "orders was last heard 90 s ago" in problem["detail"]
