"""The OPC UA session when the server, the network or the clock is not as it should be."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.ua_binary import struct_to_binary

from drivers.base import Answer, CommandKind, Driver, DriverError, JobPhase, Security
from drivers.catalog import open_driver
from drivers.opcua import jobs
from drivers.opcua.binary import Builtin, Reading, Variant
from drivers.opcua.connection import within
from drivers.opcua.session import _truth
from drivers.profile import PermitTags
from simulators.journal import Event
from simulators.press.faults import Faults, Reply
from simulators.press.simulation import RunningPress
from tests.drivers.conftest import FreshPress, open_sessions
from tests.drivers.samples import command, driver_for, ignore, press_profile
from tests.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOAD = CommandKind.LOAD


def starts(press: RunningPress) -> list[str]:
    return [entry.job for entry in press.journal() if entry.event is Event.START]


def driver_to(port: int, **profile: Any) -> Driver:
    return open_driver(
        name="press-1",
        url=f"opc.tcp://127.0.0.1:{port}",
        profile=press_profile(**{"timeout_s": 0.3} | profile),
        security=Security(),
        monotonic=time.monotonic,
    )


@asynccontextmanager
async def server_that(
    answers: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Listen on loopback and treat every connection that way; give the port."""
    open_writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.append(writer)
        await answers(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in open_writers:
            writer.close()
        await server.wait_closed()


# Answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [Reply.NEVER, Reply.BAD, Reply.CLOSE])
async def test_a_command_whose_answer_is_lost_is_in_doubt_and_settled_by_asking(
    fresh_press: FreshPress, reply: Reply
) -> None:
    press = await fresh_press("plain")
    await press.panel(reset=True)
    await press.panel(start=True)
    driver = driver_for(press, timeout_s=0.5)
    async with driver.session(ignore) as session:
        await press.break_down(Faults(reply=reply, times=1))
        with pytest.raises(DriverError):
            await session.send(command(CommandKind.LOAD_START))
    async with driver.session(ignore) as session:
        finding = await session.ask("LUND-1-1")
    assert finding.phase in (JobPhase.RUNNING, JobPhase.ENDED)
    assert starts(press) == ["LUND-1-1"]


async def test_an_uncertain_answer_with_outputs_is_an_answer(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    async with driver_for(press).session(ignore) as session:
        await press.break_down(Faults(reply=Reply.UNCERTAIN))
        taken = await session.send(command(LOAD))
        refused = await session.send(command(LOAD))
    assert taken.answer is Answer.ACCEPTED
    assert "Uncertain" in taken.evidence
    assert refused.answer is Answer.REFUSED


async def test_an_answer_after_the_deadline_of_the_call_is_no_answer(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    async with driver_for(press, timeout_s=0.2).session(ignore) as session:
        await press.break_down(Faults(late_s=0.5, methods=frozenset({"Store"})))
        with pytest.raises(DriverError, match="no answer in time"):
            await session.send(command(LOAD))
    await eventually(lambda: press.machine.find("LUND-1-1") is not None)


async def test_a_finished_session_answers_nothing_more(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    async with driver_for(press).session(ignore) as session:
        with pytest.raises(DriverError, match="deadline"):
            await session.send(command(LOAD, deadline_s=0.0))
        with pytest.raises(DriverError, match=r"finished.*deadline"):
            await session.look()


async def test_a_cancelled_call_finishes_the_session_and_closing_still_works(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    async with driver_for(press).session(ignore) as session:
        await press.break_down(Faults(reply=Reply.NEVER))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await session.send(command(LOAD))
        with pytest.raises(DriverError, match="cut off"):
            await session.look()


class AnsweredAndCancelledError(asyncio.CancelledError):
    """What the library raises when an answer and a cancellation come in the same turn of the loop."""


async def cancelled_with_an_answer() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError as error:
        raise AnsweredAndCancelledError from error


async def test_an_answer_that_races_the_timeout_is_a_driver_error_and_not_a_cancellation() -> None:
    async def read() -> None:
        async with within("reading", 0.01):
            await cancelled_with_an_answer()

    with pytest.raises(DriverError, match="reading: no answer in time"):
        await read()


async def test_an_answer_that_races_a_timeout_of_the_caller_is_plainly_cancelled() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), within("reading", 10):
            await cancelled_with_an_answer()


# Permits and values -------------------------------------------------------------------------------


async def test_a_permit_of_bad_quality_or_without_a_node_is_not_a_yes(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    missing = PermitTags(remote="nsu=urn:kvot:simulator:press;s=None", ready="i=2257", handed_over=None)
    async with driver_for(press, permits=missing).session(ignore) as session:
        absent = (await session.look()).permits
    async with driver_for(press).session(ignore) as session:
        await press.break_down(Faults(permits_bad=True))
        bad = (await session.look()).permits
    assert (absent.remote, absent.ready, absent.handed_over) == (None, None, None)
    assert (bad.remote, bad.ready, bad.handed_over) == (None, None, None)


@pytest.mark.parametrize("status", [0x40000000, 0x80000000])
async def test_a_yes_without_good_quality_is_not_a_yes(status: int) -> None:
    yes = Variant(type=Builtin.BOOLEAN, value=True)
    assert _truth(Reading(status=0, variant=yes)) is True
    assert _truth(Reading(status=status, variant=yes)) is None


@pytest.mark.parametrize("address", ["ns=2;s=Press", "Press.Ready", "nsu=urn:gone;s=Press", "i=x"])
async def test_an_address_that_cannot_be_resolved_is_named(fresh_press: FreshPress, address: str) -> None:
    press = await fresh_press("plain")
    permits = PermitTags(remote=address, ready="i=1", handed_over=None)
    with pytest.raises(DriverError) as caught:
        async with driver_for(press, permits=permits).session(ignore):
            pass
    assert repr(address) in str(caught.value)


async def test_a_server_without_the_namespace_is_reported_and_recovers(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    await press.break_down(Faults(namespace_missing=True))
    with pytest.raises(DriverError, match="no ISA-95 Job Control"):
        async with driver_for(press).session(ignore):
            pass
    await press.break_down(Faults())
    async with driver_for(press).session(ignore) as session:
        assert (await session.look()).jobs == ()


async def test_the_fitted_tool_is_read(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    async with driver_for(press).session(ignore) as session:
        before = (await session.look()).setup_code
        await press.panel(tool="T-7")
        after = (await session.look()).setup_code
    assert (before, after) == ("T-1", "T-7")
    await press.panel(tool="T-1")


# The network --------------------------------------------------------------------------------------


class Relay:
    """Passes bytes between a client and a server; while `muted`, what the server says is lost."""

    def __init__(self, target: RunningPress) -> None:
        self.muted = False
        self._port = int(target.endpoint.rsplit(":", 1)[1])

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass(reader, to_server, may_mute=False))
            both.create_task(self._pass(from_server, writer, may_mute=True))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, may_mute: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while said := await reader.read(65536):
                if not (may_mute and self.muted):
                    writer.write(said)
        writer.close()


async def test_a_silent_server_ends_a_call_in_time_and_does_not_hold_the_closing(fresh_press: FreshPress) -> None:
    relay = Relay(await fresh_press("plain"))
    async with server_that(relay) as port:
        async with driver_to(port, timeout_s=0.4).session(ignore) as session:
            relay.muted = True
            began = time.monotonic()
            with pytest.raises(DriverError, match="no answer in time"):
                await session.look()
            looked = time.monotonic()
        closed = time.monotonic()
    assert looked - began < 1.0
    assert closed - looked < 1.5


async def test_a_black_hole_does_not_hold_the_opening() -> None:
    async def swallow(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server_that(swallow) as port:
        began = time.monotonic()
        with pytest.raises(DriverError, match="no answer in time"):
            async with driver_to(port).session(ignore):
                pass
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4, b"ACKF\x08\x00\x00\x00", b"\xff" * 100, b""]
)
async def test_a_peer_that_is_no_opc_ua_server_is_a_driver_error(answer: bytes) -> None:
    async def mumble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with server_that(mumble) as port:
        with pytest.raises(DriverError):
            async with driver_to(port).session(ignore):
                pass


async def test_nobody_listening_is_a_driver_error() -> None:
    async with server_that(lambda _reader, _writer: asyncio.sleep(0)) as port:
        pass
    with pytest.raises(DriverError, match="connecting"):
        async with driver_to(port).session(ignore):
            pass


async def test_a_lost_connection_is_told_as_a_change_and_found_by_the_next_look(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    told: list[str] = []
    async with driver_for(press).session(lambda: told.append("change")) as session:
        await eventually(lambda: told)  # the values as they stand
        await session.look()
        told.clear()
        await press.break_down(Faults(reply=Reply.CLOSE, methods=frozenset({"Store"}), times=1))
        with pytest.raises(DriverError):
            await session.send(command(LOAD))
        await eventually(lambda: told)


async def test_endpoints_that_name_another_host_redirect_nobody(fresh_press: FreshPress, tmp_path: Path) -> None:
    press = await fresh_press("secure")
    endpoints = press.server.iserver.endpoints
    addresses = [endpoint.EndpointUrl for endpoint in endpoints]
    try:
        for endpoint in endpoints:
            endpoint.EndpointUrl = ua.String("opc.tcp://192.0.2.1:4840")
        async with driver_for(press, own=tmp_path).session(ignore) as session:
            assert (await session.look()).jobs == ()
    finally:
        for endpoint, address in zip(endpoints, addresses, strict=True):
            endpoint.EndpointUrl = address


async def test_sessions_do_not_pile_up_at_the_server(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    for number in range(5):
        with contextlib.suppress(DriverError):
            async with driver_for(press).session(ignore) as session:
                await session.send(command(LOAD, deadline_s=0.0 if number % 2 else time.monotonic() + 5))
    await eventually(lambda: not open_sessions(press))


def security_tokens(press: RunningPress) -> list[int]:
    """Give the token of each open channel as the server counts them: one more at every renewal."""
    processors = [one.processor for one in press.server.gate.connections]
    return [each._connection.security_token.TokenId for each in processors if each is not None]


async def test_the_secure_channel_is_renewed_before_it_ends(fresh_press: FreshPress, tmp_path: Path) -> None:
    press = await fresh_press("secure")
    passed = [0.0]
    told: list[str] = []
    driver = driver_for(press, own=tmp_path, monotonic=lambda: time.monotonic() + passed[0])
    async with driver.session(lambda: told.append("change")) as session:
        (first,) = security_tokens(press)
        for _ in range(3):
            passed[0] += 3000.0
            assert (await session.look()).permits.remote is True
        assert security_tokens(press) == [first + 3]
        told.clear()
        await press.panel(selector="local")
        await eventually(lambda: told)
        assert (await session.look()).permits.remote is False


# Several servers ----------------------------------------------------------------------------------


@pytest.fixture
def registered_types() -> Iterator[None]:
    """Undo what a test registers in the library's tables, which the whole process shares."""
    tables: tuple[dict[Any, Any], ...] = (
        ua.extension_objects_by_typeid,
        ua.extension_objects_by_datatype,
        ua.typeid_by_extension_objects,
    )
    kept = [dict(table) for table in tables]
    yield
    for table, before in zip(tables, kept, strict=True):
        table.clear()
        table.update(before)


async def use(press: RunningPress, driver: Driver, job_id: str) -> tuple[JobPhase | None, list[str]]:
    await press.panel(reset=True)
    await press.panel(start=True)
    async with driver.session(ignore) as session:
        receipt = await session.send(command(CommandKind.LOAD_START, job_id))
        assert receipt.answer is Answer.ACCEPTED, receipt.evidence
        listed = [job.job_id for job in (await session.look()).jobs]
        return (await session.ask(job_id)).phase, listed


async def test_two_servers_with_different_namespace_indexes_are_served_at_once(
    fresh_press: FreshPress, tmp_path: Path
) -> None:
    plain, shifted = await fresh_press("plain"), await fresh_press("secure")
    first, second = await asyncio.gather(
        use(plain, driver_for(plain), "LUND-1-1"), use(shifted, driver_for(shifted, own=tmp_path), "LUND-1-2")
    )
    assert first == (JobPhase.RUNNING, ["LUND-1-1"])
    assert second == (JobPhase.RUNNING, ["LUND-1-2"])
    assert (starts(plain), starts(shifted)) == (["LUND-1-1"], ["LUND-1-2"])


@pytest.mark.usefixtures("registered_types")
async def test_types_registered_by_others_in_the_process_change_nothing(
    fresh_press: FreshPress, tmp_path: Path
) -> None:
    plain, shifted = await fresh_press("plain"), await fresh_press("secure")
    async with Client(plain.endpoint) as other:
        await other.load_data_type_definitions()
    order = vars(ua)["ISA95JobOrderDataType"]
    assert order in ua.typeid_by_extension_objects
    assert struct_to_binary(order(JobOrderID="J-1"))  # the official definition, built by the library
    assert (await use(plain, driver_for(plain), "LUND-1-1"))[1] == ["LUND-1-1"]
    assert (await use(shifted, driver_for(shifted, own=tmp_path), "LUND-1-2"))[1] == ["LUND-1-2"]


@pytest.mark.usefixtures("registered_types")
async def test_types_registered_under_the_same_ids_by_another_server_change_nothing(fresh_press: FreshPress) -> None:
    press = await fresh_press("plain")
    index = (await namespaces(press)).index(jobs.NAMESPACE)
    for encoding in (jobs.JOB_ORDER_AND_STATE_ENCODING, jobs.JOB_RESPONSE_ENCODING):
        # What another server might call by the same index and number.
        ua.extension_objects_by_typeid[ua.NodeId(encoding, index)] = ua.Argument  # type: ignore[arg-type]
    assert (await use(press, driver_for(press), "LUND-1-1"))[1] == ["LUND-1-1"]


async def namespaces(press: RunningPress) -> list[str]:
    return list(await press.server.get_namespace_array())
