"""`kvot probe` as people at a machine use it: what is told before, the outcome, and what is refused with its cure."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from drivers.base import CommandKind
from drivers.profile import Effect
from gateway.cli import exits
from gateway.domain.machines import Level
from gateway.ledger import probes
from tests.api.test_control import Caller, serving
from tests.cli.test_verbs import Kvot
from tests.drivers.fake_machine import FakeMachine
from tests.eventually import eventually
from tests.stages.factory import PRESS, Factory, a_factory


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """A factory whose press nobody has signed for, its verbs and its API."""

    factory: Factory
    kvot: Kvot
    caller: Caller

    async def known(self) -> None:
        """Wait until the press has said who it is."""
        await eventually(lambda: self.factory.board.get(("state", PRESS)).get("identity"))


@pytest_asyncio.fixture
async def desk(state_dir: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    changes: dict[str, Any] = getattr(request, "param", {})
    path = state_dir / "kvot.sock"
    press = FakeMachine(duplicates=changes.pop("duplicates", "refuse"))
    async with a_factory(state_dir, press=press) as plain:
        press._monotonic = plain.clock.monotonic
        configured = changes.pop("configured", Level.START)
        factory = replace(plain, accepted=False, configured=configured).with_profile(**changes)
        async with serving(factory, path), factory.running("tend"):
            made = Desk(factory=factory, kvot=Kvot(path), caller=Caller(path, factory))
            await made.known()
            yield made


async def test_a_machine_is_armed_only_after_its_probe(desk: Desk) -> None:
    refusal = await desk.kvot("machines", "arm", PRESS, exits_with=exits.REFUSED)
    assert "run `kvot probe machine press-1`, or accept it by name in YAML: machines.press-1.effect_accepted" in refusal
    await desk.kvot("probe", "machine", PRESS, "--yes")
    await desk.kvot("machines", "arm", PRESS)
    (shown,) = (await desk.caller.get("/api/v1/machines"))["items"]
    assert (shown["effect"], shown["effect_proven"], shown["unproven"]) == ("remembered", "remembered", None)
    assert shown["proven_by"].startswith("person:")
    refusal = await desk.kvot("probe", "machine", PRESS, "--yes", exits_with=exits.REFUSED)
    assert "kvot machines disarm press-1" in refusal


async def test_watching_needs_no_proof(desk: Desk) -> None:
    await desk.kvot("machines", "arm", PRESS, "--level", "read")


async def test_before_anything_is_written_people_are_told_what_and_asked(desk: Desk) -> None:
    said = await desk.kvot("probe", "machine", PRESS, exits_with=exits.USAGE)  # nobody can be asked here
    assert "load: one job of 1 piece, recipe tray (width_mm 20)" in said
    assert "never a start" in said
    assert "nobody presses Start" in said
    assert desk.factory.press.received == []


@pytest.mark.parametrize("desk", [{"duplicates": "run"}], indirect=True)
async def test_a_machine_that_runs_duplicates_is_refused_with_what_to_do(desk: Desk) -> None:
    said = await desk.kvot("probe", "machine", PRESS, "--yes", exits_with=exits.FAILURE)
    assert "press-1: remembered refuted" in said
    assert "effect_accepted" in said
    await desk.kvot("machines", "arm", PRESS, exits_with=exits.REFUSED)
    assert desk.factory.press.jobs == {}


async def test_programs_get_the_outcome_as_json(desk: Desk) -> None:
    refusal = await desk.kvot("probe", "show", PRESS, exits_with=exits.FAILURE)
    assert "never probed" in refusal
    shown = await desk.caller.post(f"/api/v1/machines/{PRESS}/probe")
    assert shown["stage"] == "loading"

    async def ended() -> bool:
        return bool((await desk.caller.get(f"/api/v1/machines/{PRESS}/probe"))["stage"] == "ended")

    await eventually(ended)
    view = await desk.factory.ledger.read(lambda tx: probes.view(tx, PRESS))
    assert view is not None
    assert view["verdict"] == "proven"
    assert [one["kind"] for one in view["commands"]] == ["load", "load", "cancel"]


async def test_a_machine_that_is_being_probed_is_not_armed_and_the_probe_can_be_stopped(desk: Desk) -> None:
    await desk.caller.post(f"/api/v1/machines/{PRESS}/probe", power_cycle=True)
    refusal = await desk.kvot("machines", "arm", PRESS, exits_with=exits.REFUSED)
    assert "is being probed" in refusal
    await desk.kvot("probe", "stop", PRESS)

    async def ended() -> bool:
        return bool((await desk.caller.get(f"/api/v1/machines/{PRESS}/probe"))["stage"] == "ended")

    await eventually(ended)
    assert desk.factory.press.jobs == {}
    refusal = await desk.kvot("probe", "stop", PRESS, exits_with=exits.REFUSED)
    assert "not being probed" in refusal


@pytest.mark.parametrize(
    ("desk", "words", "says"),
    [
        ({"effect": Effect.BLIND}, (), "make it a station"),
        ({"configured": Level.READ}, (), "raise machines.press-1.control to load"),
        ({"effect": Effect.OBSERVABLE}, ("--power-cycle",), "no memory to prove"),
        ({}, ("--recipe", "bowl"), "there is tray"),
        ({"recipes": {}}, (), "has no recipe"),
    ],
    indirect=["desk"],
    ids=["blind", "watched only", "no memory", "unknown recipe", "no recipe"],
)
async def test_what_cannot_be_probed_is_refused_with_the_cure(desk: Desk, words: tuple[str, ...], says: str) -> None:
    assert says in await desk.kvot("probe", "machine", PRESS, "--yes", *words, exits_with=exits.REFUSED)
    assert desk.factory.press.received == []


async def test_a_machine_that_does_not_answer_is_not_probed(state_dir: Path) -> None:
    path = state_dir / "kvot.sock"
    async with a_factory(state_dir) as factory, serving(factory, path):
        said = await Kvot(path)("probe", "machine", PRESS, "--yes", exits_with=exits.REFUSED)
    assert "does not answer" in said


async def test_ctrl_c_has_the_gateway_take_the_job_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(_ask: object, _probe_id: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.cli.probe._follow", interrupted)
    said = await desk.kvot("probe", "machine", PRESS, "--yes", "--power-cycle", exits_with=exits.INTERRUPTED)
    assert "takes the job back" in said

    async def ended() -> bool:
        return bool((await desk.caller.get(f"/api/v1/machines/{PRESS}/probe"))["stage"] == "ended")

    await eventually(ended)
    assert desk.factory.press.jobs == {}


async def test_the_newest_probe_is_shown_with_all_it_sent(desk: Desk) -> None:
    await desk.kvot("probe", "machine", PRESS, "--yes")
    shown = await desk.kvot("probe", "show", PRESS)
    assert "proven" in shown
    assert "the id exists" in shown
    assert {command.kind for command in desk.factory.press.received} == {CommandKind.LOAD, CommandKind.CANCEL}
