"""A line that will be late is told with the day it is expected, each day once; the promise itself never changes."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.pricing import Policy
from gateway.domain.standing import EASE, expectation
from gateway.ledger import outbox
from gateway.ledger.sql import change
from tests.stages.pricing_house import RULES, SHOP, House, a_house

PROMISE = datetime(2026, 5, 9, 15, 0, tzinfo=UTC)
SLOW = replace(RULES["black"], capacity=replace(RULES["black"].capacity, rate_h=0.05))  # a piece takes 20 hours


@pytest.fixture
async def house(state_dir: Path) -> AsyncIterator[House]:
    async with a_house(state_dir) as made:
        yield made


async def told(house: House) -> list[str | None]:
    """Give the expectation in each thing the shop is to be told of orders, the oldest first."""
    now = house.clock.now() + timedelta(days=365)
    facts = await house.ledger.read(lambda tx: outbox.pending(tx, f"shop:{SHOP}", limit=1000, now=now, kind="order:"))
    return [fact.body["values"].get("_kvot_expected") for fact in facts]


async def line_of(house: House) -> dict[str, Any]:
    (line,) = await house.read("SELECT promise_at, expected_at FROM order_lines")
    return line


async def test_what_comes_as_promised_is_told_nothing_more(house: House) -> None:
    await house.price()
    await house.buy("1", "BLACK")
    for _ in range(40):
        await house.price(minutes=60)
    assert set(await told(house)) == {None}
    assert (await line_of(house))["expected_at"] is None


async def test_a_run_that_cannot_be_ready_in_time_is_told_with_the_day_each_day_once(house: House) -> None:
    await house.price()
    await house.buy("1", "BLACK")
    before, promise = len(await told(house)), (await line_of(house))["promise_at"]
    house.rules["black"] = SLOW
    hold = "UPDATE runs SET hold_reason = 'the oven is being repaired'"
    await house.ledger.write(lambda tx: change(tx, hold))
    for _ in range(6 * 24):
        await house.price(minutes=60)
    line = await line_of(house)
    said = [at for at in (await told(house))[before:] if at is not None]
    assert line["promise_at"] == promise
    assert said[-1] == line["expected_at"] > promise
    days = [at[:10] for at in said]
    assert days == sorted(set(days))
    assert 3 <= len(days) <= 7
    assert {fact["promise_at"] for fact in await house.facts("order.state")} == {promise}
    assert (await house.facts("order.state"))[-1]["expected_at"] == line["expected_at"]


async def test_when_it_will_be_in_time_after_all_the_promise_is_expected_again(house: House) -> None:
    await house.price()
    await house.buy("1", "BLACK")
    promise = (await line_of(house))["promise_at"]
    house.rules["black"] = replace(SLOW, capacity=replace(SLOW.capacity, rate_h=0.01))
    await house.price(minutes=1)
    assert (await line_of(house))["expected_at"] > promise
    house.rules["black"] = RULES["black"]
    await house.price(minutes=1)
    assert (await told(house))[-1] == (await line_of(house))["expected_at"] == promise


async def test_a_released_job_is_expected_when_its_machine_has_done_what_it_has(house: House) -> None:
    await house.price()
    await house.buy("1", "BLACK", quantity=10)
    (run,) = await house.read("SELECT state FROM runs")
    assert run["state"] == "releasing"
    house.rules["black"] = SLOW
    await house.price(minutes=1)
    expected = datetime.fromisoformat((await line_of(house))["expected_at"])
    assert timedelta(hours=199) < expected - house.clock.now() < timedelta(hours=201)


async def test_stale_inputs_move_no_expectation(state_dir: Path) -> None:
    async with a_house(state_dir, periods_s={"machine:oven-1": 60.0}) as house:
        house.board.put(("link", "machine:oven-1"), {"state": "up"})
        house.rounds.ages.look()
        await house.price()
        await house.buy("1", "BLACK")
        house.rules["black"] = replace(SLOW, policy=Policy.COUNTDOWN, capacity=replace(SLOW.capacity, rate_h=0.01))
        house.clock.advance(121)
        await house.price(minutes=1)
        assert (await line_of(house))["expected_at"] is None


# The decision


def expected(forecast: datetime | None, before: datetime | None = None) -> datetime | None:
    return expectation(forecast, promise=PROMISE, before=before, zone=UTC)


def test_only_another_day_is_told() -> None:
    assert expected(None) is None
    assert expected(PROMISE - timedelta(days=3)) is None
    assert expected(PROMISE + timedelta(hours=8)) is None
    late = PROMISE + timedelta(hours=10)
    assert expected(late) == late
    assert expected(late + timedelta(hours=3), before=late) is None
    assert expected(late + timedelta(days=1), before=late) == late + timedelta(days=1)


def test_an_earlier_day_is_told_only_when_it_is_sure_of_a_few_hours() -> None:
    late, midnight = PROMISE + timedelta(days=3), datetime(2026, 5, 12, tzinfo=UTC)
    assert expected(midnight - EASE, before=late) is None
    sure = midnight - EASE - timedelta(minutes=1)
    assert expected(sure, before=late) == sure
    in_time = PROMISE.replace(hour=23)
    assert expected(in_time, before=late) == PROMISE
    assert expected(in_time, before=PROMISE + timedelta(hours=10)) is None
    assert expected(None, before=late) == PROMISE


def test_a_day_is_one_of_the_site() -> None:
    late, east = PROMISE + timedelta(hours=8), timezone(timedelta(hours=2))
    assert expectation(late, promise=PROMISE, before=None, zone=east) == late
    assert expectation(late, promise=PROMISE, before=None, zone=UTC) is None
