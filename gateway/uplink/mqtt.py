"""One MQTT 5 connection: paho driven by the event loop, and only an acknowledgement counts.

The session is not kept by the broker (clean start, expiry 0): a subscription lasts as long as the connection, what must
not be lost waits in the ledger's outbox, and the will then speaks at once. Each connection has a fresh
client, because paho's own reconnect would send an old will.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Never

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.errors import UplinkError
from gateway.uplink.base import BrokerAccess, DeafError, Message, Uplink, Will
from gateway.uplink.topics import check_topic

SCHEMA_VERSION = "1"
UNHEARD_MAX = 100  # messages of a topic that may wait; what comes then is dropped
HEARD_BYTES_MAX = 65_536
_PUBLISH = PacketTypes.PUBLISH
_TICKS_PER_ACK_DEADLINE = 5
_LONGEST_TICK_S = 1.0


@asynccontextmanager
async def connect(access: BrokerAccess, *, will: Will, monotonic: Callable[[], float]) -> AsyncIterator[Uplink]:
    """Connect with a fresh client and yield the connection; leaving it makes the broker publish the will.

    Raise `UplinkError` when the broker is away, refuses us, or does not answer in time.
    """
    connection = _Connection(access, will, monotonic, asyncio.get_running_loop())
    try:
        await connection.open()
        yield connection
    finally:
        connection.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sent:
    at_s: float
    acknowledged: asyncio.Future[None]


class _Connection:
    """The paho client of one connection and what waits for it; everything but `_dial` runs on the loop."""

    def __init__(
        self, access: BrokerAccess, will: Will, monotonic: Callable[[], float], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._access = access
        self._monotonic = monotonic
        self._loop = loop
        self._client = self._fresh_client(will)
        self._plain = _properties(_PUBLISH)
        self._room = asyncio.Semaphore(0)  # free places in flight, opened when the broker has told its limit
        self._sent: dict[int, _Sent] = {}  # by packet id, oldest first
        self._limits: asyncio.Future[int] = loop.create_future()
        self._end: asyncio.Future[Never] = loop.create_future()
        self._ears: dict[str, asyncio.Queue[Message | UplinkError]] = {}  # by topic
        self._asked: dict[int, str] = {}  # topics by the packet id of their subscription
        self._bug: Exception | None = None
        self._tick_timer: asyncio.TimerHandle | None = None
        self._watched: socket.socket | None = None
        self._abandoned = False

    async def open(self) -> None:
        """Connect, and wait for the broker's yes."""
        where = f"{self._access.host}:{self._access.port}"
        try:
            async with asyncio.timeout(self._access.connect_deadline_s):
                # paho resolves, connects and shakes hands in blocking calls, bounded by its own timeout.
                await self._loop.run_in_executor(None, self._dial)
                self._watch()
                limit = await self._limits
        except TimeoutError as fault:
            raise UplinkError(f"{where} did not answer within {self._access.connect_deadline_s:g} s") from fault
        except (OSError, UnicodeError) as fault:  # UnicodeError: a host name that cannot be encoded
            raise UplinkError(f"{where} cannot be reached: {fault}") from fault
        for _ in range(limit):
            self._room.release()

    def close(self) -> None:
        """Drop the connection without a farewell, so that the broker publishes the will."""
        self._abandoned = True
        self._finish(UplinkError("the connection was closed"))
        dropped = self._client.socket()
        if isinstance(dropped, socket.socket):
            dropped.close()

    async def send(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expiry_s: int | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> asyncio.Future[None]:
        """Hand one message to paho in call order; the future ends at the acknowledgement."""
        check_topic(topic)
        await self._room.acquire()
        if self._end.done():
            self._room.release()  # so that the next one who waits sees the end too
            await self._end
        properties = self._plain if expiry_s is None and not labels else _properties(_PUBLISH, expiry_s, labels)
        told = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        if told.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._finish(UplinkError(f"a message could not be sent: {told.rc.name}"))
            self._room.release()
            await self._end
        acknowledged: asyncio.Future[None] = self._loop.create_future()
        self._sent[told.mid] = _Sent(at_s=self._monotonic(), acknowledged=acknowledged)
        return acknowledged

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expiry_s: int | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Send one message and return at its acknowledgement."""
        await (await self.send(topic, payload, retain=retain, expiry_s=expiry_s, labels=labels))

    async def hear(self, topic: str) -> AsyncIterator[Message]:
        """Subscribe and give each message; the end of the connection, or a refusal, is raised."""
        check_topic(topic)
        ear: asyncio.Queue[Message | UplinkError] = asyncio.Queue(UNHEARD_MAX)
        self._ears[topic] = ear
        # A retained message is none of today's: it is not sent at subscription, and told by its flag otherwise.
        told, packet_id = self._client.subscribe(
            topic,
            options=SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND),
        )
        if told != MQTTErrorCode.MQTT_ERR_SUCCESS or packet_id is None:
            raise UplinkError(f"{topic} could not be subscribed to: {MQTTErrorCode(told).name}")
        self._asked[packet_id] = topic
        while True:
            if self._end.done():
                await self._end
            heard = await ear.get()
            if isinstance(heard, UplinkError):
                raise heard
            yield heard

    async def ended(self) -> Never:
        """Wait for the end of the connection and raise why it ended."""
        await asyncio.shield(self._end)
        raise AssertionError("a connection ends only by a fault")

    def _fresh_client(self, will: Will) -> Client:
        access = self._access
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=access.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = access.connect_deadline_s
        client.max_inflight_messages_set(access.receive_maximum)
        client.max_queued_messages_set(access.receive_maximum)
        if access.username is not None:
            client.username_pw_set(access.username, access.password)
        check_topic(will.topic)
        client.will_set(will.topic, will.payload, qos=1, retain=True, properties=_properties(PacketTypes.WILLMESSAGE))
        client.on_connect = self._guarded(self._connected)
        client.on_disconnect = self._guarded(self._disconnected)
        client.on_publish = self._guarded(self._acknowledged)
        client.on_subscribe = self._guarded(self._subscribed)
        client.on_message = self._guarded(self._heard)
        client.on_socket_close = self._guarded(self._unwatch)
        client.on_socket_register_write = self._guarded(self._write_wanted)
        client.on_socket_unregister_write = self._guarded(self._write_done)
        return client

    def _dial(self) -> None:
        """Open the socket and queue the CONNECT packet, on a worker thread; nothing is written yet."""
        access = self._access
        if access.tls:
            self._client.tls_set_context(_tls_context(access))
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = 0
        session.MaximumPacketSize = HEARD_BYTES_MAX
        self._client.connect(
            access.host, access.port, keepalive=access.keepalive_s, clean_start=True, properties=session
        )
        late = self._client.socket()
        if self._abandoned and isinstance(late, socket.socket):
            late.close()

    def _watch(self) -> None:
        opened = self._client.socket()
        if not isinstance(opened, socket.socket):
            raise UplinkError("the connection was lost before it was used")
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watched = opened
        self._loop.add_reader(opened, self._step, self._read)
        self._loop.add_writer(opened, self._step, self._client.loop_write)
        self._tick()

    def _step(self, work: Callable[[], MQTTErrorCode]) -> None:
        """Let paho work once. What it raises ends the connection and reaches whoever waits for it."""
        if self._end.done():
            return
        try:
            work()
        except Exception as fault:  # noqa: BLE001 - nothing is swallowed: the end carries it
            self._finish(self._bug or UplinkError(f"the broker sent what cannot be read: {fault!r}"))

    def _read(self) -> MQTTErrorCode:
        told = self._client.loop_read()
        # What TLS has already decrypted never makes the socket readable again.
        while isinstance(secure := self._client.socket(), ssl.SSLSocket) and secure.pending():
            told = self._client.loop_read()
        return told

    def _tick(self) -> None:
        """Keep alive, and judge the oldest publish that waits."""
        self._step(self._client.loop_misc)
        oldest = next(iter(self._sent.values()), None)
        deadline_s = self._access.ack_deadline_s
        if oldest and self._monotonic() - oldest.at_s > deadline_s:
            self._finish(UplinkError(f"no acknowledgement within {deadline_s:g} s"))
        if not self._end.done():
            delay_s = min(_LONGEST_TICK_S, deadline_s / _TICKS_PER_ACK_DEADLINE)
            self._tick_timer = self._loop.call_later(delay_s, self._tick)

    def _finish(self, fault: Exception) -> None:
        """End the connection once, with its first fault, and wake everybody who waits."""
        if self._end.done():
            return
        _fail(self._end, fault)
        _fail(self._limits, fault)
        self._unwatch()
        if self._tick_timer:
            self._tick_timer.cancel()
        for sent in self._sent.values():
            _fail(sent.acknowledged, fault)
            self._room.release()
        self._sent.clear()
        for ear in self._ears.values():
            _say(ear, UplinkError(str(fault)))

    def _guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        """Remember what one of our own callbacks raises: that is a bug here, not the broker's doing."""

        def call(*arguments: Any) -> None:
            try:
                callback(*arguments[2:])  # without paho's client and user value
            except Exception as fault:
                self._bug = fault
                raise

        return call

    def _connected(self, _flags: object, reason: ReasonCode, told: Properties) -> None:
        if reason.is_failure:
            self._finish(UplinkError(f"the broker refuses us: {reason}"))
        elif getattr(told, "MaximumQoS", 1) < 1 or not getattr(told, "RetainAvailable", 1):
            self._finish(UplinkError("the broker gives no acknowledged or no retained messages"))
        elif not self._limits.done():
            self._limits.set_result(min(self._access.receive_maximum, getattr(told, "ReceiveMaximum", 65535)))

    def _disconnected(self, _flags: object, reason: ReasonCode, _told: Properties) -> None:
        self._finish(UplinkError(f"the connection was lost: {reason}"))

    def _acknowledged(self, packet_id: int, reason: ReasonCode, _told: Properties) -> None:
        sent = self._sent.pop(packet_id, None)
        if sent is None:
            return
        self._room.release()
        if reason.is_failure:
            _fail(sent.acknowledged, UplinkError(f"the broker refuses a message: {reason}"))
        elif not sent.acknowledged.done():
            sent.acknowledged.set_result(None)

    def _subscribed(self, packet_id: int, reasons: list[ReasonCode], _told: Properties) -> None:
        topic = self._asked.pop(packet_id, None)
        if topic is not None and any(reason.is_failure for reason in reasons):
            _say(self._ears[topic], DeafError(f"the broker lets us hear nothing at {topic}: {reasons[0]}"))

    def _heard(self, message: MQTTMessage) -> None:
        ear = self._ears.get(message.topic)
        if ear is not None and not ear.full():
            ear.put_nowait(Message(payload=bytes(message.payload), retained=bool(message.retain)))

    def _unwatch(self, *_: object) -> None:
        if self._watched is not None:
            self._loop.remove_reader(self._watched)
            self._loop.remove_writer(self._watched)
            self._watched = None

    def _write_wanted(self, wanting: socket.socket) -> None:
        if self._watched is not None:  # not while dialling, which is on another thread
            self._loop.add_writer(wanting, self._step, self._client.loop_write)

    def _write_done(self, done: socket.socket) -> None:
        if self._watched is not None:
            self._loop.remove_writer(done)


def _fail(waiting: asyncio.Future[Any], fault: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(fault)
        waiting.exception()  # seen: nobody has to wait for it


def _say(ear: "asyncio.Queue[Message | UplinkError]", fault: UplinkError) -> None:
    """Tell whoever listens that nothing more comes, however full the queue is."""
    if ear.full():
        ear.get_nowait()
    ear.put_nowait(fault)


class _PackedOnce(Properties):
    """Properties that many messages share: packing them again and again costs more than the message."""

    def __init__(self, packet: int) -> None:
        super().__init__(packet)  # type: ignore[no-untyped-call]
        self.__dict__["packed"] = None

    def pack(self) -> bytes:
        """Give the bytes, made at first use."""
        if self.__dict__["packed"] is None:
            self.__dict__["packed"] = super().pack()  # type: ignore[no-untyped-call]
        packed: bytes = self.__dict__["packed"]
        return packed


def _properties(packet: int, expiry_s: int | None = None, labels: Mapping[str, str] | None = None) -> Properties:
    properties = _PackedOnce(packet)
    properties.PayloadFormatIndicator = 1
    properties.ContentType = "application/json"
    properties.UserProperty = [("schema", SCHEMA_VERSION), *(labels or {}).items()]
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    return properties


class _ClosingSocket(ssl.SSLSocket):
    """paho forgets a socket whose handshake fails; this one closes itself."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the library's signature
        """Shake hands or close."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _tls_context(access: BrokerAccess) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=access.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _ClosingSocket
    if access.cert_file is not None:
        context.load_cert_chain(access.cert_file, access.key_file)
    return context
