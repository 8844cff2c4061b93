"""The oven's program, pure: one scan takes memory, command block, inputs and time, and gives what follows.

It follows the mailbox register map v1 to the letter. Each change of the retentive memory is one assignment;
`Scan.writes` lists them in order, because power can fail between any two.
"""

import random

from simulators.controls import Inputs
from simulators.journal import Event
from simulators.oven.commands import work_off
from simulators.oven.memory import Kept
from simulators.oven.registers import Ack, Command, Permit
from simulators.oven.settings import OvenSimulation
from simulators.oven.turn import JobState, Plc, Reason, Scan, Turn, gateway_alive
from simulators.scanning import Now
from simulators.words import after


def boot(kept: Kept, command: Command, now: Now, settings: OvenSimulation) -> Scan:
    """Begin after power has come back: nothing is handed over, nothing pending is done, nothing moves."""
    plc = Plc(kept=kept, left_s=settings.cycle_s, seen_s=now.work_s, gateway_beat=command.gateway_heartbeat)
    turn = Turn(plc, Inputs(), now, settings)
    turn.put(boot_count=after(kept.boot_count))
    if command.seq not in (0, kept.ack_seq):
        turn.put(ack_code=Ack.DISCARDED_AT_BOOT)
        turn.put(ack_seq=command.seq)
    if kept.slot_job > kept.hwm_job:  # its acceptance was not completed
        turn.put(slot_job=0)
    if turn.kept.slot_job == 0:
        turn.put(job_state=JobState.EMPTY)
    elif kept.job_state in (JobState.EMPTY, JobState.ALLOWED_TO_START):
        turn.put(job_state=JobState.NOT_ALLOWED_TO_START)
    elif kept.job_state == JobState.RUNNING:
        turn.put(job_state=JobState.INTERRUPTED, job_reason=Reason.POWER)
    elif kept.job_state == JobState.INTERRUPTED:
        turn.put(job_reason=Reason.POWER)
    return turn.finish()


def scan(plc: Plc, command: Command, inputs: Inputs, now: Now, settings: OvenSimulation) -> Scan:
    """Go once around: time, permits, motion, command, Start button, release; in this order.

    State 3 is shown and kept by one scan, and the motion begins in the next, if no permit falls before it.
    """
    turn = Turn(plc, inputs, now, settings)
    _beat(turn, command)
    _let_time_pass(turn)
    _watch_permits(turn)
    _move(turn)
    work_off(turn, command)
    _heed_start(turn)
    _release(turn)
    turn.set(seen_s=now.work_s)
    return turn.finish()


def _beat(turn: Turn, command: Command) -> None:
    plc, machine_s = turn.plc, turn.now.machine_s
    if machine_s >= plc.beat_due_s:
        turn.set(heartbeat=after(plc.heartbeat), beat_due_s=machine_s + turn.settings.heartbeat_s)
    if command.gateway_heartbeat not in (0, plc.gateway_beat):
        turn.set(gateway_beat_s=machine_s)
    turn.set(gateway_beat=command.gateway_heartbeat)
    if turn.inputs.scrap_next:
        turn.set(scrap_next=turn.inputs.scrap_next)


def _let_time_pass(turn: Turn) -> None:
    """Make the pieces whose cycles have ended by now."""
    since_s = turn.plc.seen_s
    while (ends_s := turn.plc.cycle_ends_s) is not None:
        until_s = min(ends_s, turn.now.work_s)
        turn.put(run_s=turn.kept.run_s + max(0.0, until_s - since_s))
        if ends_s > turn.now.work_s:
            return
        since_s = ends_s
        _end_cycle(turn, ends_s)


