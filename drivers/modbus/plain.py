"""A plain machine behind Modbus: the driver, and its coils and registers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

from drivers import plain
from drivers.base import Identity, MonotonicClock, Scalar, Session
from drivers.link import Line, Links
from drivers.modbus.address import Transport, parse_address
from drivers.modbus.machine import ModbusMachine, link_to
from drivers.modbus.places import Area, Span, Spot, bit_spot, plain_faults, spans_of, word_spot
from drivers.modbus.polling import Poller
from drivers.modbus.tags import reads_of, tag_faults
from drivers.modbus.wire import NOT_TAKEN, ExceptionReplyError, ModbusWire
from drivers.modbus.writing import TagWriter
from drivers.plain_session import PlainSession, Points, Terms, plain_identity
from drivers.profile import Memory, Place, PlainMap, Profile
from drivers.scaling import Layout
from drivers.speaking import RefusedWriteError

Cells = Mapping[tuple[Area, int], int]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModbusPlainDriver(ModbusMachine):
    """Opens sessions to one plain machine behind a Modbus connection, which others may share."""

    spec: PlainMap

    @asynccontextmanager
    async def session(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        """Join the link and check that all addresses can be read.

        Modbus tells no changes: `on_change` is never called, the owner's polling has to do.
        """
        del on_change
        async with self.link.use(self.unit) as line:
            points = _Registers(line, unit=self.unit, profile=self.profile, spec=self.spec, timeout_s=self.request_s)
            terms = Terms(
                spec=self.spec,
                answer_s=self.profile.timeout_s,
                persistent=self.profile.memory is Memory.PERSISTENT,
                monotonic=self.monotonic,
            )
            session = _PolledSession(
                points,
                terms=terms,
                identity=plain_identity(self.address, self.spec),
                poller=self.poller(line, reads_of(self.profile.tags)),
                writer=self.writer(line),
            )
            await session.open()
            yield session


def plain_driver(*, url: str, profile: Profile, monotonic: MonotonicClock, links: Links) -> ModbusPlainDriver:
    """Give the driver for one machine; raise `ValueError` for an address or a profile it cannot use."""
    bus, unit = parse_address(url)
    if bus.transport is Transport.SERIAL and find_spec("serial") is None:
        raise ValueError(f"{url!r}: a serial line needs the package pyserial, which is not installed")
    faults = (*plain_faults(profile), *tag_faults(profile))
    if profile.plain is None or faults:
        raise ValueError(f"profile {profile.name}: {'; '.join(faults)}")
    link = link_to(bus, links=links, monotonic=monotonic)
    return ModbusPlainDriver(link=link, bus=bus, unit=unit, spec=profile.plain, profile=profile, monotonic=monotonic)


class _PolledSession(PlainSession):
    """The session of a plain machine whose tags are polled."""

    def __init__(self, points: Points, *, terms: Terms, identity: Identity, poller: Poller, writer: TagWriter) -> None:
        super().__init__(points, terms=terms, identity=identity)
        self.poll, self.take, self.listen = poller.poll, poller.take, poller.listen  # the port's Polled
        self.read_tag, self.write_tag = writer.read_tag, writer.write_tag  # the port's Writable


class _Registers:
    """What one unit shows and takes. All that is ever written is in the profile's map."""

    def __init__(
        self, line: Line[ModbusWire], *, unit: int, profile: Profile, spec: PlainMap, timeout_s: float
    ) -> None:
        self._line, self._unit, self._timeout_s = line, unit, timeout_s
        self._bits = {name: bit_spot(address) for name, address in plain.bits_of(profile, spec).items()}
        self._numbers = {name: _placed(place) for name, place in plain.numbers_of(profile, spec).items()}
        spots = [(spot, 1) for spot in self._bits.values()]
        spots += [(spot, layout.words) for spot, layout in self._numbers.values()]
        self._spans = spans_of(spots)

    async def shown(self) -> Mapping[str, Scalar | None]:
        cells = await self._cells(self._spans)
        bits = {name: bool(cells[(spot.area, spot.number)] >> (spot.bit or 0) & 1) for name, spot in self._bits.items()}
        return bits | {
            name: layout.decode(_words(cells, spot, layout)) for name, (spot, layout) in self._numbers.items()
        }

    async def write(self, values: Sequence[tuple[Place, Scalar]], *, deadline_s: float) -> None:
        words = _encoded(values)
        for span in spans_of((spot, len(some)) for spot, some in words):
            merged = {spot.number + at: word for spot, some in words for at, word in enumerate(some)}
            await self._write(span.first, [merged[at] for at in range(span.first, span.first + span.count)], deadline_s)

    async def holds(self, values: Sequence[tuple[Place, Scalar]]) -> bool:
        words = _encoded(values)
        cells = await self._cells(spans_of((spot, len(some)) for spot, some in words))
        return all(cells[(spot.area, spot.number + at)] == word for spot, some in words for at, word in enumerate(some))

    async def switch(self, address: str, *, on: bool, deadline_s: float | None = None) -> None:
        spot = bit_spot(address)
        if spot.area is Area.COIL:
            await self._exchange(lambda wire: wire.write_coil(self._unit, spot.number, on=on), deadline_s)
            return
        # The other bits of the register are written as they are; none of them is one that the profile reads.
        cells = await self._cells(spans_of([(spot, 1)]))
        bit = 1 << (spot.bit or 0)
        word = cells[(spot.area, spot.number)] & ~bit | (bit if on else 0)
        await self._exchange(lambda wire: wire.write(self._unit, spot.number, word), deadline_s)

    async def _write(self, first: int, words: Sequence[int], deadline_s: float) -> None:
        if len(words) == 1:
            await self._exchange(lambda wire: wire.write(self._unit, first, words[0]), deadline_s)
        else:
            await self._exchange(lambda wire: wire.write_many(self._unit, first, words), deadline_s)

    async def _exchange(self, call: Callable[[ModbusWire], Awaitable[None]], deadline_s: float | None) -> None:
        with _not_taken():
            await self._line.exchange(call, timeout_s=self._timeout_s, deadline_s=deadline_s)

    async def _cells(self, spans: Sequence[Span]) -> Cells:
        cells: dict[tuple[Area, int], int] = {}
        for span in spans:
            found = await self._line.exchange(partial(self._read, span), timeout_s=self._timeout_s)
            cells |= {(span.area, span.first + at): int(value) for at, value in enumerate(found)}
        return cells

    async def _read(self, span: Span, wire: ModbusWire) -> Sequence[int]:
        return await wire.read_span(self._unit, span)


@contextmanager
def _not_taken() -> Iterator[None]:
    """Tell a write that the unit refused from one whose outcome is not known."""
    try:
        yield
    except ExceptionReplyError as error:
        if error.code in NOT_TAKEN:
            raise RefusedWriteError(f"the machine did not take a write ({error})") from error
        raise


def _placed(place: Place) -> tuple[Spot, Layout]:
    layout = plain.layout_of(place)
    return word_spot(place.address, layout.words), layout


def _words(cells: Cells, spot: Spot, layout: Layout) -> list[int]:
    return [cells[(spot.area, spot.number + at)] for at in range(layout.words)]


def _encoded(values: Sequence[tuple[Place, Scalar]]) -> list[tuple[Spot, tuple[int, ...]]]:
    """Give the registers of each value; raise `ValueError` where they cannot carry it."""
    placed = [(_placed(place), value) for place, value in values]
    return [(spot, layout.encode(value)) for (spot, layout), value in placed]
