"""The services of one OPC UA session; the library's errors become `DriverError` here."""

import asyncio
import base64
import logging
import math
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UASocketProtocol, UASocketState
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaError, UaStatusCodeError
from cryptography.exceptions import InvalidSignature

from drivers.base import DriverError, MonotonicClock
from drivers.opcua.binary import Reader, Reading, Variant, WireError
from drivers.opcua.places import NODE
from drivers.opcua.publishing import Listener, Publishing, skip_response_header

_log = logging.getLogger(__name__)

_RENEW_AFTER = 0.75  # of the channel's lifetime (OPC 10000-4, 5.5.2.1)
PUBLISHING_MS = 100.0
_LIFETIME_COUNT = 3_000  # publishing intervals that a subscription outlives its reader
_KEEP_ALIVE_MS = 10_000.0
_QUEUE_MIN = 10
_ITEMS_AT_ONCE = 500
_MAX_PAGES = 100  # of one node's references

# What the library lets out when a peer, or the way to it, is not as it should be.
_LIBRARY_ERRORS = (
    UaError,
    OSError,
    InvalidSignature,
    struct.error,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
)


def node_id(identifier: int | str | bytes | UUID, namespace: int = 0) -> ua.NodeId:
    """Make a node's id; every id here is made or copied by this, so that equal ids compare equal."""
    kind = {int: ua.NodeIdType.Numeric, str: ua.NodeIdType.String, bytes: ua.NodeIdType.ByteString}
    make: Any = ua.NodeId  # its declared types admit no plain numbers and texts
    made: ua.NodeId = make(identifier, namespace, kind.get(type(identifier), ua.NodeIdType.Guid))
    return made


