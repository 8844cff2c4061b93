"""The press as an OPC UA client sees it: ids, types, answers, changes, security, several servers in one process."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua.ua_binary import struct_to_binary
from asyncua.ua.uaerrors import UaError

from simulators.controls import Panel
from simulators.journal import Event
from simulators.press.certificate import certificate_in
from simulators.press.settings import Methods, PressSimulation
from simulators.press.simulation import RunningPress, running_press
from tests.eventually import eventually
from tests.simulators.press_client import PressClient, connected, session

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.factory]

_SPEED = 200.0  # a cycle of 20 s takes 0.1 s


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def press(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningPress]:
    journal = tmp_path_factory.mktemp("press") / "press-1.jsonl"
    async with running_press(PressSimulation(journal=journal, speed=_SPEED)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def session_of_all(press: RunningPress) -> AsyncIterator[PressClient]:
    async with connected(press.endpoint) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def client(press: RunningPress, session_of_all: PressClient) -> PressClient:
    press.machine.jobs.clear()
    await press.panel(selector="remote", guard="shut", reset=True, start=True)
    return session_of_all


async def _ended(press: RunningPress, job_id: str) -> None:
    def has_ended() -> bool:
        job = press.machine.find(job_id)
        return job is not None and job.ended_at is not None

    await eventually(has_ended)


async def test_receiver_and_provider_are_found_by_type_definition_from_the_machines_folder(
    client: PressClient,
) -> None:
    found = {}
    open_nodes = [client.client.get_node(f"ns={client.ma};i=1001")]
    while open_nodes:
        for child in await open_nodes.pop().get_children_descriptions():
            kind, index = child.TypeDefinition.Identifier, child.TypeDefinition.NamespaceIndex
            found[(kind, index)] = (child.BrowseName.Name, child.BrowseName.NamespaceIndex)
            if child.NodeClass == ua.NodeClass.Object:
                open_nodes.append(client.client.get_node(child.NodeId))
    assert found[(1002, client.jc)] == ("JobOrderControl", client.mj)
    assert found[(1003, client.jc)] == ("JobOrderResults", client.mj)
    assert found[(1003, client.mj)] == ("JobManagement", client.mj)
    assert found[(1012, client.ma)][0] == "Identification"


async def test_the_types_have_the_official_ids_and_name_their_fields_in_wire_order(client: PressClient) -> None:
    node = client.client.get_node(f"ns={client.jc};i=3008")
    definition: Any = await node.read_data_type_definition()
    assert (await node.read_browse_name()).Name == "ISA95JobOrderDataType"
    assert definition.DefaultEncodingId == ua.NodeId.from_string(f"ns={client.jc};i=5014")
    assert [field.Name for field in definition.Fields] == [
        "JobOrderID",
        "Description",
        "WorkMasterID",
        "StartTime",
        "EndTime",
        "Priority",
        "JobOrderParameters",
        "PersonnelRequirements",
        "EquipmentRequirements",
        "PhysicalAssetRequirements",
        "MaterialRequirements",
    ]
    assert [field.IsOptional for field in definition.Fields] == [False] + 10 * [True]


async def test_a_job_runs_and_its_response_tells_counts_times_and_state(
    press: RunningPress, client: PressClient
) -> None:
    assert await client.send("RUN-1", runs=3) == 1
    assert (await client.jobs())["RUN-1"] in {3, 5}  # it has started by itself, and takes 0.3 s
    await _ended(press, "RUN-1")
    await eventually(lambda: _holds(client, "RUN-1", 5))

    response, status = await client.response("RUN-1")
    said = {parameter.ID: parameter.Value for parameter in response.JobResponseData}
    assert status == 1
    assert (response.JobOrderID, response.JobState[0].StateNumber) == ("RUN-1", 5)
    assert said["ProducedQuantity"] == ua.Variant(3.0, ua.VariantType.Double)
    assert said["GoodQuantity"] == ua.Variant(3.0, ua.VariantType.Double)
    assert said["RunsCompleted"] == ua.Variant(3, ua.VariantType.UInt32)
    assert said["JobResult"].Value == 1
    assert (response.EndTime - response.StartTime).total_seconds() == 60
    events = [entry.event for entry in press.journal() if entry.job == "RUN-1"]
    assert events == [Event.START, Event.END]

    assert await client.call("Clear", "RUN-1") == 1
    assert await client.jobs() == {}


async def _holds(client: PressClient, job_id: str, state: int) -> bool:
    return (await client.jobs()).get(job_id) == state


async def test_an_order_is_listed_as_it_came(client: PressClient) -> None:
    await client.send("ECHO-1", runs=1000, priority=4)
    (entry,) = await client.read("Press.Control.List")
    assert (entry.JobOrder.Priority, entry.JobOrder.WorkMasterID[0].ID) == (4, "tray")
    assert entry.JobOrder.JobOrderParameters[0].Value.Value == 1000
    assert entry.JobOrder.MaterialRequirements is None
    assert (entry.State[0].StateText.Text, entry.State[0].BrowsePath.Elements) == ("Running", [])


async def test_an_unknown_job_has_no_response_but_an_empty_extension_object(client: PressClient) -> None:
    response, status = await client.response("NEVER-SEEN")
    assert (response, status) == (ua.ExtensionObject(), 2)


async def test_responses_are_found_by_state(press: RunningPress, client: PressClient) -> None:
    await client.send("DONE-1", runs=1)
    await _ended(press, "DONE-1")
    await client.send("BUSY-1", runs=1000)
    types: Any = ua
    body = ua.ByteString(struct_to_binary(types.ISA95StateDataType(StateNumber=5)))
    wanted = ua.ExtensionObject(TypeId=ua.NodeId.from_string(f"ns={client.jc};i=5029"), Body=body)
    responses, status = await client.own_node("Press.Results").call_method(
        f"{client.jc}:RequestJobResponseByJobOrderState",
        ua.Variant([wanted], ua.VariantType.ExtensionObject, is_array=True),
    )
    assert ([response.JobOrderID for response in responses], status) == (["DONE-1"], 1)
    listed = await client.read("Press.Results.List")
    assert [response.JobOrderID for response in listed] == ["DONE-1", "BUSY-1"]


async def test_a_repeated_id_and_wrong_arguments_are_answered_with_their_bits(client: PressClient) -> None:
    await client.send("TWICE-1", runs=1000)
    assert await client.send("TWICE-1") == 16
    assert await client.send("NONE-1", runs=0) == 16
    assert await client.call("Clear", "TWICE-1") == 8
    assert await client.call("Clear", "UNKNOWN-1") == 2
    assert await client.call("Clear", 12) == 1 << 32
    assert await client.call("Store", "no structure") == 1 << 32
    assert await client.send("FOREIGN-1", index=client.jc + 3) == 1 << 32
    assert await client.jobs() == {"TWICE-1": 3}


async def test_the_permits_and_the_list_follow_the_panel(press: RunningPress, client: PressClient) -> None:
    await client.send("PERMIT-1", runs=1000)
    await press.panel(guard="open")
    assert [await client.read(f"Press.Permits.{name}") for name in ("Remote", "Ready", "HandedOver")] == [
        True,
        False,
        False,
    ]
    assert await client.jobs() == {"PERMIT-1": 4}
    assert await client.read("Press.State") == "interrupted"
    await press.panel(guard="shut", reset=True, tool="T-9")
    assert await client.jobs() == {"PERMIT-1": 4}
    assert await client.call("Resume", "PERMIT-1") == 16
    await press.panel(start=True)
    assert await client.jobs() == {"PERMIT-1": 3}
    assert await client.read("Press.ToolCode") == "T-9"
    assert await client.read("Press.ItemState.CurrentState.Number") == 3


class _Changes:
    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def datachange_notification(self, _node: Any, value: Any, _notification: Any) -> None:
        self.seen.append([entry.State[0].StateNumber for entry in value])


async def test_changes_of_the_list_are_pushed_to_a_subscription(press: RunningPress, client: PressClient) -> None:
    changes = _Changes()
    async with connected(press.endpoint) as watcher:
        subscription = await watcher.client.create_subscription(50, changes)
        await subscription.subscribe_data_change(watcher.own_node("Press.Control.List"))
        await eventually(lambda: changes.seen == [[]])
        await client.send("PUSH-1", runs=10)
        await eventually(lambda: [3] in changes.seen)
        await _ended(press, "PUSH-1")
        await eventually(lambda: changes.seen[-1] == [5])


async def test_two_presses_of_one_process_with_other_namespace_indexes_both_take_jobs(
    press: RunningPress, client: PressClient, tmp_path: Path
) -> None:
    settings = PressSimulation(
        name="press-2",
        journal=tmp_path / "j.jsonl",
        speed=_SPEED,
        namespace_shift=2,
        panel=Panel.AUTO,
        person_s=0,
        methods=Methods.STORE_START_ONLY,
    )
    async with running_press(settings) as other, connected(other.endpoint) as second:
        await eventually(lambda: other.machine.handed_over)
        assert second.jc == client.jc + 2
        assert await client.methods() - await second.methods() == {"StoreAndStart"}
        assert await client.send("SHIFT-1", runs=1) == 1
        assert await second.call("Store", second.order("SHIFT-2", runs=1)) == 1
        assert await second.jobs() == {"SHIFT-2": 1}
        assert await second.call("Start", "SHIFT-2") == 1
        await _ended(press, "SHIFT-1")
        await _ended(other, "SHIFT-2")
        await eventually(lambda: _holds(client, "SHIFT-1", 5))
        await eventually(lambda: _holds(second, "SHIFT-2", 5))
        await other.panel(guard="open")
        assert not other.machine.handed_over
        await other.panel(guard="shut")
        await eventually(lambda: other.machine.handed_over)  # the simulated person was there again
        assert (await second.response("SHIFT-2"))[0].JobOrderID == "SHIFT-2"
        assert await second.call("Store", second.order("WRONG-1", index=client.jc)) == 1 << 32


async def test_the_server_says_who_it_is_and_when_it_started(press: RunningPress, client: PressClient) -> None:
    (endpoint,) = await client.client.get_endpoints()
    assert endpoint.Server.ApplicationUri == "urn:kvot:simulator:press:press-1"
    started = await client.client.get_node("i=2257").read_value()
    status = await client.client.get_node("i=2256").read_value()
    assert started == status.StartTime
    assert started is not None


async def test_a_secure_press_shows_the_certificate_of_its_fingerprint_and_takes_no_open_connection(
    tmp_path: Path,
) -> None:
    settings = PressSimulation(
        journal=tmp_path / "j.jsonl", secure=tmp_path / "pki", methods=Methods.STORE_AND_START_ONLY
    )
    async with running_press(settings) as secure:
        endpoints = await Client(secure.endpoint).connect_and_get_server_endpoints()
        (endpoint,) = endpoints
        assert endpoint.SecurityMode == ua.MessageSecurityMode.SignAndEncrypt
        digest = hashlib.sha256(endpoint.ServerCertificate).hexdigest()
        assert secure.fingerprint == f"sha256:{digest}"

        with pytest.raises((UaError, ConnectionError, TimeoutError, asyncio.CancelledError)):
            async with connected(secure.endpoint):
                pass

        own = certificate_in(tmp_path / "client", application_uri="urn:test:client", name="client")
        client = Client(secure.endpoint, timeout=5)
        client.application_uri = "urn:test:client"
        await client.set_security(
            SecurityPolicyBasic256Sha256, certificate=own.path, private_key=own.key_path, server_certificate=None
        )
        async with session(client) as second:
            assert await second.jobs() == {}
            assert not await second.methods() & {"Store", "Start", "RevokeStart"}

    kept = certificate_in(tmp_path / "pki", application_uri="urn:other", name="press-1")
    assert kept.fingerprint == secure.fingerprint
