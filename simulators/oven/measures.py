"""What the oven measures of itself and the temperature it rests at, as a pure step and as registers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from simulators.words import WordOrder, f32, read_f32, u32

# 0-1 temperature, °C, float32; 2 heating power, 0.1 kW; 3 nothing; 4-5 energy, Wh, uint32;
# 6-7 the temperature it rests at, °C, float32: the only two that can be written
REGISTERS: Final = 8
REST_AT: Final = 6

_COLD_C: Final = 22.0
_HOT_C: Final = 180.0
_TIME_CONSTANT_S: Final = 90.0
_FULL_KW: Final = 12.0
_HOLD_KW: Final = 2.5
_REST_MAX_C: Final = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    """The state of the chamber."""

    temperature_c: float = _COLD_C
    power_kw: float = 0.0
    energy_wh: float = 0.0
    rest_c: float = _COLD_C  # between jobs it is kept at this


def step(before: Measures, seconds: float, *, heats: bool) -> Measures:
    """Let business seconds pass: heat towards 180 °C while a job runs, else cool down to `rest_c`."""
    target_c = _HOT_C if heats else before.rest_c
    left = math.exp(-max(0.0, seconds) / _TIME_CONSTANT_S)
    temperature_c = target_c + (before.temperature_c - target_c) * left
    missing = (_HOT_C - temperature_c) / (_HOT_C - _COLD_C)
    power_kw = _HOLD_KW + (_FULL_KW - _HOLD_KW) * missing if heats else 0.0
    energy_wh = before.energy_wh + 1000 * power_kw * max(0.0, seconds) / 3600
    return replace(before, temperature_c=temperature_c, power_kw=power_kw, energy_wh=energy_wh)


def set_rest(before: Measures, words: Sequence[int], order: WordOrder) -> Measures:
    """Take the temperature to rest at from its two registers; the controller keeps it from 22 to 120 °C."""
    wanted_c = read_f32(words, 0, order)
    return replace(before, rest_c=min(max(wanted_c, _COLD_C), _REST_MAX_C)) if math.isfinite(wanted_c) else before


def registers(measures: Measures, order: WordOrder) -> list[int]:
    """Give the block of registers."""
    power = round(10 * measures.power_kw)
    temperature, rest = f32(measures.temperature_c, order), f32(measures.rest_c, order)
    return [*temperature, power, 0, *u32(int(measures.energy_wh), order), *rest]