def _end_cycle(turn: Turn, ends_s: float) -> None:
    kept = turn.kept
    made = min(turn.settings.units_per_cycle, kept.target - kept.produced)
    scrap = sum(_is_scrap(turn, kept.total_produced + place) for place in range(made))
    turn.put(
        produced=kept.produced + made,
        good=kept.good + made - scrap,
        scrap=kept.scrap + scrap,
        total_produced=kept.total_produced + made,
        total_good=kept.total_good + made - scrap,
    )
    turn.set(left_s=turn.settings.cycle_s)
    if turn.kept.produced >= kept.target:
        turn.set(cycle_ends_s=None)
        turn.put(job_state=JobState.ENDED, job_reason=Reason.NONE)
        turn.do(Event.END, good=made - scrap, scrap=scrap)
    else:
        turn.set(cycle_ends_s=ends_s + turn.settings.cycle_s)
        turn.do(Event.MADE, good=made - scrap, scrap=scrap)


def _is_scrap(turn: Turn, number: int) -> bool:
    if turn.plc.scrap_next > 0:
        turn.set(scrap_next=turn.plc.scrap_next - 1)
        return True
    rate = turn.settings.scrap_rate
    return rate > 0 and random.Random(f"{turn.settings.seed}:{number}").random() < rate  # noqa: S311


def _watch_permits(turn: Turn) -> None:
    """See to it that nothing waits behind the guard: a fall takes the hand-over with it."""
    plc, inputs = turn.plc, turn.inputs
    if not inputs.guard_shut:
        turn.set(reset_done=False)
    elif inputs.reset:
        turn.set(reset_done=True)
    tool_changed = plc.tool not in (None, inputs.tool)
    turn.set(tool=inputs.tool)
    if Permit.REMOTE | Permit.READY in turn.permits and not tool_changed:
        return
    fell = plc.handed_over
    turn.set(handed_over=False)
    state, reason = turn.kept.job_state, _why(inputs, tool_changed=tool_changed)
    if state == JobState.ALLOWED_TO_START:
        turn.put(job_state=JobState.NOT_ALLOWED_TO_START, job_reason=reason)
    elif state == JobState.RUNNING:
        turn.halt(JobState.INTERRUPTED, reason, Event.INTERRUPT)
    elif state == JobState.INTERRUPTED and fell:
        turn.put(job_reason=reason)


def _why(inputs: Inputs, *, tool_changed: bool) -> Reason:
    causes = {
        Reason.GUARD: not inputs.guard_shut,
        Reason.FAULT: inputs.fault,
        Reason.SELECTOR: not inputs.remote,
        Reason.MODE: not inputs.production,
        Reason.TOOL: tool_changed,
    }
    return next((reason for reason, given in causes.items() if given), Reason.POWER)


def _move(turn: Turn) -> None:
    if turn.kept.job_state == JobState.RUNNING and not turn.plc.moves:
        turn.do(Event.RESUME if turn.kept.moved else Event.START)
        turn.put(moved=True)
        turn.set(cycle_ends_s=turn.now.work_s + turn.plc.left_s)


def _heed_start(turn: Turn) -> None:
    """Hand over, resume what lies in the oven, and release what is loaded while the gateway is alive."""
    if not turn.inputs.start or Permit.REMOTE | Permit.READY not in turn.permits:
        return
    turn.set(handed_over=True)
    if Permit.SETUP_OK not in turn.permits:
        return
    if turn.kept.job_state == JobState.INTERRUPTED:
        turn.put(job_state=JobState.RUNNING, job_reason=Reason.NONE)
    elif turn.kept.job_state == JobState.NOT_ALLOWED_TO_START and gateway_alive(turn.plc, turn.now):
        turn.put(job_state=JobState.ALLOWED_TO_START, job_reason=Reason.NONE)


def _release(turn: Turn) -> None:
    wanted = Permit.REMOTE | Permit.READY | Permit.HANDED_OVER | Permit.SETUP_OK
    if (
        turn.kept.job_state == JobState.ALLOWED_TO_START
        and wanted in turn.permits
        and gateway_alive(turn.plc, turn.now)
    ):
        turn.put(job_state=JobState.RUNNING)
