"""A press that has lost its memory cannot be asked: a person is, and until then nothing is sent again."""

import json
from typing import Any

import pytest

from tests.eventually import eventually
from tests.factory.bench import Bench
from tests.factory.programs import MACHINE_LINK

pytestmark = pytest.mark.factory
_QUICK = {"settle_s": "0.5"}  # a press on the same computer does not answer late


@pytest.mark.parametrize("action", ["made", "not_made"])
async def test_a_job_that_ran_when_the_memory_was_lost_is_decided_by_a_person(bench_alone: Bench, action: str) -> None:
    bench = bench_alone
    bench.configure()
    await bench.start_all()
    await bench.shop.place(quantity=20)
    await eventually(lambda: bench.press.started(bench.site))
    (job,) = await bench.gateway.job_states()

    await _lose_memory(bench)
    asked = await _the_question(bench, job)
    assert asked["cause"] == "the machine no longer knows a job it had accepted"
    await _nothing_is_sent(bench, job, sent=1)
    await _decide(bench, asked, action)

    await bench.orders_are_made(1)
    jobs = await bench.gateway.job_states()
    if action == "made":
        assert jobs == {job: "completed"}
    else:
        assert list(jobs.values()) == ["aborted", "completed"]  # its pieces are made anew, under another id
    await bench.each_job_started_once()
    await bench.all_is_told()
    assert await bench.gateway.items("exceptions") == []


async def test_a_doubtful_start_that_was_lost_on_the_way_is_made_by_another_job_when_a_person_says_so(
    bench_alone: Bench,
) -> None:
    bench = bench_alone
    async with bench.cable_to(bench.press.endpoint) as (wire, url):
        bench.configure(press=url, profile=_QUICK)
        await bench.start_all()
        wire.swallow(b"width_mm")  # only a load carries parameters
        await bench.shop.place(quantity=2)
        await wire.swallowed.wait()
        (job,) = await bench.gateway.job_states()

        await _lose_memory(bench)
        asked = await _the_question(bench, job)
        assert asked["cause"].startswith("unclear whether the job was made: the machine restarted")
        await _nothing_is_sent(bench, job, sent=1)
        assert bench.press.started(bench.site) == []
        await _decide(bench, asked, "not_made")

        await bench.all_is_well(orders=1)
        states = await bench.gateway.job_states()
        assert states.pop(job) == "cancelled"
        assert list(states.values()) == ["completed"]  # another job id: the old one is never sent again


async def test_a_doubtful_start_that_was_made_is_not_sent_again_when_a_person_says_so(bench_alone: Bench) -> None:
    bench = bench_alone
    bench.configure(profile=_QUICK)
    await bench.start_all()
    await bench.press.break_down(reply="never", methods=["StoreAndStart"], times=1)
    await bench.shop.place()
    await eventually(lambda: "end" in [entry.event for entry in bench.press.moved(bench.site)])
    (job,) = await bench.gateway.job_states()

    await _lose_memory(bench)
    asked = await _the_question(bench, job)
    await _nothing_is_sent(bench, job, sent=1)
    await _decide(bench, asked, "made")
    await bench.shop.place()

    await bench.all_is_well(orders=2)


async def _lose_memory(bench: Bench) -> None:
    """Kill the press, start it again and hand it over: nothing but the person's word is lacking."""
    bench.press.kill()
    bench.press.start()
    await bench.press.ready()
    await bench.press.hand_over()
    await bench.gateway.linked(MACHINE_LINK)


async def _the_question(bench: Bench, job: str) -> dict[str, Any]:
    """Wait until people are asked about the job, as the command line shows it."""
    await eventually(lambda: bench.gateway.items("exceptions"))
    listed = await bench.gateway.kvot("exceptions", "list", "--output", "json")
    (asked,) = json.loads(listed.out)
    assert asked["subject"] == f"job:{job}"
    assert {"made", "not_made"} <= set(asked["actions"])
    return dict(asked)


async def _nothing_is_sent(bench: Bench, job: str, *, sent: int) -> None:
    """See that, looking on, the gateway gives the press no job and does not even intend to."""
    await bench.has_looked()
    shown = (await bench.gateway.ask("GET", f"/api/v1/jobs/{job}")).json()
    assert len(shown["commands"]) == sent
    assert await bench.press.jobs(bench.site) == {}
    assert len(bench.press.started(bench.site)) <= 1


async def _decide(bench: Bench, asked: dict[str, Any], action: str) -> None:
    number = str(asked["exception_id"])
    decided = await bench.gateway.kvot(
        "exceptions", "resolve", number, "--action", action, "--note", "seen at the press"
    )
    assert decided.code == 0, decided.err
