"""What the press measures of itself: temperature and pressure, as a small process model in steps."""

import math
import random
from dataclasses import dataclass, field
from typing import Final

_COLD_C: Final = 22.0
_HOT_C: Final = 182.0
_WARM_UP_S: Final = 120.0
_PRESSURE_BAR: Final = 145.0
_STROKE_S: Final = 20.0


@dataclass(kw_only=True, slots=True)
class Measures:
    """Platen temperature and hydraulic pressure; `step` lets business seconds pass."""

    seed: int = 0
    temperature_c: float = _COLD_C
    pressure_bar: float = 0.0
    standby_c: float = _COLD_C  # the platen is kept at this between jobs
    _stroke_s: float = 0.0
    _noise: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._noise = random.Random(self.seed)  # noqa: S311

    def step(self, seconds: float, *, running: bool) -> None:
        """Warm up and press while running, cool down to standby and let go otherwise."""
        target_c = _HOT_C if running else self.standby_c
        self.temperature_c += (target_c - self.temperature_c) * (1 - math.exp(-seconds / _WARM_UP_S))
        self.temperature_c += self._noise.gauss(0, 0.2)
        self._stroke_s = (self._stroke_s + seconds) % _STROKE_S if running else 0.0
        stroke = math.sin(math.pi * self._stroke_s / _STROKE_S) if running else 0.0
        self.pressure_bar = max(0.0, _PRESSURE_BAR * stroke + self._noise.gauss(0, 0.5)) if running else 0.0
