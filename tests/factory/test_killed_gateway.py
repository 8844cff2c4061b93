"""The gateway is killed at the worst moments and started again: every job has exactly one physical start."""

import pytest

from simulators.journal import Event
from tests.eventually import eventually
from tests.factory.bench import Bench

pytestmark = pytest.mark.factory


async def test_killed_when_the_shop_has_an_order_it_makes_it_once(bench: Bench) -> None:
    bench.configure()
    await bench.start_all()
    await bench.shop.place(quantity=2)

    await _kill_and_start(bench)

    await bench.all_is_well(orders=1)


@pytest.mark.parametrize("event", [Event.START, Event.END])
async def test_killed_at_a_jobs_start_or_end_it_follows_each_job_to_its_result(bench: Bench, event: Event) -> None:
    bench.configure()
    await bench.start_all()
    await bench.shop.place(quantity=6)
    await bench.shop.place()
    await eventually(lambda: event in [entry.event for entry in bench.press.moved(bench.site)])

    await _kill_and_start(bench)

    await bench.all_is_well(orders=2)


async def test_killed_when_the_press_has_forgotten_a_job_but_not_said_so_it_has_the_result(bench: Bench) -> None:
    bench.configure()
    await bench.start_all()
    await bench.press.break_down(late_s=3, methods=["Clear"], times=1)
    await bench.shop.place()
    await eventually(lambda: _is_forgotten(bench))

    await _kill_and_start(bench)

    await bench.all_is_well(orders=1)


async def test_killed_before_the_press_has_answered_it_asks_and_does_not_send_again(bench: Bench) -> None:
    bench.configure()
    await bench.start_all()
    await bench.press.break_down(late_s=3, methods=["StoreAndStart"], times=1)
    await bench.shop.place(quantity=2)
    await eventually(lambda: bench.press.started(bench.site))
    assert list((await bench.gateway.job_states()).values()) == ["in_doubt"]

    await _kill_and_start(bench)

    await bench.all_is_well(orders=1)
    (job,) = await bench.gateway.job_states()
    shown = (await bench.gateway.ask("GET", f"/api/v1/jobs/{job}")).json()
    loads = [command for command in shown["commands"] if command["kind"] != "clear"]
    assert [command["settlement"] for command in loads] == ["accepted"]


async def test_a_command_lost_on_the_way_is_sent_again_once_its_absence_is_proven(bench: Bench) -> None:
    async with bench.cable_to(bench.press.endpoint) as (wire, url):
        bench.configure(press=url, profile={"settle_s": "0.5"})
        await bench.start_all()
        wire.swallow(b"width_mm")  # only a load carries parameters
        await bench.shop.place()
        await wire.swallowed.wait()

        await _kill_and_start(bench)

        await bench.all_is_well(orders=1)
        (job,) = await bench.gateway.job_states()
        shown = (await bench.gateway.ask("GET", f"/api/v1/jobs/{job}")).json()
        loads = [command["settlement"] for command in shown["commands"] if command["kind"] != "clear"]
        assert loads == ["absent", "accepted"]


async def _is_forgotten(bench: Bench) -> bool:
    return bool(bench.press.moved(bench.site)) and await bench.press.jobs(bench.site) == {}


async def _kill_and_start(bench: Bench) -> None:
    bench.gateway.kill()
    bench.gateway.start()
    await bench.gateway.up()
