"""The oven's answers to commands: accepted once, in an order that survives a power cut at any point."""

import math
from collections.abc import Callable
from typing import Final

from simulators.journal import Event
from simulators.oven.registers import PARAMETERS_MAX, Ack, Cmd, Command, Permit
from simulators.oven.turn import JobState, Reason, Turn


def work_off(turn: Turn, command: Command) -> None:
    """Do a command that has not been done, and acknowledge it last."""
    if command.seq in (0, turn.kept.ack_seq):
        return
    code = _answer(turn, command)
    turn.put(ack_code=code)
    turn.put(ack_seq=command.seq)


def _answer(turn: Turn, command: Command) -> Ack:
    if not command.crc_right:
        return Ack.BAD_PAYLOAD
    if command.cmd in (Cmd.LOAD, Cmd.LOAD_START):
        return _load(turn, command)
    if command.cmd not in _WORK:
        return Ack.BAD_PARAMETER
    if command.job_no == 0 or command.job_no != turn.kept.slot_job:
        return Ack.UNKNOWN_JOB
    allowed, work = _WORK[Cmd(command.cmd)]
    return work(turn) if turn.kept.job_state in allowed else Ack.WRONG_STATE


def _load(turn: Turn, command: Command) -> Ack:
    if command.job_no <= turn.kept.hwm_job:
        return Ack.DUPLICATE
    if turn.kept.slot_job != 0 or Permit.REMOTE not in turn.permits:
        return Ack.CANNOT_ACCEPT
    if not _is_sound(turn, command):
        return Ack.BAD_PARAMETER
    turn.put(
        job_state=JobState.EMPTY,
        job_reason=Reason.NONE,
        target=command.target,
        produced=0,
        good=0,
        scrap=0,
        recipe=command.recipe,
        crc=command.crc,
        order_id=command.order_id,
        run_s=0.0,
        moved=False,
    )
    turn.put(slot_job=command.job_no)
    turn.put(hwm_job=command.job_no)
    turn.set(left_s=turn.settings.cycle_s)
    released = command.cmd == Cmd.LOAD_START and turn.may_start_itself
    turn.put(job_state=JobState.ALLOWED_TO_START if released else JobState.NOT_ALLOWED_TO_START)
    return Ack.OK


def _is_sound(turn: Turn, command: Command) -> bool:
    known = turn.settings.recipes
    return (
        command.target > 0
        and command.recipe > 0
        and (not known or command.recipe in known)
        and command.parameter_count <= PARAMETERS_MAX
        and all(math.isfinite(value) for value in command.parameters[: command.parameter_count])
    )


def _start(turn: Turn) -> Ack:
    if not turn.may_start_itself:
        return Ack.CANNOT_ACCEPT
    turn.put(job_state=JobState.ALLOWED_TO_START, job_reason=Reason.NONE)
    return Ack.OK


def _pause(turn: Turn) -> Ack:
    turn.halt(JobState.INTERRUPTED, Reason.PAUSED, Event.INTERRUPT)
    return Ack.OK


def _resume(turn: Turn) -> Ack:
    if not turn.may_start_itself:
        return Ack.CANNOT_ACCEPT
    turn.put(job_state=JobState.RUNNING, job_reason=Reason.NONE)
    return Ack.OK


def _stop(turn: Turn) -> Ack:
    turn.halt(JobState.ENDED, Reason.STOPPED, Event.END)
    return Ack.OK


def _abort(turn: Turn) -> Ack:
    turn.halt(JobState.ABORTED, Reason.ABORTED, Event.ABORT)
    return Ack.OK


def _clear(turn: Turn) -> Ack:
    turn.put(slot_job=0)
    turn.put(job_state=JobState.EMPTY)
    return Ack.OK


_UNFINISHED: Final = frozenset(
    {JobState.NOT_ALLOWED_TO_START, JobState.ALLOWED_TO_START, JobState.RUNNING, JobState.INTERRUPTED}
)
_WORK: Final[dict[Cmd, tuple[frozenset[JobState], Callable[[Turn], Ack]]]] = {
    Cmd.START: (frozenset({JobState.NOT_ALLOWED_TO_START}), _start),
    Cmd.PAUSE: (frozenset({JobState.RUNNING}), _pause),
    Cmd.RESUME: (frozenset({JobState.INTERRUPTED}), _resume),
    Cmd.STOP: (frozenset({JobState.RUNNING, JobState.INTERRUPTED}), _stop),
    Cmd.ABORT: (_UNFINISHED, _abort),
    Cmd.CLEAR: (frozenset({JobState.ENDED, JobState.ABORTED}), _clear),
}
