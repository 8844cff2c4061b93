"""A probe over real protocols, by the real command: what a machine remembers is proven before it is sent work."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.cli import exits
from tests.eventually import eventually
from tests.factory.bench import Bench
from tests.factory.ovens import OVEN, OVEN_LINK, OvenBench, oven_bench
from tests.factory.programs import MACHINE_LINK, BusinessTime, Gateway, Said
from tests.factory.saws import SAW, saws

pytestmark = [pytest.mark.factory, pytest.mark.timeout(120)]
PRESS = "press-1"


async def test_a_press_that_knows_its_jobs_is_proven_armed_and_makes_an_order(bench: Bench) -> None:
    await _open(bench)
    await _known(bench, "remembered not proven: run `kvot probe machine press-1`")
    refused = await bench.gateway.kvot("machines", "arm", PRESS)
    assert refused.code == exits.REFUSED
    assert "kvot probe machine press-1" in refused.err

    said = await bench.gateway.kvot("probe", "machine", PRESS, "--yes", "--output", "json")

    assert said.code == exits.OK, said.err
    probe = json.loads(said.out)
    assert (probe["verdict"], probe["job_id"]) == ("proven", f"{bench.site}-1-1")
    assert [(one["kind"], one["settlement"]) for one in probe["commands"]] == [
        ("load", "accepted"),
        ("load", "refused"),
        ("cancel", "accepted"),
    ]
    assert await bench.press.jobs(bench.site) == {}
    await bench.gateway.arm()
    await bench.shop.place()
    await bench.orders_are_made(1)
    await bench.each_job_started_once()  # and the probe's job never


@pytest.mark.parametrize("duplicates", ["run", "accept"])
async def test_a_press_that_takes_a_job_twice_is_found_out_and_sent_nothing(
    bench_alone: Bench, duplicates: str
) -> None:
    bench = bench_alone
    bench.own_press("--duplicates", duplicates)
    await _open(bench)
    await _known(bench, "not proven")

    said = await bench.gateway.kvot("probe", "machine", PRESS, "--yes")

    assert said.code == exits.FAILURE, said.err
    assert ("would make it twice" if duplicates == "run" else "as if it were new") in said.err
    assert await bench.press.jobs(bench.site) == {}
    assert (await bench.gateway.kvot("machines", "arm", PRESS)).code == exits.REFUSED
    assert bench.press.moved(bench.site) == []


async def test_a_press_that_answers_nothing_proves_nothing_and_is_left_clean(bench_alone: Bench) -> None:
    bench = bench_alone
    bench.own_press()
    await _open(bench, settle_s="0.5")
    await _known(bench, "not proven")
    await bench.press.break_down(reply="close", methods=["Store"], times=1)

    said = await bench.gateway.kvot("probe", "machine", PRESS, "--yes")

    assert said.code == exits.TEMPORARY, said.err
    assert "the answer to the load was lost" in said.err
    assert await bench.press.jobs(bench.site) == {}


@pytest.mark.parametrize(
    ("oven", "memory"),
    [
        (("--retention", "synchronous"), "persistent"),
        (("--retention", "lagging", "--save-every-s", "600"), "volatile"),
    ],
    ids=["kept", "lagging"],
)
async def test_an_oven_shows_after_a_power_cut_by_hand_whether_it_keeps_its_mark(
    business_time: BusinessTime, oven: tuple[str, ...], memory: str
) -> None:
    async with oven_bench(business_time, *oven) as bench:
        await _open_oven(bench)
        async with _probing(bench, "--power-cycle") as said:
            await _in_stage(bench, "power")
            await bench.oven.power(cut=True)
            await bench.gateway.linked(OVEN_LINK, state="down")
            await bench.oven.power(cut=False)
        assert said.result().code == exits.OK, said.result().err
        assert f"memory {memory}" in said.result().err
        seen = await bench.oven.seen()
        assert seen["job"] is None
        assert bench.oven.entries == []


async def test_a_gateway_killed_in_a_probe_takes_the_job_back_when_it_is_there_again(
    business_time: BusinessTime,
) -> None:
    async with oven_bench(business_time, "--retention", "synchronous") as bench:
        await _open_oven(bench)
        begun = await bench.gateway.ask("POST", f"/api/v1/machines/{OVEN}/probe", json={"power_cycle": True})
        assert begun.status_code == 200, begun.text
        await _in_stage(bench, "power")

        bench.gateway.kill()
        await bench.restart_gateway()

        await _in_stage(bench, "ended")
        assert (await _view(bench))["verdict"] == "stopped"
        assert (await bench.oven.seen())["job"] is None
        assert bench.oven.entries == []
        assert await bench.gateway.items("exceptions") == []


async def test_a_saw_that_remembers_nothing_is_proven_by_a_cycle_at_its_panel_and_never_written_to(
    business_time: BusinessTime,
) -> None:
    async with saws(business_time, cycle_s=150) as bench:
        bench.configure(accepted=False)
        await bench.start(armed=False)
        await _shown(bench.gateway, "observable not proven")
        assert (await bench.gateway.kvot("machines", "arm", SAW)).code == exits.REFUSED
        async with asyncio.TaskGroup() as group:
            said = group.create_task(bench.gateway.kvot("probe", "machine", SAW, "--yes", "--output", "json"))
            await bench.says("run one cycle of one piece at the panel now")
            await bench.own_work(1)
        probe = json.loads(said.result().out)
        assert (probe["verdict"], probe["commands"]) == ("proven", [])
        assert bench.saw.starts == 1
        await bench.hand_over()
        await bench.order(1)
        await bench.made(1)
        assert bench.saw.starts == 2


async def _open(bench: Bench, **profile: str) -> None:
    """Start everything beside the press and hand the press over; nobody arms it."""
    bench.configure(accepted=False, profile=profile or None)
    if not bench.press.runs:
        bench.start(bench.press)
    bench.start(bench.shop, bench.gateway)
    await bench.start_broker()
    await bench.press.ready()
    await bench.press.hand_over()
    await bench.shop.ready()
    await bench.gateway.up()
    await bench.gateway.linked("mqtt", "shop:webshop", MACHINE_LINK)


async def _open_oven(bench: OvenBench) -> None:
    bench.write_settings(accepted=False)
    bench.start(bench.oven, bench.shop, bench.gateway)
    await bench.start_broker()
    await bench.oven.ready()
    await bench.oven.press_start()
    await bench.shop.ready()
    await bench.gateway.up()
    await bench.gateway.linked(OVEN_LINK)
    await _known(bench, "not proven")


async def _known(bench: Bench, says: str) -> None:
    await _shown(bench.gateway, says)


async def _shown(gateway: Gateway, says: str) -> None:
    """Wait until the machine has said who it is, and is shown as not proven."""

    async def there() -> bool:
        machine = await gateway.machine()
        return bool(machine["now"].get("identity")) and says in (machine["unproven"] or "")

    await eventually(there, timeout_s=20)


async def _view(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = (await bench.gateway.ask("GET", f"/api/v1/machines/{OVEN}/probe")).json()
    return found


async def _in_stage(bench: Bench, stage: str) -> None:
    async def there() -> bool:
        return (await _view(bench)).get("stage") == stage

    await eventually(there, timeout_s=30)


@asynccontextmanager
async def _probing(bench: Bench, *words: str) -> AsyncIterator["asyncio.Task[Said]"]:
    """Run the real command beside the block, and wait for its end."""
    async with asyncio.TaskGroup() as group:
        command = bench.gateway.kvot("probe", "machine", OVEN, "--yes", *words)
        task = group.create_task(command)
        yield task
