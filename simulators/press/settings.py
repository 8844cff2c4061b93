"""What a simulated press is told at its start: its name, pace, memory, dialect and addresses."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from simulators.controls import Panel
from simulators.timing import Pace


class Memory(StrEnum):
    """Whether the press remembers its jobs after a restart."""

    VOLATILE = "volatile"
    PERSISTENT = "persistent"


class Duplicates(StrEnum):
    """What the press does with a job id that is in its list already."""

    REJECT = "reject"  # answers "unable to accept"
    ACCEPT = "accept"  # answers "no error", keeps one entry
    RUN = "run"  # makes it once more


class Methods(StrEnum):
    """Which ways of starting a job the press offers; all other methods are always there."""

    ALL = "all"
    STORE_AND_START_ONLY = "store_and_start_only"
    STORE_START_ONLY = "store_start_only"


@dataclass(frozen=True, kw_only=True, slots=True)
class PressSimulation(Pace):
    """A press to be simulated. Seconds of work are business seconds; ports 0 are chosen by the system."""

    journal: Path
    name: str = "press-1"
    port: int = 0
    panel_port: int = 0
    cycle_s: float = 20.0
    setup_s: float = 0.0  # added to a job's first cycle when its work master differs from the one before
    pieces_per_cycle: int = 1
    scrap_rate: float = 0.0
    seed: int = 0
    tool: str = "T-1"
    work_masters: tuple[str, ...] = ("tray",)  # only shown, never enforced
    max_jobs: int = 20
    extras: int = 0  # further values, each of which follows the cycles
    may_start_itself: bool = True
    memory: Memory = Memory.VOLATILE
    state_file: Path | None = None  # where a persistent memory lies; default: beside the journal
    duplicates: Duplicates = Duplicates.REJECT
    methods: Methods = Methods.ALL
    panel: Panel = Panel.MANUAL
    person_s: float = 0.3  # machine seconds the simulated person takes to reach the panel
    namespace_shift: int = 0  # dummy namespaces registered before the real ones
    secure: Path | None = None  # directory of the certificate; None offers no security

    def __post_init__(self) -> None:
        Pace.__post_init__(self)
        if self.cycle_s <= 0 or self.setup_s < 0:
            raise ValueError("the cycle must be above 0, the set-up time not below it")
        if self.pieces_per_cycle < 1 or self.max_jobs < 1 or self.extras < 0 or not 0 <= self.scrap_rate <= 1:
            raise ValueError("a cycle makes a piece or more, the list holds a job or more, scrap is a share")

    @property
    def memory_path(self) -> Path | None:
        """Give the file of the persistent memory, None where the memory is volatile."""
        if self.memory is Memory.VOLATILE:
            return None
        return self.state_file or self.journal.with_suffix(".memory.json")
