"""Every reason has a text in both languages, with money and times as people write them."""

import ast
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings

from gateway.domain import pricing
from gateway.domain.pricing import About, Reason, RunInputs, plan, render
from gateway.domain.pricing.reasons import TEXTS
from tests.domain.pricing.cases import STOCKHOLM, situations

NUMBERS = {"fill": 3, "planned": 2.5, "hours": 4.0, "days": 5}


def test_every_code_that_is_given_has_a_text_and_every_text_is_given() -> None:
    folder = Path(pricing.__file__).parent
    strings = {
        node.value
        for path in folder.glob("*.py")
        if path.name != "reasons.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(TEXTS) - strings == set()
    given = {
        node.args[0].value
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"_reason", "_promise"}
        if node.args and isinstance(node.args[0], ast.Constant)
    }
    assert len(given) > 30
    assert given - set(TEXTS) == set()


@settings(max_examples=80, deadline=None)
@given(situation=situations())
def test_every_reason_of_a_plan_can_be_told_in_both_languages(situation: tuple[RunInputs, datetime]) -> None:
    for reason in plan(*situation).reasons:
        told = [render(reason, language, zone=STOCKHOLM, currency="SEK") for language in ("en", "sv")]
        assert told[0] != told[1]
        assert all(text.endswith(".") and "{" not in text for text in told)


def test_both_languages_name_the_same_values() -> None:
    for code, (english, swedish) in TEXTS.items():
        fields = [{name.split(":")[0] for name in _fields(text)} for text in (english, swedish)]
        assert fields[0] == fields[1], code


@pytest.mark.parametrize(("currency", "shown"), [("SEK", "98.50 SEK"), ("JPY", "9850 JPY")])
def test_money_and_moments_are_shown_as_people_write_them(currency: str, shown: str) -> None:
    frozen = Reason(about=About.PRICE, code="price_frozen", params={"price_minor": 9850})
    assert shown in render(frozen, "sv", zone=STOCKHOLM, currency=currency)
    start = Reason(
        about=About.RELEASE, code="release_latest_start", params={"start": datetime(2026, 5, 4, 7, tzinfo=UTC)}
    )
    assert (
        render(start, "en", zone=STOCKHOLM, currency=currency)
        == "Latest start for what was promised: 2026-05-04 09:00."
    )


def _fields(text: str) -> list[str]:
    return [part.partition("}")[0] for part in text.split("{")[1:]]
