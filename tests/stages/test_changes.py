"""What a shop changes after placing: freely before release, one visible question afterwards, never lost or made twice."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.domain.intake import Catalogue
from gateway.domain.orders import LineKind
from gateway.domain.products import Product, Range
from gateway.ledger.sql import rows
from gateway.stages.intake import read_again
from tests.shops.fake_shop import a_line, an_order
from tests.stages.factory import RANGE, RECIPE, STEP
from tests.stages.lives import Life, Place

DAY = 86_400


@pytest_asyncio.fixture
async def life(state_dir: Path) -> AsyncIterator[Life]:
    async with Place(state_dir=state_dir).life() as begun:
        await begun.begin()
        yield begun


async def _place(life: Life, **fields: Any) -> None:
    life.place.shop.place(an_order("1001", **fields))
    await life.pull()


async def _edit(life: Life, **fields: Any) -> None:
    life.place.shop.edit("1001", **fields)
    await life.pull()


async def _line(life: Life, index: int = 0) -> dict[str, Any]:
    return dict((await life.factory.order())["lines"][index])


async def _needs(life: Life) -> list[tuple[int, str]]:
    found = await life.ledger.read(
        lambda tx: rows(tx, "SELECT quantity, parameters FROM requirements ORDER BY line_id")
    )
    return [(need["quantity"], need["parameters"]) for need in found]


async def _causes(life: Life) -> list[tuple[str, str]]:
    return [(one["subject"], one["cause"]) for one in await life.factory.exceptions()]


async def _answer(life: Life, action: str) -> None:
    (question,) = await life.factory.exceptions()
    await life.factory.decide(question["exception_id"], action)


def _knows(life: Life, *names: str) -> None:
    """Let somebody add articles to the configuration."""
    products = tuple(Product(name=name, make=True, route=(STEP,)) for name in names)
    everything = Range(products=(*RANGE.products, *products), families=RANGE.families)
    life.factory.catalogue = Catalogue(range=everything, recipe=lambda _machine, _recipe: RECIPE)


async def _made(life: Life) -> None:
    """Make everything that is owed; somebody is there for it."""
    await life.factory.arm()
    life.place.press.quick = True
    for _ in range(20):
        await life.plan()
        await life.tend()
        for name, job in list(life.place.press.jobs.items()):
            if job.phase == 3:
                life.place.press.finish(name, good=job.command.quantity)


ONE = a_line("1")
TWO = a_line("1", quantity=2)


# Before release ------------------------------------------------------------------------------------


async def test_a_line_that_is_not_released_takes_every_change_and_keeps_its_promise(life: Life) -> None:
    await _place(life, lines=(ONE,))
    promise = (await _line(life))["promise_at"]
    life.place.clock.advance(DAY)
    await _edit(life, lines=(replace(ONE, quantity=3, options={"width_mm": "80"}),))
    assert await _needs(life) == [(3, '{"width_mm":80.0}')]
    assert (await _line(life))["promise_at"] == promise
    assert await _causes(life) == []


async def test_a_line_changed_to_something_not_understood_is_set_aside_and_not_made_as_it_was(life: Life) -> None:
    await _place(life, lines=(ONE,))
    await _edit(life, lines=(replace(ONE, options={"width_mm": "9999"}),))
    assert (await _line(life))["state"] == "quarantined"
    assert await _needs(life) == []
    assert await _causes(life) == [("order:webshop/1001/1", "bad parameter")]
    await _edit(life, lines=(replace(ONE, options={"width_mm": "99"}),))
    assert (await _line(life))["state"] == "received"
    assert await _causes(life) == []


async def test_a_line_changed_to_an_article_that_is_not_made_here_is_not_made(life: Life) -> None:
    await _place(life, lines=(ONE,))
    await _edit(life, lines=(replace(ONE, skus=("GIFT-5",)),))
    assert (await _line(life))["state"] == "not_made"
    assert await _needs(life) == []


async def test_an_order_put_on_hold_before_release_is_not_made_until_it_is_let_go(life: Life) -> None:
    await _place(life, lines=(ONE,))
    await _edit(life, hold="fraud check")
    assert ((await _line(life))["state"], (await _line(life))["reason"]) == ("not_due", "fraud check")
    await life.plan()
    assert await life.factory.jobs() == []
    life.place.clock.advance(2 * DAY)
    await _edit(life, hold=None)
    assert (await _line(life))["state"] == "received"
    assert (await _line(life))["promise_at"] == "2026-05-11T08:00:00.000000Z"


@pytest.mark.parametrize("change", [{"cancelled": True, "status": "cancelled"}, {"lines": ()}])
@pytest.mark.parametrize(
    ("line", "fields", "state"),
    [
        (ONE, {}, "received"),
        (ONE, {"status": "pending"}, "not_due"),
        (replace(ONE, skus=("NEW-1",)), {}, "quarantined"),
        (replace(ONE, options={"width_mm": "x"}), {}, "quarantined"),
    ],
)
async def test_a_line_that_is_cancelled_or_removed_before_release_is_cancelled_and_asks_nobody(
    life: Life, line: Any, fields: dict[str, Any], state: str, change: dict[str, Any]
) -> None:
    await _place(life, lines=(line,), **fields)
    assert (await _line(life))["state"] == state
    await _edit(life, **change)
    assert (await _line(life))["state"] == "cancelled"
    assert await _causes(life) == []
    await life.plan()
    assert await life.factory.jobs() == []


async def test_a_partial_refund_before_release_makes_fewer_and_a_full_one_none(life: Life) -> None:
    await _place(life, lines=(replace(ONE, quantity=5),))
    await _edit(life, lines=(replace(ONE, quantity=2),))
    assert [quantity for quantity, _ in await _needs(life)] == [2]
    await _edit(life, lines=(replace(ONE, quantity=0),))
    assert ((await _line(life))["state"], (await _line(life))["reason"]) == ("cancelled", "refunded in full")


async def test_a_row_that_is_added_is_made_and_promised_from_now(life: Life) -> None:
    await _place(life, lines=(ONE,))
    life.place.clock.advance(DAY)
    await _edit(life, lines=(ONE, a_line("2", quantity=4)))
    assert [quantity for quantity, _ in await _needs(life)] == [1, 4]
    assert (await _line(life, 1))["promise_at"] == "2026-05-10T08:00:00.000000Z"


async def test_freight_that_is_added_or_changed_says_nothing(life: Life) -> None:
    await _place(life, lines=(ONE,))
    freight = a_line("ship", kind=LineKind.CHARGE, sku="")
    await _edit(life, lines=(ONE, freight))
    await _edit(life, lines=(ONE, replace(freight, name="Express")))
    assert [line["state"] for line in (await life.factory.order())["lines"]] == ["received", "not_made"]
    assert await _causes(life) == []


# After release -------------------------------------------------------------------------------------

CHANGES: dict[str, dict[str, Any]] = {
    "more pieces": {"lines": (replace(TWO, quantity=9),)},
    "fewer pieces": {"lines": (replace(TWO, quantity=1),)},
    "other options": {"lines": (replace(TWO, options={"width_mm": "80"}),)},
    "another article": {"lines": (replace(TWO, skus=("NEW-1",)),)},
    "refunded in full": {"lines": (replace(TWO, quantity=0),)},
    "removed": {"lines": ()},
    "cancelled": {"cancelled": True, "status": "cancelled"},
    "held": {"hold": "fraud check"},
    "unpaid again": {"status": "pending"},
}


async def _bring(life: Life, state: str) -> None:
    await _place(life, lines=(TWO,))
    await life.plan()
    press = life.place.press
    if state == "planned":
        return
    press.quick = True
    await life.tend()
    await life.tend()
    if state == "made":
        (name,) = press.jobs
        press.finish(name, good=2)
        await life.tend()


TAKEN: dict[str, tuple[str, list[int]]] = {
    "more pieces": ("planned", [2, 9]),
    "fewer pieces": ("planned", [2, 1]),
    "other options": ("planned", [2, 2]),
    "another article": ("quarantined", [2]),
    "refunded in full": ("cancelled", [2]),
    "removed": ("cancelled", [2]),
    "cancelled": ("cancelled", [2]),
    "held": ("not_due", [2]),
    "unpaid again": ("not_due", [2]),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_was_released_and_never_sent_is_taken_back_and_the_change_is_taken(life: Life, change: str) -> None:
    await _bring(life, "planned")
    await _edit(life, **CHANGES[change])
    await life.plan()
    state, quantities = TAKEN[change]
    assert (await _line(life))["state"] == state
    jobs = await life.factory.jobs()
    assert [job["quantity"] for job in jobs] == quantities
    assert [job["state"] for job in jobs] == ["cancelled", "released"][: len(jobs)]
    assert await _causes(life) == ([("sku:webshop/NEW-1", "unknown article")] if state == "quarantined" else [])
    await life.tend()
    assert len(life.place.press.received) == len(jobs) - 1


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_of_what_has_begun_is_one_question_and_the_work_stays_as_it_is(life: Life, change: str) -> None:
    await _bring(life, "in_production")
    needed = await _needs(life)
    await _edit(life, **CHANGES[change])
    await life.pull()
    assert await _causes(life) == [("order:1/1", "changed after release")]
    assert await _needs(life) == needed
    assert (await _line(life))["quantity"] == 2
    await _answer(life, "close")
    await life.pull()
    assert await _causes(life) == []
    assert len(await life.factory.jobs()) == 1


async def test_what_happens_to_a_made_order_in_the_shop_is_no_question_unless_its_content_changes(life: Life) -> None:
    await _bring(life, "made")
    for status in ("completed", "delivered", "archived"):
        await _edit(life, status=status)
    assert await _causes(life) == []
    await _edit(life, lines=(replace(TWO, quantity=3),))
    assert await _causes(life) == [("order:1/1", "changed after release")]
    assert (await _line(life))["state"] == "made"


async def test_an_order_that_is_paid_after_it_was_cancelled_is_not_lost_in_silence(life: Life) -> None:
    await _place(life, lines=(ONE,), status="pending")
    await _edit(life, status="cancelled", cancelled=True)  # as a shop does when nobody pays in time
    await _edit(life, status="pending", cancelled=False)
    assert await _causes(life) == []
    await _edit(life, status="processing")
    assert await _causes(life) == [("order:1/1", "wanted again after it was cancelled")]


async def test_a_line_that_a_person_has_closed_is_not_asked_about_again(life: Life) -> None:
    await _place(life, lines=(replace(ONE, options={"width_mm": "x"}),))
    await _answer(life, "close")
    assert (await _line(life))["state"] == "cancelled"
    await _edit(life, number="1001-B")
    assert await _causes(life) == []


# Echoes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["planned", "in_production", "made"])
async def test_the_echo_of_our_own_write_back_is_nothing(life: Life, state: str) -> None:
    life.place.shop.echo = True
    await _bring(life, state)
    for _ in range(5):
        await life.report()
        await life.pull()
    writes = len(life.place.shop.status_writes)
    order = await life.factory.order()
    await life.pull()
    await life.report()
    assert len(life.place.shop.status_writes) == writes
    assert await life.factory.order() == order
    assert order["revision"] == 1
    assert await _causes(life) == []


# Late payment --------------------------------------------------------------------------------------


async def test_a_late_payment_reads_the_line_as_it_is_then(life: Life) -> None:
    await _place(life, lines=(ONE,), status="pending")
    life.place.clock.advance(2 * DAY)
    await _edit(life, status="processing", lines=(replace(ONE, quantity=7),))
    assert [quantity for quantity, _ in await _needs(life)] == [7]
    assert (await _line(life))["promise_at"] == "2026-05-11T08:00:00.000000Z"
    await _made(life)
    assert (await _line(life))["state"] == "made"


async def test_a_late_payment_of_an_unknown_article_asks_about_it_then(life: Life) -> None:
    await _place(life, lines=(replace(ONE, skus=("NEW-1",)),), status="pending")
    assert await _causes(life) == []
    await _edit(life, status="processing")
    assert await _causes(life) == [("sku:webshop/NEW-1", "unknown article")]


# Set aside and read again --------------------------------------------------------------------------


async def _again(life: Life) -> None:
    await read_again(life.factory.source, ledger=life.ledger, clock=life.place.clock)


async def test_an_article_that_was_added_frees_its_lines_and_its_question(life: Life) -> None:
    for number in ("1001", "1002"):
        life.place.shop.place(an_order(number, sku="NEW-1"))
    await life.pull()
    assert await _causes(life) == [("sku:webshop/NEW-1", "unknown article")]
    _knows(life, "NEW-1")
    await _again(life)
    assert [order["state"] for order in await life.factory.orders()] == ["received", "received"]
    assert await _causes(life) == []


async def test_a_retry_that_does_not_help_asks_again(life: Life) -> None:
    await _place(life, lines=(replace(ONE, skus=("NEW-1",)),))
    await _answer(life, "retry")
    assert await life.ledger.changed("intake:webshop", timeout_s=1)
    await _again(life)
    assert await _causes(life) == [("sku:webshop/NEW-1", "unknown article")]


async def test_one_line_that_is_edited_right_leaves_the_question_of_the_others(life: Life) -> None:
    for number in ("1001", "1002"):
        life.place.shop.place(an_order(number, sku="NEW-1"))
    await life.pull()
    await _edit(life, lines=(a_line("1001-1"),))
    assert await _causes(life) == [("sku:webshop/NEW-1", "unknown article")]
    life.place.shop.edit("1002", lines=(a_line("1002-1"),))
    await life.pull()
    assert await _causes(life) == []


async def test_a_line_set_aside_for_another_reason_than_before_asks_the_new_question(life: Life) -> None:
    await _place(life, lines=(replace(ONE, options={"width_mm": "x"}),))
    await _edit(life, lines=(replace(ONE, skus=("NEW-1",)),))
    assert await _causes(life) == [("sku:webshop/NEW-1", "unknown article")]
    await _edit(life, lines=(replace(ONE, options={"width_mm": "y"}),))
    assert await _causes(life) == [("order:webshop/1001/1", "bad parameter")]


async def test_closing_an_article_ends_every_line_that_waits_for_it(life: Life) -> None:
    for number in ("1001", "1002"):
        life.place.shop.place(an_order(number, sku="NEW-1"))
    life.place.shop.place(an_order("1003"))
    await life.pull()
    await _answer(life, "close")
    assert [order["state"] for order in await life.factory.orders()] == ["not_made", "not_made", "received"]


async def test_a_row_that_was_not_understood_can_be_closed_but_not_read_again_from_here(life: Life) -> None:
    await _place(life, lines=(replace(ONE, fault="quantity: is a text, not a whole number"),))
    (question,) = await life.factory.exceptions()
    assert question["actions"] == ["close"]
    await _again(life)
    assert len(await _causes(life)) == 1
    await _answer(life, "close")
    assert (await _line(life))["state"] == "cancelled"


async def test_ids_with_a_slash_can_be_closed_too(life: Life) -> None:
    life.place.shop.place(an_order("A/7", lines=(replace(ONE, shop_line_id="x/1", options={"width_mm": "x"}),)))
    await life.pull()
    await _answer(life, "close")
    assert (await _line(life))["state"] == "cancelled"


async def test_a_line_whose_family_is_gone_waits_for_a_person_and_the_others_go_on(life: Life) -> None:
    await _place(life, lines=(ONE, a_line("2")))
    await life.ledger.write(
        lambda tx: tx.exec_driver_sql("UPDATE requirements SET family = 'gone' WHERE line_id = 1").rowcount
    )
    await life.plan()
    assert [line["state"] for line in (await life.factory.order())["lines"]] == ["received", "planned"]
    assert await _causes(life) == [("requirement:1", "its family is not configured")]
    await _answer(life, "close")
    assert (await _line(life))["state"] == "cancelled"
