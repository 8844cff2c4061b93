"""Machines without memory of jobs: what their types must say, and each mistake where it is written."""

from pathlib import Path

import pytest

from drivers.catalog import profile_faults
from drivers.profile import Counting, Effect, Place, Unit, WordOrder
from gateway.settings.load import read_profile
from tests.settings.site import changed, faults, good
from tests.settings.test_machine_types import oven

MACHINES = Path(__file__).parents[2] / "config" / "machines"
SAW = (MACHINES / "modbus-plain.yaml").read_text(encoding="utf-8")
NODES = (MACHINES / "opcua-plain.yaml").read_text(encoding="utf-8")
URL = "modbus://127.0.0.1:1502/1"


def test_a_plain_map_becomes_the_drivers_value(tmp_path: Path) -> None:
    text = SAW.replace("scrap: {address: holding:102, type: uint32}", "scrap: {address: holding:102, order: CDAB}")
    profile = good(tmp_path, oven(URL), profile=text.replace("quantity_in: pieces", "quantity_in: cycles")).profile(
        "press-1"
    )
    plain = profile.plain
    assert profile.effect is Effect.OBSERVABLE
    assert plain is not None
    assert (plain.start, plain.busy, plain.done, plain.reset_done) == ("coil:0", "coil:1", "coil:2", None)
    assert plain.good == Place(address="holding:100", type="uint32")
    assert plain.scrap == Place(address="holding:102", order=WordOrder.CDAB)
    assert plain.boot == Place(address="holding:105")
    assert (plain.counting, plain.quantity_in) == (Counting.TOTAL, Unit.CYCLES)
    assert plain.recipes["trim"].number == 1
    assert plain.recipes["trim"].parameters["length_mm"] == Place(address="holding:2", type="float32")


@pytest.mark.parametrize("name", ["modbus-plain", "opcua-plain"])
def test_the_shipped_types_can_be_driven(name: str) -> None:
    settings, found = read_profile(MACHINES / f"{name}.yaml")
    assert found == ()
    assert settings is not None
    assert profile_faults(settings.to_profile(name)) == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "fault"),
    [
        ("effect: observable", "effect: remembered", "effect: ob", "effect: remembered is not possible without memory"),
        ("  remote: coil:3", "  remote: coils:3", "  remote: ", "permits.remote: 'coils:3' is no address: write coil"),
        ("104       #", "104.1     #", "setup_code: ", "setup_code: 'holding:104.1' is a bit where registers are exp"),
        ("  start: coil:0 ", "  start: discrete:0 ", "  start: ", "plain.start: 'discrete:0' can only be read"),
        ("  start: coil:0 ", "  strat: coil:0 ", "  start: ", "plain.strat: unknown key; did you mean 'start'?"),
        (
            "  busy: coil:1 ",
            "  busy: holding:1 ",
            "  busy: ",
            "plain.busy: 'holding:1' is a whole register where a bit",
        ),
        ("  done: coil:2 ", "  done: coil:0 ", "plain:", "plain: done lies at coil:0, which is written; nothing"),
        ("100, type: uint32}", "100, type: float32}", "  good: ", "plain.good: a counter is a whole number without"),
        ("100, type: uint32}", "100, type: uint23}", "  good: ", "plain.good.type: 'uint23' is not known; did you me"),
        ("102, type: uint32}", "102, scale: 0.5}", "  scrap: ", "plain.scrap: a counter is a whole number without"),
        ("counting: total", "counting: totals", "  counting: ", "plain.counting: 'totals' is not known; did you mean"),
        ("holding:1, type", "holding:100, type", "  quantity: ", "plain.quantity: lies where plain.good is"),
        ("scan_s: 0.1", "scan_s: 2", "  scan_s: ", "plain.scan_s: "),
        (
            "quantity_in: pieces",
            "pieces_per_count: 4",
            "  quantity_in: ",
            "pieces_per_count: a count of several pieces",
        ),
        ("      number: 1\n", "", "    trim:", "plain.recipes.trim: number and plain.recipe belong together"),
        ("      number: 1\n", "      number: 70000\n", "      number:", "plain.recipes.trim.number: a uint16 cannot"),
        ("        speed: {address", "        sped: {address", "    trim:", "parameters are not those of the recipe ("),
        ("4, type: float32}", "4, type: uint16, offset: 5}", "        speed:", "speed: a uint16 cannot carry what the"),
        (
            "4, type: float32}",
            "4, scale: 0}",
            "        speed:",
            "plain.recipes.trim.parameters.speed: scale and offset",
        ),
        ("{min: 1, max: 100, unit: m/min}", "{max_length: 9}", "      speed:", "speed: registers carry numbers only"),
        (
            "    trim:\n      number",
            "    trm:\n      number",
            "    trim:",
            "plain.recipes.trm: is not among the recipes",
        ),
        ("    trim:\n      number", "    trm:\n      number", "  trim:", "recipes.trim: is not in plain.recipes"),
        ("dialect: plain", "dialect: mailbox", "plain:", "plain: belongs to dialect plain, not modbus/mailbox; r"),
    ],
)
def test_a_mistake_in_a_plain_map_is_refused_where_it_is_written(
    tmp_path: Path, old: str, new: str, line: str, fault: str
) -> None:
    number = next(at for at, text in enumerate(SAW.splitlines(), 1) if text.startswith(line))
    found = faults(tmp_path, oven(URL), profile=changed(old, new, SAW))
    assert any(one.startswith(f"machines/press.yaml:{number}:") and fault in one for one in found), (number, found)


def test_a_plain_type_needs_its_map_and_its_permits(tmp_path: Path) -> None:
    without = SAW[: SAW.index("plain:\n")] + SAW[SAW.index("recipes:\n  trim:\n    version") :]
    assert "plain: missing; it says where start, busy, done" in faults(tmp_path, oven(URL), profile=without)[0]
    without = SAW.replace(SAW[SAW.index("permits:") : SAW.index("setup_code:")], "")
    assert "permits: missing; " in faults(tmp_path, oven(URL), profile=without)[0]


def test_nodes_of_a_plain_machine_are_named_without_an_index(tmp_path: Path) -> None:
    text = oven("opc.tcp://127.0.0.1:4840").replace("    area:", "    security: none\n    area:")
    good(tmp_path, text, profile=NODES)
    wrong = changed('busy: "nsu=urn:example:saw;s=Busy"', 'busy: "ns=2;s=Busy"', NODES)
    number = next(at for at, line in enumerate(NODES.splitlines(), 1) if line.startswith("  busy:"))
    (found,) = faults(tmp_path, text, profile=wrong)
    assert found.startswith(f"machines/press.yaml:{number}:")
    assert "plain.busy: 'ns=2;s=Busy' is not a node address" in found


def test_a_plain_machine_that_may_only_be_loaded_is_warned_of(tmp_path: Path) -> None:
    text = changed("    area:", "    control: load\n    area:", oven(URL))
    (warning,) = [one for one in good(tmp_path, text, profile=SAW).warnings if one.path.endswith("control")]
    assert "a plain machine loads and starts at once" in warning.text
