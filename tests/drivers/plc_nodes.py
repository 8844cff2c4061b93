"""A PLC behind an OPC UA server that shows its two blocks as four variables, and the driver for it."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds

from drivers.base import Driver, MonotonicClock, Security
from drivers.catalog import open_driver
from drivers.opcua.connection import node_id
from drivers.profile import MailboxMap, MailboxNodes, Profile, WordOrder
from simulators.press.server import make_server, without_garbage_collection
from simulators.press.settings import PressSimulation
from simulators.press.wire import GatedServer
from tests.drivers.modbus_samples import mailbox_profile
from tests.drivers.plc import Plc

URI = "urn:kvot:test:plc"
_PLACES = {"Heartbeat": (100, 1), "Payload": (101, 56), "Commit": (158, 1), "Status": (0, 64)}  # as `Plc` numbers them
_ODD = {  # what a wrong address may lead to
    "Short": [0] * 10,
    "Signed": ua.Variant([0] * 64, ua.VariantType.Int16),
    "Long": ua.Variant(0, ua.VariantType.UInt32),
}


def nodes(**changes: str) -> MailboxNodes:
    """The addresses of the four variables; `payload="Short"` names another."""
    names = {name.lower(): name for name in _PLACES} | changes
    return MailboxNodes(**{key: f"nsu={URI};s={name}" for key, name in names.items()})


def node_profile(*, little: bool = False, at: MailboxNodes | None = None, **changes: Any) -> Profile:
    """An oven behind the mailbox of an OPC UA server."""
    spec = mailbox_profile().mailbox or MailboxMap()
    order = WordOrder.CDAB if little else WordOrder.ABCD
    wanted = MailboxMap(nodes=at or nodes(), word_order=order, recipes=spec.recipes)
    fields: dict[str, Any] = {"protocol": "opcua", "mailbox": wanted, "timeout_s": 10.0}
    return mailbox_profile(**fields | changes)


@dataclass
class PlcServer:
    """An OPC UA server, and the PLC behind it. It takes seconds to start, so tests share it and change the PLC."""

    server: GatedServer
    plc: Plc = field(default_factory=Plc)
    bad: dict[str, int] = field(default_factory=dict)  # variable -> status with which its writes are answered
    executes: bool = False  # such a write is done all the same
    after: Callable[[str], None] | None = None  # called with the name of each variable written

    @property
    def port(self) -> int:
        """Give where it listens."""
        assert self.server.bserver is not None
        return self.server.bserver.port

    def driver(self, *, monotonic: MonotonicClock = time.monotonic, **profile: Any) -> Driver:
        """Give the driver for it."""
        return open_driver(
            name="oven-1",
            url=f"opc.tcp://127.0.0.1:{self.port}",
            profile=node_profile(little=self.plc.little, **profile),
            security=Security(),
            monotonic=monotonic,
        )

    def fresh(self, plc: Plc | None = None) -> Plc:
        """Put another PLC behind the server, and end every fault."""
        self.plc, self.bad, self.executes, self.after = plc or Plc(), {}, False, None
        return self.plc

    def cut(self) -> None:
        """Break all connections without a word."""
        for connection in list(self.server.gate.connections):
            connection.cut()

    async def forget_sessions(self) -> None:
        """End what is left of sessions whose connection was cut."""
        for left in list(self.server.iserver._external_sessions.values()):
            await left.close_session(True)

    def read(self, name: str) -> ua.DataValue:
        """Give what a variable holds."""
        words = self.plc.read(*_PLACES[name])
        assert words is not None
        return ua.DataValue(ua.Variant(words if len(words) > 1 else words[0], ua.VariantType.UInt16))

    def write(self, name: str, value: ua.DataValue) -> ua.StatusCode:
        """Take what a variable is to hold."""
        assert value.Value is not None
        held = value.Value.Value
        words = list(held) if isinstance(held, list) else [held]
        assert (name, len(words)) in {(known, count) for known, (_, count) in _PLACES.items()}
        status = self.bad.get(name, 0)
        if not status or self.executes:
            self.plc.write(_PLACES[name][0], words)
        if self.after is not None:
            self.after(name)
        return ua.StatusCode(ua.UInt32(status))


@asynccontextmanager
async def plc_server(folder: Path, *, port: int = 0, namespaces_before: int = 0) -> AsyncIterator[PlcServer]:
    """Run a server; `namespaces_before` others shift the index of its own namespace."""
    with without_garbage_collection():
        server = await make_server(PressSimulation(journal=folder / "none.jsonl", port=port), None, keep_a_copy=True)
        for other in range(namespaces_before):
            await server.register_namespace(f"urn:kvot:test:other:{other}")
        index = await server.register_namespace(URI)
        running = PlcServer(server=server)
        for name in _PLACES:
            await _add(running, name, index)
        for name, value in _ODD.items():
            await server.nodes.objects.add_variable(node_id(name, index), name, value, ua.VariantType.UInt16)
    _answer_for_itself(running)
    async with server:
        yield running


async def _add(running: PlcServer, name: str, index: int) -> None:
    server, value = running.server, running.read(name).Value
    variable = await server.nodes.objects.add_variable(node_id(name, index), name, value)
    if name != "Status":
        await variable.set_writable()
    server.set_attribute_value_callback(
        variable.nodeid, lambda _node, _attribute: running.read(name), AttributeIds.Value
    )


def _answer_for_itself(running: PlcServer) -> None:
    """Let each write to a variable of the PLC have the status that its server gives."""
    space: Any = running.server.iserver.aspace
    usual = space.write_attribute_value

    async def write(node: ua.NodeId, attribute: AttributeIds, value: ua.DataValue) -> ua.StatusCode:
        ours = node.NamespaceIndex != 0 and node.Identifier in _PLACES
        if not ours or attribute != AttributeIds.Value:
            answered: ua.StatusCode = await usual(node, attribute, value)
            return answered
        return running.write(str(node.Identifier), value)

    space.write_attribute_value = write
