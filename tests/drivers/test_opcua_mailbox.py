"""The mailbox over OPC UA: the same handshake in four variables, and what only this carrier can get wrong."""

import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua.ua.status_codes import StatusCodes

from drivers.base import Absence, Answer, Beating, CommandKind, DriverError, JobPhase, Session
from drivers.blocks import BAD, GOOD, Sampler
from drivers.catalog import profile_faults
from drivers.profile import MailboxMap, MailboxNodes, Tag
from tests.drivers.modbus_samples import cure, mailbox_profile
from tests.drivers.plc import Plc
from tests.drivers.plc_nodes import URI, PlcServer, node_profile, nodes, plc_server
from tests.drivers.samples import ignore
from tests.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOAD, LOAD_START, START = CommandKind.LOAD, CommandKind.LOAD_START, CommandKind.START


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PlcServer]:
    async with plc_server(tmp_path_factory.mktemp("plc")) as server:
        gc.freeze()  # looking through the nodes of a server stops everything for a second
        yield server
        gc.unfreeze()


@pytest_asyncio.fixture(loop_scope="session")
async def server(shared: PlcServer) -> AsyncIterator[PlcServer]:
    shared.fresh()
    yield shared
    await shared.forget_sessions()


@asynccontextmanager
async def opened(server: PlcServer, **profile: Any) -> AsyncIterator[Session]:
    async with server.driver(**profile).session(ignore) as session:
        yield session


# Sending ------------------------------------------------------------------------------------------------


async def test_a_payload_is_laid_down_whole_and_committed_by_a_variable_alone(server: PlcServer) -> None:
    async with opened(server) as session:
        receipt = await session.send(cure(LOAD))
        assert f"opc.tcp://127.0.0.1:{server.port}; certificate none; mailbox map 1" in session.identity.text
    assert receipt.answer is Answer.ACCEPTED
    assert server.plc.writes == [(100, 1), (101, 56), (158, 1)]
    assert server.plc.commands == [(2, 1)]
    assert server.plc.memory.parameters == (180.5, 45.0)


@pytest.mark.parametrize("little", [False, True])
async def test_a_job_is_loaded_started_made_and_cleared_in_both_word_orders(server: PlcServer, little: bool) -> None:
    plc = server.fresh(Plc(little=little))
    plc.press_start()
    async with opened(server) as session:
        assert (await session.send(cure(LOAD_START, quantity=70_000))).answer is Answer.ACCEPTED
        plc.work()
        found = await session.ask("LUND-1-1")
        assert (found.phase, found.good) == (JobPhase.ENDED, 70_000)
        assert (await session.send(cure(CommandKind.CLEAR))).answer is Answer.ACCEPTED
        assert (await session.look()).jobs == ()
    assert plc.starts == [1]


async def test_nothing_is_written_while_a_machine_is_only_watched(server: PlcServer) -> None:
    async with opened(server) as session:
        await session.look()
        await session.ask("LUND-1-1")
        assert server.plc.writes == []
        assert isinstance(session, Beating)
        await session.beat()
    assert server.plc.writes == [(100, 1)]


async def test_a_deadline_that_passes_between_payload_and_commit_stops_the_commit(server: PlcServer) -> None:
    def tick() -> float:
        return 1000.0 if any(count == 56 for _, count in server.plc.writes) else 0.0

    server.plc.monotonic = lambda: 0.0
    async with server.driver(monotonic=tick).session(ignore) as session:
        with pytest.raises(DriverError, match="not sent, its deadline has passed"):
            await session.send(cure(LOAD, deadline_s=500.0))
    assert [address for address, _ in server.plc.writes] == [100, 101]
    assert server.plc.commands == []


# What a payload may become on its way ---------------------------------------------------------------------


