"""The plain dialect over OPC UA: the same start and the same evidence, on nodes."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua

from drivers.base import Answer, CommandKind, DriverError, JobPhase, Reconciling
from drivers.blocks import BAD, GOOD, Polled, Sampler
from drivers.catalog import profile_faults
from drivers.profile import PermitTags, Place, Tag
from simulators.journal import Event
from simulators.plain.faults import PlainFaults
from tests.drivers.plain_nodes import NodeSaw, NodeServer, node, node_saw, node_server
from tests.drivers.plain_samples import ReconcilingSession, plain_map, plain_profile, trim
from tests.drivers.samples import ignore
from tests.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NodeServer]:
    async with node_server(tmp_path_factory.mktemp("nodes")) as server:
        gc.freeze()  # looking through the nodes of a server stops everything for a second
        yield server
        gc.unfreeze()


@asynccontextmanager
async def opened(
    saw: NodeSaw, plain: dict[str, Any] | None = None, **profile: Any
) -> AsyncIterator[ReconcilingSession]:
    async with saw.driver(plain, **profile).session(ignore) as session:
        assert isinstance(session, Reconciling)
        yield session  # type: ignore[misc]


def starts(saw: NodeSaw) -> int:
    return sum(entry.event is Event.START for entry in saw.machine.journal())


async def test_a_job_is_started_once_followed_and_counted_and_changes_are_told(
    shared: NodeServer, tmp_path: Path
) -> None:
    told: list[None] = []
    async with node_saw(shared, tmp_path, cycle_s=0.2) as saw:
        async with saw.driver().session(lambda: told.append(None)) as session:
            assert isinstance(session, Reconciling)
            before = await session.look()
            assert (before.permits.remote, before.permits.ready, before.setup_code) == (True, True, "1")
            assert before.boot not in {"", "not told"}
            heard = len(told)
            command = trim(baseline=before.baseline)
            assert (await session.send(command)).answer is Answer.ACCEPTED
            assert [job.phase for job in (await session.look()).jobs] == [JobPhase.RUNNING]
            assert (await session.reconcile(command, begun=False)).phase is JobPhase.RUNNING
            await eventually(saw.nodes["done"].read_value)  # the nodes show it a moment after the machine
            made = await session.reconcile(command, begun=True)
            assert (made.phase, made.produced, made.good) == (JobPhase.ENDED, 2, 2)
            await eventually(lambda: len(told) > heard)
        assert await saw.nodes["length"].read_value() == 120.5
    assert starts(saw) == 1


async def test_a_start_whose_answer_is_lost_is_found_by_what_the_machine_shows(
    shared: NodeServer, tmp_path: Path
) -> None:
    async with node_saw(shared, tmp_path, cycle_s=0.3) as saw:
        saw.cut.set()
        async with opened(saw, timeout_s=0.5) as session:
            command = trim(baseline=(await session.look()).baseline)
            with pytest.raises(DriverError):
                await session.send(command)
        async with opened(saw) as again:
            found = await again.reconcile(command, begun=False)
            await eventually(saw.nodes["done"].read_value)  # the nodes show it a moment after the machine
            made = await again.reconcile(command, begun=False)
    assert found.phase in {JobPhase.RUNNING, JobPhase.ENDED}
    assert (made.phase, made.good) == (JobPhase.ENDED, 2)
    assert starts(saw) == 1


async def test_a_deaf_machine_leaves_proof_or_a_question(shared: NodeServer, tmp_path: Path) -> None:
    async with node_saw(shared, tmp_path) as saw:
        await saw.machine.break_down(PlainFaults(deaf=True))
        async with opened(saw, timeout_s=0.5) as session:
            command = trim(baseline=(await session.look()).baseline)
            with pytest.raises(DriverError, match="no batch is seen"):
                await session.send(command)
        async with opened(saw) as again:
            assert (await again.reconcile(command, begun=False)).unproven
    assert starts(saw) == 0


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [("quantity", 70_000, "does not fit"), ("length", 1e39, "FLOAT"), ("length", "long", "no finite number")],
)
async def test_what_a_node_cannot_hold_is_refused(
    shared: NodeServer, tmp_path: Path, name: str, value: Any, why: str
) -> None:
    async with node_saw(shared, tmp_path) as saw, opened(saw) as session:
        changes = {"quantity": value} if name == "quantity" else {"parameters": {"length_mm": value}}
        receipt = await session.send(trim(**changes))
    assert receipt.answer is Answer.REFUSED
    assert why in receipt.evidence
    assert starts(saw) == 0


async def test_a_start_that_the_server_does_not_take_is_refused(shared: NodeServer, tmp_path: Path) -> None:
    async with node_saw(shared, tmp_path) as saw, opened(saw) as session:
        await saw.nodes["start"].set_writable(writable=False)
        receipt = await session.send(trim())
    assert receipt.answer is Answer.REFUSED
    assert "did not take a write" in receipt.evidence
    assert starts(saw) == 0


async def test_done_is_taken_back_where_the_machine_can_be_told(shared: NodeServer, tmp_path: Path) -> None:
    async with node_saw(shared, tmp_path) as saw, opened(saw, {"reset_done": node("reset")}) as session:
        command = trim(baseline=(await session.look()).baseline)
        await session.send(command)
        await eventually(saw.nodes["done"].read_value)  # the nodes show it a moment after the machine
        assert (await session.send(trim(CommandKind.CLEAR))).answer is Answer.ACCEPTED
        assert saw.machine.state()["done"] is False
        assert await saw.nodes["reset"].read_value() is False
        assert (await session.reconcile(command, begun=True)).phase is JobPhase.ENDED  # its pieces are counted
    assert starts(saw) == 1


async def test_a_node_that_is_not_there_ends_the_session_in_words(shared: NodeServer, tmp_path: Path) -> None:
    async with node_saw(shared, tmp_path) as saw:
        with pytest.raises(DriverError, match="cannot be read"):
            async with opened(saw, {"quantity": Place(address=node("nowhere"))}):
                pass
        with pytest.raises(DriverError, match="busy is None"):
            async with opened(saw, {"busy": node("nowhere")}):
                pass


async def test_tags_are_told_beside_the_signs_of_work(shared: NodeServer, tmp_path: Path) -> None:
    tags = {"length": Tag(address=node("length"), scale=0.1), "nowhere": Tag(address=node("nowhere"))}
    async with node_saw(shared, tmp_path) as saw, saw.driver(tags=tags, sample_s=0.05).session(ignore) as session:
        assert isinstance(session, Sampler)
        assert not isinstance(session, Polled)
        found: dict[str, Any] = {}

        def told(**wanted: Any) -> bool:
            for block in session.take():
                found.update(zip(block.names, zip(block.values, block.qualities, strict=True), strict=True))
            return found == wanted

        await saw.nodes["length"].write_value(ua.Variant(120.0, ua.VariantType.Float))
        await eventually(lambda: told(length=(12.0, GOOD), nowhere=(None, BAD)))
        assert (await session.look()).permits.remote is True


@pytest.mark.parametrize(
    ("plain", "profile", "says"),
    [
        ({"start": "coil:0"}, {}, "plain.start: 'coil:0' is not a node address"),
        ({"good": Place(address=node("scrap"))}, {}, "plain.scrap: lies where plain.good is"),
        ({}, {"permits": PermitTags(remote="ns", ready=node("ready"))}, "permits.remote: 'ns' is not a node address"),
    ],
)
async def test_a_profile_that_cannot_work_is_told_where(
    plain: dict[str, Any], profile: dict[str, Any], says: str
) -> None:
    fields = {name: node(name) for name in ("start", "busy", "done")}
    fields |= {name: Place(address=node(name)) for name in ("good", "scrap", "quantity", "recipe")}  # type: ignore[misc]
    wanted = {"permits": PermitTags(remote=node("remote"), ready=node("ready")), "setup_code": None} | profile
    faults = profile_faults(plain_profile(plain_map(**fields | plain), protocol="opcua", **wanted))
    assert any(says in fault for fault in faults), faults
