"""`kvot quotes` as somebody at a telephone uses it: what can be had, and what became of it."""

import json

import pytest

from gateway.cli import exits
from tests.api.test_quotes import Window, window
from tests.cli.test_verbs import Kvot
from tests.stages.test_quotes import offer

__all__ = ["window"]  # the fixture


async def test_a_person_asks_shows_and_lists(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # no line of a table is broken
    kvot = Kvot(window.path)
    said = await kvot("quotes", "create", "BLACK", "2", "--option", "text=Hej", "--wanted", "2026-06-01T12:00:00")
    assert "with_run" in said
    assert "places of the open run are kept until" in said
    quote = json.loads(await kvot("quotes", "show", "Q1-1", "--output", "json"))
    assert (quote["quantity"], quote["options"]) == (2, {"text": "Hej"})
    assert quote["wanted"] is not None
    assert offer(quote, "with_run")["token"].startswith("Q1-1.with_run.")
    assert "Nobody is in the open run yet" in await kvot("quotes", "show", "Q1-1")
    listed = json.loads(await kvot("quotes", "list", "--output", "json"))
    assert [one["quote_id"] for one in listed] == ["Q1-1"]


async def test_what_is_wrong_ends_with_its_own_code(window: Window) -> None:
    kvot = Kvot(window.path)
    assert "is not under products:" in await kvot("quotes", "create", "NOBODY", "1", exits_with=exits.USAGE)
    assert "no shop is called" in await kvot("quotes", "create", "BLACK", "1", "--shop", "x", exits_with=exits.USAGE)
    assert "write NAME=VALUE" in await kvot("quotes", "create", "BLACK", "1", "--option", "x", exits_with=exits.USAGE)
    assert "no quote Q1-9" in await kvot("quotes", "show", "Q1-9", exits_with=exits.FAILURE)
