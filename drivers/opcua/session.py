"""ISA-95 Job Control as the driver port: look, ask, send."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds

from drivers.base import (
    Answer,
    Command,
    DriverError,
    Finding,
    Identity,
    Look,
    MonotonicClock,
    Permits,
    Receipt,
    Security,
    Session,
)
from drivers.opcua import jobs
from drivers.opcua.binary import Builtin, Reading, WireError
from drivers.opcua.channel import connect
from drivers.opcua.connection import CallAnswer, Connection, node_id, status_name
from drivers.opcua.finding import JobControl, find_job_control
from drivers.opcua.publishing import Hint
from drivers.opcua.sampling import sampled
from drivers.opcua.telemetry import Telemetry
from drivers.opcua.writes import TagWriter
from drivers.profile import Profile

_log = logging.getLogger(__name__)

_START_TIME = node_id(ObjectIds.Server_ServerStatus_StartTime)
_SERVER_ARRAY = node_id(ObjectIds.Server_ServerArray)
_PRODUCT_URI = node_id(ObjectIds.Server_ServerStatus_BuildInfo_ProductUri)
_NO_ROOM = 1 << 4  # unable to accept a job order, and nothing else against it
_NO_COMMENT = ua.Variant([], ua.VariantType.LocalizedText, is_array=True)
_MAX_FACT = 100  # characters of one text in the identity


@dataclass(frozen=True, kw_only=True, slots=True)
class JobControlDriver:
    """Opens sessions to one machine with ISA-95 Job Control V2 behind an OPC UA server.

    `machine` is a browse name above the machine's receiver, needed where one server has several.
    """

    url: str
    machine: str
    profile: Profile
    security: Security
    monotonic: MonotonicClock

    @asynccontextmanager
    async def session(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        """Connect, check the certificate, find the machine's job control and subscribe to its changes."""
        opening = connect(
            url=self.url, security=self.security, timeout_s=self.profile.timeout_s, monotonic=self.monotonic
        )
        async with opening as (connection, shown):
            control = await find_job_control(connection, machine=self.machine)
            tags = _Tags.resolve(connection, self.profile)
            text = await _identity_text(connection, control, shown)
            await _subscribe(connection, [control.job_list, *tags.permits()], on_change)
            telemetry = await sampled(connection, self.profile, self.monotonic)
            yield JobControlSession(
                connection=connection,
                control=control,
                tags=tags,
                identity=Identity(text=text, kinds=frozenset(control.methods)),
                telemetry=telemetry,
                writer=TagWriter(connection, self.profile),
            )


