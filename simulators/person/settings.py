"""What a simulated person is told: where the board is, how long a piece takes, how many are spoilt."""

from dataclasses import dataclass
from pathlib import Path

from simulators.timing import Pace


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonSimulation(Pace):
    """A person to be simulated. A piece takes business seconds, a look at the board seconds of the wall."""

    socket: Path  # the gateway's control socket
    station: str
    journal: Path
    cycle_s: float = 30.0
    scrap_rate: float = 0.0
    scrap_reason: str = "spoilt at the bench"
    seed: int = 0
    look_s: float = 0.2  # between two looks at a board with nothing to do, or that cannot be read

    def __post_init__(self) -> None:
        Pace.__post_init__(self)
        if self.cycle_s <= 0 or self.look_s <= 0:
            raise ValueError("a piece and a look take time: cycle and look must be above 0")
        if not 0 <= self.scrap_rate <= 1 or not self.scrap_reason:
            raise ValueError("scrap is a share, and has a reason")

    @property
    def piece_s(self) -> float:
        """Give the wall seconds a piece takes."""
        return self.cycle_s / self.speed
