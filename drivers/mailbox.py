"""Mailbox map v1: the status block of a job handshake, and what it proves (pure).

The PLC owns the status block S (64 words), the gateway the command block C (59 words). A command is
written as a payload first and committed by one single word, so that nothing half-written is executed.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from drivers.base import Answer, Command, CommandKind, Finding, JobPhase, Look, Permits, Receipt
from drivers.profile import Profile, WordOrder

STATUS_WORDS = 64
COMMAND_WORDS = 59
SNAP_A, SNAP_B = 9, 63  # offsets in S; equal in a block that was not being written
GW_HEARTBEAT = 0  # offsets in C
CMD = 1
PAYLOAD_AT = 1
PAYLOAD_WORDS = 56
CMD_SEQ = 58
LOADING = frozenset({CommandKind.LOAD, CommandKind.LOAD_START})
MAGIC = 0x4A43
MAP_VERSION = 1
MAY_START_ITSELF = 3  # bits of PERMIT whose place the map fixes
HANDED_OVER = 4

_SWAPPED_MAGIC = 0x434A
_TEST_U32 = 0x01020304
_TEST_F32 = 0x42F6E979  # 123.456
_TEST_STR = 0x4142  # "AB"


class MailboxError(ValueError):
    """The registers do not hold what the map says; the text says what they hold instead."""


class TornError(MailboxError):
    """The block was read while the PLC was writing it: read it again."""


class AckCode(IntEnum):
    """The PLC's answer to one command."""

    OK = 1
    DUPLICATE = 2
    UNKNOWN_JOB = 3
    WRONG_STATE = 4
    CANNOT_ACCEPT = 5
    BAD_PAYLOAD = 6
    BAD_PARAMETER = 7
    DISCARDED_AT_BOOT = 8


