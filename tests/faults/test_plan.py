"""The points of the harness: the same seed draws the same ones, and every row that can be struck is struck."""

from collections import Counter

from tests.faults import plan
from tests.faults.rows import ALL, MODBUS, PROCESS, WIRES
from tests.faults.scenes import Scene

_COMES_TO = (
    *("round", "create: statement", "boot: disk write", "disk sync", "checkpoint: disk sync", "migration: begin"),
    *("backup: begin", "machine: sent", "machine: answered", "result: after commit", "look: sent"),
    *(f"{what}: statement" for what in ("intake", "plan", "intent", "receipt", "clear", "outbox")),
)


def _touched(seed: int) -> dict[Scene, dict[str, int]]:
    return {scene: {f"{life}/{name}": 5 for name in _COMES_TO for life in (1, 2)} for scene in plan.scenes(seed)}


def test_the_same_seed_draws_the_same_points_and_another_seed_others() -> None:
    first, again, other = (plan.process_points(seed, 80, _touched(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert plan.wire_points(1, 30, "modbus", rows=MODBUS) == plan.wire_points(1, 30, "modbus", rows=MODBUS)
    assert plan.control_points(1, 3, _touched(1)) == plan.control_points(1, 3, _touched(1))


def test_each_row_that_can_be_struck_gets_its_share() -> None:
    drawn = Counter(point.row for point in plan.process_points(1, 200, _touched(1)))
    assert set(drawn) == {row.name for row in PROCESS if not row.why}
    assert sum(drawn.values()) == 200
    for where, rows in WIRES.items():
        drawn = Counter(point.row for point in plan.wire_points(1, 60, where, rows=rows))
        assert set(drawn) == {row.name for row in rows if not row.why}


def test_no_two_rows_bear_the_same_name_and_each_is_struck_or_says_why_not() -> None:
    rows = ALL
    assert len({row.name for row in rows}) == len(rows)
    assert all(
        row.why
        or row.points
        or row.wire
        or row.deed in {"flip", "delete", "truncate", "edit", "outside", "crowd", "guest"}
        for row in rows
    )
