"""Quotes hold places in the open run, are honoured when an order names them, and are used once."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.intake import Catalogue
from gateway.domain.pricing.quotes import HELD_ON, VALID, Express
from gateway.errors import NotUnderstoodError, RefusedError, StaleError
from gateway.ledger import events, quotes
from gateway.ledger.sql import change
from gateway.ledger.times import to_text, to_time
from gateway.stages.approvals import approve
from gateway.stages.intake import pull_once
from gateway.stages.plan import plan_once
from gateway.stages.quotes import Quoting, Request, give_quote
from gateway.stages.releases import Act, release_run
from tests.shops.fake_shop import a_line, an_order
from tests.stages.factory import LOG
from tests.stages.pricing_house import RECIPE, RULES, SHOP, START, House, a_house

ANNA = "person:anna"
PLACES = RULES["black"].run.places
MOMENT = timedelta(microseconds=1)


class Counter:
    """Where quotes are asked for: a house whose black runs have express."""

    def __init__(self, house: House, *, express: Mapping[str, Express] | None = None) -> None:
        self.house = house
        self.express = {"black": Express(approval=True)} if express is None else express

    @property
    def quoting(self) -> Quoting:
        pricing = self.house.pricing
        catalogue = Catalogue(range=pricing.range, recipe=lambda _machine, _recipe: RECIPE)
        return Quoting(pricing=pricing, catalogue=catalogue, shops=(SHOP,), express=self.express)

    async def ask(self, sku: str = "BLACK", quantity: int = 2, **more: Any) -> dict[str, Any]:
        """Ask for a quote; give it as its asker sees it."""
        house, who = self.house, more.pop("who", ANNA)
        request = Request(sku=sku, quantity=quantity, **more)
        quote_id, _ = await house.ledger.write(
            lambda tx: give_quote(tx, self.quoting, request, board=house.board, who=who, epoch=1, now=house.clock.now())
        )
        return await self.show(quote_id)

    async def show(self, quote_id: str) -> dict[str, Any]:
        now = self.house.clock.now()
        shown = await self.house.ledger.read(lambda tx: quotes.show_quote(tx, quote_id, now=now))
        assert shown is not None
        return shown

    async def order(
        self, number: str, token: str, *, sku: str = "BLACK", quantity: int = 2, **more: Any
    ) -> dict[str, Any]:
        """Place an order that names a quote, and take it; give its line."""
        placed_at = more.pop("placed_at", self.house.clock.now())
        line = a_line(f"{number}-1", sku=sku, quantity=quantity, quote=token, **more)
        self.house.shop.place(an_order(number, lines=(line,), placed_at=placed_at))
        await self.pull()
        return (await self.house.read("SELECT * FROM order_lines ORDER BY line_id DESC LIMIT 1"))[0]

    async def pull(self) -> None:
        house = self.house
        await pull_once(house.source, house.shop, ledger=house.ledger, clock=house.clock, log=LOG)
        await self.plan()

    async def plan(self) -> None:
        house = self.house
        floor = house.pricing.floor
        await house.ledger.write(lambda tx: plan_once(tx, floor, site="LUND", epoch=1, now=house.clock.now()))

    async def reserved(self, family: str = "black") -> int:
        now = self.house.clock.now()
        return await self.house.ledger.read(lambda tx: quotes.living(tx, now=now).of(family).open_units)

    async def told(self, order_id: int) -> list[dict[str, Any]]:
        """Give what the history of an order says of quotes."""
        history = await self.house.ledger.read(lambda tx: events.history(tx, f"order:{order_id}", 50))
        return [one for one in history if one["what"].startswith("quote.")]

    async def approve(self, proposal_id: int) -> str:
        act = Act(who=ANNA, now=self.house.clock.now(), site="LUND", epoch=1)
        return await self.house.ledger.write(lambda tx: approve(tx, self.house.pricing, proposal_id, act))

    async def runs(self) -> list[dict[str, Any]]:
        return await self.house.read(
            "SELECT r.run_id, r.family, r.state, r.release_reason, r.express, (SELECT COALESCE(SUM(j.quantity), 0) "
            "FROM jobs j WHERE j.run_id = r.run_id AND j.state <> 'cancelled') AS pieces FROM runs r ORDER BY r.run_id"
        )


def offer(quote: Mapping[str, Any], kind: str) -> Any:
    return next((one for one in quote["offers"] if one["kind"] == kind), None)


def why(quote: Mapping[str, Any], kind: str) -> set[str]:
    return {reason["code"] for one in quote["withheld"] if one["kind"] == kind for reason in one["why"]}


@pytest.fixture
async def counter(state_dir: Path) -> AsyncIterator[Counter]:
    async with a_house(state_dir) as house:
        await house.price()
        yield Counter(house)


# Asked


async def test_a_quote_says_price_promise_and_why_in_both_languages(counter: Counter) -> None:
    quote = await counter.ask(quantity=2, wanted=START + timedelta(days=9))
    with_run = offer(quote, "with_run")
    assert (with_run["unit_price_minor"], with_run["currency"], with_run["tax_rate"]) == (10_000, "SEK", 0.0)
    assert to_text(START) < with_run["ship_by"] <= with_run["promise_at"]
    assert with_run["in_time"]
    assert all(one["text"]["en"] != one["text"]["sv"] for one in with_run["why"])
    assert (quote["state"], quote["valid_until"]) == ("open", to_text(START + VALID))
    assert quote["reserved"] == {"units": 2, "until": to_text(START + VALID + HELD_ON)}
    assert quote["lowest_30_days_minor"] == 10_000
    assert await counter.reserved() == 2
    listed = await counter.house.ledger.read(lambda tx: quotes.list_quotes(tx, now=START))
    assert [(one["quote_id"], one["state"]) for one in listed] == [(quote["quote_id"], "open")]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"sku": "NOBODY"}, "sku"),
        ({"sku": "GIFT-1"}, "sku"),
        ({"sku": "BLACK", "shop": "elsewhere"}, "shop"),
    ],
)
async def test_what_cannot_be_made_is_refused_with_the_field_named(
    counter: Counter, asked: dict[str, Any], field: str
) -> None:
    with pytest.raises(NotUnderstoodError) as fault:
        await counter.ask(**asked)
    assert fault.value.field == field
    assert await counter.house.read("SELECT * FROM quotes") == []


async def test_one_of_several_shops_must_be_named(counter: Counter) -> None:
    two = replace(counter.quoting, shops=(SHOP, "other"))
    with pytest.raises(NotUnderstoodError, match="name one of webshop, other"):
        await counter.house.ledger.write(
            lambda tx: give_quote(
                tx, two, Request(sku="BLACK", quantity=1), board=counter.house.board, who=ANNA, epoch=1, now=START
            )
        )


async def test_nothing_is_quoted_before_prices_are_known_or_on_old_figures(state_dir: Path) -> None:
    async with a_house(state_dir, periods_s={f"shop:{SHOP}": 30.0}) as house:
        counter = Counter(house)
        with pytest.raises(StaleError, match="not decided yet"):
            await counter.ask()
        house.board.put(("link", f"shop:{SHOP}"), {"state": "up"})
        house.rounds.ages.look()
        await house.price()
        await counter.ask()
        house.board.put(("link", f"shop:{SHOP}"), {"state": "down"})
        house.clock.machine_s += 100
        await house.price()
        with pytest.raises(StaleError, match="orders was last heard 100 s ago"):
            await counter.ask()


async def test_the_same_request_again_gets_the_same_quote_and_another_one_is_refused(counter: Counter) -> None:
    first = await counter.ask(key="k1")
    assert await counter.ask(key="k1") == first
    with pytest.raises(RefusedError, match="Idempotency-Key was used for another request"):
        await counter.ask(key="k1", quantity=3)
    assert (await counter.ask(key="k1", who="person:bo"))["quote_id"] != first["quote_id"]
    assert (await counter.ask())["quote_id"] != first["quote_id"]
    assert await counter.reserved() == 6


async def test_two_quotes_for_the_last_places_get_one_each_way(counter: Counter) -> None:
    await counter.house.buy("1", "BLACK", quantity=PLACES - 2)
    one, other = await asyncio.gather(counter.ask(quantity=2), counter.ask(quantity=2))
    kinds = [{found["kind"] for found in quote["offers"]} - {"own_run"} for quote in (one, other)]
    assert kinds == [{"with_run", "next_run"}, {"next_run"}]
    assert why(other, "with_run") == {"quote_no_room"}
    assert offer(other, "next_run")["unit_price_minor"] <= offer(one, "with_run")["unit_price_minor"]
    assert offer(other, "next_run")["promise_at"] > offer(one, "with_run")["promise_at"]
    await counter.ask(quantity=PLACES - 4)
    alone = Counter(counter.house, express={})
    with pytest.raises(RefusedError, match=r"no run can take it: .*free places: 0"):
        await alone.ask(quantity=1)


async def test_who_orders_without_a_quote_does_not_take_its_places(counter: Counter) -> None:
    await counter.house.buy("1", "BLACK", quantity=PLACES - 2)
    quote = await counter.ask(quantity=2)
    await counter.house.buy("2", "BLACK", quantity=1)
    assert [run["pieces"] for run in await counter.runs()] == [PLACES - 2]  # it waits for the next run
    line = await counter.order("3", offer(quote, "with_run")["token"])
    assert line["promise_at"] == offer(quote, "with_run")["promise_at"]
    await counter.plan()
    first, second = await counter.runs()
    assert (first["pieces"], first["state"], first["release_reason"]) == (PLACES, "releasing", "release_full")
    assert second["pieces"] == 1


async def test_what_was_held_is_free_at_the_exact_moment_it_ends(counter: Counter) -> None:
    await counter.house.buy("1", "BLACK", quantity=PLACES - 2)
    quote = await counter.ask(quantity=2)
    until = to_time(quote["reserved"]["until"])
    counter.house.clock.business = until - MOMENT
    assert await counter.reserved() == 2
    await counter.house.buy("2", "BLACK", quantity=2)
    assert (await counter.runs())[0]["pieces"] == PLACES - 2
    counter.house.clock.business = until
    assert await counter.reserved() == 0
    await counter.plan()
    assert (await counter.runs())[0]["pieces"] == PLACES


async def test_a_run_waits_for_what_is_held_of_the_next_one_once_that_is_open(counter: Counter) -> None:
    await counter.house.buy("1", "BLACK", quantity=PLACES - 1)
    quote = await counter.ask(quantity=4)
    assert {one["kind"] for one in quote["offers"]} >= {"next_run"}
    assert await counter.reserved() == 0
    await counter.house.buy("2", "BLACK", quantity=1)  # the run is full, and released
    assert await counter.reserved() == 4
    await counter.house.buy("3", "BLACK", quantity=PLACES - 4)
    await counter.house.buy("4", "BLACK", quantity=1)
    assert [run["pieces"] for run in await counter.runs()] == [PLACES, PLACES - 4]
    line = await counter.order("5", offer(quote, "next_run")["token"], quantity=4)
    assert line["promise_at"] == offer(quote, "next_run")["promise_at"]
    assert (await counter.runs())[1]["pieces"] == PLACES


async def test_a_person_who_releases_a_run_hears_of_the_places_that_quotes_held(counter: Counter) -> None:
    await counter.house.buy("1", "BLACK", quantity=3)
    quote = await counter.ask(quantity=2)
    act = Act(who=ANNA, now=START, site="LUND", epoch=1)
    said = await counter.house.ledger.write(lambda tx: release_run(tx, counter.house.pricing.floor, 1, act))
    assert said == "run 1 is released with 1 jobs; quotes held 2 places of it, and have them in the next run now"
    line = await counter.order("2", offer(quote, "with_run")["token"])
    assert line["promise_at"] == offer(quote, "with_run")["promise_at"]
    assert [run["pieces"] for run in await counter.runs()] == [3, 2]


async def test_nothing_is_quoted_while_a_restored_ledger_asks_its_machines_and_shops(counter: Counter) -> None:
    kept = await counter.ask(key="k1")
    await counter.house.ledger.write(partial(change, sql="UPDATE meta SET recovering = :at", at=to_text(START)))
    with pytest.raises(StaleError, match="a backup was restored"):
        await counter.ask()
    assert await counter.ask(key="k1") == kept


# Named by an order


async def test_an_order_that_names_a_quote_gets_its_promise_once(counter: Counter) -> None:
    quote = await counter.ask(quantity=2)
    chosen = offer(quote, "with_run")
    counter.house.clock.business += timedelta(minutes=14)
    await counter.house.price()
    line = await counter.order("1", chosen["token"], unit_price_minor=10_000)
    assert (line["promise_at"], line["promise_source"]) == (chosen["promise_at"], "quote")
    shown = await counter.show(quote["quote_id"])
    assert (shown["state"], shown["used"], shown["order_id"]) == ("used", "with_run", line["order_id"])
    assert await counter.reserved() == 0
    again = await counter.order("2", chosen["token"])
    assert again["promise_source"] != "quote"
    assert [one["what"] for one in await counter.told(line["order_id"])] == ["quote.used"]
    (ignored,) = await counter.told(again["order_id"])
    assert (ignored["what"], ignored["after"]["reason"]) == ("quote.ignored", "it was used by another order")


async def test_a_quote_outlives_a_restart(state_dir: Path) -> None:
    async with a_house(state_dir) as house:
        await house.price()
        quote = await Counter(house).ask(quantity=2)
        shop = house.shop
    async with a_house(state_dir, shop=shop, at=START + timedelta(minutes=5)) as house:
        counter = Counter(house)
        assert await counter.reserved() == 2
        assert offer(await counter.show(quote["quote_id"]), "with_run") == offer(quote, "with_run")
        line = await counter.order("1", offer(quote, "with_run")["token"])
        assert line["promise_at"] == offer(quote, "with_run")["promise_at"]


@pytest.mark.parametrize(
    ("late", "source"), [(-MOMENT, "quote"), (timedelta(0), "offer"), (timedelta(minutes=1), "offer")]
)
async def test_a_quote_ends_at_its_exact_moment_by_the_time_the_order_was_placed(
    counter: Counter, late: timedelta, source: str
) -> None:
    quote = await counter.ask()
    until = to_time(quote["valid_until"])
    counter.house.clock.business = until + timedelta(hours=1)  # the shop was away
    line = await counter.order("1", offer(quote, "with_run")["token"], placed_at=until + late)
    assert line["promise_source"] == source
    assert line["promise_at"] is not None


async def test_what_does_not_fit_is_ignored_with_its_reason_and_the_order_is_taken(counter: Counter) -> None:
    quote = await counter.ask(quantity=2)
    token = offer(quote, "with_run")["token"]
    forged = token[:-1] + ("0" if token[-1] != "0" else "1")
    other_kind = token.replace("with_run", "next_run")
    cases = [
        ({"token": token, "sku": "WHITE"}, "it is for another article"),
        ({"token": token, "quantity": 3}, "it is for 2 pieces, fewer than ordered"),
        ({"token": forged}, "it is no quote of this gateway"),
        ({"token": other_kind}, "it is no quote of this gateway"),
        ({"token": quote["quote_id"]}, "it is no quote of this gateway"),
        ({"token": "Ω.with_run." + "x" * 500}, "it is no quote of this gateway"),
        ({"token": "Q1-99.with_run.00"}, "it is no quote of this gateway"),
    ]
    for number, (named, reason) in enumerate(cases):
        line = await counter.order(str(number), **named)
        assert line["promise_source"] == "offer"
        (told,) = await counter.told(line["order_id"])
        assert told["after"]["reason"] == reason
    line = await counter.order("fewer", token, quantity=1, unit_price_minor=9_000)
    assert line["promise_source"] == "quote"
    differs = (await counter.told(line["order_id"]))[-1]
    assert differs["what"] == "quote.price_differs"
    assert (differs["after"]["quoted_net_minor"], differs["after"]["sold_net_minor"]) == (10_000, 9_000)


async def test_an_order_that_is_paid_late_gets_what_was_quoted_only_while_that_holds(counter: Counter) -> None:
    quote = await counter.ask()
    token = offer(quote, "with_run")["token"]
    unpaid = an_order("1", lines=(a_line("1-1", sku="BLACK", quantity=2, quote=token),), status="pending")
    counter.house.shop.place(replace(unpaid, placed_at=START))
    await counter.pull()
    assert (await counter.show(quote["quote_id"]))["state"] == "open"
    counter.house.clock.business += timedelta(minutes=10)
    counter.house.shop.edit("1", status="processing")
    await counter.pull()
    (line,) = await counter.house.read("SELECT * FROM order_lines")
    assert (line["promise_source"], line["promise_at"]) == ("quote", offer(quote, "with_run")["promise_at"])
    for status in ("pending", "processing"):  # a payment that is taken back and made again
        counter.house.clock.business += timedelta(minutes=10)
        counter.house.shop.edit("1", status=status)
        await counter.pull()
    (line,) = await counter.house.read("SELECT * FROM order_lines")
    assert (line["state"], line["promise_source"]) == ("planned", "offer")


# A run of one's own


async def test_an_approved_run_of_ones_own_is_made_at_once_beside_the_open_one(counter: Counter) -> None:
    await counter.house.buy("1", "BLACK", quantity=3)
    quote = await counter.ask(quantity=4)
    own = offer(quote, "own_run")
    assert (own["state"], own["token"]) == ("waits_for_approval", None)
    (proposed,) = await counter.house.facts("proposal.opened")
    body = proposed["body"]
    assert proposed["kind"] == "express"
    assert (body["quote_id"], body["quantity"], body["unit_price_minor"]) == (
        quote["quote_id"],
        4,
        own["unit_price_minor"],
    )
    assert body["machine"] == "oven-1"
    await counter.approve(quote["proposal_id"])
    ready = offer(await counter.show(quote["quote_id"]), "own_run")
    assert ready["state"] == "open"
    line = await counter.order("2", ready["token"], quantity=4)
    assert (line["promise_at"], line["promise_source"]) == (own["promise_at"], "quote")
    shared, alone = await counter.runs()
    assert (shared["state"], shared["pieces"], shared["express"]) == ("committed", 3, None)
    assert (alone["state"], alone["pieces"], alone["release_reason"]) == ("releasing", 4, "express")
    assert alone["express"] == line["line_id"]


async def test_until_somebody_approves_it_the_order_joins_the_open_run(counter: Counter) -> None:
    quote = await counter.ask(quantity=4)
    shown = offer(quote, "own_run")
    forged = offer(quote, "with_run")["token"].replace("with_run", "own_run")
    assert shown["token"] is None
    line = await counter.order("1", forged, quantity=4)
    assert line["promise_source"] == "offer"
    await counter.approve(quote["proposal_id"])
    token = offer(await counter.show(quote["quote_id"]), "own_run")["token"]
    revoke = "UPDATE proposals SET state = 'rejected' WHERE proposal_id = :id"
    await counter.house.ledger.write(lambda tx: change(tx, revoke, id=quote["proposal_id"]))
    line = await counter.order("2", token, quantity=4)
    (told,) = await counter.told(line["order_id"])
    assert told["after"]["reason"] == "nobody has approved its run"
    assert [run["express"] for run in await counter.runs()] == [None]


async def test_without_approval_it_may_be_ordered_but_not_in_part(state_dir: Path) -> None:
    async with a_house(state_dir) as house:
        await house.price()
        counter = Counter(house, express={"black": Express(approval=False)})
        quote = await counter.ask(quantity=4)
        assert quote["proposal_id"] is None
        token = offer(quote, "own_run")["token"]
        line = await counter.order("1", token, quantity=3)
        (told,) = await counter.told(line["order_id"])
        assert told["after"]["reason"] == "it is for 4 pieces, and a run of one's own is not divided"
        await counter.order("2", token, quantity=4)
        assert [(run["pieces"], run["release_reason"]) for run in await counter.runs()] == [(3, None), (4, "express")]


async def test_a_proposal_ends_with_its_quote(counter: Counter) -> None:
    quote = await counter.ask(quantity=4)
    counter.house.clock.business = to_time(quote["valid_until"]) - MOMENT
    await counter.plan()
    assert await counter.house.facts("proposal.expired") == []
    counter.house.clock.business += MOMENT
    await counter.plan()
    (expired,) = await counter.house.facts("proposal.expired")
    assert expired["subject"] == f"quote:{quote['quote_id']}"


async def test_an_express_run_is_approved_only_while_somebody_can_order_it(counter: Counter) -> None:
    quote = await counter.ask(quantity=4)
    counter.house.clock.business = to_time(quote["valid_until"]) - MOMENT
    said = await counter.approve(quote["proposal_id"])
    assert said == f"quote Q1-1 may be ordered as a run of its own until {quote['valid_until']}"
    late = await counter.ask(quantity=4)
    counter.house.clock.business = to_time(late["valid_until"])
    with pytest.raises(RefusedError, match="quote Q1-2 was used or has expired"):
        await counter.approve(late["proposal_id"])


async def test_machine_hours_of_a_run_that_may_be_ordered_count_in_every_other_promise(counter: Counter) -> None:
    def queue_h() -> float:
        return float(counter.house.board.get(("run", "black"))["queue"]["hours"])  # type: ignore[index]

    quote = await counter.ask(quantity=4)
    await counter.house.price()
    assert queue_h() == 0  # nobody has approved it
    await counter.approve(quote["proposal_id"])
    await counter.house.price()
    assert queue_h() > 1
    await counter.house.price(minutes=18)
    assert queue_h() == 0


async def test_no_run_of_ones_own_is_offered_when_a_promise_would_move(counter: Counter) -> None:
    await counter.house.buy("1", "BLACK", quantity=3)
    await counter.house.price()
    run: Any = counter.house.board.get(("run", "black"))
    counter.house.clock.business = to_time(run["latest_start"]) - timedelta(minutes=20)
    await counter.house.price()
    assert offer(await counter.ask(quantity=2), "own_run") is not None  # late by less than promises keep in hand
    quote = await counter.ask(quantity=7)
    assert why(quote, "own_run") == {"express_moves"}
    (told,) = next(one for one in quote["withheld"] if one["kind"] == "own_run")["why"]
    assert told["params"]["which"] == "order 1"


async def test_other_families_of_the_machine_count_at_the_list_price_that_their_shop_shows(counter: Counter) -> None:
    house = counter.house

    async def displaced() -> float:
        own = offer(await counter.ask(quantity=1), "own_run")
        return float(next(one for one in own["why"] if one["code"] == "express_price")["params"]["displaced_minor"])

    for name, rules in RULES.items():  # the list price in the settings stands for one that nobody knows
        crowd = replace(rules.demand, visitors_h=60)
        house.rules[name] = replace(rules, price=replace(rules.price, list_minor=10**8), demand=crowd)
    await house.buy("1", "WHITE", quantity=1)
    await house.price()
    run: Any = house.board.get(("run", "white"))
    house.clock.business = to_time(run["latest_start"]) - timedelta(minutes=40)
    await house.price()
    before = await displaced()
    assert 0 < before < 10_000
    house.shop.sell("WHITE", 20_000)
    await house.price(read=True)
    assert await displaced() > before


async def test_an_own_run_whose_order_is_cancelled_before_it_starts_is_closed(counter: Counter) -> None:
    quote = await counter.ask(quantity=4)
    await counter.approve(quote["proposal_id"])
    token = offer(await counter.show(quote["quote_id"]), "own_run")["token"]
    counter.house.shop.place(an_order("1", lines=(a_line("1-1", sku="BLACK", quantity=4, quote=token),)))
    await counter.pull()
    (run,) = await counter.runs()
    assert run["state"] == "releasing"
    counter.house.shop.cancel("1")
    await counter.pull()
    (run,) = await counter.runs()
    assert (run["state"], run["pieces"]) == ("cancelled", 0)


# Kept


async def test_the_ledger_refuses_a_second_quote_for_a_key_or_a_line(counter: Counter) -> None:
    first = await counter.ask(key="k1")
    second = await counter.ask(key="k2")
    line = await counter.order("1", offer(first, "with_run")["token"])
    for sql in (
        "UPDATE quotes SET request_key = 'k1' WHERE quote_id = :id",
        f"UPDATE quotes SET line_id = {line['line_id']}, used = 'with_run' WHERE quote_id = :id",
        "UPDATE quotes SET used = 'with_run' WHERE quote_id = :id",
    ):
        with pytest.raises(Exception, match="constraint failed"):
            await counter.house.ledger.write(partial(change, sql=sql, id=second["quote_id"]))


async def test_the_secret_is_of_this_ledger_alone_and_shown_nowhere(counter: Counter) -> None:
    secret = await counter.house.ledger.read(quotes.secret)
    assert len(secret) == 64
    quote = await counter.ask(quantity=4)
    assert secret not in str(quote)
    everything = await counter.house.read("SELECT * FROM events")
    everything += await counter.house.read("SELECT * FROM outbox")
    everything += await counter.house.read("SELECT * FROM quotes")
    assert secret not in str(everything)
    assert offer(quote, "with_run")["token"] not in str(everything)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["quote", "order", "use", "wait", "wait long"]), st.integers(1, 6)),
        max_size=14,
    )
)
def test_what_is_held_and_what_is_ordered_never_exceed_the_places(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    asyncio.run(_history(tmp_path_factory.mktemp("history"), steps))


async def _history(state_dir: Path, steps: list[tuple[str, int]]) -> None:
    async with a_house(state_dir) as house:
        await house.price()
        counter = Counter(house)
        given_quotes: list[dict[str, Any]] = []
        for number, (act, count) in enumerate(steps):
            if act == "quote":
                with_refusal = [RefusedError]
                try:
                    given_quotes.append(await counter.ask(quantity=count))
                except tuple(with_refusal):
                    pass
            elif act == "order":
                await house.buy(str(number), "BLACK", quantity=count)
            elif act == "use" and given_quotes:
                quote = given_quotes.pop(0)
                chosen = next((one for one in quote["offers"] if one["token"]), None)
                if chosen is not None:
                    line = await counter.order(str(number), chosen["token"], quantity=quote["quantity"])
                    in_time = to_time(quote["valid_until"]) > house.clock.now()
                    assert (line["promise_source"] == "quote") == in_time
            else:
                await house.price(minutes=count if act == "wait" else count * 120)
            await counter.plan()
            for run in await counter.runs():
                held = await counter.reserved() if run["state"] in {"collecting", "committed"} else 0
                assert run["pieces"] + held <= PLACES, (act, run, held)
