"""The press's address space, built by code with the official namespaces, ids, browse names and types."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua
from asyncua.common.manage_nodes import create_data_type, create_encoding
from asyncua.common.node import Node
from asyncua.server.server import Server
from asyncua.ua.object_ids import ObjectIds

from simulators.press.settings import Methods, PressSimulation
from simulators.press.types import DI, JC, MA, MJ, OWN, STRUCTURES, data_type_id, definition, node_id

_ORDER: Final = ("JobOrder", "ISA95JobOrderDataType", False)
_ID: Final = ("JobOrderID", "String", False)
_COMMENT: Final = ("Comment", "LocalizedText", True)
_STATUS: Final = ("ReturnStatus", "UInt64", False)

Signature = tuple[int, tuple[tuple[str, str, bool], ...], tuple[tuple[str, str, bool], ...]]

CONTROL_METHODS: Final[dict[str, Signature]] = {
    "Store": (7001, (_ORDER, _COMMENT), (_STATUS,)),
    "StoreAndStart": (7004, (_ORDER, _COMMENT), (_STATUS,)),
    "Start": (7005, (_ID, _COMMENT), (_STATUS,)),
    "Stop": (7006, (_ID, _COMMENT), (_STATUS,)),
    "Pause": (7007, (_ID, _COMMENT), (_STATUS,)),
    "Resume": (7008, (_ID, _COMMENT), (_STATUS,)),
    "Update": (7009, (_ORDER, _COMMENT), (_STATUS,)),
    "Abort": (7010, (_ID, _COMMENT), (_STATUS,)),
    "Cancel": (7011, (_ID, _COMMENT), (_STATUS,)),
    "Clear": (7012, (_ID, _COMMENT), (_STATUS,)),
    "RevokeStart": (7013, (_ID, _COMMENT), (_STATUS,)),
}
RESULT_METHODS: Final[dict[str, Signature]] = {
    "RequestJobResponseByJobOrderID": (
        7002,
        (_ID,),
        (("JobResponse", "ISA95JobResponseDataType", False), _STATUS),
    ),
    "RequestJobResponseByJobOrderState": (
        7014,
        (("JobOrderState", "ISA95StateDataType", True),),
        (("JobResponses", "ISA95JobResponseDataType", True), _STATUS),
    ),
}
_MISSING: Final = {
    Methods.ALL: frozenset[str](),
    Methods.STORE_AND_START_ONLY: frozenset({"Store", "Start", "RevokeStart"}),
    Methods.STORE_START_ONLY: frozenset({"StoreAndStart"}),
}
_NO_CYCLES: Final = ua.Variant(0, ua.VariantType.UInt32)
_ITEM_STATES: Final = ("NotAvailable", "OutOfService", "NotExecuting", "Executing")


@dataclass(frozen=True, kw_only=True, slots=True)
class Indexes:
    """Where each namespace stands in this server's array."""

    jc: int
    mj: int
    ma: int
    di: int
    own: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PressNodes:
    """The nodes that the running press reads, writes or is called by."""

    indexes: Indexes
    namespaces: tuple[str, ...]
    job_order_list: Node
    current_state: Node
    responses: Node
    remote: Node
    ready: Node
    handed_over: Node
    tool: Node
    state: Node
    mode: Node
    temperature: Node
    pressure: Node
    cycles: Node
    standby: Node  # the only one that clients may write
    extras: tuple[Node, ...]
    item_state: Node
    item_state_number: Node
    methods: dict[str, Node]


async def build(server: Server, settings: PressSimulation) -> PressNodes:
    """Build types and instances into a server that is not started yet."""
    for number in range(settings.namespace_shift):
        await server.register_namespace(f"urn:kvot:simulator:elsewhere:{number}")
    indexes = Indexes(
        di=await server.register_namespace(DI),
        ma=await server.register_namespace(MA),
        jc=await server.register_namespace(JC),
        mj=await server.register_namespace(MJ),
        own=await server.register_namespace(OWN),
    )
    await _build_data_types(server, indexes.jc)
    types = await _build_object_types(server, indexes)
    return await _Builder(server, settings, indexes, types).build()


async def _build_data_types(server: Server, jc: int) -> None:
    for structure in STRUCTURES:
        node = await create_data_type(
            server.nodes.base_structure_type,
            node_id(structure.data_type, jc),
            ua.QualifiedName(structure.name, jc),
        )
        await create_encoding(node, node_id(structure.encoding, jc), ua.QualifiedName("Default Binary", 0))
        await node.write_data_type_definition(definition(structure, jc))


