"""Silence never leads to motion: after the guard was open only Start at the panel sets the press in motion."""

import pytest

from tests.eventually import eventually
from tests.factory.bench import Bench

pytestmark = pytest.mark.factory


async def test_a_job_released_behind_an_open_guard_waits_for_start_at_the_panel(bench: Bench) -> None:
    bench.configure()
    await bench.start_all()
    await bench.press.touch(guard="open")
    await bench.shop.place(quantity=2)
    await eventually(lambda: _states(bench, "accepted"))
    (job,) = await bench.gateway.job_states()
    await eventually(lambda: _why(bench, "loaded: ready"))
    assert bench.press.started(bench.site) == []

    await bench.press.touch(guard="shut")
    await bench.press.touch(reset=True)
    await eventually(lambda: _why(bench, "Start was not pressed"))  # it has seen that all is ready but that
    await bench.has_looked()

    assert (await bench.press.jobs(bench.site))[job] == "NotAllowedToStart"
    assert bench.press.started(bench.site) == []
    await bench.press.touch(start=True)
    await bench.all_is_well(orders=1)


async def test_a_guard_opened_at_work_interrupts_and_start_resumes_the_same_start(bench: Bench) -> None:
    bench.configure()
    await bench.start_all()
    await bench.shop.place(quantity=15)
    await bench.shop.place(quantity=1)
    await eventually(lambda: bench.press.started(bench.site))

    await bench.press.touch(guard="open")
    await eventually(lambda: _states(bench, "interrupted", "released"))
    await bench.press.touch(guard="shut", reset=True)
    await eventually(lambda: _permits(bench, ready=True))
    await bench.has_looked()

    first, second = await bench.gateway.job_states()
    assert await bench.press.jobs(bench.site) == {first: "Interrupted"}
    assert [entry.event for entry in bench.press.moved(bench.site)] == ["start", "interrupt"]
    await bench.press.touch(start=True)
    await bench.all_is_well(orders=2)
    moved = [(entry.event, entry.job) for entry in bench.press.moved(bench.site)]
    assert moved == [
        ("start", first),
        ("interrupt", first),
        ("resume", first),
        ("end", first),
        ("start", second),
        ("end", second),
    ]


async def _states(bench: Bench, *wanted: str) -> bool:
    return list((await bench.gateway.job_states()).values()) == list(wanted)


async def _why(bench: Bench, text: str) -> bool:
    return text in (await bench.gateway.machine())["now"]["why"]


async def _permits(bench: Bench, *, ready: bool) -> bool:
    permits: dict[str, bool] = (await bench.gateway.machine())["now"]["permits"]
    return permits["ready"] is ready
