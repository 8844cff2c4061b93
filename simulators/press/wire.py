"""The press's OPC UA socket: asyncua's, with a gate that can freeze, swallow an answer or cut a connection."""

import asyncio
import contextvars
from typing import Any

from asyncua import ua
from asyncua.common.node import Node
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.server import Server
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

_SESSION_MIN_MS, _SESSION_MAX_MS = 5_000.0, 600_000.0  # asyncua's own
_current: contextvars.ContextVar["GatedConnection"] = contextvars.ContextVar("press_connection")


class Gate:
    """Open or shut for all connections of one server; shut, nothing passes in either direction."""

    def __init__(self) -> None:
        self.is_shut = False
        self.connections: set[GatedConnection] = set()

    def shut(self) -> None:
        """Freeze: hold what comes and goes from now on."""
        self.is_shut = True

    def open(self) -> None:
        """Thaw: let pass what was held."""
        self.is_shut = False
        for connection in list(self.connections):
            connection.thaw()


class GatedConnection(OPCUAProtocol):
    """One client connection behind the gate."""

    def __init__(self, gate: Gate, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._gate = gate
        self._held: list[bytes] = []
        self._outlet: Outlet | None = None
        self._desk: AnswerDesk | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give asyncua the gated transport."""
        self._outlet = Outlet(transport, self._gate)
        self._gate.connections.add(self)
        super().connection_made(self._outlet)  # type: ignore[arg-type]  # it looks like a transport
        self._desk = AnswerDesk(self.iserver, self._outlet, self.limits)
        self._desk.set_policies(self.policies)  # type: ignore[no-untyped-call]
        self.processor = self._desk  # instead of asyncua's own, which has not been used yet

    def connection_lost(self, ex: BaseException | None) -> None:
        """Forget the connection."""
        self._gate.connections.discard(self)
        super().connection_lost(ex)

    def data_received(self, data: bytes) -> None:
        """Let a request in, or hold it."""
        if self._gate.is_shut:
            self._held.append(data)
        else:
            super().data_received(data)

    def thaw(self) -> None:
        """Let pass what was held."""
        held, self._held = self._held, []
        for data in held:
            super().data_received(data)
        if self._outlet is not None:
            self._outlet.flush()

    def cut(self) -> None:
        """Break the connection without a word."""
        if self._outlet is not None:
            self._outlet.abort()

    def swallow_answer(self) -> None:
        """Keep the answer to the present call to ourselves."""
        if self._desk is not None:
            self._desk.swallow = True

    async def _process_received_message_loop(self) -> None:
        _current.set(self)
        await super()._process_received_message_loop()


class AnswerDesk(UaProcessor):
    """Sends answers, but for one that is to be swallowed: it uses up no sequence number of the channel."""

    swallow = False

    def send_response(self, requesthandle: Any, seqhdr: Any, response: Any, *rest: Any) -> None:
        """Send or swallow one answer."""
        if self.swallow and isinstance(response, ua.CallResponse):
            self.swallow = False
            return
        super().send_response(requesthandle, seqhdr, response, *rest)  # type: ignore[no-untyped-call]


class Outlet:
    """Wraps a transport: writes pass or wait; all else is the transport's own."""

    def __init__(self, transport: Any, gate: Gate) -> None:
        self._transport = transport
        self._gate = gate
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send or hold one message."""
        if self._gate.is_shut:
            self._held.append(data)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send what was held."""
        held, self._held = self._held, []
        for data in held:
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class GatedServer(Server):
    """An OPC UA server whose connections pass a gate."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.gate = Gate()

    def limit_sessions(self, *, most: int | None, silence_s: float | None) -> None:
        """Let new sessions be few, or end after a short silence; None is as asyncua has it."""
        core = self.iserver
        core.sessions_max = most  # type: ignore[attr-defined]  # the press's own core
        core.max_session_timeout_ms = _SESSION_MAX_MS if silence_s is None else silence_s * 1000
        core.min_session_timeout_ms = min(_SESSION_MIN_MS, core.max_session_timeout_ms)

    def let_types_change(self) -> None:
        """Let values take another data type than before; clients may write what they like from then on."""
        self.iserver.let_types_change()  # type: ignore[attr-defined]  # the press's own core

    async def end_sessions(self) -> None:
        """End every session, while its connection stays."""
        sessions = self.iserver._external_sessions  # noqa: SLF001 - asyncua offers no list of them
        for session in list(sessions.values()):
            await session.close_session(True)

    async def remove(self, node: Node) -> None:
        """Remove a variable; whoever is told of its changes hears that it is gone, and nothing after that."""
        gone = ua.StatusCode(ua.UInt32(StatusCodes.BadNodeIdUnknown))
        await node.write_value(ua.DataValue(ua.Variant(), gone))
        space = self.iserver.aspace
        told = space._nodes[node.nodeid].attributes[AttributeIds.Value].datachange_callbacks  # noqa: SLF001
        for handle in list(told):  # asyncua itself would call them once more, and not await that
            space.delete_datachange_callback(handle)
        await self.delete_nodes([node])

    async def start(self) -> None:
        """Start to listen; asyncua's own start offers no place for another protocol class."""
        await self._setup_server_nodes()
        await self.iserver.start()
        host, port = self.endpoint.hostname, self.endpoint.port
        self.bserver = GatedListener(self.gate, self.iserver, str(host), int(port or 0), self.limits)
        self.bserver.set_policies(self._policies)
        await self.bserver.start()


class GatedListener(BinaryServer):
    """Listens, and makes a gated connection for every client."""

    def __init__(self, gate: Gate, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._gate = gate

    def _make_protocol(self) -> OPCUAProtocol:
        return GatedConnection(
            self._gate,
            iserver=self.iserver,
            policies=self._policies,
            clients=self.clients,
            closing_tasks=self.closing_tasks,
            limits=self.limits,
        )


def calling_connection() -> GatedConnection:
    """Give the connection whose request is being worked on."""
    return _current.get()
