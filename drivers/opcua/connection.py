"""The services of one OPC UA session; the library's errors become `DriverError` here."""

import asyncio
import base64
import logging
import re
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

_log = logging.getLogger(__name__)

_RENEW_AFTER = 0.75  # of the channel's lifetime (OPC 10000-4, 5.5.2.1)
_PUBLISHING_MS = 100.0
_LIFETIME_COUNT = 3_000  # publishing intervals that a subscription outlives its reader
_KEEP_ALIVE_COUNT = 100
_QUEUE = 10
_MAX_PAGES = 100  # of one node's references
_NODE = re.compile(r"(?:nsu=(?P<uri>[^;]+);)?(?P<kind>[isgb])=(?P<text>.+)")

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
        self._on_change: Callable[[], None] | None = None
        self._publishing: asyncio.Future[Any] | None = None

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
        match = _NODE.fullmatch(address)
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

    async def subscribe(self, nodes: Sequence[ua.NodeId], on_change: Callable[[], None]) -> None:
        """Have `on_change` called each time one of these values may have changed, and when that ends."""
        async with within("subscribing", self._timeout_s):
            request = ua.CreateSubscriptionRequest()
            request.Parameters.RequestedPublishingInterval = _PUBLISHING_MS
            request.Parameters.RequestedLifetimeCount = _LIFETIME_COUNT
            request.Parameters.RequestedMaxKeepAliveCount = _KEEP_ALIVE_COUNT
            request.Parameters.PublishingEnabled = True
            answer = await self._protocol.send_request(request)
            created = struct_from_binary(ua.CreateSubscriptionResponse, answer)
            items = ua.CreateMonitoredItemsParameters()
            items.SubscriptionId = created.Parameters.SubscriptionId
            items.TimestampsToReturn = ua.TimestampsToReturn.Neither
            items.ItemsToCreate = [_monitored(node, handle) for handle, node in enumerate(nodes)]
            for result in await self._client.uaclient.create_monitored_items(items):
                if not result.StatusCode.is_good():
                    _log.warning("changes of one value are not told: %s", result.StatusCode.name)
            self._on_change = on_change
            self._publish()

    def abandon(self) -> None:
        """Stop listening for changes, before the connection is closed."""
        self._on_change = None
        if self._publishing is not None:
            self._publishing.cancel()

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
            _skip_response_header(reader)
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

    # Publishing ------------------------------------------------------------------------------------

    def _publish(self, acknowledged: Sequence[ua.SubscriptionAcknowledgement] = ()) -> None:
        """Leave one publish request with the server, which answers it at the next change."""
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = list(acknowledged)
        # The bare future needs no task of its own, and no timeout: it waits as long as nothing changes.
        self._publishing = self._protocol._send_request(request, 0)  # noqa: SLF001
        self._publishing.add_done_callback(self._published)

    def _published(self, answered: asyncio.Future[Any]) -> None:
        """Pass a change on and ask for the next; a refusal or a lost connection ends the subscription."""
        if self._on_change is None or answered.cancelled():
            return
        try:
            with library("publishing"), _decoding("publishing"):
                body = answered.result()
                self._protocol.check_answer(body, " while publishing")
                subscription, sequence, changed = _publish_result(Reader(body.read(len(body))))
                acknowledgement = ua.SubscriptionAcknowledgement(SubscriptionId=subscription, SequenceNumber=sequence)
                self._publish([acknowledgement] * changed)
        except DriverError as error:
            _log.info("no more news of changes, polling goes on: %s", error)
            changed = True  # something happened: the next look will tell
        if changed:
            self._on_change()


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


def _skip_response_header(reader: Reader) -> None:
    reader.take(8)  # the time of the answer
    reader.u32()  # the request's handle
    reader.u32()  # the service result, checked by the library
    reader.diagnostic_info()
    reader.array(Reader.string)
    reader.extension_object()


def _call_result(reader: Reader) -> CallAnswer:
    status = reader.u32()
    reader.array(Reader.u32)
    reader.array(Reader.diagnostic_info)
    return CallAnswer(status=status, outputs=reader.array(Reader.variant))


def _publish_result(reader: Reader) -> tuple[int, int, bool]:
    """Give subscription and sequence number of a publish answer, and whether it carries anything."""
    reader.node_id()
    _skip_response_header(reader)
    subscription = reader.u32()
    reader.array(Reader.u32)
    reader.boolean()
    sequence = reader.u32()
    reader.take(8)  # the time of publishing
    return subscription, sequence, bool(reader.array(Reader.extension_object))


def _browse_description(node: ua.NodeId, classes: int, reference: int) -> ua.BrowseDescription:
    return ua.BrowseDescription(
        NodeId=node,
        BrowseDirection=ua.BrowseDirection.Forward,
        ReferenceTypeId=node_id(reference),
        IncludeSubtypes=True,
        NodeClassMask=classes,
        ResultMask=ua.BrowseResultMask.All,
    )


def _monitored(node: ua.NodeId, handle: int) -> ua.MonitoredItemCreateRequest:
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=handle, SamplingInterval=_PUBLISHING_MS, QueueSize=_QUEUE, DiscardOldest=True
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
