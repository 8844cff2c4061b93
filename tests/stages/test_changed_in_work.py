"""An order that changes while a job of it is at any state: one table of what is asked, and what each answer does."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from drivers.base import CommandKind
from gateway.domain.exceptions import Kind
from gateway.domain.machines import Level
from gateway.domain.runs import collect
from gateway.errors import RefusedError
from gateway.ledger import collecting, decisions, order_acts
from gateway.ledger.shelf import list_shelf
from tests.drivers.fake_machine import Fault
from tests.shops.fake_shop import a_line, an_order
from tests.stages.factory import RANGE
from tests.stages.lives import Life, Place

ANNA = "person:anna"
FOUR = a_line("1", quantity=4)
CHANGES: dict[str, dict[str, Any]] = {
    "more": {"lines": (replace(FOUR, quantity=7),)},
    "fewer": {"lines": (replace(FOUR, quantity=1),)},
    "options": {"lines": (replace(FOUR, options={"width_mm": "80"}),)},
    "row removed": {"lines": ()},
    "order cancelled": {"cancelled": True, "status": "cancelled"},
}
TAKEN: list[str] = []  # taken by itself: nobody is asked
NOT_BEGUN = ["withdraw", "make_anyway", "close"]
CANCELLED_MOVING = ["abort", "make_anyway", "to_shelf", "close"]
TABLE: dict[str, dict[str, list[str]]] = {
    "waiting": dict.fromkeys(CHANGES, TAKEN),
    "released": dict.fromkeys(CHANGES, TAKEN),
    "in_doubt": {
        "more": ["make_more", *NOT_BEGUN],
        "fewer": ["shelf", *NOT_BEGUN],
        "options": NOT_BEGUN,
        "row removed": ["withdraw", "make_anyway", "to_shelf", "close"],
        "order cancelled": ["withdraw", "make_anyway", "to_shelf", "close"],
    },
    "accepted": {
        "more": ["make_more", *NOT_BEGUN],
        "fewer": ["shelf", *NOT_BEGUN],
        "options": NOT_BEGUN,
        "row removed": TAKEN,  # it is asked back
        "order cancelled": TAKEN,
    },
    "running": {
        "more": ["make_more", "make_anyway", "close"],
        "fewer": ["shelf", "make_anyway", "close"],
        "options": ["make_anyway", "close"],
        "row removed": CANCELLED_MOVING,
        "order cancelled": CANCELLED_MOVING,
    },
    "interrupted": {
        "more": ["make_more", "make_anyway", "close"],
        "fewer": ["shelf", "make_anyway", "close"],
        "options": ["make_anyway", "close"],
        "row removed": CANCELLED_MOVING,
        "order cancelled": CANCELLED_MOVING,
    },
    "completed": {
        "more": ["make_anyway", "close"],
        "fewer": ["shelf", "make_anyway", "close"],
        "options": ["make_anyway", "close"],
        "row removed": ["close", "to_shelf"],
        "order cancelled": ["close", "to_shelf"],
    },
    "aborted": {
        "more": ["make_more", "make_anyway", "close"],
        "fewer": ["shelf", "make_anyway", "close"],
        "options": ["make_anyway", "close"],
        "row removed": ["close", "to_shelf"],
        "order cancelled": ["close", "to_shelf"],
    },
}


@pytest_asyncio.fixture
async def life(state_dir: Path) -> AsyncIterator[Life]:
    """A gateway with one order of four pieces, at a press that waits to start."""
    place = Place(state_dir=state_dir)
    place.press.quick = False
    async with place.life() as begun:
        await begun.begin()
        place.shop.place(an_order("1001", lines=(FOUR,)))
        await begun.pull()
        yield begun


async def _bring(life: Life, state: str) -> None:
    """Bring the job of the order to a state."""
    press = life.place.press
    if state == "waiting":
        await life.ledger.write(lambda tx: _join(tx, life))
    else:
        await life.plan()
    if state == "in_doubt":
        press.fail_next(Fault.LOSE_COMMAND)
    if state == "accepted":
        await life.factory.arm(Level.LOAD)
    if state not in {"waiting", "released"}:
        await life.tend()
    if state in {"running", "interrupted", "completed", "aborted"}:
        (job_id,) = press.jobs
        press.run(job_id)
        await life.tend()
        if state == "interrupted":
            press.turn_selector(remote=False)
        elif state == "completed":
            press.finish(job_id, good=4)
        elif state == "aborted":
            press.abort(job_id, good=1)
        await life.tend()
    assert await life.factory.job_state() == state


def _join(tx: Any, life: Life) -> None:
    decided = collect(collecting.owed(tx), collecting.open_runs(tx), RANGE.families)
    collecting.join(tx, decided, site="LUND", epoch=1, now=life.place.clock.now())


async def _change(life: Life, change: str) -> None:
    life.place.shop.edit("1001", **CHANGES[change])
    await life.pull()


async def _line(life: Life) -> dict[str, Any]:
    return dict((await life.factory.order())["lines"][0])


async def _jobs(life: Life) -> list[tuple[str, int]]:
    return [(job["state"], job["quantity"]) for job in await life.factory.jobs()]


async def _questions(life: Life) -> list[dict[str, Any]]:
    return [one for one in await life.factory.exceptions() if one["subject"].startswith("order:")]


async def _decide(life: Life, action: str) -> None:
    (question,) = await _questions(life)
    now = life.place.clock.now()
    await life.ledger.write(
        lambda tx: decisions.decide(tx, question["exception_id"], action=action, who=ANNA, note="", now=now)
    )


async def _shelf(life: Life) -> int:
    return sum(one["pieces"] for one in await life.ledger.read(list_shelf))


async def _finish(life: Life, *, good: int, scrap: int = 0) -> None:
    """Have the press make the job it has, and let everything follow."""
    press = life.place.press
    (job_id,) = [name for name, job in press.jobs.items() if job.phase < 4]
    if press.jobs[job_id].phase < 3:
        press.press_start()
        await life.tend()
    press.finish(job_id, good=good, scrap=scrap)
    for _ in range(3):
        await life.tend()
        await life.plan()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("state", TABLE)
async def test_what_is_asked_when_an_order_changes_at_each_state_of_its_job(
    life: Life, state: str, change: str
) -> None:
    await _bring(life, state)
    await _change(life, change)
    questions = await _questions(life)
    assert [one["actions"] for one in questions] == ([TABLE[state][change]] if TABLE[state][change] else [])
    assert {one["cause"] for one in questions} <= {"changed after release"}
    assert len(life.place.press.starts) <= 1
    if state in {"waiting", "released"}:
        await life.plan()
        wanted = {"more": 7, "fewer": 1, "options": 4}.get(change)
        assert [quantity for job, quantity in await _jobs(life) if job == "released"] == ([wanted] if wanted else [])


# More ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["in_doubt", "accepted", "running", "interrupted", "aborted"])
async def test_only_the_difference_is_made_when_more_are_wanted(life: Life, state: str) -> None:
    await _bring(life, state)
    await _change(life, "more")
    await _decide(life, "make_more")
    await life.plan()
    assert (await _line(life))["quantity"] == 7
    expected = {"aborted": []}.get(state, [3])  # what an aborted job lacks waits for its own answer
    assert [quantity for _, quantity in (await _jobs(life))[1:]] == expected
    if state == "aborted":
        (job,) = [one for one in await life.factory.exceptions() if one["subject"].startswith("job:")]
        await life.factory.decide(job["exception_id"], "remake")
        await life.plan()
        assert [quantity for _, quantity in (await _jobs(life))[1:]] == [6]


async def test_a_line_of_which_more_are_wanted_is_made_when_all_are(life: Life) -> None:
    await _bring(life, "running")
    await _change(life, "more")
    await _decide(life, "make_more")
    await life.plan()
    await _finish(life, good=4)
    assert (await _line(life))["state"] == "in_production"
    await _finish(life, good=3)
    assert ((await _line(life))["state"], (await _line(life))["good"]) == ("made", 7)
    assert await life.factory.exceptions() == []


# Fewer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["accepted", "running"])
async def test_what_is_made_beyond_what_is_wanted_goes_to_the_shelf(life: Life, state: str) -> None:
    await _bring(life, state)
    await _change(life, "fewer")
    await _decide(life, "shelf")
    await life.plan()
    assert len(await _jobs(life)) == 1
    await _finish(life, good=4)
    assert ((await _line(life))["state"], (await _line(life))["good"]) == ("made", 1)
    assert await _shelf(life) == 3
    assert await _jobs(life) == [("completed", 4)]


async def test_of_a_made_line_what_is_wanted_no_more_goes_to_the_shelf(life: Life) -> None:
    await _bring(life, "completed")
    await _change(life, "fewer")
    await _decide(life, "shelf")
    assert ((await _line(life))["state"], (await _line(life))["good"], await _shelf(life)) == ("made", 1, 3)


async def test_a_line_that_has_enough_already_is_made(life: Life) -> None:
    await _bring(life, "aborted")
    await _change(life, "fewer")
    await _decide(life, "shelf")
    await life.plan()
    assert ((await _line(life))["state"], await _shelf(life)) == ("made", 0)
    assert await _jobs(life) == [("aborted", 4)]


async def test_scrap_below_what_is_still_wanted_is_made_again_and_no_more(life: Life) -> None:
    await _bring(life, "running")
    life.place.shop.edit("1001", lines=(replace(FOUR, quantity=3),))
    await life.pull()
    await _decide(life, "shelf")
    await _finish(life, good=2, scrap=2)
    assert await _jobs(life) == [("completed", 4), ("accepted", 1)]
    await _finish(life, good=1)
    assert ((await _line(life))["state"], await _shelf(life)) == ("made", 0)


# Given back and made as it is now --------------------------------------------------------------------


@pytest.mark.parametrize("change", ["more", "fewer", "options"])
async def test_a_loaded_job_is_given_back_and_made_as_the_order_is_now(life: Life, change: str) -> None:
    await _bring(life, "accepted")
    await _change(life, change)
    await _decide(life, "withdraw")
    await life.plan()
    assert len(await _jobs(life)) == 1, "nothing is planned before it is given back"
    await life.tend()
    assert [command.kind for command in life.place.press.received] == [CommandKind.LOAD, CommandKind.CANCEL]
    await life.plan()
    await life.tend()
    assert await _jobs(life) == [("cancelled", 4), ("accepted", {"more": 7, "fewer": 1}.get(change, 4))]
    loaded = life.place.press.received[-1]
    assert loaded.parameters == {"width_mm": 80.0 if change == "options" else 60.5}
    assert await life.factory.exceptions() == []
    await _finish(life, good=loaded.quantity)
    assert (await _line(life))["state"] == "made"


async def test_a_job_in_doubt_is_made_as_the_order_is_now_once_its_absence_is_proven(life: Life) -> None:
    await _bring(life, "in_doubt")
    await _change(life, "options")
    await _decide(life, "withdraw")
    for _ in range(3):
        await life.plan()
        assert len(await _jobs(life)) == 1
        await life.tend()
        life.place.clock.advance(1)
    life.place.clock.advance(3)
    await life.tend()
    await life.plan()
    await life.tend()
    assert await _jobs(life) == [("cancelled", 4), ("accepted", 4)]
    assert [command.parameters for command in life.place.press.received] == [{"width_mm": 80.0}]


async def test_a_job_that_begins_before_it_is_given_back_is_made_as_it_was_and_people_are_told(life: Life) -> None:
    await _bring(life, "accepted")
    await _change(life, "options")
    await _decide(life, "withdraw")
    life.place.press.press_start()
    await life.tend()
    (told,) = await life.factory.exceptions()
    assert "the change of its order was not taken" in told["evidence"]["text"]
    await _finish(life, good=4)
    assert (await _line(life))["state"] == "made"
    assert await _jobs(life) == [("completed", 4)]


async def test_the_last_change_counts_however_many_there_were(life: Life) -> None:
    await _bring(life, "accepted")
    await _change(life, "more")
    await _change(life, "fewer")
    (question,) = await _questions(life)
    assert question["evidence"]["wanted"]["quantity"] == 1
    await _decide(life, "withdraw")
    await _change(life, "more")
    assert await _questions(life) == []
    await life.tend()
    await life.plan()
    assert await _jobs(life) == [("cancelled", 4), ("released", 7)]


async def test_a_question_ends_when_the_order_is_again_as_it_was(life: Life) -> None:
    await _bring(life, "running")
    await _change(life, "more")
    life.place.shop.edit("1001", lines=(FOUR,))
    await life.pull()
    assert await life.factory.exceptions() == []


async def test_an_answer_that_has_become_impossible_is_refused_and_the_question_stays(life: Life) -> None:
    await _bring(life, "accepted")
    await _change(life, "options")
    life.place.press.press_start()
    await life.tend()
    with pytest.raises(RefusedError, match="gone on meanwhile"):
        await _decide(life, "withdraw")
    assert len(await _questions(life)) == 1


async def test_a_line_that_is_cancelled_while_it_is_given_back_is_made_in_no_way(life: Life) -> None:
    await _bring(life, "accepted")
    await _change(life, "options")
    await _decide(life, "withdraw")
    await _change(life, "order cancelled")
    await life.tend()
    await life.plan()
    assert await _jobs(life) == [("cancelled", 4)]
    assert (await _line(life))["state"] == "cancelled"


async def test_what_waits_to_become_another_is_not_let_in_by_a_release_of_its_order(life: Life) -> None:
    await _bring(life, "accepted")
    await _change(life, "options")
    await _decide(life, "withdraw")
    now = life.place.clock.now()
    with pytest.raises(RefusedError, match="its change waits until the machine has given its job back"):
        await life.ledger.write(lambda tx: order_acts.release_order(tx, 1, reason="hurry", who=ANNA, now=now))
    await life.plan()
    assert await _jobs(life) == [("accepted", 4)]


async def test_another_order_under_the_number_is_asked_about_and_is_not_what_the_line_becomes(life: Life) -> None:
    await _bring(life, "accepted")
    await _change(life, "options")
    await _decide(life, "withdraw")
    placed = life.place.clock.now() + timedelta(days=1)
    life.place.shop.edit("1001", lines=(replace(FOUR, quantity=7),), placed_at=placed)
    await life.pull()
    (question,) = await _questions(life)
    assert question["cause"] == Kind.ANOTHER_ORDER.cause
    await life.tend()
    await life.plan()
    assert await _jobs(life) == [("cancelled", 4), ("released", 4)]
