"""The oven's program on a bench: command block, inputs and clocks set by hand, every power cut possible."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from simulators.controls import Inputs
from simulators.journal import Event
from simulators.oven import plc
from simulators.oven.memory import Kept
from simulators.oven.registers import Cmd, CommandPlace, payload_crc, read_command
from simulators.oven.settings import OvenSimulation
from simulators.oven.turn import Deed, Plc
from simulators.scanning import Now
from simulators.words import after, f32, u32

STEP_S = 0.02


def order_words(text: str) -> list[int]:
    padded = text.encode().ljust(32, b"\0")
    return [int.from_bytes(padded[at : at + 2], "big") for at in range(0, 32, 2)]


def payload(cmd: int, job_no: int, *, settings: OvenSimulation, **wanted: Any) -> list[int]:
    """Registers 1 to 56 of the command block, with a right CRC unless one is given."""
    order = settings.word_order
    parameters = wanted.get("parameters", (180.0, 25.0))
    words = [0] * 57
    words[CommandPlace.CMD] = cmd
    words[CommandPlace.JOB_NO : CommandPlace.JOB_NO + 2] = u32(job_no, order)
    words[CommandPlace.QTY_TARGET : CommandPlace.QTY_TARGET + 2] = u32(wanted.get("target", 2), order)
    words[CommandPlace.RECIPE] = wanted.get("recipe", 3)
    words[CommandPlace.N_PARAMS] = wanted.get("count", len(parameters))
    words[CommandPlace.ORDER_ID : CommandPlace.PARAM] = order_words(wanted.get("order_id", f"job-{job_no}"))
    for place, value in enumerate(parameters[:16]):
        at = CommandPlace.PARAM + 2 * place
        words[at : at + 2] = f32(value, order)
    words[CommandPlace.PAYLOAD_CRC] = wanted.get("crc", payload_crc(words))
    return words[1:]


class Bench:
    """One oven's program. Scans follow each other at 20 ms; the gateway is alive unless `silent`."""

    def __init__(self, *, handed_over: bool = True, silent: bool = False, **wanted: Any) -> None:
        self.settings = OvenSimulation(journal=Path("unused"), **{"cycle_s": 10.0, **wanted})
        self.words = [0] * 64
        self.inputs = Inputs(tool=str(self.settings.tool))
        self.now = Now(work_s=1_000_000.0, machine_s=50.0)
        self.deeds: list[Deed] = []
        self.writes: list[Kept] = []
        self.silent = silent
        self.plc = self._boot(Kept())
        if handed_over:
            self.scan(reset=True, start=True)

    @property
    def kept(self) -> Kept:
        return self.plc.kept

    @property
    def state(self) -> int:
        return self.plc.kept.job_state

    @property
    def events(self) -> list[Event]:
        return [deed.event for deed in self.deeds]

    def scan(self, seconds: float = STEP_S, **buttons: Any) -> Plc:
        """Let time pass and scan once; keyword arguments are inputs for this scan only."""
        self.now = Now(work_s=self.now.work_s + seconds, machine_s=self.now.machine_s + seconds)
        if not self.silent:
            self.words[0] = after(self.words[0])
        command = read_command(self.words, self.settings.word_order)
        result = plc.scan(self.plc, command, replace(self.inputs, **buttons), self.now, self.settings)
        self.plc = result.plc
        self.deeds += result.deeds
        self.writes = list(result.writes)
        return self.plc

    def hold(self, **inputs: Any) -> None:
        """Set inputs that stay."""
        self.inputs = replace(self.inputs, **inputs)

    def write(self, cmd: int, job_no: int, **wanted: Any) -> None:
        """Write a command as the gateway does, without a scan."""
        self.words[1:57] = payload(cmd, job_no, settings=self.settings, **wanted)
        self.words[CommandPlace.CMD_SEQ] = after(self.kept.ack_seq)

    def send(self, cmd: int, job_no: int = 1, **wanted: Any) -> int:
        """Write a command, scan, and give its code."""
        self.write(cmd, job_no, **wanted)
        self.scan()
        assert self.kept.ack_seq == self.words[CommandPlace.CMD_SEQ]
        return self.kept.ack_code

    def running(self, *, target: int = 2) -> "Bench":
        """Bring job 1 into motion."""
        assert self.send(Cmd.LOAD_START, 1, target=target) == 1
        self.scan()
        self.scan()
        assert self.plc.moves
        return self

    def power_cut(self, kept: Kept | None = None, *, commands_kept: bool = False) -> None:
        """Cut the power and boot with that memory; default: with what it holds."""
        if not commands_kept:
            self.words = [0] * 64
        self.plc = self._boot(self.kept if kept is None else kept)

    def _boot(self, kept: Kept) -> Plc:
        result = plc.boot(kept, read_command(self.words, self.settings.word_order), self.now, self.settings)
        self.writes = list(result.writes)
        return result.plc


def starts(deeds: list[Deed]) -> Mapping[int, int]:
    """How often each job has physically started."""
    found: dict[int, int] = {}
    for deed in deeds:
        if deed.event is Event.START:
            found[deed.job_no] = found.get(deed.job_no, 0) + 1
    return found