async def test_a_payload_of_which_half_arrived_is_not_committed(server: PlcServer) -> None:
    write = server.plc.write

    def half(address: int, values: Sequence[int]) -> bool:
        return write(address, values[: max(1, len(values) // 2)])

    server.plc.write = half  # type: ignore[method-assign]
    async with opened(server) as session:
        receipt = await session.send(cure(LOAD))
    assert receipt.answer is Answer.REFUSED
    assert "reads back changed" in receipt.evidence
    assert server.plc.commands == []


async def test_a_torn_payload_that_a_servers_memory_hides_is_refused_by_the_plc(server: PlcServer) -> None:
    plc = server.plc
    write, read, kept = plc.write, plc.read, [0] * 59

    def half(address: int, values: Sequence[int]) -> bool:
        kept[address - 100 : address - 100 + len(values)] = values
        return write(address, values[: max(1, len(values) // 2)])

    def remembered(address: int, count: int) -> list[int] | None:
        words = read(address, count)
        return words if address < 100 else kept[address - 100 : address - 100 + count]

    plc.press_start()
    async with opened(server) as session:
        await session.send(cure(START))  # of no job: now a PAYLOAD_CRC lies there, which is not 0
        kept[:] = plc.c
        plc.write, plc.read = half, remembered  # type: ignore[method-assign]
        receipt = await session.send(cure(LOAD_START))
        plc.work()
    assert receipt.answer is Answer.REFUSED
    assert "the payload arrived damaged" in receipt.evidence
    assert plc.starts == []


async def test_a_payload_that_the_server_does_not_take_is_not_sent_and_the_session_goes_on(server: PlcServer) -> None:
    server.bad = {"Payload": StatusCodes.BadNotWritable}
    async with opened(server) as session:
        receipt = await session.send(cure(LOAD))
        assert receipt.answer is Answer.REFUSED
        assert "not sent: the machine did not take a write (BadNotWritable)" in receipt.evidence
        server.bad = {}
        assert (await session.send(cure(LOAD))).answer is Answer.ACCEPTED
    assert server.plc.commands == [(2, 1)]


@pytest.mark.parametrize("executes", [False, True])
async def test_a_payload_that_may_yet_arrive_is_not_committed_and_the_next_session_wipes_it(
    server: PlcServer, executes: bool
) -> None:
    server.bad, server.executes = {"Payload": StatusCodes.BadTimeout}, executes
    async with opened(server) as session:
        with pytest.raises(DriverError, match="BadTimeout, which says nothing"):
            await session.send(cure(LOAD_START))
        with pytest.raises(DriverError, match="the session is finished"):
            await session.look()
    assert server.plc.c[58] == 0
    server.bad = {}
    async with opened(server) as session:
        assert set(server.plc.c[1:56]) == {0}
        finding = await session.ask("LUND-1-1")
    assert finding.absence(job_no=1, known_mark=0) is Absence.NEVER
    assert server.plc.commands == []


# Doubt --------------------------------------------------------------------------------------------------


async def test_a_commit_whose_answer_is_lost_is_found_by_asking(server: PlcServer) -> None:
    plc = server.plc
    plc.press_start()
    server.after = lambda name: server.cut() if name == "Commit" else None
    async with opened(server) as session:
        with pytest.raises(DriverError):
            await session.send(cure(LOAD_START))
    server.after = None
    plc.scan()
    plc.work()
    async with opened(server) as session:
        finding = await session.ask("LUND-1-1")
        again = await session.send(cure(LOAD_START))
        plc.work()
    assert (finding.phase, finding.good) == (JobPhase.ENDED, 2)
    assert "already accepted earlier" in again.evidence
    assert plc.starts == [1]


@pytest.mark.parametrize("status", [StatusCodes.BadUserAccessDenied, StatusCodes.BadCommunicationError])
@pytest.mark.parametrize("executes", [False, True])
async def test_a_bad_commit_is_a_doubt_whatever_the_server_says_of_it(
    server: PlcServer, status: int, executes: bool
) -> None:
    plc = server.plc
    plc.press_start()
    server.bad, server.executes = {"Commit": status}, executes
    async with opened(server) as session:
        with pytest.raises(DriverError, match="Bad"):
            await session.send(cure(LOAD_START))
    plc.scan()
    plc.work()
    server.bad = {}
    async with opened(server) as session:
        finding = await session.ask("LUND-1-1")
        await session.send(cure(LOAD_START))
        plc.work()
    assert (finding.phase is JobPhase.ENDED) == executes
    assert (finding.absence(job_no=1, known_mark=0) is Absence.NEVER) == (not executes)
    assert plc.starts == [1]


async def test_a_restart_of_the_plc_behind_a_server_that_goes_on_is_seen_by_its_boot_count(server: PlcServer) -> None:
    async with opened(server) as session:
        server.plc.power_cut()
        receipt = await session.send(cure(LOAD))
        with pytest.raises(DriverError, match="the PLC has restarted"):
            await session.look()
    assert receipt.answer is Answer.REFUSED
    assert "not sent: the PLC has restarted (BOOT_CNT 2, was 1)" in receipt.evidence
    assert server.plc.commands == []


async def test_a_server_restarted_between_payload_and_commit_never_sees_the_commit_and_is_found_again(
    tmp_path: Path,
) -> None:
    plc = Plc()
    plc.press_start()
    async with plc_server(tmp_path) as first:
        first.fresh(plc)
        port, index = first.port, await first.server.get_namespace_index(URI)
        first.after = lambda name: first.cut() if name == "Payload" else None
        driver = first.driver()
        async with driver.session(ignore) as session:
            with pytest.raises(DriverError):
                await session.send(cure(LOAD_START))
        await first.forget_sessions()
    assert plc.c[1] == 1
    plc.power_cut(command_kept=True)
    async with plc_server(tmp_path, port=port, namespaces_before=2) as second:
        second.fresh(plc)
        assert await second.server.get_namespace_index(URI) == index + 2
        async with driver.session(ignore) as session:
            look = await session.look()
            finding = await session.ask("LUND-1-1")
            assert (look.boot, look.permits.handed_over) == ("2", False)
            assert finding.absence(job_no=1, known_mark=0) is Absence.NEVER
            assert plc.commands == []
            assert (await session.send(cure(LOAD_START))).answer is Answer.ACCEPTED
            plc.work()
    assert plc.commands == [(1, 1)]
    assert plc.starts == []  # nobody pressed Start since


# Values -------------------------------------------------------------------------------------------------


async def test_tags_beside_the_mailbox_are_sampled_and_one_that_is_not_there_harms_no_job(server: PlcServer) -> None:
    tags = {"long": Tag(address=f"nsu={URI};s=Long"), "lost": Tag(address=f"nsu={URI};s=Nowhere")}
    seen: dict[str, tuple[object, int]] = {}
    async with opened(server, tags=tags, sample_s=0.1) as session:
        assert isinstance(session, Sampler)

        def there() -> bool:
            for block in session.take():
                seen.update(zip(block.names, zip(block.values, block.qualities, strict=True), strict=True))
            return len(seen) == len(tags)

        await eventually(there, timeout_s=5)
        assert (await session.send(cure(LOAD))).answer is Answer.ACCEPTED
    assert seen["long"] == (0, GOOD)
    assert seen["lost"][1] == BAD


# Addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "says"),
    [
        (nodes(status="Nowhere"), "mailbox.nodes.status cannot be read: BadNodeIdUnknown"),
        (nodes(payload="Nowhere"), "mailbox.nodes.payload cannot be read: BadNodeIdUnknown"),
        (nodes(status="Short"), r"mailbox.nodes.status holds UINT16\[10\] where UInt16\[64\] belongs"),
        (nodes(status="Signed"), r"mailbox.nodes.status holds INT16\[64\] where UInt16\[64\] belongs"),
        (nodes(payload="Short"), r"mailbox.nodes.payload holds UINT16\[10\] where UInt16\[56\] belongs"),
        (nodes(commit="Short"), r"mailbox.nodes.commit holds UINT16\[10\] where a UInt16 belongs"),
        (nodes(heartbeat="Long"), "mailbox.nodes.heartbeat holds UINT32 where a UInt16 belongs"),
        (MailboxNodes(status="nsu=urn:x;s=S", payload="i=2", commit="i=3", heartbeat="i=4"), "no namespace 'urn:x'"),
    ],
)
async def test_a_variable_that_is_not_what_the_map_needs_is_named_and_nothing_is_written(
    server: PlcServer, at: MailboxNodes, says: str
) -> None:
    with pytest.raises(DriverError, match=says):
        async with opened(server, at=at):
            raise AssertionError("opened")
    assert server.plc.writes == []


async def test_the_profile_of_the_tests_has_no_faults() -> None:
    assert profile_faults(node_profile()) == ()


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        (node_profile(mailbox=None), "mailbox: missing"),
        (node_profile(mailbox=MailboxMap(recipes={})), "mailbox.nodes: missing; the variables"),
        (node_profile(at=nodes(commit="Payload")), "mailbox.nodes.commit: lies where mailbox.nodes.payload is"),
        (
            node_profile(at=MailboxNodes(status="ns=2;s=S", payload="i=2", commit="i=3", heartbeat="i=4")),
            "mailbox.nodes.status: 'ns=2;s=S' is not a node address: write nsu=URI;s=Name, without an index",
        ),
        (node_profile(protocol="modbus"), "mailbox.nodes: belongs to protocol opcua; remove it"),
    ],
)
async def test_a_profile_whose_mailbox_cannot_be_reached_is_told_where(profile: Any, says: str) -> None:
    assert says in "; ".join(profile_faults(profile))
    assert profile_faults(mailbox_profile()) == ()
