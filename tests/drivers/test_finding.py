"""Job control is found by type and namespace on servers of any shape, or its absence is said in words."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from asyncua import ua
from asyncua.ua.object_ids import ObjectIds

from drivers.base import CommandKind, DriverError
from drivers.opcua import jobs
from drivers.opcua.connection import Connection, Reference, node_id
from drivers.opcua.finding import find_job_control

JC = 5
OBJECTS = node_id(ObjectIds.ObjectsFolder)
RECEIVER_TYPE = node_id(jobs.RECEIVER_TYPE, JC)
PROVIDER_TYPE = node_id(jobs.PROVIDER_TYPE, JC)
FOLDER_TYPE = node_id(ObjectIds.FolderType)


class AddressSpace:
    """Answers a connection's questions from a tree in memory."""

    def __init__(self, *, namespaces: Sequence[str] = ("", "urn:server", "a", "b", "c", jobs.NAMESPACE)) -> None:
        self.namespaces = tuple(namespaces)
        self.browsed = 0
        self._below: dict[tuple[ua.NodeId, int], list[Reference]] = {}

    def index(self, uri: str) -> int | None:
        return self.namespaces.index(uri) if uri in self.namespaces else None

    async def browse(
        self, nodes: Sequence[ua.NodeId], *, classes: int, reference: int = ObjectIds.HierarchicalReferences
    ) -> tuple[tuple[Reference, ...], ...]:
        self.browsed += len(nodes)
        kind = reference if reference == ObjectIds.HasSubtype else classes
        return tuple(tuple(self._below.get((node, kind), ())) for node in nodes)

    def add(
        self, parent: ua.NodeId, name: str, definition: ua.NodeId | None = FOLDER_TYPE, **changes: Any
    ) -> ua.NodeId:
        made = node_id(f"{parent.Identifier!s}/{name}", 1)
        found = Reference(node=made, namespace=changes.get("namespace", 1), name=name, type_definition=definition)
        self._put(parent, changes.get("kind", ua.NodeClass.Object), found)
        return made

    def link(self, parent: ua.NodeId, child: ua.NodeId) -> None:
        found = Reference(node=child, namespace=1, name="link", type_definition=FOLDER_TYPE)
        self._put(parent, ua.NodeClass.Object, found)

    def subtype(self, base: ua.NodeId, made: ua.NodeId) -> None:
        found = Reference(node=made, namespace=1, name="Subtype", type_definition=None)
        self._put(base, ObjectIds.HasSubtype, found)

    def job_control(
        self, machine: str, *, receiver_type: ua.NodeId = RECEIVER_TYPE, methods: Sequence[str] = ("Store",)
    ) -> None:
        block = self.add(self.add(OBJECTS, machine), "JobManagement")
        both = int(ua.NodeClass.Variable | ua.NodeClass.Method)
        receiver = self.add(block, "JobOrderControl", receiver_type)
        for name in ("JobOrderList", *methods):
            self.add(receiver, name, None, kind=both, namespace=JC)
        provider = self.add(block, "JobOrderResults", PROVIDER_TYPE)
        self.add(provider, jobs.RESPONSE_METHOD, None, kind=both, namespace=JC)

    def _put(self, parent: ua.NodeId, kind: int, found: Reference) -> None:
        self._below.setdefault((parent, int(kind)), []).append(found)


async def find(space: AddressSpace, machine: str = "press-1") -> Any:
    return await find_job_control(cast("Connection", space), machine=machine)


async def test_the_kinds_of_commands_follow_from_the_methods_that_exist() -> None:
    space = AddressSpace()
    space.job_control("anything", methods=("StoreAndStart", "Clear", "Cancel", "Polish"))
    found = await find(space)
    assert set(found.methods) == {CommandKind.LOAD_START, CommandKind.CLEAR, CommandKind.CANCEL}


async def test_subtypes_of_the_receiver_are_receivers() -> None:
    space = AddressSpace()
    official, makers = node_id(1008, JC), node_id("MakersReceiver", 1)
    space.subtype(RECEIVER_TYPE, official)
    space.subtype(official, makers)
    space.job_control("press", receiver_type=makers)
    assert (await find(space)).machine == "press/JobManagement/JobOrderControl"


async def test_one_of_several_machines_is_chosen_by_its_browse_name() -> None:
    space = AddressSpace()
    space.job_control("Press-1")
    space.job_control("press-2")
    assert (await find(space, "press-1")).machine.startswith("Press-1/")
    assert "Press-1" in str((await find(space, "press-1")).provider.Identifier)
    with pytest.raises(DriverError, match=r"2 job order receivers.*'oven'.*Press-1/.*press-2/"):
        await find(space, "oven")


async def test_version_1_is_reported_as_an_unsupported_version() -> None:
    for uri in (jobs.OLD_NAMESPACE, jobs.OLD_NAMESPACE + "/"):
        with pytest.raises(DriverError, match="unsupported version"):
            await find(AddressSpace(namespaces=("", "urn:server", uri)))


async def test_a_server_without_job_control_is_reported_in_words() -> None:
    with pytest.raises(DriverError, match="no ISA-95 Job Control"):
        await find(AddressSpace(namespaces=("", "urn:server")))


async def test_a_server_whose_nodes_are_missing_is_reported_in_words() -> None:
    with pytest.raises(DriverError, match="no job order receiver"):
        await find(AddressSpace())


async def test_a_loop_of_references_ends() -> None:
    space = AddressSpace()
    folder = space.add(OBJECTS, "folder")
    space.link(folder, folder)
    space.link(folder, OBJECTS)
    space.job_control("press")
    assert (await find(space)).machine.startswith("press/")


async def test_the_search_stops_at_its_bound_and_says_so() -> None:
    space = AddressSpace()
    parent = space.add(OBJECTS, "crowd")
    for number in range(6_000):
        space.add(parent, f"n{number}")
    with pytest.raises(DriverError, match="among its first 5000 objects"):
        await find(space)
    assert space.browsed < 100


async def test_the_search_stops_at_its_depth() -> None:
    space = AddressSpace()
    parent = OBJECTS
    for number in range(40):
        parent = space.add(parent, f"n{number}")
    with pytest.raises(DriverError, match="among its first"):
        await find(space)
    assert space.browsed < 40


async def test_two_providers_for_one_receiver_are_not_guessed_between() -> None:
    space = AddressSpace()
    space.job_control("press")
    space.add(node_id(f"{OBJECTS.Identifier!s}/press/JobManagement", 1), "Another", PROVIDER_TYPE)
    with pytest.raises(DriverError, match="2 job response providers"):
        await find(space)
