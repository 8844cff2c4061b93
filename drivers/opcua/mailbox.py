"""A machine with the mailbox map behind an OPC UA server: the driver, and its four variables."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from asyncua import ua

from drivers import mailbox
from drivers.base import DriverError, MonotonicClock, Security, Session
from drivers.handshake import MailboxSession, Terms, check_pace, mailbox_identity
from drivers.mailbox import PermitBits
from drivers.opcua.binary import Builtin, Reading
from drivers.opcua.channel import connect
from drivers.opcua.connection import Connection, status_name
from drivers.opcua.places import mailbox_faults
from drivers.opcua.sampling import sampled
from drivers.opcua.telemetry import Telemetry
from drivers.opcua.writes import TagWriter, check_taken
from drivers.profile import MailboxMap, MailboxNodes, Profile
from drivers.speaking import RefusedWriteError


@dataclass(frozen=True, kw_only=True, slots=True)
class OpcuaMailboxDriver:
    """Opens sessions to one machine with mailbox map v1 behind an OPC UA server."""

    url: str
    spec: MailboxMap
    nodes: MailboxNodes
    bits: PermitBits
    profile: Profile
    security: Security
    monotonic: MonotonicClock

    @asynccontextmanager
    async def session(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        """Connect, check certificate and map and that the PLC runs, take back what an earlier session left.

        `on_change` is never called: the status block changes with each heartbeat, so a subscription to it
        would hint at nothing that polling does not see as soon.
        """
        del on_change
        opening = connect(
            url=self.url, security=self.security, timeout_s=self.profile.timeout_s, monotonic=self.monotonic
        )
        async with opening as (connection, shown):
            blocks = _Variables(connection, self.nodes)
            terms = Terms(spec=self.spec, bits=self.bits, answer_s=self.profile.timeout_s, monotonic=self.monotonic)
            identity = mailbox_identity(f"{self.url}; certificate {shown or 'none'}")
            session = _Session(blocks, terms=terms, identity=identity)
            await session.open()
            session.add(await sampled(connection, self.profile, self.monotonic), TagWriter(connection, self.profile))
            yield session


def mailbox_driver(*, url: str, profile: Profile, security: Security, monotonic: MonotonicClock) -> OpcuaMailboxDriver:
    """Give the driver for one machine; raise `ValueError` for a profile it cannot use."""
    faults = mailbox_faults(profile)
    spec = profile.mailbox
    if spec is None or spec.nodes is None or faults:
        raise ValueError(f"profile {profile.name}: {'; '.join(faults)}")
    check_pace(profile)
    return OpcuaMailboxDriver(
        url=url,
        spec=spec,
        nodes=spec.nodes,
        bits=PermitBits.of(profile),
        profile=profile,
        security=security,
        monotonic=monotonic,
    )


class _Session(MailboxSession):
    """The handshake, the tags beside it, and those that are written by hand."""

    def add(self, telemetry: Telemetry, writer: TagWriter) -> None:
        """Give the blocks of this telemetry from now on, and let people write by hand."""
        self.take, self.listen = telemetry.take, telemetry.gathering.listen  # the port's Sampler
        self.read_tag, self.write_tag = writer.read_tag, writer.write_tag  # the port's Writable


class _Variables:
    """The blocks as variables of one server. Payload, commit word and heartbeat are all that is ever written."""

    def __init__(self, connection: Connection, nodes: MailboxNodes) -> None:
        """Find the nodes on this server, whose namespaces may have other indexes than last time."""
        self._connection = connection
        self._status = connection.node(nodes.status)
        self._payload = connection.node(nodes.payload)
        self._commit = connection.node(nodes.commit)
        self._heartbeat = connection.node(nodes.heartbeat)

    async def status(self) -> Sequence[int]:
        (reading,) = await self._connection.read([self._status])
        return _words(reading, "status", mailbox.STATUS_WORDS)

    async def command(self) -> Sequence[int]:
        heartbeat, payload, commit = await self._connection.read([self._heartbeat, self._payload, self._commit])
        return (
            _word(heartbeat, "heartbeat"),
            *_words(payload, "payload", mailbox.PAYLOAD_WORDS),
            *(0,) * (mailbox.CMD_SEQ - mailbox.PAYLOAD_AT - mailbox.PAYLOAD_WORDS),
            _word(commit, "commit"),
        )

    async def payload(self, words: Sequence[int], *, deadline_s: float | None = None) -> None:
        if len(words) != mailbox.PAYLOAD_WORDS:
            raise DriverError(f"a payload of {len(words)} words would change the size of the variable")
        value = ua.Variant(list(words), ua.VariantType.UInt16, is_array=True)
        statuses = await self._connection.write([(self._payload, value)], deadline_s=deadline_s)
        check_taken(statuses, RefusedWriteError)

    async def commit(self, seq: int, *, deadline_s: float | None = None) -> None:
        await self._write(self._commit, seq, deadline_s)

    async def heartbeat(self, count: int) -> None:
        await self._write(self._heartbeat, count, None)

    async def _write(self, node: ua.NodeId, word: int, deadline_s: float | None) -> None:
        # Bad for a commit leaves a doubt whatever it says: servers are known that refuse what they have done.
        value = ua.Variant(word, ua.VariantType.UInt16)
        check_taken(await self._connection.write([(node, value)], deadline_s=deadline_s), DriverError)


def _words(reading: Reading, name: str, count: int) -> tuple[int, ...]:
    """Give the words of an array; raise `DriverError` where it is none of this size, or not good."""
    value = reading.variant.value
    _check_good(reading, name)
    if reading.variant.type is not Builtin.UINT16 or not isinstance(value, tuple) or len(value) != count:
        raise DriverError(f"mailbox.nodes.{name} holds {_held(reading)} where UInt16[{count}] belongs")
    return value


def _word(reading: Reading, name: str) -> int:
    value = reading.variant.value
    _check_good(reading, name)
    if reading.variant.type is not Builtin.UINT16 or not isinstance(value, int):
        raise DriverError(f"mailbox.nodes.{name} holds {_held(reading)} where a UInt16 belongs")
    return value


def _check_good(reading: Reading, name: str) -> None:
    if not reading.good:
        raise DriverError(f"mailbox.nodes.{name} cannot be read: {status_name(reading.status)}")


def _held(reading: Reading) -> str:
    value = reading.variant.value
    kind = reading.variant.type.name
    return f"{kind}[{len(value)}]" if isinstance(value, tuple) else kind
