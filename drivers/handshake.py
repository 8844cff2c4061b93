"""The mailbox handshake as the driver port: look, ask, send, beat over any two blocks of words."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from drivers import mailbox
from drivers.base import Answer, Command, CommandKind, DriverError, Finding, Identity, Look, MonotonicClock, Receipt
from drivers.mailbox import MailboxError, PermitBits, Status, TornError
from drivers.mailbox_command import KINDS, UnsendableError, empty_payload, encode_payload
from drivers.profile import MailboxMap, Profile
from drivers.speaking import RefusedWriteError, Speaking

STALE_S = 5.0  # a heartbeat that stands still for longer: the PLC does not run
BEAT_S = 1.0
_TORN_READS = 5
_TORN_WAIT_S = 0.01
_POLL_FIRST_S = 0.01
_POLL_MAX_S = 0.1
_TAKEN_BACK_BEATS = 2
_LOOK_MAX_S = 3.0  # the PLC takes a gateway for dead after 10 s


class Blocks(Protocol):
    """The two blocks on some protocol. Every call has a deadline and raises `DriverError` past it.

    With `deadline_s` (a reading of the monotonic clock) nothing is put on the wire at or after it.
    """

    async def status(self) -> Sequence[int]:
        """Read the 64 words of S in one transaction."""
        ...

    async def command(self) -> Sequence[int]:
        """Read the 59 words of C in one transaction."""
        ...

    async def payload(self, words: Sequence[int], *, deadline_s: float | None = None) -> None:
        """Write the 56 words of C from CMD to PAYLOAD_CRC."""
        ...

    async def commit(self, seq: int, *, deadline_s: float | None = None) -> None:
        """Write CMD_SEQ alone."""
        ...

    async def heartbeat(self, count: int) -> None:
        """Write GW_HEARTBEAT alone."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What a session over the mailbox goes by; `answer_s`: how long the PLC may take to acknowledge."""

    spec: MailboxMap
    bits: PermitBits
    answer_s: float
    monotonic: MonotonicClock


class _RestartedError(DriverError):
    """The PLC is not the one, or not the run of it, that the session was opened with."""


