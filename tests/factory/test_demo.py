"""The demo keeps its word: a killed gateway changes nothing, and the verdict sees a loss when there is one."""

import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.cli.demo.play import perform
from gateway.cli.demo.scene import Scene, Wishes
from gateway.clock import SystemClock
from gateway.settings import shipped
from simulators.witness import Verdict

pytestmark = [pytest.mark.factory, pytest.mark.timeout(180)]
UNPROTECTED = (sys.executable, "-m", "tests.faults.without_intent")


@pytest_asyncio.fixture
async def wishes(state_dir: Path) -> AsyncIterator[Wishes]:
    yield Wishes(
        orders=8,
        speed=600,
        seed=7,
        kill_at=0.5,
        trouble=False,
        directory=state_dir,
        config=shipped("demo/kvot.yaml"),
        whole=False,
        epoch=SystemClock().now().replace(microsecond=0),
    )


async def _play(wishes: Wishes) -> Verdict:
    verdict = await perform(wishes, once=True, show=lambda _moment: None)
    assert verdict is not None
    return verdict


async def test_a_gateway_killed_in_the_middle_of_a_job_makes_each_part_once(wishes: Wishes) -> None:
    verdict = await _play(wishes)
    assert verdict.broken == ()
    assert verdict.physical_starts == verdict.jobs > 0


async def test_a_whole_factory_makes_each_part_once_though_its_gateway_is_killed(wishes: Wishes) -> None:
    """Press, oven with runs, a route to the packing station and its person, prices: at a speed that tests can bear."""
    whole = replace(wishes, whole=True, config=shipped("demo/full.yaml"), orders=12, speed=200, seed=3)
    verdict = await _play(whole)
    assert verdict.broken == ()
    assert verdict.offers_published > 0
    assert set(verdict.policies) == {"countdown", "distance"}
    assert verdict.promises_made > 0  # kept at the demo's own speed: polls and disks are not faster here


async def test_trouble_ends_as_exceptions_and_nothing_else_is_disturbed(wishes: Wishes) -> None:
    verdict = await _play(replace(wishes, kill_at=None, trouble=True))
    assert verdict.broken == ()
    assert verdict.exceptions == 2


async def test_without_the_intent_record_the_verdict_is_broken(wishes: Wishes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The press answers late and runs what it gets twice: only the gateway's own memory prevents a second start."""
    _answer_late(monkeypatch)
    press = ("--duplicates", "run", "--cycle-s", "120")
    unprotected = await _play(replace(wishes, gateway=UNPROTECTED, press=press, grace_s=10))
    assert unprotected.double_starts > 0
    assert unprotected.broken


async def test_with_the_intent_record_the_same_press_starts_each_job_once(
    wishes: Wishes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answer_late(monkeypatch)
    press = ("--duplicates", "run", "--cycle-s", "120")
    protected = await _play(replace(wishes, press=press))
    assert protected.double_starts == 0
    assert protected.broken == ()


def _answer_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the press execute at once and answer a second later, so that the kill falls in between."""
    opened = Scene.open

    async def open_with_a_slow_press(self: Scene) -> None:
        await self.fault_press(late_s=1.0, methods=["StoreAndStart"])
        await opened(self)

    monkeypatch.setattr(Scene, "open", open_with_a_slow_press)
