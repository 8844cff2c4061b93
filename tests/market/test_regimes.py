"""A slice of `python -m tests.bench.policies`: the same regimes and goals, with fewer seeds and their statistics."""

import math
from dataclasses import replace

import pytest

from gateway.market import BASELINE, CAMPAIGN, Summary, contestants, play, summarise, tasks
from tests.bench import policies
from tests.bench.policies import Regime, missed, regimes

SEEDS, WEEKS = 2, 2.0
REGIMES = {regime.name: regime for regime in regimes()}


def _played(regime: Regime) -> list[Summary]:
    competing = contestants(regime.rules, static_days=policies.STATIC_DAYS)
    found = {}
    for policy in (BASELINE, CAMPAIGN):
        todo = tasks({policy: competing[policy]}, regime.world, seeds=range(1, SEEDS + 1), weeks=WEEKS)
        found[policy] = [play(one) for one in todo]
    return summarise(found, places=regime.rules.run.places)


@pytest.mark.parametrize("name", REGIMES)
def test_countdown_with_a_campaign_keeps_its_goals(name: str) -> None:
    _baseline, campaign = _played(REGIMES[name])
    runs = SEEDS * WEEKS * campaign.runs_week  # orders of a run are late together: each run is one draw
    doubt = 2 * math.sqrt(policies.KEPT * (1 - policies.KEPT) / runs)
    assert campaign.kept >= policies.KEPT - doubt
    assert campaign.gain >= policies.GAIN
    assert campaign.most_moves <= policies.MOVES
    assert campaign.clip_share < policies.CLIPS


def test_what_misses_a_goal_is_named() -> None:
    good = _played(REGIMES["low demand, dear set-up"])[1]
    assert list(missed([good])) == []
    bad = replace(good, kept=0.94, gain=0.2, most_moves=15, clip_share=0.02)
    for told, said in zip(missed([bad]), ("94.00% of promises", "15 price moves", "2.00% of", "+20.0%"), strict=True):
        assert said in told