_IDENTIFIERS: Mapping[str, Callable[[str, int], ua.NodeId]] = {
    "i": lambda text, index: node_id(int(text), index),
    "s": node_id,
    "g": lambda text, index: node_id(UUID(text), index),
    "b": lambda text, index: node_id(base64.b64decode(text, validate=True), index),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """One node found below another; `type_definition` is None for nodes without one."""

    node: ua.NodeId
    namespace: int
    name: str
    type_definition: ua.NodeId | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How often values are sampled and told, milliseconds; for hints it does not matter when a value was."""

    sampling_ms: float
    publishing_ms: float
    hints: bool = True

    @property
    def queue(self) -> int:
        """Give the places for values between two messages: twice what one interval brings."""
        return max(_QUEUE_MIN, math.ceil(2 * self.publishing_ms / self.sampling_ms))


@dataclass(frozen=True, kw_only=True, slots=True)
class CallAnswer:
    """A method's answer: its status code and outputs, which come with Good and Uncertain only."""

    status: int
    outputs: tuple[Variant, ...]

    @property
    def answered(self) -> bool:
        """Say whether the method answered at all: severity good or uncertain."""
        return self.status >> 30 in (0, 1)


class Connection:
    """The services of one session; every call has a deadline and raises `DriverError` past it."""

    def __init__(self, client: Client, *, timeout_s: float, monotonic: MonotonicClock) -> None:
        self.namespaces: tuple[str, ...] = ()
        self._client = client
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._renewed_at = monotonic()
        self._publishing = Publishing(lambda: self._protocol, library)

    async def learn_namespaces(self) -> None:
        """Read which namespace has which index on this server, now."""
        (reading,) = await self.read([node_id(ObjectIds.Server_NamespaceArray)])
        value = reading.variant.value
        if not reading.good or not isinstance(value, tuple):
            raise DriverError("the server does not tell its namespaces")
        self.namespaces = tuple(str(uri) for uri in value)

    def index(self, uri: str) -> int | None:
        """Give this server's index of a namespace, or None."""
        return self.namespaces.index(uri) if uri in self.namespaces else None

    def node(self, address: str) -> ua.NodeId:
        """Resolve `nsu=URI;s=Name` (also i=, g=, b=) on this server; raise `DriverError` where it cannot be."""
        match = NODE.fullmatch(address)
        if match is None:
            raise DriverError(f"{address!r} is not a node address: write nsu=URI;s=Name, without an index")
        uri = match["uri"]
        index = 0 if uri is None else self.index(uri)
        if index is None:
            raise DriverError(f"the server has no namespace {uri!r}, which the profile's address {address!r} needs")
        try:
            return _IDENTIFIERS[match["kind"]](match["text"], index)
        except ValueError as error:
            raise DriverError(f"{address!r} is not a node address: {error}") from error

    async def read(self, nodes: Sequence[ua.NodeId]) -> tuple[Reading, ...]:
        """Read the values of these nodes in one request, from the source and not from a cache."""
        request = ua.ReadRequest()
        request.Parameters.MaxAge = 0
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
        request.Parameters.NodesToRead = [ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value) for node in nodes]
        answer = await self._request("reading", request)
        with _decoding("reading"):
            readings = answer.array(Reader.data_value)
        if len(readings) != len(nodes):
            raise DriverError(f"reading: {len(readings)} values came for {len(nodes)} nodes")
        return readings

    async def write(
        self, values: Sequence[tuple[ua.NodeId, ua.Variant]], *, deadline_s: float | None = None
    ) -> tuple[int, ...]:
        """Write values in one request, once, and give each one's status; after `deadline_s` nothing is sent.

        Raise `DriverError` when no answer came: they may have been written.
        """
        request = ua.WriteRequest()
        # Many controllers refuse a value that comes with a status or a time.
        request.Parameters.NodesToWrite = [
            ua.WriteValue(NodeId=node, AttributeId=AttributeIds.Value, Value=ua.DataValue(Value=value, StatusCode=None))
            for node, value in values
        ]
        answer = await self._request("writing", request, deadline_s=deadline_s)
        with _decoding("writing"):
            statuses = answer.array(Reader.u32)
        if len(statuses) != len(values):
            raise DriverError(f"writing: {len(statuses)} results came for {len(values)} values")
        return statuses

    async def call(
        self,
        owner: ua.NodeId,
        method: ua.NodeId,
        arguments: Sequence[ua.Variant],
        *,
        deadline_s: float | None = None,
    ) -> CallAnswer:
        """Call a method once; after `deadline_s` on the monotonic clock nothing is sent any more.

        Raise `DriverError` when no answer came: the method may have been executed.
        """
        request = ua.CallRequest()
        request.Parameters.MethodsToCall = [
            ua.CallMethodRequest(ObjectId=owner, MethodId=method, InputArguments=list(arguments))
        ]
        answer = await self._request("calling", request, deadline_s=deadline_s)
        with _decoding("calling"):
            results = answer.array(_call_result)
        if len(results) != 1:
            raise DriverError(f"calling: {len(results)} results came for one call")
        return results[0]

    async def browse(
        self, nodes: Sequence[ua.NodeId], *, classes: int, reference: int = ObjectIds.HierarchicalReferences
    ) -> tuple[tuple[Reference, ...], ...]:
        """Give what lies below each node; nothing where the server does not let us look."""
        async with within("browsing", self._timeout_s):
            parameters = ua.BrowseParameters()
            parameters.NodesToBrowse = [_browse_description(node, classes, reference) for node in nodes]
            results = await self._client.uaclient.browse(parameters)
            return tuple([await self._all_pages(result) for result in results])

    async def subscribe(
        self, nodes: Sequence[ua.NodeId], listener: Listener, *, pace: Pace | None = None, handles: Sequence[int] = ()
    ) -> tuple[int, ...]:
        """Have a listener told of each change of these values; give the places of those that are refused.

        `handles` are the numbers under which the listener hears of them. Without a pace only the hint counts.
        """
        pace = pace or Pace(sampling_ms=PUBLISHING_MS, publishing_ms=PUBLISHING_MS)
        async with within("subscribing", self._timeout_s):
            request = ua.CreateSubscriptionRequest()
            request.Parameters.RequestedPublishingInterval = pace.publishing_ms
            request.Parameters.RequestedLifetimeCount = _LIFETIME_COUNT
            request.Parameters.RequestedMaxKeepAliveCount = max(1, round(_KEEP_ALIVE_MS / pace.publishing_ms))
            request.Parameters.PublishingEnabled = True
            answer = await self._protocol.send_request(request)
            created = struct_from_binary(ua.CreateSubscriptionResponse, answer)
        subscription = created.Parameters.SubscriptionId
        refused: list[int] = []
        for start in range(0, len(nodes), _ITEMS_AT_ONCE):
            batch = nodes[start : start + _ITEMS_AT_ONCE]
            async with within("subscribing", self._timeout_s):
                items = ua.CreateMonitoredItemsParameters()
                items.SubscriptionId = subscription
                stamps = ua.TimestampsToReturn
                items.TimestampsToReturn = stamps.Neither if pace.hints else stamps.Source
                items.ItemsToCreate = [
                    _monitored(node, handles[start + place] if handles else place, pace)
                    for place, node in enumerate(batch)
                ]
                results = await self._client.uaclient.create_monitored_items(items)
            for place, result in enumerate(results):
                if not result.StatusCode.is_good():
                    _log.warning("changes of one value are not told: %s", result.StatusCode.name)
                    refused.append(start + place)
        with library("subscribing"):
            self._publishing.add(subscription, listener)
        return tuple(refused)

    def abandon(self) -> None:
        """Stop listening for changes, before the connection is closed."""
        self._publishing.stop()

    # One request -----------------------------------------------------------------------------------

    @property
    def _protocol(self) -> UASocketProtocol:
        protocol = self._client.uaclient.protocol
        if protocol is None or protocol.state is not UASocketState.OPEN:
            raise ConnectionError("the connection is closed")
        return protocol

    async def _request(self, what: str, request: Any, *, deadline_s: float | None = None) -> Reader:
        """Send one request and give a reader of its answer's body, behind the header."""
        await self._renew_channel()
        async with within(what, self._timeout_s):
            protocol = self._protocol
            if protocol.transport is not None and protocol.transport.get_write_buffer_size():
                raise DriverError(f"{what}: not sent, the connection does not take what was sent before")
            if deadline_s is not None and self._monotonic() >= deadline_s:
                raise DriverError(f"{what}: not sent, its deadline has passed")
            answer = await protocol.send_request(request, self._timeout_s)
            body: bytes = answer.read(len(answer))
        with _decoding(what):
            reader = Reader(body)
            reader.node_id()
            skip_response_header(reader)
        return reader

    async def _renew_channel(self) -> None:
        lifetime_s = self._client.secure_channel_timeout / 1000
        if self._monotonic() - self._renewed_at < lifetime_s * _RENEW_AFTER:
            return
        async with within("renewing the secure channel", self._timeout_s):
            await self._client.open_secure_channel(renew=True)
            self._client.uaclient.revolve_security_token()
        self._renewed_at = self._monotonic()

    async def _all_pages(self, result: ua.BrowseResult) -> tuple[Reference, ...]:
        found = list(result.References or ())
        for _ in range(_MAX_PAGES):
            if not result.ContinuationPoint:
                break
            parameters = ua.BrowseNextParameters()
            parameters.ContinuationPoints = [result.ContinuationPoint]
            (result,) = await self._client.uaclient.browse_next(parameters)
            found += result.References or ()
        return tuple(_reference(reference) for reference in found if _is_local(reference.NodeId))


