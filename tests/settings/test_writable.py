"""What a machine type lets people write by hand: only tags, within limits, and nothing that moves or guards."""

from pathlib import Path

import pytest

from drivers.profile import Limit
from gateway.settings.load import read_profile

MACHINES = Path(__file__).parents[2] / "config" / "machines"
PRESS = (MACHINES / "isa95-press.yaml").read_text(encoding="utf-8")
OVEN = (MACHINES / "modbus-mailbox.yaml").read_text(encoding="utf-8")
SAW = (MACHINES / "modbus-plain.yaml").read_text(encoding="utf-8")
STATION = (MACHINES / "station.yaml").read_text(encoding="utf-8")
NODE = "nsu=urn:maker:press;s=Press"


def found(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "press.yaml"
    file.write_text(text, encoding="utf-8")
    return [str(one) for one in read_profile(file)[1]]


def press(name: str, address: str, limit: str = "{min: 0, max: 9}", unit: str = "''") -> str:
    head, _, tail = PRESS.partition("writable:")
    return (
        f"{head.rstrip()}\n  {name}: {{address: '{address}', unit: {unit}}}\n"
        f"writable:\n  {name}: {limit}\nrecipes:{tail.partition('recipes:')[2]}"
    )


def test_a_write_list_becomes_the_drivers_value() -> None:
    settings, faults = read_profile(MACHINES / "isa95-press.yaml")
    assert faults == ()
    assert settings is not None
    assert settings.to_profile("press").writable == {"standby_c": Limit(min=22, max=90)}


@pytest.mark.parametrize(
    ("name", "address", "kind"),
    [
        ("mode", f"{NODE}.X", "mode"),
        ("x", f"{NODE}.OpMode", "mode"),
        ("x", f"{NODE}.OPMODE2", "mode"),
        ("reset_faults", f"{NODE}.X", "reset"),
        ("x", f"{NODE}.FaultReset", "reset"),
        ("x", f"{NODE}.ClearFault", "clear-fault"),
        ("alarm_ack", f"{NODE}.X", "clear-fault"),
        ("x", f"{NODE}.Force", "force"),
        ("forced_output", f"{NODE}.X", "force"),
        ("x", f"{NODE}.SafetyDoor", "safety"),
        ("e_stop", f"{NODE}.X", "safety"),
        ("x", f"{NODE}.GuardLock", "safety"),
        ("x", f"{NODE}.InterlockBypass", "safety"),
        ("x", f"{NODE}.Start", "start"),
        ("reboot", f"{NODE}.X", "start"),
    ],
)
def test_mode_reset_fault_force_safety_and_start_are_refused_at_their_place(
    tmp_path: Path, name: str, address: str, kind: str
) -> None:
    text = press(name, address)
    line = text[: text.index("writable:")].count("\n") + 2
    (fault,) = found(tmp_path, text)
    assert f"press.yaml:{line}:3: writable.{name}: Kvot writes no {kind} tag, not even by hand" in fault


@pytest.mark.parametrize(
    ("name", "address", "unit"),
    [
        ("preset_c", f"{NODE}.Preset", "°C"),
        ("force", f"{NODE}.Force", "kN"),
        ("model_number", f"{NODE}.Model", "''"),
        ("ramp_c", f"{NODE}.Quick", "°C"),
    ],
)
def test_a_set_point_that_only_sounds_like_it_is_allowed(tmp_path: Path, name: str, address: str, unit: str) -> None:
    assert found(tmp_path, press(name, address, unit=unit)) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PRESS.replace("  standby_c: {min", "  standby: {min"), "writable.standby: no such tag; write its address"),
        (press("x", "nsu=urn:kvot:simulator:press;s=Press.Permits.Remote"), "lies where permits.remote is"),
        (press("x", "holding:7"), "'holding:7' is not a node address"),
        (press("x", f"{NODE}.X", "{min: 9, max: 0}"), "min 9 is above max 0"),
        (press("x", f"{NODE}.X", "{}"), "give one kind of limit"),
        (OVEN.replace("holding:206", "holding:105"), "writable.rest_c: lies where the command block is"),
        (OVEN.replace("holding:206", "holding:30"), "writable.rest_c: lies where the status block is"),
        (OVEN.replace("holding:206", "input:206"), "writable.rest_c: 'input:206' can only be read"),
        (
            OVEN.replace('"holding:206", type: float32', '"holding:206.1"'),
            "a bit of a register cannot be written alone",
        ),
        (
            OVEN.replace('"holding:206", type: float32', '"holding:206", type: int16').replace(
                "max: 120", "max: 99999"
            ),
            "a int16 cannot carry what the limits allow",
        ),
        (f"{SAW}tags:\n  x: {{address: 'coil:0'}}\nwritable:\n  x: {{one_of: [true, false]}}\n", "lies where start is"),
        (
            f"{SAW}tags:\n  x: {{address: 'holding:1'}}\nwritable:\n  x: {{min: 0, max: 9}}\n",
            "is, which jobs are given",
        ),
        (
            f"{STATION}tags:\n  x: {{address: 'coil:0'}}\nwritable:\n  x: {{min: 0, max: 9}}\n",
            "a person works at a sta",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, text: str, says: str) -> None:
    faults = found(tmp_path, text)
    assert any("writable" in one and says in one for one in faults), faults