class MailboxSession(Speaking):
    """One session; after a `DriverError` or a cancelled call it answers nothing any more.

    All it says comes from one run of the PLC: a changed BOOT_CNT, a falling HWM_JOB or a heartbeat that
    stands still ends the session.
    """

    def __init__(self, blocks: Blocks, *, terms: Terms, identity: Identity) -> None:
        super().__init__(foreign=MailboxError)
        self._blocks, self._terms, self._identity = blocks, terms, identity
        self._first: Status | None = None
        self._last: Status | None = None
        self._moved_at = terms.monotonic()  # when HEARTBEAT was last seen to have moved
        self._beat_at: float | None = None
        self._beat = 0

    @property
    def identity(self) -> Identity:
        """Give who the machine said it was when the session was opened."""
        return self._identity

    async def open(self) -> None:
        """Check the map and that the PLC runs; take back what an earlier session left in the command block."""
        with self._speaking():
            status = await self._status()
            block = await self._blocks.command()
            self._beat = block[mailbox.GW_HEARTBEAT]
            await self._beats(1, since=status.heartbeat)
            if block[mailbox.CMD] or mailbox.is_pending(block[mailbox.CMD_SEQ], status):
                # Whoever wrote it is gone, so it is past its deadline (R7). Left there it would be executed at
                # any later time, also by a commit that is still under way.
                await self._take_back()

    async def look(self) -> Look:
        """Read the status block."""
        with self._speaking():
            return mailbox.look_of(await self._status(), self._terms.bits)

    async def ask(self, job_id: str) -> Finding:
        """Read the status block for what it says of one job."""
        with self._speaking():
            return mailbox.finding_of(await self._status(), job_id)

    async def prove(self) -> None:
        """See whether the PLC is still the one, and the run of it, that the session was opened with.

        Raise `DriverError` where it is not. It does not end the session and may be called beside any other call, whose
        own reading of the status will do that.
        """
        try:
            status = await self._consistent()
        except MailboxError as error:
            raise DriverError(str(error)) from error
        if self._first is not None and status.boot != self._first.boot:
            raise DriverError(f"the PLC has restarted (BOOT_CNT {status.boot}, was {self._first.boot})")

    async def beat(self) -> None:
        """Raise GW_HEARTBEAT when the last time is a second ago: without it the PLC starts no job."""
        with self._speaking():
            await self._raise_heartbeat()

    async def send(self, command: Command) -> Receipt:
        """Write the payload, read it back, commit it by one word, and wait for the PLC's answer."""
        if command.kind not in self._identity.kinds:
            return _refused(f"not sent: the mailbox has no command {command.kind.value}")
        with self._speaking():
            if command.kind is CommandKind.CANCEL:
                return await self._cancel(command)
            try:
                payload = encode_payload(command, self._terms.spec)
            except UnsendableError as error:
                return _refused(f"not sent: {error}")
            return await self._dispatch(command, payload)

    async def _dispatch(self, command: Command, payload: tuple[int, ...]) -> Receipt:
        try:
            await self._raise_heartbeat()
            before = await self._free(command.deadline_s)
        except _RestartedError as error:
            self._broken = str(error)
            return _refused(f"not sent: {error}")
        if before is None:
            return _refused("not sent: another command lies in the mailbox, unanswered")
        try:
            await self._blocks.payload(payload, deadline_s=command.deadline_s)
        except RefusedWriteError as error:
            return _refused(f"not sent: {error}")
        if not await self._lies_ready(payload, before):
            return _refused("not sent: the payload reads back changed; does something else write to the mailbox?")
        seq = mailbox.next_seq(before.ack_seq)
        await self._blocks.commit(seq, deadline_s=command.deadline_s)
        return await self._answer(command, seq)

    async def _lies_ready(self, payload: tuple[int, ...], before: Status) -> bool:
        """Read the payload back; raise where something committed it already: then it may be executed."""
        block = await self._blocks.command()
        status = await self._status()
        if mailbox.is_pending(block[mailbox.CMD_SEQ], status) or status.ack_seq != before.ack_seq:
            raise DriverError("a commit came that this session did not send: the command may have been executed")
        at = mailbox.PAYLOAD_AT
        return tuple(block[at : at + mailbox.PAYLOAD_WORDS]) == payload

    async def _free(self, deadline_s: float) -> Status | None:
        """Wait until no command is pending; None where that does not happen before the deadline."""
        pause_s = _POLL_FIRST_S
        while True:
            status = await self._status()
            block = await self._blocks.command()
            if not mailbox.is_pending(block[mailbox.CMD_SEQ], status):
                return status
            if self._terms.monotonic() >= deadline_s:
                return None
            pause_s = await _pause(pause_s)

    async def _answer(self, command: Command, seq: int) -> Receipt:
        until_s = self._terms.monotonic() + self._terms.answer_s
        pause_s = _POLL_FIRST_S
        while True:
            status = await self._status()
            if (receipt := mailbox.receipt_of(command, seq, status)) is not None:
                return receipt
            if self._terms.monotonic() >= until_s:
                raise DriverError(f"command {seq} was committed and not answered within {self._terms.answer_s:g} s")
            await self._raise_heartbeat()
            pause_s = await _pause(pause_s)

    async def _cancel(self, command: Command) -> Receipt:
        """Take back whatever is committed; cancelled is a job that the PLC has then never accepted."""
        if self._terms.monotonic() >= command.deadline_s:
            raise DriverError("not sent: the command's deadline has passed")
        await self._take_back()
        return mailbox.withdrawal_of(command, await self._status())

    async def _take_back(self) -> None:
        """Leave nothing that could still be executed: no commit word, and no payload for one that comes late."""
        await self._blocks.commit(0)
        await self._blocks.payload(empty_payload())
        status = await self._status()
        await self._beats(_TAKEN_BACK_BEATS, since=status.heartbeat)
        block = await self._blocks.command()
        if block[mailbox.CMD_SEQ] != 0:
            raise DriverError(f"CMD_SEQ is {block[mailbox.CMD_SEQ]} again after it was taken back")

    async def _beats(self, count: int, *, since: int) -> None:
        """Wait until the PLC has raised HEARTBEAT `count` times; `_status` bounds it where it stands still."""
        pause_s = _POLL_FIRST_S
        while mailbox.beats(since, (await self._status()).heartbeat) < count:
            pause_s = await _pause(pause_s)

    async def _raise_heartbeat(self) -> None:
        now_s = self._terms.monotonic()
        if self._beat_at is not None and now_s - self._beat_at < BEAT_S:
            return
        self._beat = mailbox.next_seq(self._beat)
        await self._blocks.heartbeat(self._beat)
        self._beat_at = now_s

    async def _status(self) -> Status:
        """Read a consistent status block of the same run of the PLC, which is alive."""
        status = await self._consistent()
        first = self._first = self._first or status
        last, self._last = self._last or status, status
        if status.boot != first.boot:
            raise _RestartedError(f"the PLC has restarted (BOOT_CNT {status.boot}, was {first.boot})")
        if status.hwm_job < last.hwm_job:
            raise _RestartedError(f"the PLC's memory went back (HWM_JOB {status.hwm_job}, was {last.hwm_job})")
        now_s = self._terms.monotonic()
        if status.heartbeat != last.heartbeat:
            self._moved_at = now_s
        elif now_s - self._moved_at > STALE_S:
            raise DriverError(f"the PLC does not run: its heartbeat stands at {status.heartbeat}")
        return status

    async def _consistent(self) -> Status:
        for _ in range(_TORN_READS - 1):
            try:
                return mailbox.decode_status(await self._blocks.status(), self._terms.spec.word_order)
            except TornError:
                await asyncio.sleep(_TORN_WAIT_S)
        return mailbox.decode_status(await self._blocks.status(), self._terms.spec.word_order)


def mailbox_identity(text: str) -> Identity:
    """Give the identity of a machine behind the mailbox; the map has no serial number, so its address names it."""
    return Identity(text=f"{text}; mailbox map {mailbox.MAP_VERSION}", kinds=KINDS)


def check_pace(profile: Profile) -> None:
    """Raise `ValueError` for a profile whose machine is looked at too seldom for its PLC."""
    if profile.poll_s > _LOOK_MAX_S:
        raise ValueError(
            f"profile {profile.name}: poll_s {profile.poll_s:g} is too slow; at {_LOOK_MAX_S:g} s the PLC still sees us"
        )


def _refused(evidence: str) -> Receipt:
    return Receipt(answer=Answer.REFUSED, evidence=evidence)


async def _pause(pause_s: float) -> float:
    """Wait, and give a longer time for the next wait."""
    await asyncio.sleep(pause_s)
    return min(2 * pause_s, _POLL_MAX_S)
