"""Finding a machine's job control on a server: by type definition and namespace URI, never by path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds

from drivers.base import CommandKind, DriverError
from drivers.opcua import jobs
from drivers.opcua.connection import Connection, Reference, node_id

_DI = "http://opcfoundation.org/UA/DI/"
_MAX_NODES = 5_000
_MAX_DEPTH = 12
_BATCH = 32  # nodes browsed in one request
_MAX_TYPES = 200
_OBJECTS = node_id(ObjectIds.ObjectsFolder)
_SERVER = node_id(ObjectIds.Server)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobControl:
    """The nodes of one machine's job control; `facts` name the machine (maker, product, serial number)."""

    namespace: int
    machine: str
    receiver: ua.NodeId
    job_list: ua.NodeId
    methods: Mapping[CommandKind, ua.NodeId]
    provider: ua.NodeId
    respond: ua.NodeId
    facts: tuple[ua.NodeId, ...]


async def find_job_control(connection: Connection, *, machine: str) -> JobControl:
    """Find the receiver and provider of one machine; `machine` decides where a server has several.

    Raise `DriverError` in words an integrator can act on when there is none, too many or another version.
    """
    namespace = _job_control_namespace(connection)
    receivers = await _types(connection, node_id(jobs.RECEIVER_TYPE, namespace))
    providers = await _types(connection, node_id(jobs.PROVIDER_TYPE, namespace))
    tree = await _walk(connection)
    receiver = _choose(tree, [node for node, kind in tree.types.items() if kind in receivers], machine)
    provider = _nearest(tree, [node for node, kind in tree.types.items() if kind in providers], receiver)
    own, others, facts = await connection.browse(
        [receiver, provider, _identification(connection, tree, receiver) or receiver],
        classes=ua.NodeClass.Variable | ua.NodeClass.Method,
    )
    names = {found.name: found.node for found in own if found.namespace == namespace}
    respond = {found.name: found.node for found in others if found.namespace == namespace}.get(jobs.RESPONSE_METHOD)
    if jobs.JOB_LIST not in names or respond is None:
        raise DriverError(
            f"job control without {jobs.JOB_LIST} or {jobs.RESPONSE_METHOD}: the server is not ready, or wrong"
        )
    wanted = ("SerialNumber", "ProductInstanceUri")
    return JobControl(
        namespace=namespace,
        machine=tree.path(receiver),
        receiver=receiver,
        job_list=names[jobs.JOB_LIST],
        methods={kind: names[name] for kind, name in jobs.METHODS.items() if name in names},
        provider=provider,
        respond=respond,
        facts=tuple(found.node for name in wanted for found in facts if found.name == name),
    )


def _job_control_namespace(connection: Connection) -> int:
    namespace = connection.index(jobs.NAMESPACE)
    if namespace is not None:
        return namespace
    if any(uri.rstrip("/") == jobs.OLD_NAMESPACE for uri in connection.namespaces):
        raise DriverError(
            "unsupported version: the server speaks ISA-95 Job Control version 1 of 2021, "
            "this driver speaks version 2; ask the machine's maker for OPC 10031-4 version 2.0"
        )
    raise DriverError("the server has no ISA-95 Job Control (OPC 10031-4): another dialect is needed for this machine")


@dataclass(slots=True)
class _Tree:
    """The objects found below Objects: who is below whom, what each is called and of which type it is."""

    parents: dict[ua.NodeId, ua.NodeId] = field(default_factory=dict)
    names: dict[ua.NodeId, tuple[int, str]] = field(default_factory=dict)
    types: dict[ua.NodeId, ua.NodeId | None] = field(default_factory=dict)
    complete: bool = True

    def lineage(self, node: ua.NodeId) -> list[ua.NodeId]:
        """Give a node and all above it, without Objects."""
        found = []
        while node in self.names:
            found.append(node)
            node = self.parents[node]
        return found

    def path(self, node: ua.NodeId) -> str:
        """Write where a node stands, from Objects down."""
        return "/".join(self.names[above][1] for above in reversed(self.lineage(node)))


async def _walk(connection: Connection) -> _Tree:
    tree = _Tree()
    level: Sequence[ua.NodeId] = [_OBJECTS]
    for _ in range(_MAX_DEPTH):
        below: list[ua.NodeId] = []
        for start in range(0, len(level), _BATCH):
            batch = level[start : start + _BATCH]
            found = await connection.browse(batch, classes=ua.NodeClass.Object)
            for parent, references in zip(batch, found, strict=True):
                below += _add(tree, parent, references)
        if not tree.complete or not below:
            return tree
        level = below
    tree.complete = False
    return tree


def _add(tree: _Tree, parent: ua.NodeId, references: Sequence[Reference]) -> list[ua.NodeId]:
    added = []
    for found in references:
        if found.node in tree.names or found.node in (_OBJECTS, _SERVER):
            continue
        if len(tree.names) >= _MAX_NODES:
            tree.complete = False
            break
        tree.parents[found.node] = parent
        tree.names[found.node] = (found.namespace, found.name)
        tree.types[found.node] = found.type_definition
        added.append(found.node)
    return added


async def _types(connection: Connection, base: ua.NodeId) -> frozenset[ua.NodeId]:
    """Give a type and all its subtypes."""
    known = {base}
    level = [base]
    while level and len(known) < _MAX_TYPES:
        found = await connection.browse(level, classes=ua.NodeClass.ObjectType, reference=ObjectIds.HasSubtype)
        level = [reference.node for references in found for reference in references if reference.node not in known]
        known.update(level)
    return frozenset(known)


def _choose(tree: _Tree, receivers: Sequence[ua.NodeId], machine: str) -> ua.NodeId:
    if not receivers:
        reach = "" if tree.complete else f" among its first {len(tree.names)} objects"
        raise DriverError(f"the server has no job order receiver{reach}: is it still starting?")
    if len(receivers) == 1:
        return receivers[0]
    named = [
        receiver
        for receiver in receivers
        if machine.casefold() in (tree.names[above][1].casefold() for above in tree.lineage(receiver))
    ]
    if len(named) == 1:
        return named[0]
    paths = ", ".join(sorted(tree.path(receiver) for receiver in receivers))
    raise DriverError(
        f"the server has {len(receivers)} job order receivers, and {machine!r} names not exactly one of: {paths}"
    )


def _nearest(tree: _Tree, providers: Sequence[ua.NodeId], receiver: ua.NodeId) -> ua.NodeId:
    """Give the provider that shares the most of its path with the receiver."""
    above = set(tree.lineage(receiver))
    shared = {provider: len(above.intersection(tree.lineage(provider))) for provider in providers}
    nearest = [provider for provider, count in shared.items() if count == max(shared.values())]
    if len(nearest) != 1:
        raise DriverError(
            f"{len(nearest)} job response providers belong to {tree.path(receiver)}: exactly one is needed"
        )
    return nearest[0]


def _identification(connection: Connection, tree: _Tree, receiver: ua.NodeId) -> ua.NodeId | None:
    """Give the Identification add-in (OPC 40001-1) of the machine that the receiver belongs to."""
    above = tree.lineage(receiver)
    wanted = (connection.index(_DI), "Identification")
    found = [node for node, name in tree.names.items() if name == wanted and set(tree.lineage(node)[1:]) & set(above)]
    return found[0] if len(found) == 1 else None