@asynccontextmanager
async def within(what: str, timeout_s: float) -> AsyncIterator[None]:
    """Bound a talk with the library in time and turn all it lets out into `DriverError`."""
    with library(what):
        async with asyncio.timeout(timeout_s):
            try:
                yield
            except asyncio.CancelledError as error:
                # Where an answer races the timeout, the library (wait_for2) raises a subclass, which
                # asyncio.timeout and TaskGroup do not take for a cancellation of theirs.
                if type(error) is asyncio.CancelledError:
                    raise
                raise asyncio.CancelledError from error


@contextmanager
def library(what: str) -> Iterator[None]:
    """Turn what the library lets out into `DriverError`, saying what was being done."""
    try:
        yield
    except TimeoutError as error:
        raise DriverError(f"{what}: no answer in time") from error
    except UaStatusCodeError as error:
        raise DriverError(f"{what}: {ua.StatusCode(error.code).name}") from error
    except _LIBRARY_ERRORS as error:
        raise DriverError(f"{what}: {error or type(error).__name__}") from error


@contextmanager
def _decoding(what: str) -> Iterator[None]:
    try:
        yield
    except WireError as error:
        raise DriverError(f"{what}: the answer cannot be read: {error}") from error


def status_name(status: int) -> str:
    """Give a status code's standard name."""
    return ua.StatusCode(ua.UInt32(status)).name


def _call_result(reader: Reader) -> CallAnswer:
    status = reader.u32()
    reader.array(Reader.u32)
    reader.array(Reader.diagnostic_info)
    return CallAnswer(status=status, outputs=reader.array(Reader.variant))


def _browse_description(node: ua.NodeId, classes: int, reference: int) -> ua.BrowseDescription:
    return ua.BrowseDescription(
        NodeId=node,
        BrowseDirection=ua.BrowseDirection.Forward,
        ReferenceTypeId=node_id(reference),
        IncludeSubtypes=True,
        NodeClassMask=classes,
        ResultMask=ua.BrowseResultMask.All,
    )


def _monitored(node: ua.NodeId, handle: int, pace: Pace) -> ua.MonitoredItemCreateRequest:
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=handle, SamplingInterval=pace.sampling_ms, QueueSize=pace.queue, DiscardOldest=True
        ),
    )


def _is_local(node: ua.NodeId) -> bool:
    return not (isinstance(node, ua.ExpandedNodeId) and (node.ServerIndex or node.NamespaceUri))


def _reference(found: ua.ReferenceDescription) -> Reference:
    definition = found.TypeDefinition
    return Reference(
        node=_plain(found.NodeId),
        namespace=found.BrowseName.NamespaceIndex,
        name=found.BrowseName.Name or "",
        type_definition=None if definition is None or definition.is_null() else _plain(definition),
    )


def _plain(node: ua.NodeId) -> ua.NodeId:
    return node_id(node.Identifier, node.NamespaceIndex)
