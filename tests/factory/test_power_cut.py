"""Dark in the middle of a job: the gateway, the oven, or both lose their power, and the oven perhaps its memory."""

import pytest

from simulators.journal import Event
from tests.eventually import eventually
from tests.factory.bench import Bench
from tests.factory.ovens import OVEN, OVEN_LINK, OvenBench, oven_bench
from tests.factory.programs import MACHINE_LINK, BusinessTime

pytestmark = [pytest.mark.factory, pytest.mark.timeout(120)]
PIECES = 5


async def test_dark_in_the_middle_of_a_job_with_memory_kept_only_start_at_the_panel_goes_on(
    business_time: BusinessTime,
) -> None:
    async with oven_bench(business_time, "--retention", "synchronous") as bench:
        await bench.open()
        await bench.shop.place(quantity=PIECES)
        await bench.shop.place(quantity=1)
        first = await bench.at_piece(2)

        await _dark(bench)

        await bench.in_state(first, "interrupted")
        await bench.has_looked()
        assert bench.oven.moved == [(first, Event.START)]
        await bench.oven.press_start()
        await bench.orders_are_made(2)
        second = next(job for job in await bench.gateway.job_states() if job != first)
        assert bench.oven.moved == [
            (first, Event.START),
            (first, Event.RESUME),
            (first, Event.END),
            (second, Event.START),
            (second, Event.END),
        ]
        assert await _made(bench) == {first: PIECES, second: 1}
        assert await _accepted_once(bench)
        assert await bench.questions_ever() == 0


async def test_the_oven_alone_loses_its_power_and_the_gateway_follows_it_to_the_end(
    business_time: BusinessTime,
) -> None:
    async with oven_bench(business_time) as bench:
        await bench.open()
        await bench.shop.place(quantity=PIECES)
        job = await bench.at_piece(2)

        await bench.oven.power(cut=True)
        await bench.gateway.linked(OVEN_LINK, state="down")
        await bench.oven.power(cut=False)
        await bench.gateway.linked(OVEN_LINK)

        await bench.in_state(job, "interrupted")
        await bench.has_looked()
        assert bench.oven.moved == [(job, Event.START)]
        await bench.oven.press_start()
        await bench.orders_are_made(1)
        assert bench.oven.moved == [(job, Event.START), (job, Event.RESUME), (job, Event.END)]
        assert await _made(bench) == {job: PIECES}
        assert await _accepted_once(bench)
        assert await bench.questions_ever() == 0


async def test_the_gateway_alone_loses_its_power_and_the_oven_goes_on_with_what_it_has(
    business_time: BusinessTime,
) -> None:
    async with oven_bench(business_time) as bench:
        await bench.open()
        await bench.shop.place(quantity=PIECES)
        job = await bench.at_piece(2)

        bench.gateway.kill()
        await bench.restart_gateway()

        await bench.orders_are_made(1)
        assert bench.oven.moved == [(job, Event.START), (job, Event.END)]
        assert await _made(bench) == {job: PIECES}
        assert await _accepted_once(bench)
        assert await bench.questions_ever() == 0


LAGS = ("--retention", "lagging", "--save-every-s", "600")  # at a power cut it is back where it was at its start


@pytest.mark.parametrize(
    ("oven", "lose"), [(LAGS, False), (("--retention", "synchronous"), True)], ids=["lagging", "lost"]
)
async def test_dark_in_the_middle_of_a_job_without_the_memory_asks_one_question_and_sends_nothing(
    business_time: BusinessTime, oven: tuple[str, ...], *, lose: bool
) -> None:
    async with oven_bench(business_time, *oven) as bench:
        await bench.open()
        await bench.shop.place(quantity=PIECES)
        await bench.shop.place(quantity=1)
        lost = await bench.at_piece(2)

        await _dark(bench, lose=lose)

        asked = await bench.asked()
        assert asked["subject"] == f"job:{lost}"
        assert "went back from 1 to 0" in asked["evidence"]["text"]
        await bench.oven.press_start()  # everything that a machine can ask for is there: only the person's word lacks
        await bench.asked()
        assert bench.oven.moved == [(lost, Event.START)]
        assert (await bench.oven.seen())["hwm_job"] == 0

        taken = await bench.gateway.kvot("machines", "baseline", OVEN)
        assert taken.code == 0, taken.err
        await bench.arm()
        await bench.asked()
        assert bench.oven.moved == [(lost, Event.START)]
        await bench.answer(asked, "not_made")
        await bench.oven.press_start()

        await bench.orders_are_made(2)
        jobs = await bench.gateway.job_states()
        assert jobs.pop(lost) == "aborted"
        assert set(jobs.values()) == {"completed"}
        assert sorted((await _made(bench)).values()) == [1, PIECES]
        assert await bench.questions_ever() == 1


