"""A machine with the mailbox map behind Modbus: the driver, and its two blocks of holding registers."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec

from drivers import mailbox
from drivers.base import DriverError, Identity, MonotonicClock, Session
from drivers.handshake import Blocks, MailboxSession, Terms, check_pace, mailbox_identity
from drivers.link import Line, Links
from drivers.mailbox import PermitBits
from drivers.modbus.address import Transport, parse_address
from drivers.modbus.machine import ModbusMachine, link_to
from drivers.modbus.places import mailbox_faults
from drivers.modbus.polling import Poller
from drivers.modbus.tags import Fence, reads_of, tag_faults
from drivers.modbus.wire import NOT_TAKEN, ExceptionReplyError, ModbusWire
from drivers.modbus.writing import TagWriter
from drivers.profile import MailboxMap, Profile
from drivers.speaking import RefusedWriteError


@dataclass(frozen=True, kw_only=True, slots=True)
class ModbusMailboxDriver(ModbusMachine):
    """Opens sessions to one machine with mailbox map v1 behind a Modbus connection, which others may share."""

    spec: MailboxMap
    bits: PermitBits

    @asynccontextmanager
    async def session(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        """Join the link, check the map and that the PLC runs, take back what an earlier session left.

        Modbus tells no changes: `on_change` is never called, the owner's polling has to do.
        """
        del on_change
        async with self.link.use(self.unit) as line:
            blocks = _Registers(line, unit=self.unit, spec=self.spec, timeout_s=self.request_s)
            terms = Terms(spec=self.spec, bits=self.bits, answer_s=self.profile.timeout_s, monotonic=self.monotonic)
            identity = mailbox_identity(self.address)
            session = _PolledSession(blocks, terms=terms, identity=identity, writer=self.writer(line))
            await session.open()
            session.polled_by(self.poller(line, reads_of(self.profile.tags, _fence(self.spec)), session.prove))
            yield session


def mailbox_driver(*, url: str, profile: Profile, monotonic: MonotonicClock, links: Links) -> ModbusMailboxDriver:
    """Give the driver for one machine; raise `ValueError` for an address or a profile it cannot use."""
    bus, unit = parse_address(url)
    if bus.transport is Transport.SERIAL and find_spec("serial") is None:
        raise ValueError(f"{url!r}: a serial line needs the package pyserial, which is not installed")
    faults = (*mailbox_faults(profile), *tag_faults(profile))
    if profile.mailbox is None or faults:
        raise ValueError(f"profile {profile.name}: {'; '.join(faults)}")
    check_pace(profile)
    link = link_to(bus, links=links, monotonic=monotonic)
    return ModbusMailboxDriver(
        link=link,
        bus=bus,
        unit=unit,
        spec=profile.mailbox,
        bits=PermitBits.of(profile),
        profile=profile,
        monotonic=monotonic,
    )


class _PolledSession(MailboxSession):
    """The session of a machine behind the mailbox whose tags are polled."""

    def __init__(self, blocks: Blocks, *, terms: Terms, identity: Identity, writer: TagWriter) -> None:
        super().__init__(blocks, terms=terms, identity=identity)
        self.read_tag, self.write_tag = writer.read_tag, writer.write_tag  # the port's Writable

    def polled_by(self, poller: Poller) -> None:
        """Have its tags read by this poller."""
        self.poll, self.take, self.listen = poller.poll, poller.take, poller.listen  # the port's Polled


def _fence(spec: MailboxMap) -> Fence:
    """Give the status block, which the PLC may be writing while it is read."""
    return Fence(first=spec.status_base, count=mailbox.STATUS_WORDS, before=mailbox.SNAP_A, after=mailbox.SNAP_B)


class _Registers:
    """The two blocks of one unit. All that is ever written lies between C's first and last register."""

    def __init__(self, line: Line[ModbusWire], *, unit: int, spec: MailboxMap, timeout_s: float) -> None:
        self._line, self._unit, self._spec, self._timeout_s = line, unit, spec, timeout_s

    async def status(self) -> Sequence[int]:
        return await self._read(self._spec.status_base, mailbox.STATUS_WORDS)

    async def command(self) -> Sequence[int]:
        return await self._read(self._spec.command_base, mailbox.COMMAND_WORDS)

    async def payload(self, words: Sequence[int], *, deadline_s: float | None = None) -> None:
        first = self._writable(mailbox.PAYLOAD_AT, len(words))
        try:
            await self._line.exchange(
                lambda wire: wire.write_many(self._unit, first, words),
                timeout_s=self._timeout_s,
                deadline_s=deadline_s,
            )
        except ExceptionReplyError as error:
            if error.code in NOT_TAKEN:
                raise RefusedWriteError(f"the payload was not taken ({error})") from error
            raise

    async def commit(self, seq: int, *, deadline_s: float | None = None) -> None:
        await self._write(mailbox.CMD_SEQ, seq, deadline_s)

    async def heartbeat(self, count: int) -> None:
        await self._write(mailbox.GW_HEARTBEAT, count, None)

    async def _read(self, address: int, count: int) -> Sequence[int]:
        return await self._line.exchange(lambda wire: wire.read(self._unit, address, count), timeout_s=self._timeout_s)

    async def _write(self, offset: int, value: int, deadline_s: float | None) -> None:
        address = self._writable(offset, 1)
        await self._line.exchange(
            lambda wire: wire.write(self._unit, address, value), timeout_s=self._timeout_s, deadline_s=deadline_s
        )

    def _writable(self, offset: int, count: int) -> int:
        """Give the address of an offset in C; nothing outside that block is ever written (R8)."""
        if not 0 <= offset <= offset + count <= mailbox.COMMAND_WORDS:
            raise DriverError(f"{count} registers from offset {offset} do not lie in the command block")
        return self._spec.command_base + offset
