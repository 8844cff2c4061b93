"""Routes of several steps: what each may say, and what becomes of it."""

from pathlib import Path

import pytest

from gateway.domain.products import Range, Step
from tests.settings.site import FULL, changed, faults, good

CURE = "        family: cure-white\n"
PACK = "- {operation: pack, station: packing}"


def made(folder: Path, text: str = FULL) -> Range:
    return good(folder, text).range()


def test_a_route_becomes_steps_in_order_with_what_each_says(tmp_path: Path) -> None:
    factory = made(tmp_path)
    product = factory.find(("SET-12",), {})
    assert product is not None
    assert [(step.operation, step.family, step.recipe) for step in product.route] == [
        ("press", "pla-white", "tray"),
        ("cure", "cure-white", "cure"),
        ("pack", "packing", "pack"),
    ]
    cure = product.route[1]
    assert (cure.places, cure.batch, cure.expected_yield) == (1.5, 10, 0.95)
    assert [(step.places, step.batch, step.expected_yield) for step in product.route[::2]] == [(1.0, None, 1.0)] * 2
    assert product.route[0].parameters["text"]({}) == "a"
    short = factory.find(("PLATE-B",), {})
    assert short is not None
    assert (short.route[0].places, short.route[0].drives_price, short.priced_by) == (2, True, "cure-black")


def test_a_station_in_a_route_is_a_family_of_its_own(tmp_path: Path) -> None:
    family = made(tmp_path).families["packing"]
    assert (family.machines, family.static_days, family.station) == (("packing",), 0, True)
    assert not made(tmp_path).families["cure-white"].station


def test_the_step_whose_setup_costs_most_a_place_drives_the_price(tmp_path: Path) -> None:
    product = made(tmp_path).find(("SET-12",), {})
    assert product is not None
    assert ([step.drives_price for step in product.route], product.priced_by) == ([False, True, False], "cure-white")
    first = changed("operation: press, ", "operation: press, drives_price: true, ", FULL)
    product = made(tmp_path, first).find(("SET-12",), {})
    assert product is not None
    assert ([step.drives_price for step in product.route], product.priced_by) == ([True, False, False], "pla-white")


def test_a_step_that_comes_before_a_dearer_one_does_not_drive(tmp_path: Path) -> None:
    dearer = changed(
        "  pla-white:\n    machines: [press-1]\n",
        "  pla-white:\n    machines: [press-1]\n    policy: static\n    run: {places: 10, release: at_once}\n"
        "    setup: {cost: 500, hours: 1}\n",
        FULL,
    )
    product = made(tmp_path, dearer).find(("SET-12",), {})
    assert product is not None
    assert product.priced_by == "pla-white"  # 500/10 is more a place than 1200/120


def test_pieces_may_also_be_said_to_come_all_at_once(tmp_path: Path) -> None:
    product = made(tmp_path, changed("transfer: {batches: 10}", "transfer: all", FULL)).find(("SET-12",), {})
    assert product is not None
    assert product.route[1].batch is None


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            PACK,
            "- {operation: pack, station: paking}",
            ".route[2].station: no 'paking' under machines; did you mean 'pac",
        ),
        (
            PACK,
            "- {operation: pack, station: press-1}",
            "'press-1' is a machine (profile press), no station; name a fam",
        ),
        (PACK, "- {operation: pack}", "SET-12.route[2]: give a family, or a station where a person does it"),
        (PACK, "- {operation: pack, station: packing, family: pla-white}", "route[2]: give a family, or a station"),
        (
            PACK,
            "- {operation: wrap, station: packing}",
            "machine 'packing' (profile station) has no recipe 'wrap'; known",
        ),
        (PACK, "- {station: packing, recipe: instructed}", "recipe 'instructed' also needs amount, instruction"),
        (PACK, PACK.replace("}", ", drives_price: true}"), "a station has no run to be priced by; let the step of a"),
        (
            CURE,
            CURE + "        drives_price: 1\n",
            "SET-12.route[1].drives_price: must be true or false, not the number 1",
        ),
        (CURE, CURE + "        family_: x\n", "unknown key; known: drives_price, files, recipe, station"),
        (
            "operation: press, ",
            "operation: press, transfer: all, ",
            "SET-12.route[0].transfer: says how pieces come from the step before, and the first",
        ),
        ("{batches: 10}", "{batches: 0}", "SET-12.route[1].transfer.batches: be greater than or equal to 1"),
        ("{batches: 10}", "{batch: 10}", "SET-12.route[1].transfer.batch: unknown key; did you mean 'batches'?"),
        ("{batches: 10}", "some", "SET-12.route[1].transfer: 'some' is not known; known: all, or a mapping"),
        ("{batches: 10}", "[all]", "SET-12.route[1].transfer: "),
        ("expected_yield: 0.95", "expected_yield: 1.2", "SET-12.route[1].expected_yield: be less than or equal to 1"),
        ("places: 1.5", "places: 0", "SET-12.route[1].places: be greater than 0"),
        ("operation: cure\n", "operation: bake\n", "machine 'oven-1' (profile modbus-mailbox) has no recipe 'bake'"),
    ],
)
def test_a_mistake_in_a_route_is_named_at_its_step(tmp_path: Path, old: str, new: str, fault: str) -> None:
    found = faults(tmp_path, changed(old, new, FULL))
    assert any(fault in line for line in found), found
    assert all(line.startswith("kvot.yaml:") for line in found)


@pytest.mark.parametrize("wrong", [{"places": 0}, {"batch": 0}, {"expected_yield": 0}, {"expected_yield": 1.1}])
def test_a_step_that_moves_or_yields_nothing_is_no_step(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a step: places and batch above 0"):
        Step(operation="a", family="f", recipe="r", parameters={}, **wrong)  # type: ignore[arg-type]


def test_only_one_step_drives_the_price(tmp_path: Path) -> None:
    text = changed("operation: press, ", "operation: press, drives_price: true, ", FULL)
    text = changed(CURE, CURE + "        drives_price: true\n", text)
    (found,) = faults(tmp_path, text)
    assert "SET-12.route[1].drives_price: one step of a route drives the price, and step 1 does already" in found


def test_a_station_and_a_family_of_one_name_are_told_apart(tmp_path: Path) -> None:
    text = changed(
        "families:\n  pla-white:",
        "families:\n  packing: {machines: [packing], promise: {static_days: 1}}\n  pla-white:",
        FULL,
    )
    (found,) = faults(tmp_path, text)
    assert "SET-12.route[2].station: the station would be a family of its own, and families.packing is one" in found
    settings = good(tmp_path, changed("station: packing}", "family: packing}", text))
    family = settings.range().families["packing"]
    assert (family.static_days, family.station) == (1, True)


def test_a_machine_that_only_serves_a_route_is_not_idle(tmp_path: Path) -> None:
    assert not [warning for warning in good(tmp_path, FULL).warnings if "makes nothing" in warning.text]
    idle = FULL + "  shelf: {profile: station, area: a, line: l}\n"
    assert "machines.shelf: makes nothing" in "\n".join(map(str, good(tmp_path, idle).warnings))
