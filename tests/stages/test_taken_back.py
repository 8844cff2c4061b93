"""Work that is wanted no more is taken back as far as its machine allows; people are asked about the rest."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from drivers.base import CommandKind, Identity, JobPhase
from drivers.profile import Limit, Recipe
from gateway.domain.machines import Level
from gateway.errors import RefusedError, ShopRefusedError
from gateway.ledger import decisions, ending, exceptions, machines, order_acts
from tests.drivers.fake_machine import Fault
from tests.shops.fake_shop import a_line, an_order
from tests.stages.factory import PRESS, PROFILE, RECIPE
from tests.stages.lives import Life, Place

ANNA = "person:anna"


@pytest_asyncio.fixture
async def life(state_dir: Path) -> AsyncIterator[Life]:
    """A gateway with one order of two pieces that is released and not yet sent, at a press that waits to start."""
    place = Place(state_dir=state_dir)
    place.press.quick = False
    async with place.life() as begun:
        await begun.begin()
        place.shop.place(an_order("1001", quantity=2))
        await begun.pull()
        await begun.plan()
        yield begun


async def _jobs(life: Life) -> list[tuple[str, int]]:
    return [(job["state"], job["quantity"]) for job in await life.factory.jobs()]


async def _line(life: Life) -> dict[str, Any]:
    return dict((await life.factory.order())["lines"][0])


async def _question(life: Life) -> dict[str, Any]:
    (found,) = await life.factory.exceptions()
    return found


async def _decide(life: Life, action: str, *, good: int | None = None) -> None:
    exception_id = (await _question(life))["exception_id"]
    now = life.place.clock.now()
    await life.ledger.write(
        lambda tx: decisions.decide(tx, exception_id, action=action, who=ANNA, note="", good=good, now=now)
    )


async def _cancel_in_the_shop(life: Life) -> None:
    life.place.shop.edit("1001", cancelled=True, status="cancelled")
    await life.pull()


async def _load(life: Life) -> None:
    """Have the press accept the job and not begin it."""
    await life.factory.arm(Level.LOAD)
    await life.tend()
    assert await _jobs(life) == [("accepted", 2)]


async def _start(life: Life) -> str:
    """Have the press work on the job; give its id."""
    await life.tend()
    (job_id,) = life.place.press.jobs
    life.place.press.run(job_id)
    await life.tend()
    assert await _jobs(life) == [("running", 2)]
    return job_id


def _sent(life: Life) -> list[CommandKind]:
    return [command.kind for command in life.place.press.received]


def _knows(life: Life, *kinds: CommandKind) -> None:
    """Let the press be of a type that knows no other commands."""
    press = life.place.press
    press.identity = Identity(text=press.identity.text, kinds=frozenset(kinds))


# A machine that has no room --------------------------------------------------------------------------


async def test_a_machine_that_says_it_is_busy_is_asked_again_and_nobody_is_called(life: Life) -> None:
    press = life.place.press
    for _ in range(5):
        press.fail_next(Fault.BUSY)
    for _ in range(5):
        await life.tend()
        life.place.clock.advance(120)
    assert len(_sent(life)) == 5
    assert await life.factory.exceptions() == []
    await life.tend()
    assert await _jobs(life) == [("accepted", 2)]


async def test_a_busy_machine_that_shows_no_change_is_left_in_peace_for_a_while(life: Life) -> None:
    press = life.place.press
    press.fail_next(Fault.BUSY)
    for _ in range(5):
        await life.tend()
    assert len(_sent(life)) == 1
    press.turn_selector(remote=False)
    press.turn_selector(remote=True)
    await life.tend()
    assert len(_sent(life)) == 2


async def test_a_foreign_job_that_is_loaded_is_busy_too(life: Life) -> None:
    life.place.press.start_own_work()
    life.place.press.jobs["BY-HAND"].phase = JobPhase.NOT_ALLOWED_TO_START
    await life.tend()
    assert _sent(life) == []
    life.place.press.forget("BY-HAND")
    await life.tend()
    assert len(_sent(life)) == 1


async def test_a_refusal_of_the_job_itself_still_asks_a_person(life: Life) -> None:
    press = life.place.press
    for fault in (Fault.REFUSE, Fault.BUSY, Fault.REFUSE, Fault.REFUSE):
        press.fail_next(fault)
    for _ in range(6):
        await life.tend()
        life.place.clock.advance(120)
    assert (await _question(life))["cause"] == "not accepted by the machine"
    assert len(_sent(life)) == 4


# A recipe of another version -------------------------------------------------------------------------


def _new_recipe(life: Life, limit: Limit = RECIPE.parameters["width_mm"]) -> None:
    recipe = Recipe(version="2", parameters={"width_mm": limit})
    life.factory.profile = replace(PROFILE, recipes={"tray": recipe})


async def test_a_job_of_an_outdated_recipe_is_planned_anew_by_itself(life: Life) -> None:
    _new_recipe(life)
    await life.tend()
    assert await _jobs(life) == [("cancelled", 2)]
    await life.plan()
    await life.tend()
    assert await _jobs(life) == [("cancelled", 2), ("accepted", 2)]
    (command,) = life.place.press.received
    assert command.recipe_version == "2"
    assert await life.factory.exceptions() == []
    history = (await life.factory.order())["jobs"][0]["history"]
    assert "version 2 now, not 1" in str(history)


async def test_parameters_outside_the_new_recipe_wait_for_a_person(life: Life) -> None:
    _new_recipe(life, Limit(min=100, max=400, unit="mm"))
    await life.tend()
    await life.plan()
    assert await _jobs(life) == [("cancelled", 2)]
    question = await _question(life)
    assert (question["cause"], question["actions"]) == ("outside the limits of the new recipe", ["retry", "close"])
    assert "width_mm" in question["evidence"]["text"]
    await _decide(life, "close")
    assert (await _line(life))["state"] == "cancelled"
    assert _sent(life) == []


async def test_a_job_that_was_sent_under_the_old_recipe_is_followed_to_its_end(life: Life) -> None:
    job_id = await _start(life)
    _new_recipe(life)
    await life.hang_up()
    life.place.press.finish(job_id, good=2)
    await life.tend()
    assert await _jobs(life) == [("completed", 2)]


# A doubt that a person settles -----------------------------------------------------------------------


async def _doubt(life: Life) -> str:
    """Bring the job in doubt, and the press to a new boot without memory, so that a person is asked."""
    life.place.press.fail_next(Fault.RESTART)
    for _ in range(3):
        await life.tend()
        life.place.clock.advance(3)
    life.place.press.press_start()
    return str((await life.factory.jobs())[0]["job_id"])


async def test_what_was_not_made_is_made_by_another_job_and_its_id_is_never_sent_again(life: Life) -> None:
    first = await _doubt(life)
    await _decide(life, "not_made")
    await life.plan()
    await life.tend()
    jobs = await life.factory.jobs()
    assert [job["state"] for job in jobs] == ["cancelled", "accepted"]
    assert jobs[1]["remake_of"] == first
    assert [command.job_id for command in life.place.press.received] == [first, jobs[1]["job_id"]]


async def test_a_job_that_comes_to_the_machine_after_it_was_said_not_made_is_shown_once(life: Life) -> None:
    press = life.place.press
    first = await _doubt(life)
    await _decide(life, "not_made")
    press.start_own_work(first)
    await life.plan()
    await life.tend()
    question = await _question(life)
    assert (question["subject"], question["actions"]) == (f"job:{first}", ["close"])
    assert "said not to be made" in question["cause"]
    await _decide(life, "close")
    await life.tend()
    assert await life.factory.exceptions() == []
    assert len(_sent(life)) == 1
    assert (await _line(life))["state"] == "planned"


@pytest.mark.parametrize(("action", "state"), [("made", "completed"), ("aborted", "aborted")])
async def test_a_person_counts_the_good_pieces_of_a_doubt_and_the_rest_is_made_anew(
    life: Life, action: str, state: str
) -> None:
    await _doubt(life)
    await _decide(life, action, good=1)
    await life.plan()
    assert await _jobs(life) == [(state, 2), ("released", 1)]
    assert (await _line(life))["good"] == 1


async def test_pieces_are_not_counted_where_nothing_was_made(life: Life) -> None:
    await _doubt(life)
    with pytest.raises(RefusedError, match="pieces are counted"):
        await _decide(life, "not_made", good=1)
    assert (await _question(life))["state"] == "open"


# Cancelled at every state ----------------------------------------------------------------------------


async def test_a_cancelled_order_that_is_loaded_and_not_begun_is_asked_back(life: Life) -> None:
    await _load(life)
    await _cancel_in_the_shop(life)
    await life.tend()
    assert _sent(life) == [CommandKind.LOAD, CommandKind.CANCEL]
    assert life.place.press.jobs == {}
    assert await _jobs(life) == [("cancelled", 2)]
    assert (await _line(life))["state"] == "cancelled"
    assert await life.factory.exceptions() == []
    await life.plan()
    assert await _jobs(life) == [("cancelled", 2)]


async def test_a_machine_that_cannot_cancel_is_a_question_and_the_goods_go_to_the_shelf(life: Life) -> None:
    _knows(life, CommandKind.LOAD, CommandKind.START, CommandKind.CLEAR)
    await _load(life)
    await _cancel_in_the_shop(life)
    await life.tend()
    assert _sent(life) == [CommandKind.LOAD]
    question = await _question(life)
    assert question["actions"] == ["abort", "close"]
    await _decide(life, "close")
    life.place.press.press_start()
    (job_id,) = life.place.press.jobs
    await life.tend()
    life.place.press.finish(job_id, good=2)
    await life.tend()
    assert await _jobs(life) == [("completed", 2)]
    assert (await _line(life))["state"] == "cancelled"
    assert await life.factory.exceptions() == []


async def test_a_job_that_began_before_it_could_be_cancelled_is_a_question(life: Life) -> None:
    await _load(life)
    await _cancel_in_the_shop(life)
    life.place.press.press_start()
    await life.tend()
    assert CommandKind.CANCEL not in _sent(life)
    question = await _question(life)
    assert (question["actions"], question["evidence"]["text"]) == (["abort", "close"], "it has begun meanwhile")


async def test_nothing_is_sent_for_a_cancelled_order_to_a_machine_that_was_taken_back(life: Life) -> None:
    await _load(life)
    await life.ledger.write(lambda tx: machines.disarm(tx, PRESS, who=ANNA, now=life.place.clock.now()))
    await _cancel_in_the_shop(life)
    await life.tend()
    assert _sent(life) == [CommandKind.LOAD]
    await life.factory.arm(Level.LOAD)
    await life.tend()
    assert _sent(life) == [CommandKind.LOAD, CommandKind.CANCEL]


async def test_a_cancelled_order_in_doubt_asks_and_withdrawing_sends_it_not_again(life: Life) -> None:
    life.place.press.fail_next(Fault.LOSE_COMMAND)
    await life.tend()
    await _cancel_in_the_shop(life)
    assert (await _question(life))["actions"] == ["withdraw", "make_anyway", "to_shelf", "close"]
    await _decide(life, "withdraw")
    for _ in range(3):
        life.place.clock.advance(5)
        await life.tend()
    assert await _jobs(life) == [("cancelled", 2)]
    assert _sent(life) == []
    assert await life.factory.exceptions() == []


async def test_a_cancelled_order_that_runs_goes_on_until_a_person_aborts_it(life: Life) -> None:
    await _start(life)
    await _cancel_in_the_shop(life)
    await life.tend()
    assert CommandKind.ABORT not in _sent(life)
    assert (await _question(life))["actions"] == ["abort", "make_anyway", "to_shelf", "close"]
    await _decide(life, "abort")
    for _ in range(3):
        await life.tend()
    assert _sent(life).count(CommandKind.ABORT) == 1
    assert await _jobs(life) == [("aborted", 2)]
    assert (await _line(life))["state"] == "cancelled"
    assert await life.factory.exceptions() == []


async def test_an_order_that_is_made_anyway_stays_as_it_was(life: Life) -> None:
    job_id = await _start(life)
    await _cancel_in_the_shop(life)
    await _decide(life, "make_anyway")
    life.place.press.finish(job_id, good=2)
    await life.tend()
    assert (await _line(life))["state"] == "made"


async def test_a_person_cancels_an_order_as_the_shop_does_and_the_shop_is_told(life: Life) -> None:
    def cancel(tx: Any) -> str:
        return order_acts.cancel_order(tx, 1, who=ANNA, now=life.place.clock.now())

    assert await life.ledger.write(cancel) == "order 1 is cancelled"
    assert await _jobs(life) == [("cancelled", 2)]
    await life.report()
    assert life.place.shop.statuses["1001"]["_kvot_state"] == "cancelled"
    with pytest.raises(RefusedError, match="has ended"):
        await life.ledger.write(cancel)


async def test_a_person_cancels_an_order_that_runs_by_a_question(life: Life) -> None:
    await _start(life)
    said = await life.ledger.write(lambda tx: order_acts.cancel_order(tx, 1, who=ANNA, now=life.place.clock.now()))
    assert "1 lines of order 1 are in work" in said
    assert "abort" in (await _question(life))["actions"]


async def test_what_was_set_aside_of_an_order_is_read_again_when_a_person_says_so(life: Life) -> None:
    life.place.shop.place(an_order("1002", lines=(a_line("1", sku="NEW-1"),)))
    await life.pull()
    now = life.place.clock.now()
    with pytest.raises(RefusedError, match="nothing of order 1 is set aside"):
        await life.ledger.write(lambda tx: order_acts.read_order_again(tx, 1, who=ANNA, now=now))
    await life.ledger.write(lambda tx: order_acts.read_order_again(tx, 2, who=ANNA, now=now))
    assert await life.ledger.changed("intake:webshop", timeout_s=1)


# Aborted by a person ---------------------------------------------------------------------------------


async def _abort(life: Life, job_id: str) -> None:
    await life.ledger.write(lambda tx: ending.abort_job(tx, job_id, who=ANNA, now=life.place.clock.now()))


async def test_a_person_aborts_a_job_at_level_start_and_is_asked_what_becomes_of_the_rest(life: Life) -> None:
    job_id = await _start(life)
    await _abort(life, job_id)
    for _ in range(3):
        await life.tend()
    assert _sent(life).count(CommandKind.ABORT) == 1
    assert await _jobs(life) == [("aborted", 2)]
    assert (await _question(life))["actions"] == ["remake", "close"]


async def test_nothing_is_aborted_below_level_start(life: Life) -> None:
    job_id = await _start(life)
    await life.factory.arm(Level.LOAD)
    await _abort(life, job_id)
    await life.tend()
    assert CommandKind.ABORT not in _sent(life)
    assert await _jobs(life) == [("running", 2)]


async def test_a_machine_that_refuses_to_abort_is_asked_once_and_then_people_are(life: Life) -> None:
    job_id = await _start(life)
    life.place.press.fail_next(Fault.REFUSE)
    await _abort(life, job_id)
    for _ in range(3):
        await life.tend()
    assert _sent(life).count(CommandKind.ABORT) == 1
    assert (await _question(life))["actions"] == ["abort", "close"]


async def test_what_no_machine_has_cannot_be_aborted(life: Life) -> None:
    (job,) = await life.factory.jobs()
    with pytest.raises(RefusedError, match="is released"):
        await _abort(life, job["job_id"])


# What could not be told ------------------------------------------------------------------------------


async def test_what_a_shop_refused_is_told_again_as_it_is_by_then(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_order: str, _values: Mapping[str, str]) -> None:
        raise ShopRefusedError("no such order")

    shop = life.place.shop
    with monkeypatch.context() as patch:
        patch.setattr(shop, "write_status", refuse)
        await life.report()
    question = await _question(life)
    assert (question["subject"], question["actions"]) == ("order:1", ["replay", "close"])
    await _decide(life, "replay")
    await life.report()
    assert shop.statuses["1001"]["_kvot_state"] == "planned"
    assert [one for one in await life.ledger.read(exceptions.list_exceptions) if one["state"] != "resolved"] == []
