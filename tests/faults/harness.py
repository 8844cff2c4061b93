"""The harness as a whole: rehearse, draw, strike, judge, and see that weakened gateways are found out."""

import math
import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from tests.faults import filesystem, plan, pool, traced, trial, wireworld
from tests.faults.checker import DOUBLED, LOST, UNEXPLAINED
from tests.faults.disk import library_in_use
from tests.faults.rows import ALL, PROCESS, SHARES, WIRES, Row
from tests.faults.scenes import Outcome, Point
from tests.faults.weakened import ON_WIRES, SLOW, WEAKNESSES

Say = Callable[[str], None]
KINDS = (LOST, DOUBLED, UNEXPLAINED)
WIRE_CONTROLS = 250  # points for each one control of a protection that only a real wire shows
WIRE_CONTROLS_MIN = 3  # on a busy computer about one in six shows nothing: its moment passes unseen
SHOWN = 20  # findings told in full
EVERY = 50  # points between two words of progress


def run(*, points: int, seed: int, workers: int, row: str, only: int | None, say: Say) -> dict[str, Any]:
    """Run so many points of a seed; give the report."""
    said = _Progress(say)
    rehearsed = pool.run_all(plan.rehearsals(seed), trial.run, workers=workers, done=said)
    touched = plan.counted(rehearsed)
    rows = _possible(ALL)
    drawn = _drawn(seed, points, touched, [one for one in rows if row in one.name])
    if only is not None:
        os.environ["KVOT_FAULTS_KEEP"] = "1"
        drawn = [point for point in drawn if point.index == only]
    if only is None or any(point.scene.machine == "opcua" for point in drawn):
        wireworld.warm()
    said.of("points", len(drawn))
    outcomes = pool.run_all(drawn, trial.run, workers=workers, done=said)
    each = max(4, points // 50)  # of each protection
    controls: list[Point] = []
    if only is None:
        on_wires = plan.wire_controls(
            seed, max(WIRE_CONTROLS_MIN, points // WIRE_CONTROLS), slow=points >= WIRE_CONTROLS
        )
        controls = plan.control_points(seed, each, touched) + on_wires
    said.of("control run", len(controls))
    found = pool.run_all(controls, trial.run, workers=workers, done=said)
    return report([*rehearsed, *outcomes], found, rows)


def _drawn(seed: int, points: int, touched: plan.Touched, rows: list[Row]) -> list[Point]:
    """Draw all points: each part of the list has its share, and the first one what is left over."""
    drawn: list[Point] = []
    for where, part in WIRES.items():
        chosen = tuple(row for row in rows if row.name in {one.name for one in part})
        share = points if len(chosen) == len(rows) else int(points * SHARES[where])
        if any(not row.why for row in chosen):
            drawn += plan.wire_points(seed, share, where, rows=chosen)
    chosen = tuple(row for row in rows if row.name in {one.name for one in PROCESS})
    if any(not row.why for row in chosen):
        drawn += plan.process_points(seed, points - len(drawn), touched, rows=chosen)
    random.Random(f"order {seed}").shuffle(drawn)
    drawn.sort(key=lambda point: not point.is_long)  # nobody waits for them at the end
    return [replace(point, index=number) for number, point in enumerate(drawn)]


def report(outcomes: list[Outcome], controls: list[Outcome], rows: Iterable[Row]) -> dict[str, Any]:
    """Sum up what became of the points, row by row, and of the control run."""
    counts = Counter(kind for outcome in outcomes for kind in {kind for kind, _, _ in outcome.findings})
    struck = Counter(outcome.point.row for outcome in outcomes if outcome.struck)
    recoveries = sorted(second for outcome in outcomes for second in outcome.recovery_s)
    shown = {row.name: {"points": struck[row.name]} if not row.why else {"unexercised": row.why} for row in rows}
    weak: dict[str, list[bool]] = defaultdict(list)
    for outcome in controls:
        wanted = ON_WIRES.get(outcome.point.weakness)
        found = [invariant for _, invariant, _ in outcome.findings if wanted is None or invariant == wanted]
        weak[outcome.point.weakness].append(bool(found))
    return {
        "points": sum(struck.values()),
        **{kind: counts[kind] for kind in KINDS},
        "unexercised": sum("unexercised" in row for row in shown.values()),
        "not_reached": sum(not outcome.struck for outcome in outcomes if outcome.point.row != "rehearsal"),
        "recovery_p99_s": round(recoveries[math.ceil(len(recoveries) * 0.99) - 1], 2) if recoveries else None,
        "rows": shown,
        "control": {
            "found": sum(sum(found) for found in weak.values()),
            "of": sum(map(len, weak.values())),
            "by_protection": {name: {"found": sum(found), "of": len(found)} for name, found in weak.items()},
        },
        "findings": [
            {"point": outcome.point.index, "row": outcome.point.row, "kind": kind, "invariant": invariant, "text": text}
            for outcome in outcomes
            for kind, invariant, text in outcome.findings
        ][:SHOWN],
    }


def is_good(report: dict[str, Any]) -> bool:
    """Say whether nothing was found, and everything that had to be found in the control run was."""
    seen = report["control"]["by_protection"]
    return not any(report[kind] for kind in KINDS) and all(
        seen.get(name, {"found": name in SLOW})["found"] for name in WEAKNESSES
    )


def told(report: dict[str, Any]) -> Iterator[str]:
    """Give the report as lines for a person."""
    for name, row in report["rows"].items():
        yield f"{row['points']:6} {name}" if "points" in row else f"     - {name}: {row['unexercised']}"
    for finding in report["findings"]:
        yield f"point {finding['point']} ({finding['row']}): {finding['kind']} {finding['invariant']}: {finding['text']}"
    yield ", ".join(
        f"{name} {report[name]}" for name in ("points", *KINDS, "unexercised", "not_reached", "recovery_p99_s")
    )
    for name, seen in report["control"]["by_protection"].items():
        yield f"control, {name}: {seen['found']} of {seen['of']} found"


def _possible(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Give the rows, those this computer has no means for with the reason."""
    missing = filesystem.missing()
    if library_in_use() is None:
        missing["recorded disk"] = "this Python has its SQLite linked in: its file calls cannot be seen"
    if find_spec("serial") is None:
        missing["serial line"] = "pyserial is not installed"
    if why := traced.missing():
        missing["strace"] = why
    return tuple(
        replace(row, why=next((missing[need] for need in row.needs if need in missing), row.why)) for row in rows
    )


class _Progress:
    """Says how far it is."""

    def __init__(self, say: Say) -> None:
        self._say, self._what, self._of, self._done = say, "rehearsals", 0, 0

    def of(self, what: str, number: int) -> None:
        self._what, self._of, self._done = what, number, 0

    def __call__(self, outcome: Outcome) -> None:
        self._done += 1
        if outcome.findings and not outcome.point.weakness:
            self._say(f"point {outcome.point.index} ({outcome.point.row}): {outcome.findings[0]}")
        if self._done % EVERY == 0:
            self._say(f"{self._what}: {self._done} of {self._of or '?'}")


__all__ = ["Point", "is_good", "report", "run", "told"]
