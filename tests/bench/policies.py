"""What each pricing policy earns: many seeds of five regimes in the bundled market, against goals.

`python -m tests.bench.policies --seeds 100` prints the table of docs/reference/policies.md; `--output json` all figures.
"""

import argparse
import json
import math
import multiprocessing
import sys
import time as clock
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import time
from zoneinfo import ZoneInfo

from gateway.domain.calendars import parse_calendar
from gateway.domain.pricing import (
    CampaignRules,
    Capacity,
    Costs,
    Demand,
    FamilyRules,
    Policy,
    PriceRules,
    Release,
    RunRules,
    Shipping,
)
from gateway.market import (
    BASELINE,
    CAMPAIGN,
    COUNTDOWN,
    Outcome,
    Summary,
    Task,
    World,
    as_believed,
    contestants,
    play,
    summarise,
    tasks,
)

WEEKS = 6.0
STATIC_DAYS = 5
WRONG = 1.5  # the factor by which each belief is wrong in the last regime
KEPT, GAIN, MOVES, CLIPS = 0.95, 0.25, 14, 0.01
BELIEVED = FamilyRules(
    policy=Policy.COUNTDOWN,
    run=RunRules(places=120, threshold=44, release=Release.LATEST_START),
    price=PriceRules(list_minor=9000, currency="SEK"),
    costs=Costs(unit_minor=3700, setup_minor=100_000, setup_h=3, late_minor_day=500),
    capacity=Capacity(rate_h=30, mtbf_h=60, mttr_h=2),
    calendar=parse_calendar("mon-fri 06-22", zone=ZoneInfo("Europe/Stockholm")),
    shipping=Shipping(hours=24, cutoff=time(14)),
    demand=Demand(visitors_h=11.25, conversion=0.1, lead_slope_day=0.12, price_slope=0.025),
    campaign=CampaignRules(cost_per_click_minor=200),
)


@dataclass(frozen=True, kw_only=True)
class Regime:
    """A market with what is believed of it. `why`: what is special, in words."""

    name: str
    why: str
    rules: FamilyRules
    world: World


def regimes() -> tuple[Regime, ...]:
    """Give the four regimes of demand and set-up cost, and the one in which nothing is as believed."""
    plain = [
        _regime(f"{demand} demand, {setup} set-up", visitors_h=visitors_h, setup_minor=setup_minor)
        for demand, visitors_h in (("low", 5.0), ("high", 20.0))
        for setup, setup_minor in (("cheap", 50_000.0), ("dear", 150_000.0))
    ]
    return (*plain, _wrong())


def _regime(name: str, *, visitors_h: float, setup_minor: float) -> Regime:
    rules = replace(
        BELIEVED,
        demand=replace(BELIEVED.demand, visitors_h=visitors_h),
        costs=replace(BELIEVED.costs, setup_minor=setup_minor),
    )
    why = f"{visitors_h:g} visitors an hour, a set-up costs {setup_minor / 100:g}"
    return Regime(name=name, why=why, rules=rules, world=_true(rules))


def _wrong() -> Regime:
    """Give the regime in which every belief is too hopeful by `WRONG`, and the machine breaks down often."""
    rules = replace(BELIEVED, capacity=replace(BELIEVED.capacity, mtbf_h=24, mttr_h=3))
    true = _true(rules)
    world = replace(
        true,
        visitors_h=true.visitors_h / WRONG,
        lead_slope_day=true.lead_slope_day * WRONG,
        price_slope=true.price_slope * WRONG,
        setup_minor=true.setup_minor * WRONG,
        setup_h=true.setup_h * WRONG,
        rate_h=true.rate_h / WRONG,
        mtbf_h=true.mtbf_h / WRONG,
        mttr_h=true.mttr_h * WRONG,
        campaign_visitors_h=true.campaign_visitors_h / WRONG,
    )
    why = (
        f"believed: a failure each 24 h, 3 h to repair; that, demand, slopes, set-up and rate are {WRONG:g} times worse"
    )
    return Regime(name="breakdowns, wrong beliefs", why=why, rules=rules, world=world)


def _true(rules: FamilyRules) -> World:
    """Give the world as believed; the stated conversion holds at the list price and a lead of three days."""
    return replace(as_believed(rules), lead_days=3.0)


