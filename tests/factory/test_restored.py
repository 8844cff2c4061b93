"""Yesterday's backup is put back after a kill: the press's own journal shows each job started once, whatever was lost."""

import json
from collections import Counter
from typing import Any

import pytest

from gateway.domain.recovery import QUESTION
from tests.eventually import eventually
from tests.factory.bench import MADE_S, Bench
from tests.factory.programs import kvot

VANISHED = "the machine no longer knows a job it had accepted"
pytestmark = pytest.mark.factory


async def test_after_a_restore_nothing_is_made_twice_and_one_question_asks_about_the_rest(bench: Bench) -> None:
    bench.configure()
    await bench.start_all()
    running = await bench.shop.place(quantity=60)
    await eventually(lambda: bench.press.started(bench.site))
    backup = (await bench.gateway.kvot("backup", "create")).out.strip()
    since = await bench.shop.place(quantity=2)
    await _told(bench, {running: "made", since: "made"})
    await eventually(lambda: _has_forgotten(bench))
    before = Counter(bench.press.started(bench.site))
    bench.gateway.kill()
    late = await bench.shop.place()

    refused = await kvot("backup", "restore", f"{backup}.none", "--state-dir", str(bench.gateway.state))
    assert refused.code == 7
    restored = await kvot("backup", "restore", backup, "--state-dir", str(bench.gateway.state))
    assert restored.code == 0, restored.err
    assert "epoch 2" in restored.err
    bench.gateway.start()
    await bench.gateway.up()
    await bench.gateway.arm()

    async def both_asked() -> bool:
        return {one["cause"] for one in await bench.gateway.items("exceptions")} == {QUESTION, VANISHED}

    await eventually(both_asked, timeout_s=MADE_S)  # the arming that lapsed was settled by arming it
    asked = {one["cause"]: one for one in await bench.gateway.items("exceptions")}
    lines = asked[QUESTION]["evidence"]["lines"]
    assert [(line["number"], line["shop_says"]) for line in lines] == [(str(since), "made")]
    await bench.has_looked()
    assert Counter(bench.press.started(bench.site)) == before

    await _answer(bench, asked[VANISHED], "made")
    await _told(bench, {late: "made"})
    after = Counter(bench.press.started(bench.site))
    assert set(after.values()) == {1}
    assert sum((after - before).values()) == 1
    await _answer(bench, asked[QUESTION], "by_shop")

    async def all_made() -> bool:
        return [order["state"] for order in await bench.gateway.items("orders")] == ["made"] * 3

    await eventually(all_made, timeout_s=MADE_S)
    await bench.has_looked()
    assert Counter(bench.press.started(bench.site)) == after


async def test_nothing_is_sent_while_a_machine_has_not_been_read_and_status_says_so(bench_alone: Bench) -> None:
    bench = bench_alone
    bench.configure()
    await bench.start_all()
    backup = (await bench.gateway.kvot("backup", "create")).out.strip()
    bench.gateway.kill()
    bench.press.kill()
    assert (await kvot("backup", "restore", backup, "--state-dir", str(bench.gateway.state))).code == 0
    await bench.shop.place()
    bench.gateway.start()
    await bench.gateway.up()

    async def waits_for_the_press() -> bool:
        recovering = (await bench.gateway.status())["recovering"]
        return bool(recovering.get("waits_for") == ["machine:press-1"])

    await eventually(waits_for_the_press)
    shown = json.loads((await bench.gateway.kvot("status", "--output", "json")).out)
    assert shown["recovering"]["waits_for"] == ["machine:press-1"]
    assert await bench.gateway.items("jobs") == []
    assert set((await bench.shop.told()).values()) == {None}

    bench.press.start()
    await bench.press.ready()
    await bench.press.hand_over()
    await bench.gateway.arm()
    await bench.orders_are_made(1)
    await bench.each_job_started_once()
    assert (await bench.gateway.status())["recovering"] == {}


@pytest.mark.parametrize("harm", ["deleted", "truncated"])
async def test_a_lost_ledger_keeps_the_gateway_down_with_the_words_of_the_cure(bench_alone: Bench, harm: str) -> None:
    bench = bench_alone
    bench.configure()
    bench.start(bench.press, bench.shop, bench.gateway)
    await bench.gateway.up()
    backup = (await bench.gateway.kvot("backup", "create")).out.strip()
    bench.gateway.terminate()
    bench.gateway.process.wait(30)
    path = bench.gateway.state / "ledger.db"
    if harm == "deleted":
        path.unlink()
    else:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 4096)

    bench.gateway.start()

    assert bench.gateway.process.wait(60) == 78  # systemd does not start it again
    assert f"kvot backup restore {backup}" in bench.gateway.log
    assert (await kvot("backup", "restore", backup, "--state-dir", str(bench.gateway.state))).code == 0
    bench.gateway.start()
    await bench.gateway.up()


async def _answer(bench: Bench, asked: dict[str, Any], action: str) -> None:
    said = await bench.gateway.kvot("exceptions", "resolve", str(asked["exception_id"]), "--action", action)
    assert said.code == 0, said.err


async def _has_forgotten(bench: Bench) -> bool:
    return await bench.press.jobs(bench.site) == {}


async def _told(bench: Bench, wanted: dict[int, str]) -> None:
    """Wait until the shop's own list shows these states."""

    async def told() -> bool:
        found = await bench.shop.told()
        return all(found.get(order) == state for order, state in wanted.items())

    try:
        await eventually(told, timeout_s=MADE_S)
    except AssertionError as late:
        raise AssertionError(await bench.report()) from late
