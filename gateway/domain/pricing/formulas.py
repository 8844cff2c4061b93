"""The formulas of docs/explanation/pricing.md, each a function of plain numbers."""

import math
from statistics import NormalDist
from typing import Final

HOURS_DAY: Final = 24.0
RARE_FAILURES: Final = 0.3
_NEARLY_NOTHING: Final = 1e-9
_SURE: Final = NormalDist()


def collection_window_h(
    *, setup_cost: float, units_day: float, loss_day: float, places: int, max_window_h: float
) -> float:
    """Give D*, how long a run collects: min(sqrt(2 K / (u * loss)), C / u), in hours.

    `loss_day` is what one more day of lead costs on each unit sold: (p-c) * g and the cost of waiting.
    Where nothing is lost by waiting or nobody buys, only `max_window_h` bounds it.
    """
    if units_day <= 0:
        return max_window_h
    lost = units_day * loss_day
    best_days = math.sqrt(2 * setup_cost / lost) if lost > 0 else math.inf
    return min(HOURS_DAY * min(best_days, places / units_day), max_window_h)


def failures(units: float, *, rate_h: float, mtbf_h: float) -> float:
    """Give k, the breakdowns to expect while making so many units."""
    return units / (rate_h * mtbf_h)


def run_hours(units: float, *, setup_h: float, rate_h: float, mtbf_h: float, mttr_h: float) -> float:
    """Give run_h(n) = S + n/r + k*MTTR, working hours from the start of set-up to the last good unit."""
    return setup_h + units / rate_h + failures(units, rate_h=rate_h, mtbf_h=mtbf_h) * mttr_h


def run_sd_hours(units: float, *, rate_h: float, mtbf_h: float, mttr_h: float) -> float:
    """Give sd(n) = MTTR * sqrt(2k): a Poisson number of exponential repairs."""
    return mttr_h * math.sqrt(2 * failures(units, rate_h=rate_h, mtbf_h=mtbf_h))


def skew_hours(units: float, *, rate_h: float, mtbf_h: float, mttr_h: float, z: float) -> float:
    """Give what the normal quantile lacks because repairs are skewed: (z^2 - 1)/2 * MTTR * k/(k + 0.3).

    The Cornish-Fisher term of a compound Poisson sum of exponential repairs; it fades where breakdowns are so
    rare that the quantile has none.
    """
    expected = failures(units, rate_h=rate_h, mtbf_h=mtbf_h)
    return max(0.0, z * z - 1) / 2 * mttr_h * expected / (expected + RARE_FAILURES)


def quantile_z(quantile: float) -> float:
    """Give the standard normal quantile (1.645 for 0.95)."""
    return _SURE.inv_cdf(quantile)


def place_value(
    *, share: float, units_day: float, order_units: float, order_sd: float, hours: float, free_places: float
) -> float:
    """Give the bid b(n,d) = (K/C) * Pr(units still to come before the latest start > places still free).

    Orders come as a Poisson process, their sizes are independent: the sum over `hours` has mean u*d and
    variance orders * E[size^2]; its normal approximation is taken with continuity correction.
    """
    mean = units_day * max(0.0, hours) / HOURS_DAY
    sd = math.sqrt(mean / order_units * (order_units**2 + order_sd**2))
    if sd < _NEARLY_NOTHING:
        return 0.0
    below = (max(0.0, free_places) + 0.5 - mean) / sd
    return share * 0.5 * math.erfc(below / math.sqrt(2))


def moved_probability(probability: float, log_odds: float) -> float:
    """Give the probability after its log-odds moved by so much."""
    odds = math.log(probability / (1 - probability)) + log_odds
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, odds))))
