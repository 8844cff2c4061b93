"""What a simulated operator is told: how long a set-up and a look take, and how many first pieces are bad."""

from dataclasses import dataclass
from pathlib import Path

from simulators.timing import Pace


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatorSimulation(Pace):
    """An operator to be simulated. Work takes business seconds, a look at what is to do seconds of the wall."""

    socket: Path  # the gateway's control socket
    setup_s: float = 120.0
    judge_s: float = 20.0
    reject_rate: float = 0.0
    reason: str = "not as drawn"
    seed: int = 0
    look_s: float = 0.2

    def __post_init__(self) -> None:
        Pace.__post_init__(self)
        if self.setup_s < 0 or self.judge_s < 0 or self.look_s <= 0:
            raise ValueError("no work takes less than no time, and a look takes some")
        if not 0 <= self.reject_rate < 1 or not self.reason:
            raise ValueError("a share below 1 of the first pieces is rejected, for a reason: else none is ever good")
