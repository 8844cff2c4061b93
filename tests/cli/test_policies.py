"""`kvot runs simulate` and `kvot runs explain`: what a policy would earn, and why a run is what it is."""

import json
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from gateway.cli import exits
from gateway.cli.verbs import app
from gateway.domain.pricing import Mode, Published, RunInputs, Seen, Source, plan
from gateway.domain.runs import OpenRun
from gateway.stages.offer_mirrors import RunView, run_mirror
from gateway.stages.plan import Floor
from tests.api.test_control import serving
from tests.cli.test_verbs import Kvot
from tests.domain.pricing.cases import OFFICE, START, orders
from tests.settings.site import FULL, write
from tests.stages.factory import Factory, a_factory

SHORT = ("--weeks", "1", "--seeds", "2")


def _simulate(directory: Path, *words: str, text: str = FULL, exits_with: int = exits.OK) -> Any:
    write(directory, text)
    asked = ["runs", "simulate", *words, "--config", str(directory / "kvot.yaml")]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == exits_with, done.output
    return done


def test_an_owner_sees_what_each_policy_would_earn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    told = _simulate(tmp_path, "cure-black", *SHORT, "--svg", str(tmp_path / "margins.svg")).stdout
    assert "270 visitors a day, day and night; 10.0% order 1 units at the list price" in told
    assert "a set-up 1200.00 and 3 h" in told
    assert "it never fails" in told
    rows = [line.split() for line in told.splitlines() if line.split()[:1] and "%" in line and " to " in line]
    assert [row[0] for row in rows] == ["baseline", "distance", "countdown", "countdown+campaign"]
    assert "Most is earned by countdown" in told
    drawn = ET.parse(tmp_path / "margins.svg").getroot()
    texts = [one.text or "" for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "cure-black: margin a week, SEK, 2 markets" in texts
    assert {"baseline", "distance", "countdown", "countdown+campaign"} <= set(texts)
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}rect"))) == 5


def test_programs_get_every_figure_and_the_same_each_time(tmp_path: Path) -> None:
    one, again = (
        json.loads(_simulate(tmp_path, "cure-black", *SHORT, "--mtbf", "20", "-o", "json").stdout) for _ in range(2)
    )
    assert one == again
    baseline, _distance, countdown, _campaign = one["policies"]
    assert baseline["gain"] == 0
    assert countdown["margin"] > baseline["margin"]
    assert any("fails each 20 working hours" in line for line in one["assumed"])
    assert (one["seeds"], one["weeks"], one["currency"]) == (2, 1, "SEK")


def test_figures_that_are_missing_are_named_with_their_place(tmp_path: Path) -> None:
    told = _simulate(tmp_path, "pla-white", exits_with=exits.CONFIGURATION).stderr
    for key in ("run", "setup", "unit", "demand", "list_price"):
        assert f"families.pla-white.{key}: " in told
    told = _simulate(tmp_path, "blue", exits_with=exits.USAGE).stderr
    assert "no family is called 'blue'; there is pla-white" in told
    words = ("cure-black", "--set", "families.cure-black.demand.visitors=0")
    assert "nobody comes" in _simulate(tmp_path, *words, exits_with=exits.CONFIGURATION).stderr


# Why


@pytest_asyncio.fixture
async def factory(state_dir: Path) -> AsyncIterator[Factory]:
    async with a_factory(state_dir) as made:
        yield replace(made, floor=Floor(families={}, machines=(), rules={"black": OFFICE}))


def _put(factory: Factory, *, sources: Sequence[Source] = (), **seen: Any) -> None:
    """Put a run on the board as the price stage does."""
    rules = OFFICE
    planned = plan(RunInputs(rules=rules, seen=Seen(sources=tuple(sources), **seen)), START)
    run = OpenRun(run_id=7, family="black", setup_key="black", held=seen.get("held"), members=())
    view = RunView(family="black", machine="oven-1", run=run, state="committed")
    zone = ZoneInfo("Europe/Stockholm")
    factory.board.put(("run", "black"), run_mirror(view, rules, planned, sources=sources, frozen=False, zone=zone))


async def test_a_run_is_explained_in_english_and_swedish(factory: Factory, state_dir: Path) -> None:
    promise = START + timedelta(days=4)
    _put(factory, orders=orders(50, promise=promise), sources=[Source(name="machine", age_s=3, period_s=30)])
    async with serving(factory, state_dir / "kvot.sock"):
        kvot = Kvot(state_dir / "kvot.sock")
        english, swedish = [await kvot("runs", "explain", "black", "--lang", lang) for lang in ("en", "sv")]
        answer = json.loads(await kvot("runs", "explain", "black", "-o", "json"))
    assert "black: policy countdown, prices automatic, made on oven-1; the run is committed." in english
    assert "Fill: 50 of 120 places" in english
    assert "From 23 units it earns its set-up: it does." in english
    assert "Latest start: 2026-05-06 " in english  # local time: the promise less the way and the run
    assert "Set-up 1200.00 SEK: 24.00 SEK a unit as it stands" in english
    assert "Machine: heard of 3 s ago." in english
    assert "black: policy countdown, priser automatiska, görs på oven-1; körningen är utlovad." in swedish
    assert "Senaste start: 2026-05-06 " in swedish
    assert len(english.splitlines()) == len(swedish.splitlines())
    for reason in answer["run"]["reasons"]:
        assert f"  - {reason['text']['en']}" in english
        assert f"  - {reason['text']['sv']}" in swedish
    assert answer["timezone"] == "Europe/Stockholm"


async def test_stale_inputs_a_hold_and_a_proposal_are_told(factory: Factory, state_dir: Path) -> None:
    stale = Source(name="orders", age_s=100, period_s=30)
    async with serving(factory, state_dir / "kvot.sock"):
        kvot = Kvot(state_dir / "kvot.sock")
        _put(factory, sources=[stale], held="no blanks")
        told = await kvot("runs", "explain", "black")
        assert "It is held: no blanks." in told
        assert "Orders: heard of 100 s ago, too old to price by." in told
        assert "Latest start: none, nobody has been promised anything; a run collects for 9" in told
        _put(factory, orders=orders(50, promise=START), held="no blanks")
        assert " h ago; a run collects for " in await kvot("runs", "explain", "black")
        _put(
            factory,
            orders=orders(118, promise=START + timedelta(days=4)),
            mode=Mode.ADVISE,
            published=Published(price_minor=9000),
        )
        assert "A person is asked about 93" in await kvot("runs", "explain", "black")
        told = await kvot("runs", "explain", "white", exits_with=exits.FAILURE)
        assert "no plan of a family 'white'; there is one of black" in told
