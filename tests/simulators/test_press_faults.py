"""What the press does wrong on request: each fault as a client meets it, and what had really happened."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from simulators.press.faults import Faults, Measured, Reply
from simulators.press.settings import PressSimulation
from simulators.press.simulation import RunningPress, running_press
from tests.eventually import eventually
from tests.simulators.press_client import JC, NO_COMMENT, PressClient, connected

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.factory]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningPress]:
    journal = tmp_path_factory.mktemp("press") / "press-1.jsonl"
    async with running_press(PressSimulation(journal=journal)) as press:
        await press.panel(reset=True, start=True)
        yield press


@pytest_asyncio.fixture(loop_scope="module")
async def press(running: RunningPress) -> AsyncIterator[RunningPress]:
    running.machine.jobs.clear()
    yield running
    await running.break_down(Faults())


@pytest_asyncio.fixture(loop_scope="module")
async def client(press: RunningPress) -> AsyncIterator[PressClient]:
    async with connected(press.endpoint) as client:
        yield client


def _started(press: RunningPress, job_id: str) -> bool:
    return any(entry.job == job_id for entry in press.journal())


async def test_an_answer_can_come_late(press: RunningPress, client: PressClient) -> None:
    await press.break_down(Faults(late_s=0.3))
    began = time.monotonic()
    assert await client.send("LATE-1") == 1
    assert time.monotonic() - began >= 0.3


async def test_a_bad_answer_hides_that_the_job_has_started(press: RunningPress, client: PressClient) -> None:
    await press.break_down(Faults(reply=Reply.BAD))
    with pytest.raises(UaStatusCodeError):
        await client.send("BAD-1")
    assert _started(press, "BAD-1")


async def test_an_uncertain_answer_carries_the_outputs(press: RunningPress, client: PressClient) -> None:
    await press.break_down(Faults(reply=Reply.UNCERTAIN))
    request = ua.CallMethodRequest()
    request.ObjectId = client.own_node("Press.Control").nodeid
    request.MethodId = client.own_node("Press.Control.StoreAndStart").nodeid
    request.InputArguments = [ua.Variant(client.order("UNCERTAIN-1")), NO_COMMENT]
    (result,) = await client.client.uaclient.call([request])
    assert result.StatusCode.name == "Uncertain"
    assert [argument.Value for argument in result.OutputArguments] == [1]
    assert _started(press, "UNCERTAIN-1")


async def test_the_connection_can_break_instead_of_an_answer(press: RunningPress) -> None:
    await press.break_down(Faults(reply=Reply.CLOSE, times=1))
    with contextlib.suppress(ConnectionError, TimeoutError, UaError):
        async with connected(press.endpoint) as client:
            with pytest.raises((ConnectionError, TimeoutError, UaError, asyncio.CancelledError)):
                await client.send("CUT-1")
    assert _started(press, "CUT-1")
    async with connected(press.endpoint) as again:
        assert await again.jobs() == {"CUT-1": 3}
        assert await again.send("CUT-2") == 1  # it was to happen once


async def test_an_answer_can_be_missing_while_other_requests_are_answered(
    press: RunningPress, client: PressClient
) -> None:
    await press.break_down(Faults(reply=Reply.NEVER, methods=frozenset({"StoreAndStart"})))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.send("NEVER-1")
    assert await client.jobs() == {"NEVER-1": 3}
    assert await client.call("Clear", "NEVER-1") == 8


async def test_a_frozen_press_takes_and_answers_nothing_until_it_thaws(
    press: RunningPress, client: PressClient
) -> None:
    await press.break_down(Faults(frozen=True))
    sending = asyncio.ensure_future(client.send("FROZEN-1"))
    done, _ = await asyncio.wait([sending], timeout=0.3)
    assert not done
    assert press.machine.jobs == []
    await press.break_down(Faults())
    assert await sending == 1
    assert _started(press, "FROZEN-1")


async def test_a_frozen_press_publishes_nothing(press: RunningPress, client: PressClient) -> None:
    seen: list[Any] = []

    class Changes:
        def datachange_notification(self, _node: Any, value: Any, _notification: Any) -> None:
            seen.append(value)

    subscription = await client.client.create_subscription(50, Changes())
    await subscription.subscribe_data_change(client.own_node("Press.Permits.HandedOver"))
    await eventually(lambda: seen == [True])
    await press.break_down(Faults(frozen=True))
    await press.panel(selector="local")
    with pytest.raises(AssertionError, match="not within"):
        await eventually(lambda: len(seen) > 1, timeout_s=0.3)
    await press.break_down(Faults())
    await eventually(lambda: seen == [True, False])
    await subscription.delete()
    await press.panel(selector="remote", start=True)


async def test_the_permits_can_be_bad_and_recover(press: RunningPress, client: PressClient) -> None:
    await press.break_down(Faults(permits_bad=True))
    for name in ("Remote", "Ready", "HandedOver"):
        value = await client.own_node(f"Press.Permits.{name}").read_data_value(raise_on_bad_status=False)
        assert (value.StatusCode.is_bad(), value.Value.Value) == (True, None)
    await press.break_down(Faults())
    assert await client.read("Press.Permits.HandedOver") is True


@pytest.mark.parametrize(
    ("measured", "severity", "value"),
    [
        (Measured.UNCERTAIN, 1, 22.0),
        (Measured.BAD, 2, None),
        (Measured.NULL, 0, None),
        (Measured.NAN, 0, math.nan),
        (Measured.TEXT, 0, "about"),
        (Measured.ARRAY, 0, []),
    ],
)
async def test_what_is_measured_can_be_anything_and_recover(
    press: RunningPress, client: PressClient, measured: Measured, severity: int, value: Any
) -> None:
    node = client.own_node("Press.Temperature")
    await press.break_down(Faults(measured=measured))
    await press.press.burst(1)
    seen = await node.read_data_value(raise_on_bad_status=False)
    assert seen.StatusCode.value >> 30 == severity
    assert type(seen.Value.Value) is type(value)
    await press.break_down(Faults())
    await press.press.burst(1)
    assert isinstance(await node.read_value(), float)


async def test_the_clock_of_what_is_measured_can_be_off(press: RunningPress, client: PressClient) -> None:
    node = client.own_node("Press.Temperature")
    await press.break_down(Faults(clock_off_s=-3600))
    await press.press.burst(1)
    early = (await node.read_data_value()).SourceTimestamp
    await press.break_down(Faults())
    await press.press.burst(1)
    assert 3590 < ((await node.read_data_value()).SourceTimestamp - early).total_seconds() < 3660


async def test_there_may_be_no_room_for_one_more_session(press: RunningPress, client: PressClient) -> None:
    await press.break_down(Faults(sessions_max=1))
    with pytest.raises(UaStatusCodeError, match="BadTooManySessions"):
        async with connected(press.endpoint):
            pass
    assert await client.jobs() == {}
    await press.break_down(Faults())
    async with connected(press.endpoint) as other:
        assert await other.jobs() == {}


async def test_sessions_end_while_their_connections_stay_and_new_ones_are_short(press: RunningPress) -> None:
    await press.break_down(Faults(session_s=0.5))
    other = Client(press.endpoint, timeout=5, watchdog_intervall=3600)
    await other.connect()
    try:
        assert other.session_timeout == 500
        await press.server.end_sessions()
        with pytest.raises(UaStatusCodeError):
            await other.get_server_node().read_browse_name()
    finally:
        with contextlib.suppress(UaError, ConnectionError):
            await other.disconnect()


async def test_a_full_queue_says_that_it_has_lost_something(press: RunningPress, client: PressClient) -> None:
    statuses: list[int] = []

    class Changes:
        def datachange_notification(self, _node: Any, _value: Any, notification: Any) -> None:
            statuses.append(notification.monitored_item.Value.StatusCode.value)

    subscription = await client.client.create_subscription(100, Changes())
    await subscription.subscribe_data_change(client.own_node("Press.Temperature"), queuesize=3)
    await eventually(lambda: statuses == [0])
    await press.press.burst(9)
    await eventually(lambda: len(statuses) >= 4)
    assert statuses[1:4] == [0x480, 0, 0]
    await subscription.delete()


async def test_the_job_control_namespace_can_be_missing(press: RunningPress, client: PressClient) -> None:
    await press.break_down(Faults(namespace_missing=True))
    assert JC not in await client.client.get_namespace_array()
    await press.break_down(Faults())
    assert JC in await client.client.get_namespace_array()


@pytest.mark.parametrize("wanted", [{"replies": "bad"}, {"reply": "strange"}])
async def test_an_unknown_fault_is_refused(wanted: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"unknown|strange"):
        Faults.from_json(wanted)
