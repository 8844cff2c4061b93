"""An order becomes one machine run, and the shop hears of it: all stages together, in memory."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest_asyncio

from drivers.base import CommandKind, JobPhase
from gateway.domain.attendance import Attendance
from gateway.domain.calendars import parse_calendar
from gateway.domain.machines import Level
from gateway.ledger import machines
from tests.drivers.fake_machine import Fault
from tests.eventually import eventually
from tests.shops.fake_shop import a_line, an_order
from tests.stages.factory import Factory, a_factory


@pytest_asyncio.fixture
async def factory(state_dir: Path) -> AsyncIterator[Factory]:
    async with a_factory(state_dir) as made:
        yield made


async def _in_state(factory: Factory, state: str, index: int = 0) -> None:
    async def there() -> bool:
        return await factory.job_state(index) == state

    await eventually(there)


async def _found_again(factory: Factory) -> None:
    """Wait for the second session: silence counts from the machine's return."""
    await eventually(
        lambda: factory.press.sessions_opened > 1 and factory.board.get(("link", "machine:press-1"))["state"] == "up"
    )


async def _make_one(factory: Factory, index: int = 0, *, good: int = 1) -> str:
    await eventually(lambda: [job.phase for job in factory.press.jobs.values()] == [JobPhase.ALLOWED_TO_START])
    job_id = next(iter(factory.press.jobs))
    factory.press.run(job_id)
    await _in_state(factory, "running", index)
    factory.press.finish(job_id, good=good)
    await eventually(lambda: job_id not in factory.press.jobs)
    return job_id


async def test_an_order_makes_the_machine_run_once_and_the_shop_hears_of_it(factory: Factory) -> None:
    await factory.arm()
    factory.shop.place(an_order("1001", quantity=2))
    async with factory.running():
        job_id = await _make_one(factory, good=2)
        await eventually(lambda: factory.shop.statuses.get("1001", {}).get("_kvot_state") == "made")
    assert factory.press.starts == [job_id]
    assert [command.kind for command in factory.press.received] == [CommandKind.LOAD_START, CommandKind.CLEAR]
    order = await factory.order()
    assert order["state"] == "made"
    assert order["lines"][0]["good"] == 2
    assert order["lines"][0]["promise_at"] == "2026-05-09T08:00:00.000000Z"
    states = [values["_kvot_state"] for _, values in factory.shop.status_writes]
    assert states == list(dict.fromkeys(states))
    assert states[-1] == "made"
    assert await factory.exceptions() == []


async def test_the_same_order_pulled_again_makes_nothing_twice(factory: Factory) -> None:
    factory.shop.place(an_order("1001"))
    factory.shop.place(an_order("1001"))
    await factory.pull()
    await factory.pull()
    assert len(await factory.orders()) == 1


async def test_an_unpaid_order_waits_visibly_and_a_late_payment_gets_a_new_promise(factory: Factory) -> None:
    factory.shop.place(an_order("1001", status="pending", payment="bacs"))
    await factory.pull()
    order = await factory.order()
    assert order["state"] == "not_due"
    assert order["lines"][0]["promise_at"] is None
    factory.clock.advance(3 * 86_400)
    factory.shop.edit("1001", status="processing")
    await factory.pull()
    order = await factory.order()
    assert order["state"] == "received"
    assert order["lines"][0]["promise_at"] == "2026-05-12T08:00:00.000000Z"


async def test_an_invoice_order_is_due_without_money(factory: Factory) -> None:
    factory.shop.place(an_order("1001", status="on-hold", payment="invoice"))
    factory.shop.place(an_order("1002", status="checkout-draft", payment="invoice"))
    await factory.pull()
    assert [order["state"] for order in await factory.orders()] == ["received", "not_due"]


async def test_what_is_not_made_here_is_said_at_once(factory: Factory) -> None:
    factory.shop.place(an_order("1001", lines=(a_line("1", sku="GIFT-500"),)))
    await factory.pull()
    assert (await factory.order())["state"] == "not_made"


async def test_an_unknown_article_is_one_exception_however_many_orders_name_it(factory: Factory) -> None:
    for number in ("1001", "1002", "1003"):
        factory.shop.place(an_order(number, sku="NEW-1"))
    factory.shop.place(an_order("1004"))
    await factory.pull()
    assert [order["state"] for order in await factory.orders()] == ["quarantined"] * 3 + ["received"]
    found = await factory.exceptions()
    assert [(one["subject"], one["cause"]) for one in found] == [("sku:webshop/NEW-1", "unknown article")]


