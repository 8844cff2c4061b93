"""What a bench found: least, median and most of each way, ratios of ways, and goals that are met or not."""

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Say = Callable[[str], None]  # one line of progress

COLUMNS = ("what", "unit", "least", "median", "most", "goal", "met")


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """A limit that a median must keep."""

    limit: float
    above: bool  # the median must be at least the limit, else at most

    def met(self, value: float) -> bool:
        """Say whether a value keeps the limit."""
        return value >= self.limit if self.above else value <= self.limit

    def __str__(self) -> str:
        """Give it as a sign and a number."""
        return f"{'>=' if self.above else '<='} {self.limit:g}"


@dataclass(kw_only=True, slots=True)
class Figures:
    """Figures of one run, by what was measured: one number a round, the rounds in the same order everywhere."""

    bench: str
    found: dict[tuple[str, str], list[float]] = field(default_factory=dict)  # (what, unit) -> one number a round
    goals: dict[tuple[str, str], Goal] = field(default_factory=dict)
    loads: list[float] = field(default_factory=list)  # of the computer, one a round

    def add(self, what: str, unit: str, value: float, goal: Goal | None = None) -> None:
        """Add one round's number."""
        self.found.setdefault((what, unit), []).append(value)
        if goal is not None:
            self.goals[what, unit] = goal

    def end_round(self) -> None:
        """Note how busy the computer was."""
        self.loads.append(os.getloadavg()[0])

    def compare(self, one: str, others: Sequence[str], unit: str) -> None:
        """Add the ratios of a way to others, round by round."""
        for other in others:
            for above, below in zip(self.found[one, unit], self.found[other, unit], strict=True):
                self.add(f"{one} / {other}", unit, above / below)

    def rows(self) -> list[dict[str, Any]]:
        """Give one row for each thing measured."""
        return [_row(what, unit, values, self.goals.get((what, unit))) for (what, unit), values in self.found.items()]

    def answer(self) -> Mapping[str, Any]:
        """Give everything as one mapping."""
        return {"bench": self.bench, "rounds": len(self.loads), "load_average": self.loads, "figures": self.rows()}

    @property
    def kept(self) -> bool:
        """Say whether every goal is met."""
        return all(goal.met(statistics.median(self.found[what])) for what, goal in self.goals.items())


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value that this share of all values does not exceed (nearest rank); there must be one."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, round(share * len(ranked)) - 1))]


def _row(what: str, unit: str, values: Sequence[float], goal: Goal | None) -> dict[str, Any]:
    median = statistics.median(values)
    return {
        "what": what,
        "unit": unit,
        "least": round(min(values), 3),
        "median": round(median, 3),
        "most": round(max(values), 3),
        "goal": None if goal is None else str(goal),
        "met": None if goal is None else goal.met(median),
    }
