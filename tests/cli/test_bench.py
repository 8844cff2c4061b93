"""`kvot bench`: it measures what it says, by the product's own ways, and prints it for people and programs."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import exits
from gateway.cli.bench.figures import Figures, Goal, percentile
from gateway.cli.verbs import app


def _measured(*words: str, disk: Path) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["bench", *words, "--rounds", "1", "--disk", str(disk), "--output", "json"])
    assert done.exit_code == exits.OK, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    assert len(found["load_average"]) == 1
    assert list(disk.iterdir()) == [], "a bench leaves nothing on the disk"
    return found


def _units(found: dict[str, Any]) -> set[tuple[str, str]]:
    return {(row["what"], row["unit"]) for row in found["figures"] if row["least"] > 0}


def test_orders_are_taken_beside_a_plain_script_and_the_bare_disk(tmp_path: Path) -> None:
    found = _measured("ledger", "--orders", "12", "--callers", "4", disk=tmp_path)
    ways = ("product", "product, planning beside it", "plain: a sqlite3 transaction each")
    for way in (*ways, "leanest: append and fdatasync each"):
        assert {(way, "lines/s"), (way, "ms p99 of one"), (way, "CPU us a line")} <= _units(found)
    assert ("product / plain: a sqlite3 transaction each", "lines/s") in _units(found)
    goals = {(row["what"], row["unit"]): row["goal"] for row in found["figures"] if row["goal"]}
    assert goals["product", "lines/s"] == ">= 500"
    assert goals["product", "ms p99 of one"] == "<= 100"


@pytest.mark.factory
def test_the_first_byte_is_seen_on_the_wire_of_a_press_and_of_an_oven(tmp_path: Path) -> None:
    found = _measured("dispatch", "--orders", "1", disk=tmp_path)
    assert {("product, OPC UA press", "ms p50"), ("product, Modbus oven", "ms p50")} <= _units(found)


@pytest.mark.factory
def test_good_machines_are_counted_with_and_without_bad_neighbours(tmp_path: Path) -> None:
    found = _measured("neighbours", "--orders", "2", disk=tmp_path)
    (ratio,) = (row for row in found["figures"] if row["goal"])
    assert ratio["goal"] == ">= 0.95"
    assert ratio["least"] == ratio["median"] == ratio["most"] > 0


def test_a_disk_that_is_not_there_is_a_wrong_command_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "ledger", "--disk", str(tmp_path / "none")])
    assert done.exit_code == exits.USAGE
    assert "no such directory" in done.stderr


def test_a_goal_is_judged_by_the_median_of_the_rounds() -> None:
    figures = Figures(bench="any")
    for value in (1.0, 30.0, 10.0):
        figures.add("it", "ms", value, Goal(limit=20, above=False))
    assert figures.kept
    (row,) = figures.rows()
    assert (row["least"], row["median"], row["most"], row["goal"], row["met"]) == (1, 10, 30, "<= 20", True)
    figures.goals["it", "ms"] = Goal(limit=11, above=True)
    assert not figures.kept


def test_ratios_are_those_of_the_same_round() -> None:
    figures = Figures(bench="any")
    for one, other in ((2.0, 1.0), (8.0, 2.0)):
        figures.add("one", "ms", one)
        figures.add("other", "ms", other)
    figures.compare("one", ("other",), "ms")
    assert figures.found["one / other", "ms"] == [2, 4]


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7
    assert percentile(list(reversed(values)), 0.5) == 50