async def test_a_bad_parameter_sets_aside_that_line_alone(factory: Factory) -> None:
    lines = (a_line("1", options={"width_mm": "9999"}), a_line("2", options={"width_mm": "60.5"}))
    factory.shop.place(an_order("1001", lines=lines))
    await factory.pull()
    order = await factory.order()
    assert [line["state"] for line in order["lines"]] == ["quarantined", "received"]
    assert "above 400 mm" in order["lines"][0]["reason"]


async def test_a_lost_answer_is_settled_by_reading_and_nothing_is_sent_twice(factory: Factory) -> None:
    await factory.arm()
    factory.press.fail_next(Fault.LOSE_ANSWER)
    factory.shop.place(an_order("1001"))
    async with factory.running():
        await _make_one(factory)
    loads = [command for command in factory.press.received if command.kind is CommandKind.LOAD_START]
    assert len(loads) == 1
    assert len(factory.press.starts) == 1


async def test_a_command_that_never_arrived_is_sent_again_only_after_the_settle_time(factory: Factory) -> None:
    await factory.arm()
    factory.press.fail_next(Fault.LOSE_COMMAND)
    factory.shop.place(an_order("1001"))
    await factory.pull()
    async with factory.running("plan", "tend"):
        await _in_state(factory, "in_doubt")
        assert factory.press.received == []

        await _found_again(factory)
        factory.clock.advance(3)
        await _make_one(factory)
    assert len(factory.press.starts) == 1
    jobs = await factory.jobs()
    assert [job["state"] for job in jobs] == ["completed"]


async def test_after_a_restart_of_the_machine_a_person_decides_and_nothing_is_sent(factory: Factory) -> None:
    await factory.arm()
    factory.press.fail_next(Fault.RESTART)
    factory.shop.place(an_order("1001"))
    await factory.pull()
    async with factory.running("plan", "tend"):
        await eventually(lambda: factory.press.boot != "boot-1")
        await _found_again(factory)
        factory.clock.advance(10)
        await eventually(factory.exceptions)
        (doubt,) = await factory.exceptions()
        assert "restarted" in doubt["cause"]
        assert len(factory.press.received) == 1
        factory.press.press_start()
        await factory.decide(doubt["exception_id"], "not_made")
        await _make_one(factory, 1)
    assert len(factory.press.starts) == 1
    first, second = await factory.jobs()
    assert (first["state"], second["state"], second["remake_of"]) == ("cancelled", "completed", first["job_id"])


async def test_a_person_who_saw_the_job_made_completes_it_without_the_machine(factory: Factory) -> None:
    await factory.arm()
    factory.press.fail_next(Fault.RESTART)
    factory.shop.place(an_order("1001", quantity=3))
    await factory.pull()
    async with factory.running("plan", "tend"):
        await eventually(lambda: factory.press.boot != "boot-1")
        await _found_again(factory)
        factory.clock.advance(10)
        await eventually(factory.exceptions)
        (doubt,) = await factory.exceptions()
        await factory.decide(doubt["exception_id"], "made")
        await _in_state(factory, "completed")
    assert (await factory.order())["state"] == "made"
    assert len(factory.press.received) == 1


async def test_a_machine_that_is_not_armed_is_only_watched(factory: Factory) -> None:
    factory.shop.place(an_order("1001"))
    await factory.pull()
    async with factory.running("plan", "tend"):
        await eventually(lambda: "would have sent" in str(factory.board.get(("state", "press-1")).get("why")))
    assert factory.press.received == []


async def test_at_level_load_the_operator_starts_at_the_panel(factory: Factory) -> None:
    await factory.arm(Level.LOAD)
    factory.shop.place(an_order("1001"))
    await factory.pull()
    async with factory.running("plan", "tend"):
        await _in_state(factory, "accepted")
        assert [command.kind for command in factory.press.received] == [CommandKind.LOAD]
        factory.press.press_start()
        await _in_state(factory, "running")


