"""The program in docs/explanation/pricing.md runs as it stands, and shows what the text says."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[3] / "docs" / "explanation" / "pricing.md"


def test_the_program_in_the_explanation_runs_and_its_promises_count_down(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(program, str(PAGE), "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    starts = [number for number, line in enumerate(lines) if " start " in line]
    assert len(starts) >= 2
    first_run = lines[: starts[0]]
    assert len({line.partition("promised")[2].partition("campaign")[0] for line in first_run}) == 1
    assert "campaign True" in first_run[-1]
