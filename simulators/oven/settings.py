"""What a simulated oven is told at its start: its name, pace, memory, registers and addresses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from simulators.controls import Panel
from simulators.tally import Counts
from simulators.timing import Pace
from simulators.words import WordOrder


class Retention(StrEnum):
    """What of the retentive memory is left after a power cut."""

    SYNCHRONOUS = "synchronous"  # everything
    LAGGING = "lagging"  # what was last saved, some seconds ago
    LOST = "lost"  # nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class OvenSimulation(Pace):
    """An oven to be simulated. Seconds of work are business seconds; ports 0 are chosen by the system."""

    journal: Path
    name: str = "oven-1"
    port: int = 0
    panel_port: int = 0
    unit: int = 1
    status_base: int = 0
    command_base: int = 100
    word_order: WordOrder = WordOrder.BIG
    magic: int = 0x4A43
    map_version: int = 1
    one_connection: bool = False
    scan_s: float = 0.02  # machine seconds
    heartbeat_s: float = 0.5  # machine seconds
    cycle_s: float = 30.0
    pieces_per_cycle: int = 1
    counts: Counts = Counts.PIECES
    scrap_rate: float = 0.0
    seed: int = 0
    recipes: frozenset[int] = frozenset()  # those it knows; empty: all but 0
    tool: int = 1  # 0: not known
    tools: Mapping[int, int] = field(default_factory=dict)  # recipe -> the tool it needs; others take any
    setup_s: float = 0.0  # what the simulated person takes to fit a tool
    may_start_itself: bool = True
    retention: Retention = Retention.SYNCHRONOUS
    save_every_s: float = 3.0  # machine seconds between two saves of a lagging memory
    state_file: Path | None = None  # where the retentive memory lies; default: beside the journal
    commands_kept: bool = False  # the command block is retentive too; else it is zero after a power cut
    panel: Panel = Panel.MANUAL
    person_s: float = 0.3  # machine seconds the simulated person takes to reach the panel

    def __post_init__(self) -> None:
        Pace.__post_init__(self)
        if self.cycle_s <= 0 or self.scan_s <= 0 or self.setup_s < 0 or self.save_every_s <= 0:
            raise ValueError("cycle, scan and save interval must be above 0, the set-up time not below it")
        if not 0 < self.heartbeat_s <= 1:
            raise ValueError("the heartbeat comes at least once a second")
        if self.pieces_per_cycle < 1 or not 0 <= self.scrap_rate <= 1:
            raise ValueError("a cycle makes a piece or more, scrap is a share")
        if not all(0 <= code <= 0xFFFF for code in (self.tool, *self.tools, *self.tools.values(), *self.recipes)):  # noqa: PLR2004
            raise ValueError("recipes and tools are numbers of 16 bits")
        if abs(self.status_base - self.command_base) < 64 or min(self.status_base, self.command_base) < 0:  # noqa: PLR2004
            raise ValueError("the two blocks take 64 registers each and must not overlap")

    @property
    def measures_base(self) -> int:
        """Give the first register of what it measures, behind both blocks: 200 where they begin at 0 and 100."""
        return max(self.status_base, self.command_base) + 100

    @property
    def memory_path(self) -> Path:
        """Give the file of the retentive memory."""
        return self.state_file or self.journal.with_suffix(".memory.json")

    @property
    def units_per_cycle(self) -> int:
        """Give by how much a full cycle raises the counters."""
        return self.pieces_per_cycle if self.counts is Counts.PIECES else 1

    @property
    def pieces_per_unit(self) -> int:
        """Give how many pieces one step of the counters stands for."""
        return 1 if self.counts is Counts.PIECES else self.pieces_per_cycle