async def test_with_the_door_open_nothing_moves_until_start_is_pressed_at_the_panel(factory: Factory) -> None:
    await factory.arm()
    factory.press.open_guard()
    factory.shop.place(an_order("1001"))
    await factory.pull()
    async with factory.running("plan", "tend"):
        await _in_state(factory, "accepted")
        factory.press.close_guard()
        await eventually(lambda: "panel" in str(factory.board.get(("state", "press-1")).get("why")))
        assert factory.press.starts == []
        assert [command.kind for command in factory.press.received] == [CommandKind.LOAD]
        factory.press.press_start()
        await _in_state(factory, "running")
    assert len(factory.press.starts) == 1


async def test_a_machine_that_only_stores_and_starts_apart_is_served_by_two_commands(state_dir: Path) -> None:
    async with a_factory(state_dir) as factory:
        factory.press.identity = type(factory.press.identity)(
            text="fake machine, serial 1", kinds=frozenset({CommandKind.LOAD, CommandKind.START, CommandKind.CLEAR})
        )
        await factory.arm()
        factory.shop.place(an_order("1001"))
        await factory.pull()
        async with factory.running("plan", "tend"):
            await _make_one(factory)
        kinds = [command.kind for command in factory.press.received]
        assert kinds == [CommandKind.LOAD, CommandKind.START, CommandKind.CLEAR]


async def test_a_shortage_is_made_again_as_a_remake(factory: Factory) -> None:
    await factory.arm()
    factory.shop.place(an_order("1001", quantity=5))
    await factory.pull()
    async with factory.running("plan", "tend"):
        first = await _make_one(factory, good=3)
        await _in_state(factory, "accepted", index=1)
        await _make_one(factory, index=1, good=2)
    jobs = await factory.jobs()
    assert [(job["quantity"], job["good"], job["remake_of"]) for job in jobs] == [(5, 3, None), (2, 2, first)]
    assert (await factory.order())["state"] == "made"


async def test_an_aborted_job_is_not_made_again_before_a_person_says_so(factory: Factory) -> None:
    await factory.arm()
    factory.shop.place(an_order("1001", quantity=2))
    await factory.pull()
    async with factory.running("plan", "tend"):
        await _in_state(factory, "accepted")
        (job_id,) = factory.press.jobs
        factory.press.run(job_id)
        factory.press.abort(job_id, good=1)
        await _in_state(factory, "aborted")
        (question,) = await factory.exceptions()
        assert len(await factory.jobs()) == 1
        await factory.decide(question["exception_id"], "remake")
        await _make_one(factory, index=1, good=1)
    assert (await factory.order())["state"] == "made"


async def test_a_job_cleared_at_the_panel_is_a_question_and_not_a_second_start(factory: Factory) -> None:
    await factory.arm()
    factory.shop.place(an_order("1001"))
    await factory.pull()
    async with factory.running("plan", "tend"):
        await _in_state(factory, "accepted")
        (job_id,) = factory.press.jobs
        factory.press.run(job_id)
        await _in_state(factory, "running")
        factory.press.forget(job_id)
        await eventually(factory.exceptions)
        assert len(factory.press.received) == 1
        (question,) = await factory.exceptions()
        assert question["actions"] == ["not_made", "made"]


async def test_a_refusing_machine_is_asked_three_times_and_then_a_person(factory: Factory) -> None:
    await factory.arm()
    for _ in range(3):
        factory.press.fail_next(Fault.REFUSE)
    factory.shop.place(an_order("1001"))
    await factory.pull()
    async with factory.running("plan", "tend"):
        await eventually(factory.exceptions)
        (question,) = await factory.exceptions()
        assert len(factory.press.received) == 3
        assert (await factory.jobs())[0]["hold_reason"] == "not accepted by the machine"
        await factory.decide(question["exception_id"], "retry")
        await _make_one(factory)


async def test_another_machine_under_the_same_address_ends_the_arming(factory: Factory) -> None:
    await factory.arm()
    factory.press.identity = type(factory.press.identity)(text="another", kinds=factory.press.identity.kinds)
    factory.shop.place(an_order("1001"))
    await factory.pull()
    async with factory.running("plan", "tend"):
        await eventually(factory.exceptions)
    (question,) = await factory.exceptions()
    assert question["cause"] == "arming lapsed"
    assert factory.press.received == []


