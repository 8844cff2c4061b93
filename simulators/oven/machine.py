"""The oven: its program with registers, journal and memory, seen from the wire as a bank of registers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from simulators.controls import InputBoard, Inputs, Touch
from simulators.front import seen_at
from simulators.journal import Event
from simulators.modbus_pdu import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, PduError
from simulators.oven import measures
from simulators.oven import plc as program
from simulators.oven.faults import OvenFaults
from simulators.oven.memory import Kept, RetentiveMemory
from simulators.oven.registers import BLOCK, COMMAND_LENGTH, Permit, Status, read_command
from simulators.oven.settings import OvenSimulation, Retention
from simulators.oven.status import machine_state, status_block
from simulators.oven.turn import Deed, JobState, Plc, permits
from simulators.scanning import Errand, Now
from simulators.tally import Tally
from simulators.words import after, text

_FINAL: Final[dict[Event | None, int]] = {Event.END: JobState.ENDED, Event.ABORT: JobState.ABORTED}
_WINDOW: Final = 64  # readable registers of the command block


class Oven:
    """One oven. `tally` writes the journal; it is asked anew at each boot, because it outlives the memory."""

    def __init__(self, settings: OvenSimulation, *, tally: Tally) -> None:
        self.board = InputBoard(tool=str(settings.tool))
        self.faults = OvenFaults()
        self.plc: Plc | None = None  # None without power
        self._settings = settings
        self._tally = tally
        self._memory = RetentiveMemory(
            settings.memory_path, retention=settings.retention, save_every_s=settings.save_every_s
        )
        self._inputs = Inputs(tool=str(settings.tool))
        self._status = [0] * BLOCK
        self._command = [0] * _WINDOW
        self._rest_of_write: list[tuple[int, int]] = []  # places and values still to arrive
        self._torn_now = False
        self._measures = measures.Measures()
        self._measured_s: float | None = None  # business time

    # What the live controller drives

    def boot(self, now: Now) -> None:
        """Begin with what memory is left."""
        recalled = self._memory.recall()
        self._command = [*recalled.command, *[0] * (_WINDOW - len(recalled.command))]
        self._rest_of_write = []
        kept = self._agree_with_journal(recalled.kept)
        self.plc = program.boot(kept, read_command(self._command, self._settings.word_order), now, self._settings).plc
        self._inputs = self.board.take()
        self._keep(now)
        self._show()

    def scan(self, now: Now) -> None:
        """Go once around: the journal first, then the memory, then the registers."""
        if self.plc is None:
            return
        self._inputs = self.board.take()
        command = read_command(self._command, self._settings.word_order)
        result = program.scan(self.plc, command, self._inputs, now, self._settings)
        for deed in result.deeds:
            self._write(deed)
        self.plc = result.plc
        self._measure(now)
        self._keep(now)
        self._show()
        for place, value in self._rest_of_write:
            self._command[place] = value
        self._rest_of_write = []

    def power_off(self) -> None:
        """Stop dead; the registers stay as they are, for a wire that may still answer."""
        self.plc = None

    @property
    def stopped(self) -> bool:
        """Say whether the faults keep the controller stopped while its wire answers."""
        return self.faults.stopped

    def lose_memory(self) -> None:
        """Forget what is retentive."""
        self._memory.erase()

    def errand(self) -> Errand | None:
        """Say what a person would do: fit the tool that is needed, reset, press Start."""
        plc, board, settings = self.plc, self.board, self._settings
        if plc is None or not (board.remote and board.guard_shut and self._inputs.production):
            return None
        waits = plc.kept.job_state in (JobState.NOT_ALLOWED_TO_START, JobState.INTERRUPTED)
        needed = settings.tools.get(plc.kept.recipe) if waits else None
        if needed is not None and board.tool != str(needed):
            touch = Touch(tool=str(needed), reset=True, start=True)
            return Errand(touch=touch, takes_s=max(settings.person_s, settings.setup_s / settings.speed))
        forgotten = waits and not settings.may_start_itself and plc.kept.slot_job != 0
        if not plc.handed_over or Permit.READY not in permits(plc, self._inputs, settings) or forgotten:
            return Errand(touch=Touch(reset=True, start=True), takes_s=settings.person_s)
        return None

    # What the wire sees

    def read_words(self, address: int, count: int) -> Sequence[int]:
        """Read registers of one of the blocks: status, command, measured values."""
        settings = self._settings
        blocks = {
            settings.status_base: self._status,
            settings.command_base: self._command,
            settings.measures_base: measures.registers(self._measures, settings.word_order),
        }
        for base, block in blocks.items():
            if base <= address and address + count <= base + len(block):
                return block[address - base : address - base + count]
        raise PduError(ILLEGAL_ADDRESS)

    def write_words(self, address: int, values: Sequence[int]) -> None:
        """Write registers of the command block, or the temperature to rest at as a whole."""
        rest = measures.registers(self._measures, self._settings.word_order)[measures.REST_AT :]
        if address == self._settings.measures_base + measures.REST_AT and len(values) == len(rest):
            self._measures = measures.set_rest(self._measures, values, self._settings.word_order)
            return
        place = address - self._settings.command_base
        if place < 0 or place + len(values) > COMMAND_LENGTH:
            raise PduError(ILLEGAL_ADDRESS)
        half = len(values) // 2 if self.faults.torn_write and len(values) > 1 else len(values)
        fresh = range(place, place + len(values))
        self._command[place : place + half] = values[:half]
        self._rest_of_write = [(at, value) for at, value in self._rest_of_write if at not in fresh]
        self._rest_of_write += [(place + at, values[at]) for at in range(half, len(values))]

    def read_bits(self, _address: int, _count: int) -> Sequence[bool]:
        """Refuse: the oven has no coils."""
        raise PduError(ILLEGAL_FUNCTION)

    def write_bits(self, _address: int, _values: Sequence[bool]) -> None:
        """Refuse: the oven has no coils."""
        raise PduError(ILLEGAL_FUNCTION)

    # What can be seen standing in front of it

    def state(self) -> dict[str, Any]:
        """Give all that can be seen as plain JSON values."""
        plc = self.plc
        seen = seen_at(self.board, on=plc is not None)
        if plc is None:
            return seen
        given, kept = permits(plc, self._inputs, self._settings), plc.kept
        return seen | {
            "state": machine_state(plc, given).name.lower(),
            "moves": plc.moves,
            "ready": Permit.READY in given,
            "setup_ok": Permit.SETUP_OK in given,
            "handed_over": plc.handed_over,
            "boot_count": kept.boot_count,
            "hwm_job": kept.hwm_job,
            "total_produced": kept.total_produced,
            "total_good": kept.total_good,
            "job": _job(kept) if kept.slot_job else None,
        }

    # Steps

    def _write(self, deed: Deed) -> None:
        job = text(deed.order_id) or str(deed.job_no)
        factor = self._settings.pieces_per_unit
        self._tally.write(deed.event, job=job, job_no=deed.job_no, good=deed.good * factor, scrap=deed.scrap * factor)

    def _keep(self, now: Now) -> None:
        assert self.plc is not None
        command = self._command if self._settings.commands_kept else ()
        self._memory.keep(self.plc.kept, command, machine_s=now.machine_s)

    def _measure(self, now: Now) -> None:
        assert self.plc is not None
        since_s = 0.0 if self._measured_s is None else now.work_s - self._measured_s
        self._measures, self._measured_s = measures.step(self._measures, since_s, heats=self.plc.moves), now.work_s

    def _show(self) -> None:
        """Update the status block; torn, every second word and SNAP_B follow one scan later."""
        assert self.plc is not None
        half_done = self._torn_now
        snap = self._status[Status.SNAP_A] if half_done else after(self._status[Status.SNAP_A])
        fresh = status_block(self.plc, self._inputs, snap, self._settings)
        self._torn_now = self.faults.torn and not half_done
        if self._torn_now:
            fresh[1::2] = [*self._status[1 : Status.SNAP_A : 2], snap, *self._status[Status.SNAP_A + 2 :: 2]]
        self._status = fresh

    def _agree_with_journal(self, kept: Kept) -> Kept:
        """Take from the journal what a synchronous memory would hold and a killed process could not save."""
        job = text(kept.order_id) or str(kept.slot_job)
        made = self._tally.since_start(job)
        if kept.job_state not in (JobState.RUNNING, JobState.INTERRUPTED) or made is None:
            return kept
        if self._settings.retention is not Retention.SYNCHRONOUS:
            return replace(kept, moved=True)
        good, scrap = (count // self._settings.pieces_per_unit for count in made)
        lost_good, lost = max(0, good - kept.good), max(0, good + scrap - kept.produced)
        return replace(
            kept,
            moved=True,
            job_state=_FINAL.get(self._tally.last(job), kept.job_state),
            produced=kept.produced + lost,
            good=kept.good + lost_good,
            scrap=kept.scrap + lost - lost_good,
            total_produced=kept.total_produced + lost,
            total_good=kept.total_good + lost_good,
        )


def _job(kept: Kept) -> dict[str, Any]:
    return {
        "job_no": kept.slot_job,
        "order_id": text(kept.order_id),
        "state": kept.job_state,
        "reason": kept.job_reason,
        "recipe": kept.recipe,
        "target": kept.target,
        "produced": kept.produced,
        "good": kept.good,
        "scrap": kept.scrap,
    }