def measure(
    found: Sequence[Regime],
    *,
    seeds: int,
    weeks: float = WEEKS,
    processes: int = 2,
    static_days: int = STATIC_DAYS,
) -> Iterator[tuple[Regime, list[Summary]]]:
    """Play every regime and give each one's summaries as it is done."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for regime in found:
            competing = contestants(regime.rules, static_days=static_days)
            todo = tasks(competing, regime.world, seeds=range(1, seeds + 1), weeks=weeks)
            yield regime, summarise(_played(todo, pool.imap(play, todo, chunksize=4)), places=regime.rules.run.places)


def _played(todo: Sequence[Task], outcomes: Iterator[Outcome]) -> dict[str, list[Outcome]]:
    began, found = clock.monotonic(), dict[str, list[Outcome]]()
    for number, (task, outcome) in enumerate(zip(todo, outcomes, strict=True), start=1):
        found.setdefault(task.policy, []).append(outcome)
        if number % 20 == 0 or number == len(todo):
            sys.stderr.write(f"\r  {number} of {len(todo)}, {clock.monotonic() - began:.0f} s ")
    sys.stderr.write("\n")
    return found


def missed(summaries: Sequence[Summary]) -> Iterator[str]:
    """Say in words which goals a regime misses; `distance` is shown as it is, but for promises and moves."""
    for one in summaries:
        if one.kept < KEPT:
            yield f"{one.policy}: {one.kept:.2%} of promises kept"
        if one.most_moves > MOVES:
            yield f"{one.policy}: {one.most_moves} price moves in a week"
        if one.policy in {COUNTDOWN, CAMPAIGN} and one.clip_share >= CLIPS:
            yield f"{one.policy}: a guard rail stood in the way in {one.clip_share:.2%} of hours"
        if one.policy == CAMPAIGN and not one.gain >= GAIN:
            yield f"{one.policy}: earns {one.gain:+.1%} beside the baseline"


def table(regime: Regime, summaries: Sequence[Summary]) -> Iterator[str]:
    """Give a regime as lines of a Markdown table."""
    for one in summaries:
        gain = "" if one.policy == BASELINE or math.isnan(one.gain) else _gain(one)
        yield (
            f"| {regime.name if one.policy == BASELINE else ''} | {one.policy} | {one.margin / 100:,.0f} | {gain} "
            f"| {one.kept:.1%} | {one.lead_days:.1f} | {one.runs_week:.2f} | {one.fill:.0%} | {one.moves_week:.1f} "
            f"({one.most_moves}) | {one.clip_share:.1%} | {one.campaign_h_week:.0f} |"
        )


def _gain(one: Summary) -> str:
    return f"{one.gain:+.0%} ({one.gain_low:+.0%} to {one.gain_high:+.0%})"


COLUMNS = (
    "regime", "policy", "margin a week", "beside the baseline", "kept", "lead, days", "runs a week", "fill",
    "moves (most)", "clipped", "campaign, h",
)  # fmt: skip
HEAD = (f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|")


def main() -> int:
    """Print the table; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--weeks", type=float, default=WEEKS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--static-days", type=int, default=STATIC_DAYS, help="the baseline's lead in working days")
    parser.add_argument("--output", choices=("table", "json"), default="table")
    asked = parser.parse_args()
    answer: dict[str, Mapping[str, object]] = {}
    complaints: list[str] = []
    lines = list(HEAD)
    wishes = {"seeds": asked.seeds, "weeks": asked.weeks, "processes": asked.processes}
    for regime, summaries in measure(regimes(), static_days=asked.static_days, **wishes):
        lines += table(regime, summaries)
        complaints += [f"{regime.name}: {one}" for one in missed(summaries)]
        answer[regime.name] = {"why": regime.why, "policies": [asdict(one) for one in summaries]}
    text = json.dumps({"seeds": asked.seeds, "regimes": answer, "missed": complaints}, indent=2)
    sys.stdout.write("\n".join(lines) + "\n" if asked.output == "table" else text + "\n")
    for one in complaints:
        sys.stderr.write(f"goal missed: {one}\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
