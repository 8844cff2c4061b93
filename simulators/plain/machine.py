"""The plain machine: its program with addresses and journal, seen from the wire as registers and coils."""

import time
from collections.abc import Sequence
from typing import Any, Final

from simulators.controls import InputBoard, Inputs, Touch
from simulators.front import seen_at
from simulators.journal import Event
from simulators.modbus_pdu import ILLEGAL_ADDRESS, PduError
from simulators.plain import plc as program
from simulators.plain.faults import PlainFaults
from simulators.plain.plc import Asked, Plc
from simulators.plain.settings import PARAMETER_WORDS, Counters, PlainSimulation, Point
from simulators.scanning import Errand, Now
from simulators.tally import Tally
from simulators.words import u32

_BITS: Final = ("busy", "done", "remote", "ready", "alarm")


class PlainMachine:
    """One plain machine. It numbers its starts by its journal; nothing else is remembered but counters."""

    def __init__(self, settings: PlainSimulation, *, tally: Tally) -> None:
        self.board = InputBoard(tool=str(settings.tool))
        self.faults = PlainFaults()
        self.plc: Plc | None = None  # None without power
        self._settings = settings
        self._tally = tally
        self._loses_counters = False
        self._fresh = True  # this is how it stood before its journal began
        self._inputs = Inputs(tool=str(settings.tool))
        self._points = {name: Point.parse(getattr(settings.points, name)) for name in settings.points.__slots__}
        self._written: dict[tuple[bool, int], int] = self._writable()
        self._shown: dict[tuple[bool, int], int] = {}
        self._length = {
            coil: 1 + max((at for kind, at in self._places() if kind is coil), default=-1) for coil in (True, False)
        }
        self._torn_now = False
        self._boot = time.time_ns() // 1_000_000 & 0xFFFF  # a process started again is another start as well

    # What the live controller drives

    def boot(self, _now: Now) -> None:
        """Begin without a batch; what was in the machine has been taken out."""
        for job, job_no in self._tally.unfinished().items():
            self._tally.write(Event.ABORT, job=job, job_no=job_no or 0)
        fresh = self._fresh and not self._tally.highest()
        kept = fresh or (self._settings.counters is Counters.TOTAL and not self._loses_counters)
        good, scrap = (count // self._settings.pieces_per_unit for count in self._tally.total()) if kept else (0, 0)
        good += self._settings.worked if kept else 0
        self._fresh = False
        self._loses_counters = False
        self._boot = (self._boot + 1) & 0xFFFF
        self._written = self._writable()
        self.plc = Plc(starts=self._tally.highest(), good=good, scrap=scrap, done=fresh and good > 0)
        self._inputs = self.board.take()
        self._show()

    def scan(self, now: Now) -> None:
        """Go once around: the journal first, then registers and coils."""
        if self.plc is None:
            return
        self._inputs = self.board.take()
        asked = Asked(start=self._start_bit() and not self.faults.deaf, quantity=self._word("quantity"))
        plc, deeds = program.scan(self.plc, asked, self._inputs, now, self._settings)
        factor = self._settings.pieces_per_unit
        for deed in deeds:
            self._tally.write(
                deed.event,
                job=str(deed.start_no),
                job_no=deed.start_no,
                good=deed.good * factor,
                scrap=deed.scrap * factor,
            )
        self.plc = plc
        if self._settings.start_clears:
            self._set_start(on=False)
        self._show()

    def power_off(self) -> None:
        """Stop dead; registers and coils stay as they are, for a wire that may still answer."""
        self.plc = None

    @property
    def stopped(self) -> bool:
        """Say whether the faults keep the controller stopped while its wire answers."""
        return self.faults.stopped

    def lose_memory(self) -> None:
        """Lose the counters."""
        self._loses_counters = True

    def errand(self) -> Errand | None:
        """Say what a person would do: reset and, where a batch waits, press Start."""
        plc, inputs = self.plc, self._inputs
        if plc is None or not (self.board.remote and self.board.guard_shut and inputs.production):
            return None
        waits = plc.busy and plc.cycle_ends_s is None
        if program.is_ready(plc, inputs) and not waits:
            return None
        return Errand(touch=Touch(reset=True, start=True), takes_s=self._settings.person_s)

    # What the wire sees

    def read_words(self, address: int, count: int) -> Sequence[int]:
        """Read registers; what lies between those that mean something is 0."""
        return self._read(address, count, coil=False)

    def read_bits(self, address: int, count: int) -> Sequence[bool]:
        """Read coils; what lies between those that mean something is off."""
        return [bool(value) for value in self._read(address, count, coil=True)]

    def write_words(self, address: int, values: Sequence[int]) -> None:
        """Write recipe, quantity, parameters or a start bit's register."""
        self._write(address, values, coil=False)

    def write_bits(self, address: int, values: Sequence[bool]) -> None:
        """Write a start coil."""
        self._write(address, [int(value) for value in values], coil=True)

    # What can be seen standing in front of it

    def state(self) -> dict[str, Any]:
        """Give all that can be seen as plain JSON values."""
        plc = self.plc
        seen = seen_at(self.board, on=plc is not None)
        if plc is None:
            return seen
        return seen | {
            "ready": program.is_ready(plc, self._inputs),
            "moves": plc.cycle_ends_s is not None,
            "busy": plc.busy,
            "done": plc.done,
            "starts": plc.starts,
            "target": plc.target,
            "produced": plc.produced,
            "good": plc.good,
            "scrap": plc.scrap,
        }

    # Steps

    def _writable(self) -> dict[tuple[bool, int], int]:
        first = self._points["parameters"].address
        places = [("start", 0), ("recipe", 0), ("quantity", 0)]
        written = {(self._points[name].coil, self._points[name].address + more): 0 for name, more in places}
        return written | {(False, first + more): 0 for more in range(PARAMETER_WORDS)}

    def _places(self) -> list[tuple[bool, int]]:
        """Give every address in use."""
        pairs = [(False, self._points[name].address + 1) for name in ("good", "scrap")]
        return [*self._written, *((point.coil, point.address) for point in self._points.values()), *pairs]

    def _read(self, address: int, count: int, *, coil: bool) -> list[int]:
        if address + count > self._length[coil]:
            raise PduError(ILLEGAL_ADDRESS)
        places = [(coil, at) for at in range(address, address + count)]
        return [self._written.get(place, 0) | self._shown.get(place, 0) for place in places]

    def _write(self, address: int, values: Sequence[int], *, coil: bool) -> None:
        fresh = {(coil, address + more): value for more, value in enumerate(values)}
        if not fresh.keys() <= self._written.keys():
            raise PduError(ILLEGAL_ADDRESS)
        start = self._points["start"]
        if (place := (start.coil, start.address)) in fresh and start.bit is not None:
            fresh[place] &= 1 << start.bit  # the other bits of that register are the machine's
        self._written |= fresh

    def _word(self, name: str) -> int:
        return self._written[(False, self._points[name].address)]

    def _start_bit(self) -> bool:
        start = self._points["start"]
        return bool(self._written[(start.coil, start.address)])

    def _set_start(self, *, on: bool) -> None:
        start = self._points["start"]
        self._written[(start.coil, start.address)] = int(on) << (start.bit or 0)

    def _show(self) -> None:
        """Update what is read; torn, the second word of each counter follows one scan later."""
        plc, inputs = self.plc, self._inputs
        assert plc is not None
        bits = {
            "busy": plc.busy,
            "done": plc.done,
            "remote": inputs.remote,
            "ready": program.is_ready(plc, inputs),
            "alarm": inputs.fault,
        }
        shown: dict[tuple[bool, int], int] = {}
        for name in _BITS:
            point = self._points[name]
            place = (point.coil, point.address)
            shown[place] = shown.get(place, 0) | int(bits[name]) << (point.bit or 0)
        shown[(False, self._points["tool"].address)] = int(inputs.tool)
        shown[(False, self._points["boot"].address)] = self._boot
        self._torn_now = self.faults.torn and not self._torn_now
        for name, value in (("good", plc.good), ("scrap", plc.scrap)):
            place, second = (False, self._points[name].address), (False, self._points[name].address + 1)
            shown[place], whole = u32(value, self._settings.word_order)
            shown[second] = self._shown.get(second, 0) if self._torn_now else whole
        self._shown = shown