async def test_with_nobody_signed_in_for_twelve_hours_a_job_is_loaded_and_not_started(factory: Factory) -> None:
    await factory.arm()
    factory.clock.advance(12 * 3600 + 1)
    factory.shop.place(an_order("1001"))
    await factory.pull()
    async with factory.running("plan", "tend"):
        await _in_state(factory, "accepted")
        (question,) = await factory.exceptions()
        assert question["cause"] == "arming lapsed"
        assert [command.kind for command in factory.press.received] == [CommandKind.LOAD]
        assert factory.press.starts == []
        await factory.arm()  # somebody has come
        await _in_state(factory, "accepted")
        await eventually(lambda: CommandKind.START in [command.kind for command in factory.press.received])
        assert await factory.exceptions() == []


async def test_a_job_that_would_end_after_the_shift_is_loaded_and_starts_in_the_next_one(factory: Factory) -> None:
    factory.attendance = Attendance(staffed=parse_calendar("mon-fri 06-16", zone=UTC), cycle_s={"pla-white": 3600})
    await factory.arm()
    factory.shop.place(an_order("1001", quantity=9))  # eight hours are left of this shift
    await factory.pull()
    async with factory.running("plan", "tend"):
        await _in_state(factory, "accepted")
        await eventually(lambda: "when nobody is here" in str(factory.board.get(("state", "press-1")).get("why")))
        assert [command.kind for command in factory.press.received] == [CommandKind.LOAD]
    factory.clock.business = datetime(2026, 5, 5, 6, 0, tzinfo=UTC)
    await factory.arm()
    async with factory.running("plan", "tend"):
        await eventually(lambda: CommandKind.START in [command.kind for command in factory.press.received])
    assert await factory.exceptions() == []


async def test_own_work_of_the_machine_is_busy_and_no_exception(factory: Factory) -> None:
    await factory.arm()
    factory.press.start_own_work()
    factory.shop.place(an_order("1001"))
    await factory.pull()
    async with factory.running("plan", "tend"):
        await eventually(lambda: "own work" in str(factory.board.get(("state", "press-1")).get("why")))
        assert await factory.exceptions() == []
        assert factory.press.received == []
        factory.press.finish("BY-HAND", good=1)
        await _in_state(factory, "accepted")
    assert factory.press.jobs["BY-HAND"].phase is JobPhase.ENDED


async def test_a_shop_that_is_away_delays_and_loses_nothing(factory: Factory) -> None:
    await factory.arm()
    factory.shop.place(an_order("1001"))
    factory.shop.fail("pull", times=3)
    factory.shop.fail("write_status", times=3)
    async with factory.running():
        await _make_one(factory)
        await eventually(lambda: factory.shop.statuses.get("1001", {}).get("_kvot_state") == "made")


async def test_a_copy_of_the_shop_is_refused(factory: Factory) -> None:
    factory.shop.site_address = "staging.example"
    factory.shop.place(an_order("1001"))
    async with factory.running("intake"):
        await eventually(factory.exceptions)
    (question,) = await factory.exceptions()
    assert question["cause"] == "another site answers"
    assert await factory.orders() == []


async def test_what_the_shop_refuses_is_set_aside_and_the_rest_goes_on(factory: Factory) -> None:
    for number in ("1001", "1002"):
        factory.shop.place(an_order(number, lines=(a_line("1", sku="GIFT-500"),)))
    await factory.pull()
    del factory.shop.orders["1001"]  # deleted in the shop
    async with factory.running("report"):
        await eventually(lambda: factory.shop.statuses.get("1002"))
    (question,) = await factory.exceptions()
    assert question["cause"] == "the shop refuses to be told"


async def test_a_job_mark_that_went_back_holds_the_machine_until_a_person_takes_it_as_it_is(factory: Factory) -> None:
    await factory.arm()
    factory.press.mark = 41
    factory.shop.place(an_order("1001"))
    async with factory.running():
        await _make_one(factory)
        await eventually(lambda: factory.board.get(("state", "press-1")).get("mark") == 41)
        factory.press.mark = 3  # another controller
        factory.shop.place(an_order("1002"))
        await eventually(factory.exceptions)
        (question,) = await factory.exceptions()
        assert "went back from 41 to 3" in question["evidence"]["text"]
        assert len(factory.press.starts) == 1
        await factory.ledger.write(
            lambda tx: machines.baseline(tx, "press-1", mark=3, who="person:tester", now=factory.clock.now())
        )
        await factory.arm()
        await _make_one(factory, 1)
    assert [command.job_no for command in factory.press.received if command.kind is CommandKind.LOAD_START] == [42, 43]
