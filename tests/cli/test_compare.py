"""`kvot demo --compare-policies`: each policy is played once with the same customers, and its figures are told."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import exits
from gateway.cli.demo import compare
from gateway.cli.demo.scene import Wishes
from gateway.cli.verbs import app
from gateway.settings import load
from simulators.witness import Evidence, ShopOrder, Told
from simulators.witness_prices import Collected, Published
from simulators.witness_shop import SoldLine

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
ASKED = ("demo", "--once", "--compare-policies", "--orders", "1", "-o", "json")


def _evidence(*, wanted: int, runs: int, clicks: int) -> Evidence:
    """Give a play in which one order of five white plates was placed; with no job it is not clean unless none was wanted."""
    lines = (SoldLine(sku="PLATE-W-1", pieces=5, net_minor=51_600), SoldLine(sku="TRAY-12", pieces=1, net_minor=9900))
    told = Told(
        orders_in=1,
        lines=2,
        jobs=0,
        jobs_completed=0,
        exceptions=0,
        job_ids=frozenset(),
        facts=0,
        runs=runs,
        promises=(2, 1),
    )
    collected = tuple(
        Collected(run_id=number, family="cure-white", since=NOW, until=NOW + timedelta(minutes=9))
        for number in range(runs)
    )
    return Evidence(
        orders_wanted=wanted,
        told=told,
        orders=(ShopOrder(order_id="1", due=True, pieces=0, state="made", lines=lines),),
        journal=(),
        facts=(),
        prices=Published(runs=collected),
        clicks=clicks,
    )


def _played(monkeypatch: pytest.MonkeyPatch, *, wanted: int = 1) -> list[Wishes]:
    """Let each play give hand-made evidence; give the wishes it was asked with."""
    plays: list[Wishes] = []

    async def gather(wishes: Wishes, **_: Any) -> Evidence:
        plays.append(wishes)
        return replace(_evidence(wanted=wanted, runs=len(plays), clicks=10 * len(plays)))

    monkeypatch.setattr(compare, "gather", gather)
    return plays


def test_each_policy_is_played_with_the_same_customers_and_its_margin_told(monkeypatch: pytest.MonkeyPatch) -> None:
    plays = _played(monkeypatch)
    done = CliRunner().invoke(app, [*ASKED, "--seed", "9"])
    assert done.exit_code == exits.OK, done.output
    distance, countdown = json.loads(done.stdout)["policies"]
    assert [distance["policy"], countdown["policy"]] == ["distance", "countdown"]
    unit = 31 + 2 + 45 / 120  # material, packing, and the machine's hours at 30 s a piece
    for number, one in enumerate((distance, countdown), start=1):
        assert one["margin"] == pytest.approx(516 - 5 * unit - 90 * number - 2 * 10 * number, abs=0.01)
        assert (one["pieces"], one["runs"], one["fill"]) == (5, number, round(0.5 / number, 3))
        assert (one["promises_made"], one["promises_kept"], one["clean"]) == (2, 1, True)
    assert {wishes.seed for wishes in plays} == {9}
    assert len({wishes.directory for wishes in plays}) == 2
    for wishes, policy in zip(plays, ("distance", "countdown"), strict=True):
        given = [f"{key}={value}" for key, value in wishes.overrides.items()]
        settings = load(wishes.config, overrides=given, secrets=False)
        families = [settings.families[name] for name in compare.GROUPS]
        assert {family.policy_name for family in families} == {policy}
        assert all(family.campaign is not None and family.campaign.enabled for family in families)


def test_what_does_not_hold_under_one_policy_ends_with_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    _played(monkeypatch, wanted=2)
    done = CliRunner().invoke(app, ASKED)
    assert done.exit_code == exits.FAILURE
    assert "does not hold with distance: orders_placed" in done.stderr


@pytest.mark.parametrize("words", [("--compare-policies",), ("--once", "--compare-policies", "--only-press")])
def test_policies_are_compared_to_an_end_and_where_there_are_prices(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["demo", *words])
    assert done.exit_code == exits.USAGE
    assert "--compare-policies goes with --once" in done.stderr
