"""The mailbox register map v1: places of the two blocks, and values to registers and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from simulators.words import WordOrder, read_f32, read_u32

BLOCK: Final = 64  # registers of the status block; the command block's window is as long
COMMAND_LENGTH: Final = 59
PARAMETERS_MAX: Final = 16
TEST_U32: Final = 0x01020304
TEST_F32: Final = 123.456
TEST_STR: Final = 0x4142


class Status(IntEnum):
    """Offsets in the status block, of the first register where there are two."""

    MAGIC = 0
    MAP_VER = 1
    TEST_U32 = 2
    TEST_F32 = 4
    TEST_STR = 6
    BOOT_CNT = 7
    HEARTBEAT = 8
    SNAP_A = 9
    ACK_SEQ = 10
    ACK_CODE = 11
    HWM_JOB = 12
    SLOT_JOB = 14
    JOB_STATE = 16
    JOB_REASON = 17
    QTY_TARGET = 18
    QTY_PRODUCED = 20
    QTY_GOOD = 22
    QTY_SCRAP = 24
    RECIPE_ECHO = 26
    CRC_ECHO = 27
    MACH_STATE = 28
    MACH_MODE = 29
    TOTAL_PRODUCED = 30
    TOTAL_GOOD = 32
    ALARM = 34
    PERMIT = 35
    RUN_SECONDS = 36
    SETUP_ECHO = 39
    ORDER_ID = 40
    SNAP_B = 63


class CommandPlace(IntEnum):
    """Offsets in the command block."""

    GW_HEARTBEAT = 0
    CMD = 1
    JOB_NO = 2
    QTY_TARGET = 4
    RECIPE = 6
    N_PARAMS = 7
    ORDER_ID = 8
    PARAM = 24
    PAYLOAD_CRC = 56
    CMD_SEQ = 58


class Cmd(IntEnum):
    """What a command asks."""

    LOAD_START = 1
    LOAD = 2
    START = 3
    PAUSE = 4
    RESUME = 5
    STOP = 6
    ABORT = 7
    CLEAR = 8


class Ack(IntEnum):
    """The answer to a command."""

    OK = 1
    DUPLICATE = 2
    UNKNOWN_JOB = 3
    WRONG_STATE = 4
    CANNOT_ACCEPT = 5
    BAD_PAYLOAD = 6
    BAD_PARAMETER = 7
    DISCARDED_AT_BOOT = 8


class Permit(IntFlag):
    """The bits of PERMIT."""

    REMOTE = 1
    READY = 2
    SETUP_OK = 4
    MAY_START_ITSELF = 8
    HANDED_OVER = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """The command block as the controller reads it in one scan."""

    gateway_heartbeat: int
    cmd: int
    job_no: int
    target: int
    recipe: int
    parameter_count: int
    order_id: tuple[int, ...]
    parameters: tuple[float, ...]
    crc: int
    crc_right: bool  # also where the sender has not computed one
    seq: int


def read_command(words: Sequence[int], order: WordOrder) -> Command:
    """Read a command block of at least 59 registers."""
    place = CommandPlace
    crc = words[place.PAYLOAD_CRC]
    return Command(
        gateway_heartbeat=words[place.GW_HEARTBEAT],
        cmd=words[place.CMD],
        job_no=read_u32(words, place.JOB_NO, order),
        target=read_u32(words, place.QTY_TARGET, order),
        recipe=words[place.RECIPE],
        parameter_count=words[place.N_PARAMS],
        order_id=tuple(words[place.ORDER_ID : place.PARAM]),
        parameters=tuple(read_f32(words, place.PARAM + 2 * n, order) for n in range(PARAMETERS_MAX)),
        crc=crc,
        crc_right=crc in (0, payload_crc(words)),
        seq=words[place.CMD_SEQ],
    )


def payload_crc(words: Sequence[int]) -> int:
    """Give CRC-16/MODBUS over the registers 1 to 55 of a command block, high bytes first."""
    crc = 0xFFFF
    for byte in b"".join(word.to_bytes(2, "big") for word in words[1:56]):
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def _crc_step(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0xA001 if byte & 1 else 0)
    return byte


_CRC_TABLE: Final = tuple(map(_crc_step, range(256)))
