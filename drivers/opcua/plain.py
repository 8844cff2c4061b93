"""A plain machine behind an OPC UA server: the driver, and its nodes."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds

from drivers import plain
from drivers.base import DriverError, MonotonicClock, Scalar, Security, Session
from drivers.opcua.binary import Builtin
from drivers.opcua.channel import connect
from drivers.opcua.connection import Connection, node_id, status_name
from drivers.opcua.places import plain_faults
from drivers.opcua.publishing import Hint
from drivers.opcua.sampling import sampled
from drivers.opcua.telemetry import Telemetry
from drivers.opcua.writes import TagWriter, check_taken, fitted, scalar_of
from drivers.plain_session import PlainSession, Terms, plain_identity
from drivers.profile import Memory, Place, PlainMap, Profile
from drivers.speaking import RefusedWriteError

_START_TIME: Final = node_id(ObjectIds.Server_ServerStatus_StartTime)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpcuaPlainDriver:
    """Opens sessions to one plain machine behind an OPC UA server."""

    url: str
    spec: PlainMap
    profile: Profile
    security: Security
    monotonic: MonotonicClock

    @asynccontextmanager
    async def session(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        """Connect, check the certificate, find all nodes and learn their types, subscribe to the machine's signs."""
        opening = connect(
            url=self.url, security=self.security, timeout_s=self.profile.timeout_s, monotonic=self.monotonic
        )
        async with opening as (connection, shown):
            nodes = await _Nodes.find(connection, self.profile, self.spec)
            terms = Terms(
                spec=self.spec,
                answer_s=self.profile.timeout_s,
                persistent=self.profile.memory is Memory.PERSISTENT,
                monotonic=self.monotonic,
            )
            identity = plain_identity(f"{self.url}; certificate {shown or 'none'}", self.spec)
            session = _Session(nodes, terms=terms, identity=identity)
            await session.open()
            await connection.subscribe(nodes.signs, Hint(on_change))
            session.add(await sampled(connection, self.profile, self.monotonic), TagWriter(connection, self.profile))
            yield session


def plain_driver(*, url: str, profile: Profile, security: Security, monotonic: MonotonicClock) -> OpcuaPlainDriver:
    """Give the driver for one machine; raise `ValueError` for a profile it cannot use."""
    faults = plain_faults(profile)
    if profile.plain is None or faults:
        raise ValueError(f"profile {profile.name}: {'; '.join(faults)}")
    return OpcuaPlainDriver(url=url, spec=profile.plain, profile=profile, security=security, monotonic=monotonic)


class _Session(PlainSession):
    """The machine's signs, the tags beside them, and those that are written by hand."""

    def add(self, telemetry: Telemetry, writer: TagWriter) -> None:
        """Give the blocks of this telemetry from now on, and let people write by hand."""
        self.take, self.listen = telemetry.take, telemetry.gathering.listen  # the port's Sampler
        self.read_tag, self.write_tag = writer.read_tag, writer.write_tag  # the port's Writable


class _Nodes:
    """What the machine's nodes show and take. All that is ever written is in the profile's map."""

    def __init__(self, connection: Connection, nodes: Mapping[str, ua.NodeId]) -> None:
        self._connection = connection
        self._shown = nodes
        self._types: dict[str, tuple[ua.NodeId, Builtin]] = {}

    @classmethod
    async def find(cls, connection: Connection, profile: Profile, spec: PlainMap) -> "_Nodes":
        """Resolve the addresses and read the types of what is written; raise `DriverError` where one is missing."""
        addresses = plain.bits_of(profile, spec)
        addresses |= {name: place.address for name, place in plain.numbers_of(profile, spec).items()}
        found = cls(connection, {"boot": _START_TIME} | {name: connection.node(at) for name, at in addresses.items()})
        fixed = [spec.start, spec.quantity.address]
        fixed += [spec.reset_done] if spec.reset_done is not None else []
        fixed += [spec.recipe.address] if spec.recipe is not None else []
        fixed += [place.address for recipe in spec.recipes.values() for place in recipe.parameters.values()]
        await found._learn(dict.fromkeys(fixed))
        return found

    @property
    def signs(self) -> list[ua.NodeId]:
        """Give the nodes whose change is worth a look."""
        wanted = ("busy", "done", "remote", "ready", "handed_over")
        return [self._shown[name] for name in wanted if name in self._shown]

    async def shown(self) -> Mapping[str, Scalar | None]:
        readings = await self._connection.read(list(self._shown.values()))
        return {name: scalar_of(reading) for name, reading in zip(self._shown, readings, strict=True)}

    async def write(self, values: Sequence[tuple[Place, Scalar]], *, deadline_s: float) -> None:
        await self._write([(place.address, self._raw(place, value)) for place, value in values], deadline_s)

    async def holds(self, values: Sequence[tuple[Place, Scalar]]) -> bool:
        wanted = [self._raw(place, value) for place, value in values]
        readings = await self._connection.read([self._types[place.address][0] for place, _ in values])
        return all(reading.good and reading.variant.value == raw for reading, raw in zip(readings, wanted, strict=True))

    async def switch(self, address: str, *, on: bool, deadline_s: float | None = None) -> None:
        await self._write([(address, on)], deadline_s)

    async def _learn(self, addresses: Mapping[str, None]) -> None:
        nodes = [self._connection.node(address) for address in addresses]
        readings = await self._connection.read(nodes)
        for address, node, reading in zip(addresses, nodes, readings, strict=True):
            if not reading.good or reading.variant.array:
                raise DriverError(f"{address!r} cannot be read: {status_name(reading.status)}")
            self._types[address] = (node, reading.variant.type)

    def _raw(self, place: Place, value: Scalar) -> Scalar:
        return fitted(value, place, self._types[place.address][1])

    async def _write(self, values: Sequence[tuple[str, Scalar]], deadline_s: float | None) -> None:
        typed = [(*self._types[address], raw) for address, raw in values]
        statuses = await self._connection.write(
            [(node, ua.Variant(raw, ua.VariantType(int(kind)))) for node, kind, raw in typed], deadline_s=deadline_s
        )
        check_taken(statuses, RefusedWriteError)
