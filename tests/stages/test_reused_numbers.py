"""A shop that went back to a backup gives its numbers out again: what was begun for the first order is not the second's."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.ledger import order_acts
from tests.shops.fake_shop import a_line, an_order
from tests.stages.lives import Life, Place

THEN = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
LATER = THEN + timedelta(days=1)
LINE = a_line("1", quantity=2)


async def _shown(life: Life) -> tuple[list[str], list[tuple[str, str]]]:
    lines = [line["state"] for line in (await life.factory.order())["lines"]]
    return lines, [(one["subject"], one["cause"]) for one in await life.factory.exceptions()]


async def _another(life: Life, **fields: Any) -> None:
    life.place.shop.place(an_order("1001", placed_at=LATER, **({"lines": (LINE,)} | fields)))
    await life.pull()


@pytest.mark.parametrize("quantity", [2, 3])
async def test_the_same_row_of_another_order_is_not_taken_for_what_was_made(state_dir: Path, quantity: int) -> None:
    async with Place(state_dir=state_dir).life() as life:
        await life.begin()
        life.place.shop.place(an_order("1001", placed_at=THEN, lines=(LINE,)))
        await life.pull()
        for _ in range(6):
            await life.plan()
            await life.tend()
            for name, job in list(life.place.press.jobs.items()):
                if job.phase == 3:
                    life.place.press.finish(name, good=job.command.quantity)
        assert await _shown(life) == (["made"], [])
        await _another(life, lines=(a_line("1", quantity=quantity),))
        asked = [("order:1/1", "another order under the same number")]
        assert await _shown(life) == (["made"], asked)
        (question,) = await life.factory.exceptions()
        assert f"{quantity} of" in question["evidence"]["text"]
        await life.pull()  # seen again it asks nothing again
        await life.factory.decide(question["exception_id"], "close")
        await _another(life, lines=(a_line("1", quantity=quantity),))
        assert await _shown(life) == (["made"], [])
        assert len(await life.factory.jobs()) == 1


async def test_what_was_not_begun_is_replaced_by_the_other_order(state_dir: Path) -> None:
    async with Place(state_dir=state_dir).life() as life:
        await life.begin()
        life.place.shop.place(an_order("1001", placed_at=THEN, lines=(a_line("1", quantity=5),)))
        await life.pull()
        await _another(life)
        assert await _shown(life) == (["received"], [])
        assert (await life.factory.order())["lines"][0]["quantity"] == 2


async def test_what_a_person_ended_does_not_end_the_other_order(state_dir: Path) -> None:
    async with Place(state_dir=state_dir).life() as life:
        await life.begin()
        life.place.shop.place(an_order("1001", placed_at=THEN, lines=(LINE,)))
        await life.pull()
        now = life.place.clock.now()
        await life.ledger.write(lambda tx: order_acts.cancel_order(tx, 1, who="person:tester", now=now))
        await _another(life)
        assert await _shown(life) == (["cancelled"], [("order:1/1", "another order under the same number")])


async def test_an_order_whose_time_cannot_be_read_is_no_other_order(state_dir: Path) -> None:
    async with Place(state_dir=state_dir).life() as life:
        await life.begin()
        life.place.shop.place(an_order("1001", placed_at=THEN, lines=(LINE,)))
        await life.pull()
        now = life.place.clock.now()
        await life.ledger.write(lambda tx: order_acts.cancel_order(tx, 1, who="person:tester", now=now))
        await _another(life, fault="date_created_gmt: is missing, not a time")
        assert await _shown(life) == (["cancelled"], [])