async def test_a_memory_cleared_while_nothing_is_in_the_oven_asks_one_question_about_the_machine(
    business_time: BusinessTime,
) -> None:
    async with oven_bench(business_time) as bench:
        await bench.open()
        await bench.shop.place()
        await bench.orders_are_made(1)
        await bench.oven.power(cut=True, lose=True)
        await bench.oven.power(cut=False)
        await bench.oven.press_start()
        for _ in range(3):
            await bench.shop.place()

        asked = await bench.asked()
        assert asked["subject"] == f"machine:{OVEN}"
        assert "kvot machines baseline" in asked["evidence"]["text"]
        await _released(bench, 3)
        assert len(bench.oven.moved) == 2

        taken = await bench.gateway.kvot("machines", "baseline", OVEN)
        assert taken.code == 0, taken.err
        await bench.arm()
        await bench.oven.press_start()
        await bench.orders_are_made(4)
        assert len(await _made(bench)) == 4
        assert await _accepted_once(bench)
        assert await bench.questions_ever() == 1


async def test_dark_in_the_middle_of_a_job_at_a_press_that_forgets_asks_one_question_and_sends_nothing(
    bench_alone: Bench,
) -> None:
    bench = bench_alone
    bench.configure()
    await bench.start_all()
    await bench.shop.place(quantity=20)
    await bench.shop.place(quantity=1)
    await eventually(lambda: bench.press.started(bench.site))
    (lost,) = bench.press.started(bench.site)

    async def running() -> bool:
        return (await bench.gateway.job_states())[lost] == "running"

    await eventually(running)
    for program in (bench.gateway, bench.press):
        program.kill()
    bench.start(bench.press, bench.gateway)
    await bench.press.ready()
    await bench.gateway.up()
    await bench.gateway.linked(MACHINE_LINK)

    await eventually(lambda: bench.gateway.items("exceptions"), timeout_s=20)
    await bench.press.hand_over()
    await bench.has_looked()
    (asked,) = await bench.gateway.items("exceptions")
    assert asked["subject"] == f"job:{lost}"
    assert await bench.press.jobs(bench.site) == {}
    number = str(asked["exception_id"])
    decided = await bench.gateway.kvot("exceptions", "resolve", number, "--action", "not_made")
    assert decided.code == 0, decided.err
    await bench.orders_are_made(2)
    await bench.each_job_started_once()


async def _released(bench: OvenBench, count: int) -> None:
    """Wait until so many jobs wait for the oven."""

    async def there() -> bool:
        return list((await bench.gateway.job_states()).values()).count("released") == count

    await eventually(there, timeout_s=20)


async def _dark(bench: OvenBench, *, lose: bool = False) -> None:
    """Cut the power of everything, and give it back."""
    bench.gateway.kill()
    await bench.oven.power(cut=True, lose=lose)
    await bench.oven.power(cut=False)
    await bench.restart_gateway()


async def _made(bench: OvenBench) -> dict[str, int]:
    """Give the good pieces of each job, by the oven's own journal; the gateway must say the same."""
    told = {job["job_id"]: job["good"] for job in await bench.gateway.items("jobs") if job["state"] == "completed"}
    ended = {entry.job: entry.good for entry in bench.oven.entries if entry.event is Event.END}
    assert told == ended, await bench.report()
    return ended


async def _accepted_once(bench: OvenBench) -> bool:
    """Say whether each job was accepted by exactly one command."""
    for job in await bench.gateway.job_states():
        shown = (await bench.gateway.ask("GET", f"/api/v1/jobs/{job}")).json()
        loads = [command["settlement"] for command in shown["commands"] if command["kind"].startswith("load")]
        if loads != ["accepted"]:
            return False
    return True
