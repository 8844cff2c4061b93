"""What a simulated plain machine is told at its start: its name, pace, addresses and counters."""

from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from simulators.controls import Panel
from simulators.tally import Counts
from simulators.timing import Pace
from simulators.words import WordOrder

PARAMETER_WORDS: Final = 16  # eight float32


class Counters(StrEnum):
    """What becomes of the good and scrap counters."""

    TOTAL = "total"  # never reset, kept over a power cut
    VOLATILE = "volatile"  # never reset by a start, but zero after a power cut
    BATCH = "batch"  # zero at each start and after a power cut


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One address: a coil, a holding register, or (`bit`, 0 is the lowest) a bit of one."""

    coil: bool
    address: int
    bit: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `coil:5`, `holding:100` or `holding:100.3`; raise `ValueError` for anything else."""
        kind, _, place = text.partition(":")
        address, dot, bit = place.partition(".")
        point = cls(coil=kind == "coil", address=int(address), bit=int(bit) if dot else None)
        if kind not in ("coil", "holding") or (point.coil and dot) or point.bit not in (None, *range(16)):
            raise ValueError(f"an address is coil:N, holding:N or holding:N.BIT, not {text}")
        if not 0 <= point.address <= 0xFFFE:  # noqa: PLR2004 - room for a second register
            raise ValueError(f"an address is 0 to 65534, not {point.address}")
        return point


@dataclass(frozen=True, kw_only=True, slots=True)
class Points:
    """Where everything is. Written by the client: the first four; `start` starts by its rising edge."""

    start: str = "coil:0"
    recipe: str = "holding:0"
    quantity: str = "holding:1"
    parameters: str = "holding:2"  # the first of 16 registers; the machine only keeps them
    busy: str = "coil:1"  # a batch is in the machine, interrupted or not
    done: str = "coil:2"  # the last batch has ended; off from the next start on
    remote: str = "coil:3"
    ready: str = "coil:4"
    alarm: str = "coil:5"
    good: str = "holding:100"  # two registers
    scrap: str = "holding:102"  # two registers
    tool: str = "holding:104"  # the number of the tool fitted
    boot: str = "holding:105"  # another number after each start of the controller

    def __post_init__(self) -> None:
        words = ("recipe", "quantity", "parameters", "good", "scrap", "tool", "boot")
        for entry in fields(self):
            point = Point.parse(getattr(self, entry.name))
            if (entry.name in words) != (not point.coil and point.bit is None):
                raise ValueError(f"{entry.name} is a {'register' if entry.name in words else 'coil or a bit'}")


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainSimulation(Pace):
    """A plain machine to be simulated. Seconds of work are business seconds; ports 0 are chosen by the system."""

    journal: Path
    name: str = "plain-1"
    port: int = 0
    panel_port: int = 0
    unit: int = 1
    points: Points = field(default_factory=Points)
    word_order: WordOrder = WordOrder.BIG
    one_connection: bool = False
    scan_s: float = 0.02  # machine seconds
    cycle_s: float = 20.0
    pieces_per_cycle: int = 1
    counts: Counts = Counts.PIECES  # what quantity and counters count
    counters: Counters = Counters.TOTAL
    worked: int = 0  # what its counter of good pieces showed before its journal began; above 0: a batch is done
    start_clears: bool = True  # the machine takes the start bit back itself, whether it starts or not
    scrap_rate: float = 0.0
    seed: int = 0
    tool: int = 1
    panel: Panel = Panel.MANUAL
    person_s: float = 0.3  # machine seconds the simulated person takes to reach the panel

    def __post_init__(self) -> None:
        Pace.__post_init__(self)
        if not 0 <= self.worked <= 0xFFFF_FFFF:  # noqa: PLR2004 - a counter of 32 bits
            raise ValueError("worked is a count of 32 bits")
        if self.cycle_s <= 0 or self.scan_s <= 0:
            raise ValueError("cycle and scan must be above 0")
        if self.pieces_per_cycle < 1 or not 0 <= self.scrap_rate <= 1 or not 0 <= self.tool <= 0xFFFF:  # noqa: PLR2004
            raise ValueError("a cycle makes a piece or more, scrap is a share, a tool has 16 bits")

    @property
    def units_per_cycle(self) -> int:
        """Give by how much a full cycle raises the counters."""
        return self.pieces_per_cycle if self.counts is Counts.PIECES else 1

    @property
    def pieces_per_unit(self) -> int:
        """Give how many pieces one step of the counters stands for."""
        return 1 if self.counts is Counts.PIECES else self.pieces_per_cycle
