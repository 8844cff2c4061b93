"""What the one right reply to a request looks like, judged on the raw bytes (Modbus Application Protocol 1.1b3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from drivers.mailbox_command import crc16

READ_COILS = 1
READ_DISCRETE = 2
READ_HOLDING = 3
READ_INPUT = 4
WRITE_COIL = 5
WRITE_ONE = 6
WRITE_MANY = 16

_EXCEPTION = 0x80
_EXCEPTION_LENGTH = 2
_TCP_HEADER = 7  # transaction (2), protocol (2), length (2), unit (1)
_RTU_UNIT = 1
_RTU_CRC = 2

EXCEPTIONS: Mapping[int, str] = MappingProxyType(
    {
        1: "illegal function",
        2: "illegal register address",
        3: "illegal value",
        4: "device failure",
        5: "acknowledged, still busy with it",
        6: "device busy",
        7: "negative acknowledge",
        8: "memory parity error",
        10: "the gateway has no path to the unit",
        11: "the unit does not answer the gateway",
    }
)
NO_UNIT = frozenset({10, 11})  # what a gateway answers in the place of a unit


class Reply(Enum):
    """Whether the bytes that have come are the reply."""

    PARTIAL = "partial"
    WHOLE = "whole"


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """The reply that a request to `unit` must get: after the function code come `head`, then `more` free bytes."""

    unit: int
    function: int
    head: bytes
    more: int = 0

    @classmethod
    def of_read(cls, unit: int, count: int, function: int = READ_HOLDING) -> "Expected":
        """Give the reply to reading `count` registers."""
        return cls(unit=unit, function=function, head=bytes([2 * count]), more=2 * count)

    @classmethod
    def of_read_bits(cls, unit: int, count: int, function: int = READ_COILS) -> "Expected":
        """Give the reply to reading `count` coils or discrete inputs."""
        octets = (count + 7) // 8
        return cls(unit=unit, function=function, head=bytes([octets]), more=octets)

    @classmethod
    def of_write_coil(cls, unit: int, address: int, *, on: bool) -> "Expected":
        """Give the reply to writing one coil: its echo."""
        return cls(unit=unit, function=WRITE_COIL, head=_two(address) + _two(0xFF00 if on else 0))

    @classmethod
    def of_write(cls, unit: int, address: int, value: int) -> "Expected":
        """Give the reply to writing one register: its echo."""
        return cls(unit=unit, function=WRITE_ONE, head=_two(address) + _two(value))

    @classmethod
    def of_write_many(cls, unit: int, address: int, count: int) -> "Expected":
        """Give the reply to writing `count` registers."""
        return cls(unit=unit, function=WRITE_MANY, head=_two(address) + _two(count))

    @property
    def length(self) -> int:
        """Give the length of the normal reply from its function code on, in bytes."""
        return 1 + len(self.head) + self.more


def judge_tcp(frame: bytes, expected: Expected, transaction: int) -> Reply | str:
    """Judge what has come over TCP so far; a text says what is wrong with it."""
    if len(frame) < _TCP_HEADER + 1:
        return Reply.PARTIAL
    found, protocol, length = (int.from_bytes(frame[at : at + 2], "big") for at in (0, 2, 4))
    if found != transaction:
        return f"a reply to transaction {found} where {transaction} was asked"
    if protocol != 0:
        return f"protocol {protocol} is not Modbus"
    fault = _fault_of_start(frame[6], frame[7:], expected)
    if fault is not None:
        return fault
    due = _due(frame[7], expected)
    if length != due + 1:
        return f"a reply of {length} bytes where {due + 1} belong"
    return _complete(frame[7:], due, expected, trailer=0)


def judge_rtu(frame: bytes, expected: Expected) -> Reply | str:
    """Judge what has come over a serial line so far; a text says what is wrong with it."""
    if len(frame) < _RTU_UNIT + 1:
        return Reply.PARTIAL
    fault = _fault_of_start(frame[0], frame[1:], expected)
    if fault is not None:
        return fault
    due = _due(frame[1], expected)
    verdict = _complete(frame[1:], due, expected, trailer=_RTU_CRC)
    if verdict is Reply.WHOLE and crc16(frame[:-2]).to_bytes(2, "little") != frame[-2:]:
        return "the CRC is wrong"
    return verdict


def exception_text(code: int) -> str:
    """Say what an exception code means."""
    return f"exception {code}: {EXCEPTIONS.get(code, 'unknown')}"


def _fault_of_start(unit: int, pdu: bytes, expected: Expected) -> str | None:
    if unit != expected.unit:
        return f"a reply of unit {unit} where {expected.unit} was asked"
    if pdu[0] not in {expected.function, expected.function | _EXCEPTION}:
        return f"a reply to function {pdu[0]} where {expected.function} was asked"
    return None


def _due(function: int, expected: Expected) -> int:
    return _EXCEPTION_LENGTH if function & _EXCEPTION else expected.length


def _complete(pdu: bytes, due: int, expected: Expected, *, trailer: int) -> Reply | str:
    if due != _EXCEPTION_LENGTH or not pdu[0] & _EXCEPTION:
        head = pdu[1 : 1 + len(expected.head)]
        if head != expected.head[: len(head)]:
            return f"the reply begins {head.hex()} where {expected.head.hex()} belongs"
    if len(pdu) < due + trailer:
        return Reply.PARTIAL
    if len(pdu) > due + trailer:
        return f"{len(pdu) - due - trailer} bytes more than the reply has"
    return Reply.WHOLE


def _two(number: int) -> bytes:
    return number.to_bytes(2, "big")
