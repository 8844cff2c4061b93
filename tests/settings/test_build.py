"""Settings become what the domain decides with."""

from pathlib import Path

import pytest

from drivers.profile import Effect, Memory
from gateway.domain.products import ExpressionFaultError
from tests.settings.site import changed, good

LINE = {
    "sku": "X",
    "name": "Bricka",
    "quantity": 2,
    "options": {"width_mm": "60,5", "engraving": " Åsa ", "wood": "ek"},
}


def test_an_article_becomes_a_step_whose_parameters_are_computed_from_the_line(tmp_path: Path) -> None:
    factory = good(tmp_path).range()
    product = factory.find(("TRAY-12",), LINE)
    assert product is not None
    (step,) = product.route
    assert (product.name, step.operation, step.family, step.recipe) == ("TRAY-12", "make", "pla-white", "tray")
    assert {name: formula({"line": LINE}) for name, formula in step.parameters.items()} == {
        "width_mm": 60.5,
        "text": "Åsa",
    }
    family = factory.families["pla-white"]
    assert (family.machines, family.static_days, family.pieces_per_cycle, family.remake_limit) == (
        ("press-1",),
        5,
        1,
        3,
    )


def test_a_pattern_that_is_not_made_has_no_route(tmp_path: Path) -> None:
    product = good(tmp_path).range().find(("GIFT-100",), LINE)
    assert product is not None
    assert (product.make, product.route) == (False, ())


def test_a_line_that_lacks_an_option_is_set_aside_in_words(tmp_path: Path) -> None:
    (step,) = good(tmp_path).range().products[0].route
    with pytest.raises(ExpressionFaultError, match=r"line\.options\.width_mm is missing \(there are: a\)"):
        step.parameters["width_mm"]({"line": {"options": {"a": "1"}}})


def test_a_condition_finds_an_article_and_a_line_without_the_value_does_not_match(tmp_path: Path) -> None:
    text = changed("make: false", 'make: false\n    match: line.options.wood == "ek"')
    factory = good(tmp_path, text).range()
    found = factory.find(("unknown",), LINE)
    assert found is not None
    assert found.name == "GIFT-*"
    assert factory.find(("unknown",), {"options": {}}) is None


def test_a_condition_that_cannot_be_computed_for_a_line_does_not_match(tmp_path: Path) -> None:
    factory = good(tmp_path, changed("make: false", "make: false\n    match: num(line.options.wood) > 1.0")).range()
    assert factory.find(("unknown",), {"options": {"wood": "2"}}) is not None
    assert factory.find(("unknown",), {"options": {"wood": "oak"}}) is None


def test_a_constant_parameter_needs_no_quotes(tmp_path: Path) -> None:
    (step,) = good(tmp_path, changed("num(line.options.width_mm)", "60")).range().products[0].route
    assert step.parameters["width_mm"]({}) == 60


def test_a_machine_type_becomes_the_drivers_value(tmp_path: Path) -> None:
    profile = good(tmp_path).profile("press-1")
    assert (profile.name, profile.effect, profile.memory) == ("press", Effect.REMEMBERED, Memory.VOLATILE)
    assert profile.permits.handed_over is None
    assert profile.recipes["tray"].faults({"width_mm": 500, "text": "a"}) == ("width_mm: 500 is above 400 mm",)


def test_the_clock_is_the_systems_own_without_a_simulation(tmp_path: Path) -> None:
    assert good(tmp_path).clock().speed == 1


def test_topics_begin_with_enterprise_and_site_unless_told_otherwise(tmp_path: Path) -> None:
    assert good(tmp_path).mqtt_base == "nordform/LUND"
    assert good(tmp_path, overrides=["mqtt.base=a/b/c"]).mqtt_base == "a/b/c"
