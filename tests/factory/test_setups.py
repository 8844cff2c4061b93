"""A run that waits for people survives the gateway: nothing moves without a name, and the total made is right."""

from typing import Any

import pytest

from tests.eventually import eventually
from tests.factory.bench import Bench

pytestmark = pytest.mark.factory
PROMISE = "promise: {static_days: 5}"


async def test_killed_while_a_first_piece_waits_the_order_is_made_right_once_people_have_said_so(bench: Bench) -> None:
    _configure(bench, "{cost: 1, hours: 0.1, first_piece: true}")
    await bench.start_all()
    await bench.shop.place(quantity=4)
    await _waits_for(bench, "setup")
    await bench.has_looked()
    assert bench.press.started(bench.site) == []
    await _say(bench, "setup-done")
    await _waits_for(bench, "approval")

    await _kill_and_start(bench)

    await _waits_for(bench, "approval")
    await _say(bench, "hold", "--reason", "the colour is off")
    await _say(bench, "reject", "--reason", "short shot")
    await bench.has_looked()
    assert len(bench.press.started(bench.site)) == 1
    await _say(bench, "release")
    await _waits_for(bench, "approval")

    await _kill_and_start(bench)

    await bench.has_looked()
    assert len(bench.press.started(bench.site)) == 2
    await _say(bench, "approve")
    await bench.all_is_well(orders=1)
    jobs = await bench.gateway.items("jobs")
    assert sorted((job["quantity"], job["good"]) for job in jobs) == [(1, 0), (1, 1), (3, 3)]
    for told in ("run.setup_done", "run.rejected", "run.approved"):
        assert len(bench.ear.of_type(told)) == 1


async def test_the_press_itself_confirms_a_setup_by_the_tool_it_names(bench: Bench) -> None:
    tool = f"{bench.site}-tool"
    _configure(bench, f"{{cost: 1, hours: 0.1, tool_code: {tool}}}")
    await bench.start_all()
    await bench.shop.place()
    await _waits_for(bench, "setup")
    refused = await bench.gateway.kvot("runs", "setup-done", "1")
    assert refused.code == 7
    assert f"tool {tool} is needed" in refused.err
    assert bench.press.started(bench.site) == []

    await bench.press.touch(tool=tool)

    await bench.all_is_well(orders=1)


def _configure(bench: Bench, setup: str) -> None:
    """Let the family of the trays ask for a set-up."""
    bench.configure()
    text = bench.gateway.config.read_text()
    assert text.count(PROMISE) == 1
    bench.gateway.config.write_text(text.replace(PROMISE, f"{PROMISE}\n    setup: {setup}"))


async def _waits_for(bench: Bench, what: str) -> None:
    async def waits() -> bool:
        to_do: list[dict[str, Any]] = (await bench.gateway.status())["to_do"]
        return [one["waits_for"] for one in to_do] == [what]

    try:
        await eventually(waits, timeout_s=30)
    except AssertionError as late:
        raise AssertionError(await bench.report()) from late


async def _say(bench: Bench, *words: str) -> None:
    verb, *more = words
    said = await bench.gateway.kvot("runs", verb, "1", *more)
    assert said.code == 0, said.err


async def _kill_and_start(bench: Bench) -> None:
    bench.gateway.kill()
    bench.gateway.start()
    await bench.gateway.up()
