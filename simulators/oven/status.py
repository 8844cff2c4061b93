"""The status block: what the oven's controller shows of itself, as 64 registers."""

from enum import IntEnum

from simulators.controls import PRODUCTION, Inputs
from simulators.oven.registers import BLOCK, TEST_F32, TEST_STR, TEST_U32, Permit, Status
from simulators.oven.settings import OvenSimulation
from simulators.oven.turn import JobState, Plc, Reason, permits
from simulators.words import f32, u32

_MODES = {PRODUCTION: 1, "maintenance": 2}  # PackML UnitModeCurrent; all else is manual
_MANUAL = 3
_ALARM_FAULT = 1


class MachineState(IntEnum):
    """The PackML states that the oven can be in."""

    STOPPED = 2
    IDLE = 4
    SUSPENDED = 5
    EXECUTE = 6
    ABORTED = 9
    HELD = 11
    COMPLETE = 17


def machine_state(plc: Plc, given: Permit) -> MachineState:
    """Give the PackML state."""
    kept = plc.kept
    if kept.job_state == JobState.RUNNING:
        return MachineState.EXECUTE
    if kept.job_state == JobState.INTERRUPTED:
        return MachineState.SUSPENDED if kept.job_reason == Reason.PAUSED else MachineState.HELD
    if Permit.READY not in given:
        return MachineState.STOPPED
    return MachineState.COMPLETE if kept.job_state == JobState.ENDED else MachineState.IDLE


def status_block(plc: Plc, inputs: Inputs, snap: int, settings: OvenSimulation) -> list[int]:
    """Give all 64 registers, consistent: SNAP_A and SNAP_B are both `snap`."""
    kept, given, order = plc.kept, permits(plc, inputs, settings), settings.word_order
    words = [0] * BLOCK
    singles = {
        Status.MAGIC: settings.magic,
        Status.MAP_VER: settings.map_version,
        Status.TEST_STR: TEST_STR,
        Status.BOOT_CNT: kept.boot_count,
        Status.HEARTBEAT: plc.heartbeat,
        Status.SNAP_A: snap,
        Status.ACK_SEQ: kept.ack_seq,
        Status.ACK_CODE: kept.ack_code,
        Status.JOB_STATE: kept.job_state,
        Status.JOB_REASON: kept.job_reason,
        Status.RECIPE_ECHO: kept.recipe,
        Status.CRC_ECHO: kept.crc,
        Status.MACH_STATE: machine_state(plc, given),
        Status.MACH_MODE: _MODES.get(inputs.mode, _MANUAL),
        Status.ALARM: _ALARM_FAULT if inputs.fault else 0,
        Status.PERMIT: given,
        Status.SETUP_ECHO: int(inputs.tool),
        Status.SNAP_B: snap,
    }
    for place, value in singles.items():
        words[place] = int(value)
    pairs = {
        Status.TEST_U32: TEST_U32,
        Status.HWM_JOB: kept.hwm_job,
        Status.SLOT_JOB: kept.slot_job,
        Status.QTY_TARGET: kept.target,
        Status.QTY_PRODUCED: kept.produced,
        Status.QTY_GOOD: kept.good,
        Status.QTY_SCRAP: kept.scrap,
        Status.TOTAL_PRODUCED: kept.total_produced,
        Status.TOTAL_GOOD: kept.total_good,
        Status.RUN_SECONDS: int(kept.run_s),
    }
    for place, value in pairs.items():
        words[place : place + 2] = u32(value, order)
    words[Status.TEST_F32 : Status.TEST_F32 + 2] = f32(TEST_F32, order)
    words[Status.ORDER_ID : Status.ORDER_ID + 16] = kept.order_id
    return words
