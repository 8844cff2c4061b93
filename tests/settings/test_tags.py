"""Tags and the spool are written in YAML, and what makes no sense is refused with its place."""

from pathlib import Path

import pytest

from drivers.profile import Tag, TagClass
from gateway.settings.load import read_profile

ROOT = Path(__file__).parents[2]
MODBUS = (ROOT / "config/machines/modbus-mailbox.yaml").read_text(encoding="utf-8")
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


@pytest.mark.parametrize(
    ("tag", "column", "fault"),
    [
        ("{address: '40001', type: uint16}", 9, "one.address: '40001' is no address: write coil:5"),
        ("{address: 'holding:1', type: word}", 31, "one.type: 'word' is none; write one of bool, int16"),
        ("{address: 'holding:1', type: uint16, bit: 16}", 45, "one.bit: bits 16 to 16 do not lie in a uint16"),
        ("{address: 'holding:1', order: ABDC}", 38, "one.order:"),
    ],
)
def test_a_modbus_tag_that_cannot_be_read_is_refused_at_its_place(
    tmp_path: Path, tag: str, column: int, fault: str
) -> None:
    file = tmp_path / "oven.yaml"
    file.write_text(MODBUS.replace("tags: ", f"tags:\n  one: {tag}\n  #", 1), encoding="utf-8")
    line = 2 + MODBUS.partition("tags: ")[0].count("\n")
    _, faults = read_profile(file)
    assert any(f"oven.yaml:{line}:{column}: tags.{fault}" in str(found) for found in faults), faults


def test_ten_thousand_tags_are_the_most(tmp_path: Path) -> None:
    file = tmp_path / "oven.yaml"
    many = "".join(f"  t{number}: {{address: 'holding:{number}'}}\n" for number in range(10_001))
    file.write_text(MODBUS.replace("tags: ", f"tags:\n{many}  #", 1), encoding="utf-8")
    _, faults = read_profile(file)
    assert any("tags" in str(found) and "10000" in str(found) for found in faults), faults