_REFUSED = {
    AckCode.UNKNOWN_JOB: "unknown job (ACK_CODE 3)",
    AckCode.WRONG_STATE: "not possible in the job's state (ACK_CODE 4)",
    AckCode.CANNOT_ACCEPT: "unable to accept: slot taken, not in remote, or not handed over (ACK_CODE 5)",
    AckCode.BAD_PAYLOAD: "the payload arrived damaged (ACK_CODE 6)",
    AckCode.BAD_PARAMETER: "a parameter is not allowed (ACK_CODE 7)",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """One consistent status block; counts are pieces of the slot's job."""

    boot: int
    heartbeat: int
    ack_seq: int
    ack_code: int
    hwm_job: int
    slot_job: int
    job_state: int
    job_reason: int = 0
    qty_target: int = 0
    qty_produced: int = 0
    qty_good: int = 0
    qty_scrap: int = 0
    recipe_echo: int = 0
    crc_echo: int = 0
    mach_state: int = 0
    mach_mode: int = 0
    total_produced: int = 0
    total_good: int = 0
    alarm: int = 0
    permit: int = 0
    run_seconds: int = 0
    setup_echo: int = 0
    order_id: str = ""

    @property
    def phase(self) -> JobPhase | None:
        """Give the phase of the slot's job, None while the slot is free."""
        return JobPhase(self.job_state) if self.slot_job else None


@dataclass(frozen=True, kw_only=True, slots=True)
class PermitBits:
    """Which bits of PERMIT say what; `handed_over` None where the machine has no such bit."""

    remote: int = 0
    ready: int = 1
    handed_over: int | None = HANDED_OVER

    @classmethod
    def of(cls, profile: Profile) -> "PermitBits":
        """Read the profile's addresses, `PERMIT.0` to `PERMIT.15`; raise `ValueError` for others."""
        tags = profile.permits
        handed_over = None if tags.handed_over is None else _permit_bit(tags.handed_over)
        return cls(remote=_permit_bit(tags.remote), ready=_permit_bit(tags.ready), handed_over=handed_over)


def decode_status(words: Sequence[int], order: WordOrder) -> Status:
    """Decode and check a status block; raise `TornError` to read again, `MailboxError` for no map at all."""
    if len(words) != STATUS_WORDS:
        raise MailboxError(f"{len(words)} words where the status block has {STATUS_WORDS}")
    _check_map(words, order)
    if words[SNAP_A] != words[SNAP_B]:
        raise TornError(f"the block was being written (SNAP_A {words[SNAP_A]}, SNAP_B {words[SNAP_B]})")

    def u32(at: int) -> int:
        return _u32(words, at, order)

    slot, state = u32(14), words[16]
    if slot and state == 0:
        raise TornError(f"job {slot} is just being taken over or left (JOB_STATE 0)")
    if state > JobPhase.ABORTED:
        raise MailboxError(f"JOB_STATE is {state}, and 6 is the highest there is")
    return Status(
        boot=words[7],
        heartbeat=words[8],
        ack_seq=words[10],
        ack_code=words[11],
        hwm_job=u32(12),
        slot_job=slot,
        job_state=state,
        job_reason=words[17],
        qty_target=u32(18),
        qty_produced=u32(20),
        qty_good=u32(22),
        qty_scrap=u32(24),
        recipe_echo=words[26],
        crc_echo=words[27],
        mach_state=words[28],
        mach_mode=words[29],
        total_produced=u32(30),
        total_good=u32(32),
        alarm=words[34],
        permit=words[35],
        run_seconds=u32(36),
        setup_echo=words[39],
        order_id=_text(words[40:56]),
    )


def next_seq(ack_seq: int) -> int:
    """Give the commit word that follows: 1 to 65535, then 1 again."""
    return ack_seq % 0xFFFF + 1


def is_pending(cmd_seq: int, status: Status) -> bool:
    """Say whether a committed command still waits for the PLC."""
    return cmd_seq not in {0, status.ack_seq}


def beats(earlier: int, later: int) -> int:
    """Count how often HEARTBEAT was raised in between; it skips 0."""
    return (later - earlier) % 0xFFFF


def permits_of(status: Status, bits: PermitBits, *, alive: bool = True) -> Permits:
    """Give what the machine allows; nothing is known of a PLC whose heartbeat stands still.

    A panel counts as handed over only with MAY_START_ITSELF: without it each job needs its own press.
    """
    if not alive:
        return Permits(remote=None, ready=None, handed_over=None)
    handed_over = None
    if bits.handed_over is not None:
        handed_over = _bit(status.permit, bits.handed_over) and _bit(status.permit, MAY_START_ITSELF)
    return Permits(
        remote=_bit(status.permit, bits.remote), ready=_bit(status.permit, bits.ready), handed_over=handed_over
    )


def look_of(status: Status, bits: PermitBits, *, alive: bool = True) -> Look:
    """Give the look at a machine that its status block is; the slot's job goes by its ORDER_ID."""
    name = status.order_id or f"job {status.slot_job}"
    return Look(
        boot=str(status.boot),
        permits=permits_of(status, bits, alive=alive),
        jobs=(finding_of(status, name),) if status.slot_job else (),
        setup_code=str(status.setup_echo) if status.setup_echo else None,
        mark=status.hwm_job,
    )


def finding_of(status: Status, job_id: str) -> Finding:
    """Give what the block says of one job: all of it for the slot's job, else what the memory proves."""
    if status.slot_job == 0 or (status.order_id or f"job {status.slot_job}") != job_id:
        slot = "the slot is free" if status.slot_job == 0 else f"the slot holds {_slot(status)}"
        return Finding(
            job_id=job_id,
            phase=None,
            evidence=f"unknown job: {slot}; HWM_JOB {status.hwm_job}, BOOT_CNT {status.boot}",
            mark=status.hwm_job,
        )
    return Finding(
        job_id=job_id,
        phase=status.phase,
        evidence=f"in the slot: {_slot(status)}, produced {status.qty_produced}, good {status.qty_good}",
        produced=status.qty_produced,
        good=status.qty_good,
        reason=f"reason code {status.job_reason}" if status.job_reason else None,
        mark=status.hwm_job,
    )


def receipt_of(command: Command, seq: int, status: Status) -> Receipt | None:
    """Give the PLC's answer to the command committed as `seq`, None while there is none.

    Raise `MailboxError` for an answer that proves nothing: the command may have been executed. Valid
    only while BOOT_CNT is as it was at the commit.
    """
    if status.ack_seq != seq:
        return None
    evidence = f"{_slot(status)}; HWM_JOB {status.hwm_job}, ACK_SEQ {seq}"
    loading = command.kind in LOADING
    match status.ack_code:
        case AckCode.OK:
            return Receipt(answer=Answer.ACCEPTED, evidence=f"ok (ACK_CODE 1): {evidence}")
        case AckCode.DUPLICATE if loading:
            if status.hwm_job < command.job_no:
                raise MailboxError(f"already accepted (ACK_CODE 2), and yet HWM_JOB is {status.hwm_job}")
            evidence = f"already accepted earlier (ACK_CODE 2): {evidence}"
            return Receipt(answer=Answer.ACCEPTED, evidence=evidence, known=True)
        case AckCode.DUPLICATE:
            return Receipt(answer=Answer.REFUSED, evidence=f"a repetition (ACK_CODE 2): {evidence}")
        case AckCode.DISCARDED_AT_BOOT:
            # A memory that lags behind may discard again what was executed before a power cut.
            raise MailboxError("discarded when the PLC started (ACK_CODE 8), which proves nothing by itself")
        case code if code in _REFUSED:
            no_room = loading and code == AckCode.CANNOT_ACCEPT
            return Receipt(answer=Answer.REFUSED, evidence=f"{_REFUSED[AckCode(code)]}: {evidence}", busy=no_room)
        case code:
            raise MailboxError(f"ACK_CODE is {code}, which the map does not know")


def withdrawal_of(command: Command, status: Status) -> Receipt:
    """Judge a withdrawal from the block read two heartbeats after the commit word was taken back."""
    if status.hwm_job < command.job_no:
        evidence = f"never accepted (HWM_JOB {status.hwm_job}, BOOT_CNT {status.boot}), and nothing is left to accept"
        return Receipt(answer=Answer.ACCEPTED, evidence=evidence)
    if status.slot_job == command.job_no:
        return Receipt(answer=Answer.REFUSED, evidence=f"accepted already: {_slot(status)}; abort it at the machine")
    evidence = f"accepted earlier and no longer there (HWM_JOB {status.hwm_job}): what became of it is not known"
    return Receipt(answer=Answer.REFUSED, evidence=evidence)


def _check_map(words: Sequence[int], order: WordOrder) -> None:
    if words[0] != MAGIC:
        swapped = "; the bytes of each register are swapped" if words[0] == _SWAPPED_MAGIC else ""
        raise MailboxError(f"MAGIC is 0x{words[0]:04X} where 0x{MAGIC:04X} belongs: no mailbox here{swapped}")
    if words[1] != MAP_VERSION:
        raise MailboxError(f"MAP_VER is {words[1]}, and {MAP_VERSION} is understood")
    expected = {"TEST_U32": (2, _TEST_U32), "TEST_F32": (4, _TEST_F32)}
    for name, (at, value) in expected.items():
        found = _u32(words, at, order)
        if found != value:
            other = "CDAB" if order is WordOrder.ABCD else "ABCD"
            turned = f": set word_order to {other}" if found == (value << 16 | value >> 16) & 0xFFFF_FFFF else ""
            raise MailboxError(f"{name} is 0x{found:08X} where 0x{value:08X} belongs{turned}")
    if words[6] != _TEST_STR:
        raise MailboxError(f"TEST_STR is 0x{words[6]:04X} where 0x{_TEST_STR:04X} ('AB') belongs")


def _u32(words: Sequence[int], at: int, order: WordOrder) -> int:
    high, low = (words[at], words[at + 1]) if order is WordOrder.ABCD else (words[at + 1], words[at])
    return high << 16 | low


def _text(words: Sequence[int]) -> str:
    octets = struct.pack(f">{len(words)}H", *words).partition(b"\0")[0]
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in octets.decode("latin-1"))


def _bit(word: int, place: int) -> bool:
    return bool(word >> place & 1)


def _permit_bit(address: str) -> int:
    name, _, place = address.partition(".")
    if name != "PERMIT" or not (place.isascii() and place.isdecimal()) or int(place) > 15:  # noqa: PLR2004
        raise ValueError(f"{address!r} is no bit of the mailbox's permits: write PERMIT.0 to PERMIT.15")
    return int(place)


def _slot(status: Status) -> str:
    if status.slot_job == 0:
        return "slot free"
    state = JobPhase(status.job_state).name
    return f"job {status.slot_job} ({status.order_id or 'no ORDER_ID'}) {state}"