async def _build_object_types(server: Server, indexes: Indexes) -> dict[str, Node]:
    machine = server.get_node(node_id(ObjectIds.FiniteStateMachineType))
    base = server.nodes.base_object_type
    made = {}
    for name, number, index, parent in (
        ("ISA95JobOrderReceiverObjectType", 1002, indexes.jc, machine),
        ("ISA95JobResponseProviderObjectType", 1003, indexes.jc, base),
        ("JobManagementType", 1003, indexes.mj, base),
        ("MachineIdentificationType", 1012, indexes.ma, base),
        ("MachineryItemState_StateMachineType", 1002, indexes.ma, machine),
    ):
        made[name] = await parent.add_object_type(node_id(number, index), ua.QualifiedName(name, index))
    for owner, methods in (
        ("ISA95JobOrderReceiverObjectType", CONTROL_METHODS),
        ("ISA95JobResponseProviderObjectType", RESULT_METHODS),
    ):
        for name, signature in methods.items():
            declared = await _add_method(made[owner], node_id(signature[0], indexes.jc), name, signature, indexes)
            await declared.set_modelling_rule(methods is RESULT_METHODS)
    return made


class _Builder:
    """Adds the instances; ids are texts in the simulator's own namespace."""

    def __init__(self, server: Server, settings: PressSimulation, indexes: Indexes, types: dict[str, Node]) -> None:
        self._server = server
        self._settings = settings
        self._indexes = indexes
        self._types = types

    async def build(self) -> PressNodes:
        ma, mj = self._indexes.ma, self._indexes.mj
        machines = await self._server.nodes.objects.add_folder(node_id(1001, ma), ua.QualifiedName("Machines", ma))
        press = await machines.add_object(self._id("Press"), ua.QualifiedName(self._settings.name, self._indexes.own))
        await self._identification(press)
        blocks = await press.add_folder(self._id("Press.Blocks"), ua.QualifiedName("MachineryBuildingBlocks", ma))
        jobs = await self._instance(blocks, "Press.Jobs", "JobManagement", mj, "JobManagementType")
        control = await self._instance(jobs, "Press.Control", "JobOrderControl", mj, "ISA95JobOrderReceiverObjectType")
        results = await self._instance(
            jobs, "Press.Results", "JobOrderResults", mj, "ISA95JobResponseProviderObjectType"
        )
        item = await self._instance(
            blocks, "Press.ItemState", "MachineryItemState", ma, "MachineryItemState_StateMachineType"
        )
        item_state, item_state_number = await self._state_variable(item, "Press.ItemState", _ITEM_STATES[1], 1)
        job_order_list, current_state = await self._control_variables(control)
        responses = await self._list(results, "Press.Results.List", "JobOrderResponseList", "ISA95JobResponseDataType")
        methods = await self._methods(control, "Press.Control", CONTROL_METHODS)
        methods |= await self._methods(results, "Press.Results", RESULT_METHODS)
        permits = await press.add_object(self._id("Press.Permits"), self._own("Permits"))
        return PressNodes(
            indexes=self._indexes,
            namespaces=tuple(await self._server.get_namespace_array()),
            job_order_list=job_order_list,
            current_state=current_state,
            responses=responses,
            remote=await self._variable(permits, "Press.Permits.Remote", self._own("Remote"), value=False),
            ready=await self._variable(permits, "Press.Permits.Ready", self._own("Ready"), value=False),
            handed_over=await self._variable(permits, "Press.Permits.HandedOver", self._own("HandedOver"), value=False),
            tool=await self._variable(press, "Press.ToolCode", self._own("ToolCode"), value=self._settings.tool),
            state=await self._variable(press, "Press.State", self._own("State"), value=""),
            mode=await self._variable(press, "Press.Mode", self._own("Mode"), value=""),
            temperature=await self._variable(press, "Press.Temperature", self._own("Temperature"), value=0.0),
            pressure=await self._variable(press, "Press.Pressure", self._own("Pressure"), value=0.0),
            cycles=await self._variable(press, "Press.Cycles", self._own("Cycles"), value=_NO_CYCLES),
            standby=await self._standby(press),
            extras=tuple([await self._extra(press, number) for number in range(self._settings.extras)]),
            item_state=item_state,
            item_state_number=item_state_number,
            methods=methods,
        )

    async def _extra(self, press: Node, number: int) -> Node:
        name = f"Extra{number}"
        return await self._variable(press, f"Press.{name}", self._own(name), value=_NO_CYCLES)

    async def _identification(self, press: Node) -> None:
        di = self._indexes.di
        node = await self._instance(press, "Press.Identification", "Identification", di, "MachineIdentificationType")
        name = self._settings.name
        for label, value in (
            ("Manufacturer", ua.LocalizedText("Kvot simulators")),
            ("Model", ua.LocalizedText("Simulated press")),
            ("SerialNumber", name),
            ("ProductInstanceUri", f"urn:kvot:simulator:press:{name}"),
        ):
            path = self._id(f"Press.Identification.{label}")
            await node.add_property(path, ua.QualifiedName(label, di), value)

    async def _control_variables(self, control: Node) -> tuple[Node, Node]:
        jc, settings = self._indexes.jc, self._settings
        await control.add_property(
            self._id("Press.Control.MaxDownloadableJobOrders"),
            ua.QualifiedName("MaxDownloadableJobOrders", jc),
            ua.Variant(settings.max_jobs, ua.VariantType.UInt16),
        )
        for name in ("MaterialClassID", "MaterialDefinitionID", "EquipmentID", "PhysicalAssetID", "PersonnelID"):
            texts = ua.Variant([settings.name] if name == "EquipmentID" else [], ua.VariantType.String)
            await self._variable(control, f"Press.Control.{name}", ua.QualifiedName(name, jc), value=texts)
        await self._list(control, "Press.Control.WorkMaster", "WorkMaster", "ISA95WorkMasterDataType")
        current_state, _ = await self._state_variable(control, "Press.Control", "", 0)
        job_order_list = await self._list(
            control, "Press.Control.List", "JobOrderList", "ISA95JobOrderAndStateDataType"
        )
        return job_order_list, current_state

    async def _state_variable(self, parent: Node, path: str, text: str, number: int) -> tuple[Node, Node]:
        """Add a CurrentState with its Id and Number; the Id names no state object."""
        state = await self._variable(
            parent, f"{path}.CurrentState", ua.QualifiedName("CurrentState", 0), value=ua.LocalizedText(text)
        )
        await state.add_property(self._id(f"{path}.CurrentState.Id"), ua.QualifiedName("Id", 0), node_id(0))
        shown = await state.add_property(
            self._id(f"{path}.CurrentState.Number"),
            ua.QualifiedName("Number", 0),
            ua.Variant(number, ua.VariantType.UInt32),
        )
        return state, shown

    async def _methods(self, parent: Node, path: str, methods: dict[str, Signature]) -> dict[str, Node]:
        offered = methods.keys() - _MISSING[self._settings.methods]
        return {
            name: await _add_method(parent, self._id(f"{path}.{name}"), name, signature, self._indexes)
            for name, signature in methods.items()
            if name in offered
        }

    async def _instance(self, parent: Node, path: str, name: str, index: int, type_name: str) -> Node:
        """Add an object of one of our types, without the type's declarations."""
        attributes = ua.ObjectAttributes()
        attributes.DisplayName = ua.LocalizedText(name)
        item = ua.AddNodesItem()
        item.RequestedNewNodeId = self._id(path)
        item.BrowseName = ua.QualifiedName(name, index)
        item.NodeClass = ua.NodeClass.Object
        item.ParentNodeId = parent.nodeid
        item.ReferenceTypeId = node_id(ObjectIds.HasComponent)
        item.TypeDefinition = self._types[type_name].nodeid
        item.NodeAttributes = attributes
        (result,) = await parent.session.add_nodes([item])
        result.StatusCode.check()
        return self._server.get_node(result.AddedNodeId)

    async def _variable(self, parent: Node, path: str, name: ua.QualifiedName, *, value: Any) -> Node:
        return await parent.add_variable(self._id(path), name, value)

    async def _standby(self, press: Node) -> Node:
        """Add the temperature that the platen is kept at between jobs, which clients may write."""
        cold = ua.Variant(22.0, ua.VariantType.Float)
        node = await self._variable(press, "Press.StandbyTemperature", self._own("StandbyTemperature"), value=cold)
        await node.set_writable()
        return node

    async def _list(self, parent: Node, path: str, name: str, type_name: str) -> Node:
        empty = ua.Variant([], ua.VariantType.ExtensionObject, is_array=True)
        jc = self._indexes.jc
        return await parent.add_variable(
            self._id(path), ua.QualifiedName(name, jc), empty, datatype=data_type_id(type_name, jc)
        )

    def _id(self, path: str) -> ua.NodeId:
        return node_id(path, self._indexes.own)

    def _own(self, name: str) -> ua.QualifiedName:
        return ua.QualifiedName(name, self._indexes.own)


async def _add_method(parent: Node, method_id: ua.NodeId, name: str, signature: Signature, indexes: Indexes) -> Node:
    """Add a method; the ids of its arguments are our own, asyncua's would take the next official method's."""
    method = await parent.add_method(method_id, ua.QualifiedName(name, indexes.jc), None)
    _, inputs, outputs = signature
    for label, described in (("InputArguments", inputs), ("OutputArguments", outputs)):
        await method.add_property(
            node_id(f"{method_id.Identifier!s}.{label}", indexes.own),
            ua.QualifiedName(label, 0),
            _arguments(described, indexes.jc),
            varianttype=ua.VariantType.ExtensionObject,
            datatype=node_id(ObjectIds.Argument),
        )
    return method


def _arguments(described: Iterable[tuple[str, str, bool]], jc: int) -> list[ua.Argument]:
    return [
        ua.Argument(
            Name=name,
            DataType=data_type_id(kind, jc),
            ValueRank=ua.ValueRank.OneDimension if is_array else ua.ValueRank.Scalar,
            ArrayDimensions=[0] if is_array else [],
        )
        for name, kind, is_array in described
    ]
