"""The simulated operator: sets up what waits, looks at first pieces, and minds no gateway that is not there."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.ledger.sql import rows
from simulators.operator.__main__ import main
from simulators.operator.rounds import Operator
from simulators.operator.settings import OperatorSimulation
from tests.api.test_control import serving
from tests.eventually import eventually
from tests.shops.fake_shop import an_order
from tests.stages.factory import Factory
from tests.stages.setting_up import is_in, make, run_of, two_setups


@asynccontextmanager
async def an_operator(socket: Path, **more: Any) -> AsyncIterator[None]:
    """Have an operator walk in this process until the block ends."""
    stop = asyncio.Event()
    settings = OperatorSimulation(socket=socket, speed=10_000, look_s=0.02, **more)
    async with asyncio.TaskGroup() as group:
        group.create_task(Operator(settings, stop).work(), name="operator")
        try:
            yield
        finally:
            stop.set()


async def test_an_operator_sets_up_rejects_what_is_bad_and_approves_what_is_good(state_dir: Path) -> None:
    socket = state_dir / "kvot.sock"
    async with two_setups(state_dir) as factory, an_operator(socket, reject_rate=0.5, seed=2):
        async with serving(factory, socket), factory.running():
            factory.shop.place(an_order("1001", quantity=3))
            judged: list[str] = []
            while "approved" not in judged:
                await make(factory, quantity=1)
                judged = await _judged(factory, len(judged) + 1)
            await make(factory, quantity=2)
            await is_in(factory, "finished")
        history = [event["what"] for event in (await run_of(factory))["history"]]
    assert judged == ["rejected"] * (len(judged) - 1) + ["approved"]
    assert len(judged) > 1, "another seed: the first piece is to be bad"
    assert history.count("run.setup_done") == 1


async def test_without_a_gateway_an_operator_waits_and_ends_in_order(state_dir: Path) -> None:
    command = (sys.executable, "-m", "simulators.operator", "--socket", str(state_dir / "none.sock"))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert json.loads(await process.stdout.readline())["ready"] is True
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


@pytest.mark.parametrize("argument", [("--reject-rate", "1"), ("--look-s", "0"), ("--setup-s", "-1"), ("--reason", "")])
def test_an_operator_that_could_never_end_a_wait_is_refused(tmp_path: Path, argument: tuple[str, str]) -> None:
    assert main(["--socket", str(tmp_path / "kvot.sock"), *argument]) == 2


async def _judged(factory: Factory, count: int) -> list[str]:
    """Wait until so many first pieces were decided about, and give the decisions in their order."""

    async def decisions() -> list[str]:
        found = await factory.ledger.read(
            lambda tx: rows(
                tx, "SELECT first_piece FROM jobs WHERE first_piece IN ('approved','rejected') ORDER BY rowid"
            )
        )
        return [one["first_piece"] for one in found]

    async def enough() -> bool:
        return len(await decisions()) == count

    await eventually(enough)
    return await decisions()
