"""How long to wait before trying again: doubling, bounded, with jitter."""

import random
from dataclasses import dataclass, field


@dataclass(kw_only=True, slots=True)
class Backoff:
    """Waits of a stage between failures; `reset` after a success."""

    first_s: float = 0.5
    most_s: float = 30.0
    _next_s: float = field(default=0.0, init=False)

    def reset(self) -> None:
        """Start over with the first wait."""
        self._next_s = 0.0

    def wait_s(self, at_least_s: float = 0.0) -> float:
        """Give the next wait in seconds: between half and all of the doubled one, never below what was asked."""
        self._next_s = min(self.most_s, max(self.first_s, self._next_s * 2))
        return max(at_least_s, self._next_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not secrecy
