"""Tags and the spool are written in YAML, and what makes no sense is refused with its place."""

from pathlib import Path

import pytest

from drivers.profile import Tag, TagClass
from gateway.settings.load import read_profile

ROOT = Path(__file__).parents[2]
PROFILE = (ROOT / "config/machines/isa95-press.yaml").read_text(encoding="utf-8")


def written(tmp_path: Path, tag: str) -> Path:
    file = tmp_path / "press.yaml"
    head, _, tail = PROFILE.partition("tags:\n")
    file.write_text(f"{head}tags:\n  one: {tag}\n  two{tail.partition('  pressure_bar')[2]}", encoding="utf-8")
    return file


def test_a_tag_has_its_address_scale_unit_deadband_and_class(tmp_path: Path) -> None:
    profile, faults = read_profile(
        written(tmp_path, "{address: i=5, scale: 0.1, offset: -5, unit: bar, class: counter}")
    )
    assert faults == ()
    assert profile is not None
    assert profile.to_profile("press").tags["one"] == Tag(
        address="i=5", scale=0.1, offset=-5, unit="bar", tag_class=TagClass.COUNTER
    )


@pytest.mark.parametrize(
    ("tag", "fault"),
    [
        ("{address: i=5, scale: 0}", "scale must not be 0"),
        ("{address: i=5, class: counter, deadband: 1}", "a counter has no deadband"),
        ("{address: i=5, class: counters}", "did you mean 'counter'?"),
        ("{address: i=5, clas: counter}", "unknown key; did you mean 'class'?"),
        ("{address: i=5, deadband: -1}", "greater than or equal to 0"),
        ("{unit: bar}", "missing; Where it stands"),
    ],
)
def test_a_tag_that_makes_no_sense_is_refused(tmp_path: Path, tag: str, fault: str) -> None:
    _, faults = read_profile(written(tmp_path, tag))
    assert any("tags.one" in str(found) and fault in str(found) for found in faults), faults
