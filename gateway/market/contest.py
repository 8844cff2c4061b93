"""Policies on the same markets: who takes part, and what each earned over many seeds."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import fmean, quantiles, stdev
from typing import Final

from gateway.domain.pricing import FamilyRules, Policy, Release
from gateway.market.simulation import Outcome, simulate
from gateway.market.world import World

BASELINE: Final = "baseline"
DISTANCE: Final = "distance"
COUNTDOWN: Final = "countdown"
CAMPAIGN: Final = "countdown+campaign"
MONDAY: Final = datetime(2001, 1, 1, 7, tzinfo=UTC)  # any Monday: an ordinary time without holidays
_Z95: Final = 1.96


def contestants(rules: FamilyRules, *, static_days: int) -> dict[str, FamilyRules]:
    """Give a family's rules under each policy; all else is as the family has it.

    baseline: list price, a fixed lead of so many working days, a start at the threshold, no campaign. The others
    start at the latest start; `distance` has its campaign and `countdown` is played without and with one.
    """
    collecting = replace(rules.run, release=Release.LATEST_START)
    silent, loud = replace(rules.campaign, enabled=False), replace(rules.campaign, enabled=True)
    return {
        BASELINE: replace(
            rules,
            policy=Policy.STATIC,
            run=replace(rules.run, release=Release.THRESHOLD),
            promise=replace(rules.promise, static_days=static_days),
            campaign=silent,
        ),
        DISTANCE: replace(rules, policy=Policy.DISTANCE, run=collecting, campaign=loud),
        COUNTDOWN: replace(rules, policy=Policy.COUNTDOWN, run=collecting, campaign=silent),
        CAMPAIGN: replace(rules, policy=Policy.COUNTDOWN, run=collecting, campaign=loud),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One simulation of a contest: picklable, so that other processes can play it."""

    policy: str
    rules: FamilyRules
    world: World
    seed: int
    weeks: float


def tasks(competing: Mapping[str, FamilyRules], world: World, *, seeds: Iterable[int], weeks: float) -> list[Task]:
    """Give every simulation of a contest, seed by seed."""
    return [
        Task(policy=policy, rules=rules, world=world, seed=seed, weeks=weeks)
        for seed in seeds
        for policy, rules in competing.items()
    ]


def play(task: Task) -> Outcome:
    """Play one simulation."""
    return simulate(task.rules, task.world, seed=task.seed, weeks=task.weeks, begin=MONDAY)


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What a policy earned over all seeds. Money is in minor units a week, net.

    margin_p10, margin_p90: so much in nine and in one of ten seeds at least. gain: the mean margin over the
    baseline's, less 1, with its 95 % interval over the seeds, which all policies share. kept: share of promises.
    """

    policy: str
    seeds: int
    margin: float
    margin_p10: float
    margin_p90: float
    gain: float
    gain_low: float
    gain_high: float
    kept: float
    promises: int
    orders_week: float
    units_week: float
    runs_week: float
    fill: float
    lead_days: float
    lost_week: float
    moves_week: float
    most_moves: int
    clip_share: float
    campaign_h_week: float
    clicks_week: float
    setup_costs: float
    click_costs: float
    late_costs: float


def summarise(outcomes: Mapping[str, Sequence[Outcome]], *, places: int) -> list[Summary]:
    """Sum up what each policy came to; the first one is what the others are compared with."""
    baseline = [one.margin / one.weeks for one in next(iter(outcomes.values()))]
    return [_summary(policy, ones, baseline, places=places) for policy, ones in outcomes.items()]


def _summary(policy: str, ones: Sequence[Outcome], baseline: Sequence[float], *, places: int) -> Summary:
    weeks = sum(one.weeks for one in ones)
    margins = [one.margin / one.weeks for one in ones]
    gain, spread = _gain(margins, baseline)
    low, high = _outer(margins)

    def each_week(figure: Callable[[Outcome], float]) -> float:
        return sum(figure(one) for one in ones) / weeks

    def share(above: Callable[[Outcome], float], below: Callable[[Outcome], float]) -> float:
        total = sum(below(one) for one in ones)
        return sum(above(one) for one in ones) / total if total else math.nan

    return Summary(
        policy=policy,
        seeds=len(ones),
        margin=fmean(margins),
        margin_p10=low,
        margin_p90=high,
        gain=gain,
        gain_low=gain - spread,
        gain_high=gain + spread,
        kept=share(lambda one: one.kept, lambda one: one.promises),
        promises=sum(one.promises for one in ones),
        orders_week=each_week(lambda one: one.orders),
        units_week=each_week(lambda one: one.units),
        runs_week=each_week(lambda one: one.runs),
        fill=share(lambda one: one.units, lambda one: one.runs * places),
        lead_days=share(lambda one: one.lead_days, lambda one: one.orders),
        lost_week=each_week(lambda one: one.lost),
        moves_week=each_week(lambda one: one.moves),
        most_moves=max(one.most_moves for one in ones),
        clip_share=share(lambda one: one.clip_h, lambda one: one.weeks * 168),
        campaign_h_week=each_week(lambda one: one.campaign_h),
        clicks_week=each_week(lambda one: one.clicks),
        setup_costs=each_week(lambda one: one.setup_costs),
        click_costs=each_week(lambda one: one.click_costs),
        late_costs=each_week(lambda one: one.late_costs),
    )


def _gain(margins: Sequence[float], baseline: Sequence[float]) -> tuple[float, float]:
    """Give mean/mean - 1 and half its 95 % interval, by the seeds' own differences (delta method)."""
    base = fmean(baseline)
    if base <= 0:
        return math.nan, math.nan
    ratio = fmean(margins) / base
    rests = [one - ratio * other for one, other in zip(margins, baseline, strict=True)]
    spread = _Z95 * stdev(rests) / math.sqrt(len(rests)) / base if len(rests) > 1 else math.nan
    return ratio - 1, spread


def _outer(values: Sequence[float]) -> tuple[float, float]:
    """Give the first and the last decile."""
    if len(values) < 2:  # noqa: PLR2004 - a spread needs two
        return values[0], values[0]
    cuts = quantiles(values, n=10, method="inclusive")
    return cuts[0], cuts[-1]