class JobControlSession:
    """One session; after a `DriverError` or a cancelled call it answers nothing any more."""

    def __init__(
        self,
        *,
        connection: Connection,
        control: JobControl,
        tags: "_Tags",
        identity: Identity,
        telemetry: Telemetry,
        writer: TagWriter,
    ) -> None:
        self.take, self.listen = telemetry.take, telemetry.gathering.listen  # the port's Sampler
        self.read_tag, self.write_tag = writer.read_tag, writer.write_tag  # the port's Writable
        self._connection = connection
        self._control = control
        self._tags = tags
        self._identity = identity
        self._broken: str | None = None

    @property
    def identity(self) -> Identity:
        """Give who the machine said it was when the session was opened."""
        return self._identity

    async def look(self) -> Look:
        """Read start time, job list, permits and set-up code in one request."""
        with self._speaking():
            tags = self._tags
            optional = [node for node in (tags.handed_over, tags.setup_code) if node is not None]
            wanted = [_START_TIME, self._control.job_list, tags.remote, tags.ready, *optional]
            readings = dict(zip(wanted, await self._connection.read(wanted), strict=True))
            entries = self._entries(readings[self._control.job_list])
            return Look(
                boot=_boot(readings[_START_TIME]),
                permits=Permits(
                    remote=_truth(readings[tags.remote]),
                    ready=_truth(readings[tags.ready]),
                    handed_over=_truth(readings[tags.handed_over]) if tags.handed_over else None,
                ),
                jobs=tuple(
                    Finding(
                        job_id=entry.job_id,
                        phase=entry.phase,
                        evidence=f"in {jobs.JOB_LIST}: {entry.state}",
                        orders=entry.orders,
                    )
                    for entry in entries
                ),
                setup_code=_code(readings[tags.setup_code]) if tags.setup_code else None,
            )

    async def ask(self, job_id: str) -> Finding:
        """Read the job list, then the job's response; unknown only if both do not know the job.

        The response comes last and its phase and counts belong together, so it outranks the list.
        """
        with self._speaking():
            (reading,) = await self._connection.read([self._control.job_list])
            listed = next((entry for entry in self._entries(reading) if entry.job_id == job_id), None)
            answer = await self._connection.call(
                self._control.provider, self._control.respond, [ua.Variant(job_id, ua.VariantType.String)]
            )
            status = _return_status(answer, position=1)
            if status.accepted:
                return self._responded(job_id, answer)
            if listed is not None:
                evidence = f"in {jobs.JOB_LIST}: {listed.state}; response: {status}"
                return Finding(job_id=job_id, phase=listed.phase, evidence=evidence)
            if status.unknown:
                return Finding(job_id=job_id, phase=None, evidence=f"not in {jobs.JOB_LIST}; response: {status}")
            raise DriverError(f"asking for {job_id}: not in {jobs.JOB_LIST}, and the response says {status}")

    async def send(self, command: Command) -> Receipt:
        """Call the command's method once, never after its deadline."""
        method = self._control.methods.get(command.kind)
        if method is None:
            wanted = jobs.METHODS[command.kind]
            return Receipt(answer=Answer.REFUSED, evidence=f"not sent: the machine has no method {wanted}")
        with self._speaking():
            answer = await self._connection.call(
                self._control.receiver,
                method,
                [self._subject(command), _NO_COMMENT],
                deadline_s=command.deadline_s,
            )
            status = _return_status(answer, position=0)
            doubt = "" if answer.status == 0 else f" ({status_name(answer.status)})"
            if status.accepted:
                return Receipt(answer=Answer.ACCEPTED, evidence=f"{status}{doubt}")
            no_room = command.kind in jobs.LOADING and status.bits & jobs.STANDARD_BITS == _NO_ROOM
            return Receipt(answer=Answer.REFUSED, evidence=f"{status}{doubt}", busy=no_room)

    def _subject(self, command: Command) -> ua.Variant:
        if command.kind not in jobs.LOADING:
            return ua.Variant(command.job_id, ua.VariantType.String)
        # The type id carries this server's namespace index, which the library's classes cannot know.
        type_id = node_id(jobs.JOB_ORDER_ENCODING, self._control.namespace)
        body = ua.ByteString(jobs.encode_job_order(command))
        return ua.Variant(ua.ExtensionObject(TypeId=type_id, Body=body), ua.VariantType.ExtensionObject)

    def _entries(self, reading: Reading) -> tuple[jobs.JobEntry, ...]:
        if not reading.good:
            raise DriverError(f"the job list cannot be read: {status_name(reading.status)}")
        return jobs.decode_job_list(reading.variant, self._control.namespace)

    def _responded(self, job_id: str, answer: CallAnswer) -> Finding:
        response = jobs.decode_response(answer.outputs[0], self._control.namespace)
        if response.job_id != job_id:
            raise DriverError(f"asked for {job_id}, the response is about {response.job_id!r}")
        return Finding(
            job_id=job_id,
            phase=response.phase,
            evidence=f"response: {response.state}, produced {response.produced}, good {response.good}",
            produced=response.produced,
            good=response.good,
            started_at=response.started_at,
            ended_at=response.ended_at,
            reason=response.reason,
        )

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Refuse to speak on a finished session, and finish it on any error or cancellation."""
        if self._broken is not None:
            raise DriverError(f"the session is finished: {self._broken}")
        self._broken = "a call was cut off"
        try:
            yield
        except WireError as error:
            self._broken = f"the machine's values cannot be read: {error}"
            raise DriverError(self._broken) from error
        except DriverError as error:
            self._broken = str(error)
            raise
        self._broken = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tags:
    """The profile's addresses as nodes of this server."""

    remote: ua.NodeId
    ready: ua.NodeId
    handed_over: ua.NodeId | None
    setup_code: ua.NodeId | None

    @classmethod
    def resolve(cls, connection: Connection, profile: Profile) -> "_Tags":
        """Find the namespaces of the addresses; raise `DriverError` where the server lacks one."""

        def optional(address: str | None) -> ua.NodeId | None:
            return None if address is None else connection.node(address)

        return cls(
            remote=connection.node(profile.permits.remote),
            ready=connection.node(profile.permits.ready),
            handed_over=optional(profile.permits.handed_over),
            setup_code=optional(profile.setup_code),
        )

    def permits(self) -> list[ua.NodeId]:
        """Give the nodes that say whether the machine may move."""
        return [node for node in (self.remote, self.ready, self.handed_over) if node is not None]


async def _identity_text(connection: Connection, control: JobControl, shown: str | None) -> str:
    readings = await connection.read([_SERVER_ARRAY, _PRODUCT_URI, *control.facts])
    texts = [_first_text(reading) for reading in readings]
    named = [text for text in dict.fromkeys(texts) if text]
    return "; ".join([*named, control.machine, f"certificate {shown or 'none'}"])


async def _subscribe(connection: Connection, nodes: Sequence[ua.NodeId], on_change: Callable[[], None]) -> None:
    """Ask for changes; where the server refuses, polling alone has to do."""
    try:
        await connection.subscribe(nodes, Hint(on_change))
    except DriverError as error:
        _log.warning("no subscription, polling alone: %s", error)


def _return_status(answer: CallAnswer, *, position: int) -> jobs.ReturnStatus:
    """Take the ReturnStatus out of a call's answer; anything else is no answer at all."""
    if not answer.answered:
        raise DriverError(f"calling: {status_name(answer.status)}, which says nothing about whether it was done")
    if len(answer.outputs) != position + 1:
        raise DriverError(f"calling: {len(answer.outputs)} outputs where {position + 1} belong")
    output = answer.outputs[position]
    if output.type is not Builtin.UINT64 or not isinstance(output.value, int):
        raise DriverError(f"calling: the ReturnStatus is not an UInt64 but {output.type.name}")
    return jobs.ReturnStatus(bits=output.value)


def _boot(reading: Reading) -> str:
    if not reading.good or reading.variant.type is not Builtin.DATE_TIME or reading.variant.value is None:
        raise DriverError("the server does not tell when it started, so its memory cannot be judged")
    return str(reading.variant.value)


def _truth(reading: Reading) -> bool | None:
    """Give a good Boolean; None where the machine does not say."""
    value = reading.variant.value
    return value if reading.good and isinstance(value, bool) else None


def _code(reading: Reading) -> str | None:
    value = reading.variant.value
    usable = reading.good and isinstance(value, str | int) and not isinstance(value, bool)
    return str(value) if usable and value != "" else None


def _first_text(reading: Reading) -> str | None:
    value = reading.variant.value
    if isinstance(value, tuple):
        value = value[0] if value else None
    return value[:_MAX_FACT] if reading.good and isinstance(value, str) else None
