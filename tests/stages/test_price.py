"""Offers follow their runs: price, promise and campaign are published, logged, written back, and bind."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.domain.pricing import Mode
from gateway.ledger import exceptions, offers
from gateway.ledger.times import to_text
from gateway.shops.base import ShopProduct
from gateway.shops.catalog import open_shop
from gateway.stages import price
from gateway.stages.price import price_stage
from gateway.stages.pricing import look
from gateway.stages.report import report, report_offers
from simulators.shop import running_shop
from tests.eventually import eventually
from tests.shops.loopback import access_to
from tests.stages.factory import LOG
from tests.stages.pricing_house import SHOP, START, House, a_house


@pytest.fixture
async def house(state_dir: Path) -> AsyncIterator[House]:
    async with a_house(state_dir) as made:
        yield made


async def _a_day_of(house: House, hours: int) -> None:
    for _ in range(hours):
        await house.price(minutes=60)
        await house.tell()


# Policies


async def test_by_distance_an_article_is_dearer_and_later_far_from_its_run_and_has_a_campaign_near_it(
    house: House,
) -> None:
    await house.price()
    await house.buy("1", "WHITE", quantity=2)
    await _a_day_of(house, 52)
    log = await house.offers("WHITE")
    far, near = log[0], [one for one in log if one["campaign"] is not None]
    assert far["price_minor"] == 11_500
    assert near[-1]["price_minor"] < 10_000
    assert far["campaign"] is None
    leads = [orjson.loads(one["body"])["lead_s"] for one in (far, near[0])]
    assert leads[0] > 48 * 3600 > 12 * 3600 > leads[1]
    opened, closed = await house.facts("campaign.opened"), await house.facts("campaign.closed")
    assert [one["family"] for one in opened].count("white") == 1
    assert [one["family"] for one in closed].count("white") == 1
    assert house.shop.price_of("WHITE") == log[-1]["price_minor"]


async def test_by_count_down_the_told_lead_shrinks_with_the_clock_while_the_promise_stands(house: House) -> None:
    await house.price()
    await house.buy("1", "BLACK")
    await _a_day_of(house, 40)
    told = [one for one in await house.facts("offer.changed") if one["sku"] == "BLACK"]
    leads = [one["lead_h"] for one in told[1:]]
    assert leads == sorted(leads, reverse=True)
    assert leads[0] - leads[-1] > 30
    assert len({one["promise_at"] for one in told}) <= 4
    assert told[0]["lead_days"] == 3
    assert house.shop.offers["p-BLACK"]["_kvot_lead_days"] == "1"


async def test_a_promise_in_an_offer_is_never_earlier_than_that_of_the_plan(house: House) -> None:
    for _ in range(30):
        await house.price(minutes=17)
        for family, sku in (("white", "WHITE"), ("black", "BLACK")):
            planned: Any = house.board.get(("run", family))["promise"]
            assert (await house.offers(sku))[-1]["promise_at"] >= planned["at"]


async def test_nothing_is_written_or_told_while_nothing_changes(house: House) -> None:
    await house.price()
    before = [len(await house.offers(sku)) for sku in ("WHITE", "BLACK", "PRESSED")]
    for _ in range(10):
        await house.price(minutes=1, read=True)
    assert [len(await house.offers(sku)) for sku in ("WHITE", "BLACK", "PRESSED")] == before
    assert len(await house.facts("offer.changed")) == 3


async def test_the_board_shows_the_run_with_reasons_in_both_languages(house: House) -> None:
    await house.price()
    await house.buy("1", "WHITE", quantity=3)
    await house.price()
    run: Any = house.board.get(("run", "white"))
    assert (run["fill"]["units"], run["fill"]["orders"], run["threshold"]["units"]) == (3, 1, 4)
    assert run["state"] == "committed"
    assert run["latest_start"] > to_text(START)
    assert all(reason["text"]["en"] != reason["text"]["sv"] for reason in run["reasons"])
    assert house.board.get(("offer", "WHITE"))["price_minor"] == (await house.offers("WHITE"))[-1]["price_minor"]
    assert house.board.get(("campaign", "white"))["open"] is False
    orjson.dumps([run, house.board.get(("offer", "WHITE")), house.board.get(("campaign", "white"))])


async def test_families_are_planned_a_few_at_a_time_and_all_of_them(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, ...]] = []

    def counted(tx: Any, pricing: Any, sold: Any, families: Any, *, now: datetime) -> Any:
        steps.append(tuple(families))
        return look(tx, pricing, sold, families, now=now)

    monkeypatch.setattr(price, "look", counted)
    monkeypatch.setattr(price, "FAMILIES", 1)
    await house.price()
    assert steps == [("black",), ("press",), ("white",)]
    assert [len(await house.offers(sku)) for sku in ("WHITE", "BLACK", "PRESSED")] == [1, 1, 1]
    assert house.board.get(("run", "white"))["family"] == "white"


async def test_the_lowest_price_of_30_days_is_shown_and_kept_true(house: House) -> None:
    await house.price()
    house.clock.business += timedelta(minutes=1)
    await house.tell()
    await house.price(minutes=1)
    assert house.board.get(("offer", "WHITE"))["lowest_30d_minor"] == 10_000
    await house.price(minutes=31 * 24 * 60)
    assert house.board.get(("offer", "WHITE"))["lowest_30d_minor"] == 11_500


async def test_an_article_that_is_not_made_here_is_not_priced(house: House) -> None:
    await house.price()
    assert await house.offers("GIFT-1") == []
    assert await house.read("SELECT * FROM list_prices WHERE sku = 'GIFT-1'") == []


# Binding promises


async def test_the_promise_that_binds_is_the_offer_at_the_orders_own_placing_time(house: House) -> None:
    await house.price()
    first = (await house.offers("BLACK"))[-1]["promise_at"]
    await house.tell()
    await house.price(minutes=600)
    await house.tell()
    later = (await house.offers("BLACK"))[-1]["promise_at"]
    assert later > first
    line = await house.buy("1", "BLACK", ago_s=300 * 60)
    assert (line["promise_at"], line["promise_source"]) == (first, "offer")
    line = await house.buy("2", "WHITE", ago_s=1)
    assert line["promise_source"] == "offer"


@pytest.mark.parametrize(("ago_s", "which"), [(0.0, "first"), (119.0 - 60.0, "first"), (-130.0, "later")])
async def test_within_the_grace_the_earlier_promise_binds(house: House, ago_s: float, which: str) -> None:
    await house.price()
    await house.tell()
    await house.price(minutes=600)
    await house.tell()
    first, later = (one["promise_at"] for one in (await house.offers("BLACK"))[-2:])
    assert first < later
    house.clock.business += timedelta(seconds=max(0.0, -ago_s))
    line = await house.buy("1", "BLACK", ago_s=max(0.0, ago_s))
    assert line["promise_at"] == {"first": first, "later": later}[which]


async def test_an_offer_the_shop_has_not_shown_yet_does_not_take_away_the_earlier_promise(house: House) -> None:
    await house.price()
    await house.tell()
    first = (await house.offers("BLACK"))[-1]["promise_at"]
    await house.price(minutes=600)  # the shop is away and goes on showing the first offer
    house.clock.business += timedelta(minutes=30)
    line = await house.buy("1", "BLACK")
    assert line["promise_at"] == first


async def test_without_an_offer_the_promise_is_computed_at_intake_by_the_plan(house: House) -> None:
    line = await house.buy("1", "BLACK")
    assert line["promise_source"] == "computed"
    assert START + timedelta(hours=48) < datetime.fromisoformat(line["promise_at"]) < START + timedelta(hours=52)
    again = await house.buy("2", "BLACK", quantity=9)
    full = await house.buy("3", "BLACK", quantity=3)
    assert again["promise_source"] == full["promise_source"] == "computed"
    assert full["promise_at"] > again["promise_at"]


async def test_a_family_with_a_fixed_lead_promises_that(house: House) -> None:
    line = await house.buy("1", "PLAIN")
    assert (line["promise_at"], line["promise_source"]) == (to_text(START + timedelta(days=1)), "static")


async def test_a_route_promises_what_its_driving_step_does(house: House) -> None:
    await house.price()
    line = await house.buy("1", "PRESSED")
    assert line["promise_source"] == "offer"
    assert line["promise_at"] == (await house.offers("BLACK"))[-1]["promise_at"]


async def test_a_promise_that_binds_never_changes(house: House) -> None:
    await house.price()
    line = await house.buy("1", "WHITE")
    await _a_day_of(house, 30)
    (same,) = await house.read("SELECT promise_at FROM order_lines WHERE line_id = :id", id=line["line_id"])
    assert same["promise_at"] == line["promise_at"]


# List prices and write-backs


async def test_a_price_the_owner_set_becomes_the_list_price_and_the_factor_starts_over(house: House) -> None:
    await house.price()
    await house.tell()
    assert house.shop.price_of("WHITE") == 11_500
    house.shop.sell("WHITE", 12_000)
    await house.price(minutes=5, read=True)
    (listed,) = await house.read("SELECT * FROM list_prices WHERE sku = 'WHITE'")
    assert listed["price_minor"] == 12_000
    assert (await house.offers("WHITE"))[-1]["price_minor"] == 13_800
    assert [one["list_minor"] for one in await house.facts("offer.list_price") if one["sku"] == "WHITE"] == [
        10_000,
        12_000,
    ]
    events = await house.read("SELECT what FROM events WHERE subject = 'sku:webshop/WHITE' ORDER BY event_id")
    assert [one["what"] for one in events] == ["list_price.seen", "list_price.changed"]


async def test_an_owners_price_is_not_overwritten_by_an_older_offer_that_still_waits(house: House) -> None:
    await house.price()
    house.shop.sell("BLACK", 12_000)
    await house.rounds.read(SHOP)
    assert "offer:BLACK" not in {fact.subject for fact in await house.waiting()}


async def test_a_price_of_ours_is_never_taken_for_the_owners(house: House) -> None:
    await house.price()
    for fact in await house.waiting():  # the shop takes them, but no answer comes
        await house.shop.write_offer(
            fact.body["product_id"], price_minor=fact.body["price_minor"], values=fact.body["values"]
        )
    await house.price(minutes=1, read=True)
    await house.buy("1", "WHITE", quantity=2)
    await house.price(minutes=1)
    await house.price(minutes=1, read=True)
    (listed,) = await house.read("SELECT price_minor FROM list_prices WHERE sku = 'WHITE'")
    assert listed["price_minor"] == 10_000


async def test_what_was_read_before_our_own_write_took_effect_says_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.price()
    await house.tell()
    old = tuple(house.shop.products_by_id.values())
    await house.buy("1", "WHITE", quantity=2)

    async def slowly() -> tuple[ShopProduct, ...]:
        await house.price(minutes=1)  # while the shop answers, a new offer is made and taken
        house.clock.business += timedelta(minutes=1)
        await house.tell()
        return old

    monkeypatch.setattr(house.shop, "products", slowly)
    await house.rounds.read(SHOP)
    (listed,) = await house.read("SELECT price_minor FROM list_prices WHERE sku = 'WHITE'")
    assert listed["price_minor"] == 10_000


async def test_a_shop_that_lost_our_price_is_told_again(house: House) -> None:
    await house.price()
    await house.tell()
    house.shop.sell("WHITE", 10_000)  # restored from a backup
    await house.price(minutes=5, read=True)
    await house.tell()
    assert house.shop.price_of("WHITE") == 11_500
    assert await house.read("SELECT 1 FROM events WHERE what = 'price.drifted'")
    assert await _open(house, "price:webshop/WHITE") == []
    for _ in range(2):
        house.shop.sell("WHITE", 10_000)  # somebody else writes there too
        await house.price(minutes=5, read=True)
        await house.tell()
    (asked,) = await _open(house, "price:webshop/WHITE")
    assert (asked["cause"], asked["count"]) == ("the shop does not keep its price", 2)
    assert house.shop.price_of("WHITE") == 11_500


async def test_a_newer_offer_replaces_one_the_shop_has_yet_to_hear(house: House) -> None:
    await house.price()
    await house.buy("1", "WHITE", quantity=2)
    await _no_answer(house, 12)
    waiting = [fact for fact in await house.waiting() if fact.body["sku"] == "WHITE"]
    assert len(waiting) == 1
    last = (await house.offers("WHITE"))[-1]
    assert waiting[0].body["price_minor"] == last["price_minor"]
    assert waiting[0].body["values"]["_kvot_promise"] == last["promise_at"]


async def _no_answer(house: House, hours: int) -> None:
    for _ in range(hours):
        await house.price(minutes=60)


async def test_the_price_log_holds_each_price_from_the_moment_the_shop_took_it(house: House) -> None:
    await house.price()
    assert [one["price_minor"] for one in await _log(house)] == [10_000]
    await house.tell()
    assert [one["price_minor"] for one in await _log(house)] == [10_000, 11_500]
    await house.buy("1", "WHITE", quantity=2)
    await _a_day_of(house, 45)
    log = [one["price_minor"] for one in await _log(house)]
    assert log[:2] == [10_000, 11_500]
    assert all(earlier != later for earlier, later in pairwise(log))
    assert log[-1] == house.shop.price_of("WHITE")


async def _log(house: House) -> list[dict[str, Any]]:
    return await house.read("SELECT price_minor FROM price_log WHERE sku = 'WHITE' ORDER BY price_id")


async def test_orders_are_told_while_an_article_cannot_be_written(house: House) -> None:
    await house.price()
    house.shop.fail("write_offer", times=10_000)
    more: Any = {"ledger": house.ledger, "board": house.board, "clock": house.clock, "log": LOG}
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(report(SHOP, house.shop, **more)),
            group.create_task(report_offers(SHOP, house.shop, **more)),
        ]
        await house.buy("1", "WHITE")
        await eventually(lambda: house.shop.statuses.get("1", {}).get("_kvot_state") == "planned")
        house.shop.recover()

        def all_written() -> bool:
            house.clock.advance(5)
            house.ledger.ring(offers.bell(SHOP))
            return len(house.shop.offer_writes) == 3

        await eventually(all_written)
        for task in tasks:
            task.cancel()


# Modes, stale inputs, several lives


async def test_in_advise_a_price_is_proposed_and_nothing_is_written(state_dir: Path) -> None:
    async with a_house(state_dir, mode=Mode.ADVISE) as house:
        await house.price()
        await house.price(minutes=5)
        assert await house.waiting() == []
        assert (await house.offers("WHITE"))[-1]["price_minor"] == 10_000
        (proposal,) = await house.read("SELECT * FROM proposals WHERE kind = 'price' AND state = 'open'")
        assert proposal["subject"] == "offer:webshop/WHITE"
        assert orjson.loads(proposal["body"])["to_minor"] == 11_500
        assert len(await house.facts("proposal.opened")) == 1
        await house.buy("1", "WHITE", quantity=4)
        await _no_answer(house, 45)
        assert house.shop.offer_writes == []
        kinds = await house.read("SELECT DISTINCT kind FROM proposals WHERE state = 'open'")
        assert {one["kind"] for one in kinds} == {"price", "campaign"}
        assert await house.facts("campaign.opened") == []


async def test_when_off_nothing_is_offered_but_the_run_is_shown(state_dir: Path) -> None:
    async with a_house(state_dir, mode=Mode.OFF) as house:
        await house.price()
        assert await house.offers("WHITE") == []
        assert await house.waiting() == []
        assert house.board.get(("run", "white"))["mode"] == "off"
        assert (await house.buy("1", "WHITE"))["promise_source"] == "computed"


async def test_turning_prices_off_ends_the_offers(house: House) -> None:
    await house.price()
    house.restart()
    house.mode = Mode.OFF
    await house.price(minutes=10)
    assert {one["valid_until"] is None for one in await house.offers("WHITE")} == {False}
    assert {one.body["price_minor"] for one in await house.waiting()} == {None}  # an empty promise, and no price
    await house.tell()
    assert house.shop.price_of("WHITE") == 10_000
    assert set(house.shop.offers["p-WHITE"].values()) == {""}


async def test_stale_inputs_put_the_list_price_and_a_fixed_lead_in_force_and_ask_a_person(state_dir: Path) -> None:
    async with a_house(state_dir, periods_s={f"shop:{SHOP}": 60.0, "machine:oven-1": 60.0}) as house:
        for link in (f"shop:{SHOP}", "machine:oven-1"):
            house.board.put(("link", link), {"state": "up"})
        rounds = house.rounds
        rounds.ages.look()
        await house.price()
        assert (await house.offers("WHITE"))[-1]["price_minor"] == 11_500
        house.board.put(("link", "machine:oven-1"), {"state": "down"})
        house.clock.advance(121)
        rounds.ages.look()
        await house.price()
        last = (await house.offers("WHITE"))[-1]
        assert last["price_minor"] == 10_000
        assert datetime.fromisoformat(last["promise_at"]) >= house.clock.now() + timedelta(days=5)
        (asked,) = await _open(house, "family:white")
        assert asked["cause"] == "stale inputs"
        house.board.put(("link", "machine:oven-1"), {"state": "up"})
        rounds.ages.look()
        await house.price(minutes=1)
        assert (await house.offers("WHITE"))[-1]["price_minor"] == 11_500
        assert await _open(house, "family:white") == []


async def test_after_a_start_prices_wait_for_news_of_shop_and_machine_but_not_for_ever(state_dir: Path) -> None:
    async with a_house(state_dir, periods_s={f"shop:{SHOP}": 60.0, "machine:oven-1": 10.0}) as house:
        ages = house.rounds.ages
        house.board.put(("link", f"shop:{SHOP}"), {"state": "up"})
        ages.look()
        assert not ages.settled
        house.board.put(("link", "machine:oven-1"), {"state": "up"})
        ages.look()
        assert ages.settled
        assert [one.stale for one in ages.sources(("oven-1",))] == [False, False]
        house.restart()
        house.clock.advance(59)
        assert not house.rounds.ages.settled
        house.clock.advance(121)
        assert house.rounds.ages.settled
        assert {one.name for one in house.rounds.ages.sources(("oven-1",)) if one.stale} == {"machine", "orders"}


async def test_one_machine_of_several_is_enough_to_know(state_dir: Path) -> None:
    async with a_house(state_dir, periods_s={"machine:oven-1": 60.0, "machine:oven-2": 60.0}) as house:
        ages = house.rounds.ages
        house.clock.advance(200)
        house.board.put(("link", "machine:oven-2"), {"state": "up"})
        ages.look()
        assert [one.stale for one in ages.sources(("oven-1", "oven-2"))] == [False]
        assert [one.stale for one in ages.sources(("oven-1",))] == [True]


async def _open(house: House, subject: str) -> list[dict[str, Any]]:
    found = await house.ledger.read(exceptions.list_exceptions)
    return [one for one in found if one["subject"] == subject and one["state"] != "resolved"]


async def test_a_new_life_goes_on_with_the_same_offers(state_dir: Path) -> None:
    async with a_house(state_dir) as house:
        await house.price()
        await house.buy("1", "WHITE", quantity=2)
        await _a_day_of(house, 20)
        log, shop, clock = await house.offers("WHITE"), house.shop, house.clock
        facts = len(await house.facts("offer.changed"))
    async with a_house(state_dir, shop=shop, at=clock.now()) as house:
        await house.price()
        assert await house.offers("WHITE") == log
        assert len(await house.facts("offer.changed")) == facts
        assert house.board.get(("offer", "WHITE"))["price_minor"] == log[-1]["price_minor"]


async def test_a_life_that_ended_between_log_and_shop_tells_the_shop_once(state_dir: Path) -> None:
    async with a_house(state_dir) as house:
        await house.price()
        shop = house.shop
    async with a_house(state_dir, shop=shop) as house:
        await house.price(read=True)
        await house.tell()
        await house.price(minutes=1, read=True)
        await house.tell()
    assert len(shop.offer_writes) == 3
    assert shop.price_of("WHITE") == 11_500


async def test_two_writers_put_one_offer_in_force(house: House) -> None:
    first, second = house.another_writer(), house.another_writer()
    await first.read(SHOP)
    await second.read(SHOP)
    await asyncio.gather(first.once(), second.once(), first.once())
    assert [len(await house.offers(sku)) for sku in ("WHITE", "BLACK", "PRESSED")] == [1, 1, 1]
    await house.buy("1", "WHITE")
    house.clock.business += timedelta(hours=1)
    await asyncio.gather(first.once(), second.once())
    log = await house.offers("WHITE")
    assert len(log) == 2
    assert [one["valid_until"] for one in log] == [log[1]["valid_from"], None]


async def test_a_shop_that_is_not_written_to_is_only_advised(state_dir: Path) -> None:
    async with a_house(state_dir, write_back=frozenset()) as house:
        await house.price()
        assert await house.waiting() == []
        assert (await house.offers("WHITE"))[-1]["price_minor"] == 10_000


async def test_an_article_the_shop_no_longer_sells_has_no_offer(house: House) -> None:
    await house.price()
    del house.shop.products_by_id["p-WHITE"]
    await house.price(minutes=5, read=True)
    assert (await house.offers("WHITE"))[-1]["valid_until"] is not None
    assert [one["sku"] for one in await house.facts("offer.ended")] == ["WHITE"]


async def test_the_stage_prices_a_live_shop_and_hears_its_owner(state_dir: Path) -> None:
    async with (
        running_shop(key="ck_canary", secret="cs_canary") as running,
        open_shop(access_to(running.url)) as shop,
        a_house(state_dir) as house,
    ):
        article = running.store.article_of("TRAY-12")
        variation = running.store.article_of("TRAY-12-B")
        house.shops = {SHOP: shop}  # type: ignore[dict-item]
        pricing = house.pricing
        white = pricing.range.products[0]
        products = (replace(white, name="TRAY-12"), replace(white, name="TRAY-12-B"))
        pricing = replace(pricing, range=replace(pricing.range, products=products))
        more: Any = {"ledger": house.ledger, "board": house.board, "clock": house.clock, "log": LOG}
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(price_stage(pricing, **more)),
                group.create_task(report_offers(SHOP, shop, **more)),  # type: ignore[arg-type]
            ]
            await eventually(lambda: running.store.article(article.id).price == "171.35")
            await eventually(lambda: running.store.article(variation.id).price == "182.85")
            running.store.write_article(article.id, {"regular_price": "200.00"})
            house.ledger.ring(f"prices:{SHOP}")
            await eventually(lambda: running.store.article(article.id).price == "230.00")
            for task in tasks:
                task.cancel()
        meta = {one.key: one.value for one in running.store.article(variation.id).meta}
        assert meta["_kvot_lead_days"] == "3"
