"""The simulated plain machine behind an OPC UA server, and the driver for it."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asyncua import ua

from drivers.base import Driver, Security
from drivers.catalog import open_driver
from drivers.opcua.connection import node_id
from drivers.profile import PermitTags, Place, PlainRecipe
from simulators.plain.simulation import RunningPlain
from simulators.press.server import make_server, without_garbage_collection
from simulators.press.settings import PressSimulation
from simulators.press.wire import GatedServer
from tests.drivers.plain_samples import plain_map, plain_profile, saw

URI = "urn:kvot:test:saw"
_BITS = ("busy", "done", "remote", "ready")
_COMMANDS = ("start", "reset")
_TYPES = {"recipe": ua.VariantType.UInt16, "quantity": ua.VariantType.UInt16, "length": ua.VariantType.Float}


def node(name: str) -> str:
    """The address of one of its nodes."""
    return f"nsu={URI};s={name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeSaw:
    """A plain machine that listens on OPC UA."""

    url: str
    machine: RunningPlain
    server: GatedServer
    nodes: dict[str, Any]
    cut: asyncio.Event  # set: the connections break as soon as a start has been taken

    def driver(self, plain: dict[str, Any] | None = None, **profile: Any) -> Driver:
        """Give the driver for it."""
        fields: dict[str, Any] = {
            **{name: node(name) for name in ("start", "busy", "done")},
            **{name: Place(address=node(name)) for name in ("good", "scrap", "quantity", "recipe")},
            "recipes": {"trim": PlainRecipe(number=3, parameters={"length_mm": Place(address=node("length"))})},
        }
        permits = PermitTags(remote=node("remote"), ready=node("ready"))
        changes = {"protocol": "opcua", "permits": permits, "setup_code": node("tool"), "timeout_s": 1.0} | profile
        return open_driver(
            name="saw-1",
            url=self.url,
            profile=plain_profile(plain_map(**fields | (plain or {})), **changes),
            security=Security(),
            monotonic=time.monotonic,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeServer:
    """An OPC UA server with the nodes of a plain machine; it takes seconds to start, so tests share it."""

    server: GatedServer
    nodes: dict[str, Any]

    @property
    def url(self) -> str:
        """Give where it listens."""
        assert self.server.bserver is not None
        return f"opc.tcp://127.0.0.1:{self.server.bserver.port}"


@asynccontextmanager
async def node_server(folder: Path) -> AsyncIterator[NodeServer]:
    """Run the server."""
    with without_garbage_collection():
        server = await make_server(PressSimulation(journal=folder / "none.jsonl"), None, keep_a_copy=True)
        index = await server.register_namespace(URI)
        kinds = dict.fromkeys((*_BITS, *_COMMANDS), ua.VariantType.Boolean) | dict.fromkeys(
            ("good", "scrap", "tool"), ua.VariantType.UInt32
        )
        nodes: dict[str, Any] = {}
        for name, kind in (kinds | _TYPES).items():
            value = False if kind is ua.VariantType.Boolean else 0.0 if kind is ua.VariantType.Float else 0
            nodes[name] = await server.nodes.objects.add_variable(node_id(name, index), name, value, varianttype=kind)
    async with server:
        yield NodeServer(server=server, nodes=nodes)


@asynccontextmanager
async def node_saw(shared: NodeServer, folder: Path, **wanted: Any) -> AsyncIterator[NodeSaw]:
    """Put a fresh plain machine behind the server."""
    for name in (*_COMMANDS, *_TYPES):
        await shared.nodes[name].set_writable()
    async with saw(folder, **wanted) as machine:
        cut = asyncio.Event()
        running = NodeSaw(url=shared.url, machine=machine, server=shared.server, nodes=shared.nodes, cut=cut)
        await _carry(running)
        mirror = asyncio.create_task(_mirror(running), name="mirror")
        try:
            yield running
        finally:
            mirror.cancel()
            await asyncio.wait([mirror])
            for left in list(shared.server.iserver._external_sessions.values()):
                await left.close_session(True)  # a session outlives a socket that was cut


async def _mirror(saw: NodeSaw) -> None:
    while True:
        await _carry(saw)
        await asyncio.sleep(0.005)


async def _carry(saw: NodeSaw) -> None:
    """Carry what the client writes to the machine, and what the machine shows to the nodes."""
    machine, nodes = saw.machine.machine, saw.nodes
    recipe, quantity, length = [await nodes[name].read_value() for name in _TYPES]
    machine.write_words(0, [recipe, quantity, *struct.unpack(">2H", struct.pack(">f", length))])
    if await nodes["start"].read_value():
        if saw.cut.is_set():
            saw.cut.clear()
            for connection in list(saw.server.gate.connections):
                connection.cut()
        machine.write_bits(0, [True])
        await nodes["start"].write_value(False)
        await saw.machine.panel()  # the controller has gone round
    if await nodes["reset"].read_value() and machine.plc is not None:
        machine.plc = replace(machine.plc, done=False)
        await saw.machine.panel()
    bits, words = machine.read_bits(1, 4), machine.read_words(100, 5)
    counts = {"good": words[0] << 16 | words[1], "scrap": words[2] << 16 | words[3], "tool": words[4]}
    for name, count in counts.items():
        await nodes[name].write_value(ua.Variant(count, ua.VariantType.UInt32))
    for name, bit in zip(_BITS, bits, strict=True):  # done is the last: its counts stand there already
        await nodes[name].write_value(bit)
