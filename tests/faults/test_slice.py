"""A slice of the fault harness, each time the tests run: nothing is lost, and what has lost its protection is found out."""

import json
import subprocess
import sys

import pytest

from tests.faults.rows import ALL
from tests.house.tree import ROOT

pytestmark = [pytest.mark.factory, pytest.mark.timeout(600)]
POINTS = 60


def test_a_slice_of_all_faults_loses_nothing_doubles_nothing_and_explains_everything() -> None:
    command = [sys.executable, "-m", "tests.faults", "--points", str(POINTS), "--seed", "1", "--output", "json"]
    ended = subprocess.run([*command, "--workers", "2"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.stdout, ended.stderr[-3000:]
    report = json.loads(ended.stdout)
    assert (report["lost"], report["doubled"], report["unexplained"]) == (0, 0, 0), report["findings"]
    assert report["points"] + report["not_reached"] == POINTS
    assert report["points"] > 0.8 * POINTS
    assert all(seen["found"] for seen in report["control"]["by_protection"].values()), report["control"]
    assert set(report["rows"]) == {row.name for row in ALL}
    assert ended.returncode == 0
