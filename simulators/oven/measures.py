"""What the oven measures of itself: temperature, heating power and energy, as a pure step and as registers."""

import math
from dataclasses import dataclass
from typing import Final

from simulators.words import WordOrder, f32, u32

REGISTERS: Final = 8  # 0-1 temperature, °C, float32; 2 heating power, 0.1 kW; 4-5 energy, Wh, uint32; the rest 0

_COLD_C: Final = 22.0
_HOT_C: Final = 180.0
_TIME_CONSTANT_S: Final = 90.0
_FULL_KW: Final = 12.0
_HOLD_KW: Final = 2.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    """The state of the chamber."""

    temperature_c: float = _COLD_C
    power_kw: float = 0.0
    energy_wh: float = 0.0


def step(before: Measures, seconds: float, *, heats: bool) -> Measures:
    """Let business seconds pass: heat towards 180 °C while a job runs, else cool down to the room's 22."""
    target_c = _HOT_C if heats else _COLD_C
    left = math.exp(-max(0.0, seconds) / _TIME_CONSTANT_S)
    temperature_c = target_c + (before.temperature_c - target_c) * left
    missing = (_HOT_C - temperature_c) / (_HOT_C - _COLD_C)
    power_kw = _HOLD_KW + (_FULL_KW - _HOLD_KW) * missing if heats else 0.0
    energy_wh = before.energy_wh + 1000 * power_kw * max(0.0, seconds) / 3600
    return Measures(temperature_c=temperature_c, power_kw=power_kw, energy_wh=energy_wh)


def registers(measures: Measures, order: WordOrder) -> list[int]:
    """Give the block of registers."""
    power = round(10 * measures.power_kw)
    return [*f32(measures.temperature_c, order), power, 0, *u32(int(measures.energy_wh), order), 0, 0]
