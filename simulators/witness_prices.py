"""The witness of prices: what the published offers say far from a run and near it, and that the shop shows no other."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import fmean
from typing import Any

ENOUGH_ORDERS = 20  # with fewer, chance decides what a policy has to show
ENOUGH_OFFERS = 2  # of one kind
NEAR = 1 / 3  # of the longest time to its closing that was told: from there on a run is near
LONG = timedelta(minutes=25)  # a run that collects so long must be seen to come nearer
SILENT = timedelta(minutes=10)  # without any fact: the gateway is away, and says nothing of prices either
_SLACK = timedelta(minutes=3)  # a round of prices sees a run a moment before or after its fact
_BEGIN, _END = "run.collecting", "run.releasing"


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownOffer:
    """One published offer of an article. `closes_at`: the latest start of the run it belongs to."""

    id: str
    at: datetime
    sku: str
    family: str
    price_minor: int
    factor: float
    promise_at: datetime
    lead_h: float
    closes_at: datetime | None = None
    campaign: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """A run by its facts: from when to when it collected; `until` None while it does."""

    run_id: int
    family: str
    since: datetime
    until: datetime | None = None

    def holds(self, at: datetime, *, slack: timedelta = timedelta(0)) -> bool:
        """Say whether the run collected at that time."""
        return self.since - slack <= at and (self.until is None or at < self.until + slack)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopWrite:
    """What the shop's own log says was written to an article and changed it. The price is in minor units."""

    sku: str
    at: datetime
    price_minor: int | None = None
    promise_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """All that was heard of prices: offers by time, runs, which policy each family has, campaigns opened by family.

    `moments`: when facts of any kind happened, in order.
    """

    offers: tuple[ShownOffer, ...] = ()
    runs: tuple[Collected, ...] = ()
    policies: Mapping[str, str] = field(default_factory=dict)
    campaigns: Mapping[str, int] = field(default_factory=dict)
    moments: tuple[datetime, ...] = ()


class PriceBook:
    """Writes down what is published of offers, runs and campaigns."""

    def __init__(self) -> None:
        self._offers: dict[str, ShownOffer] = {}
        self._runs: dict[int, Collected] = {}
        self._policies: dict[str, str] = {}
        self._campaigns: dict[str, str] = {}
        self._moments: set[datetime] = set()

    def hear(self, topic: str, payload: bytes) -> bool:
        """Take a fact, or the mirror of an open run; False for one that cannot be read."""
        if not payload:
            return True  # the removal of a retained message
        try:
            body = json.loads(payload)
            if "/runs/" in topic and topic.endswith("/open"):
                self._policies[str(body["family"])] = str(body["policy"])
            elif isinstance(body, dict):
                self._fact(body)
        except (ValueError, TypeError, KeyError):
            return False
        return True

    def total(self) -> Published:
        """Give everything that was heard."""
        families = list(self._campaigns.values())
        return Published(
            offers=tuple(sorted(self._offers.values(), key=lambda one: one.at)),
            runs=tuple(self._runs.values()),
            policies=dict(self._policies),
            campaigns={family: families.count(family) for family in families},
            moments=tuple(sorted(self._moments)),
        )

    def _fact(self, body: Mapping[str, Any]) -> None:
        if "t" in body:
            self._moments.add(_moment(body["t"]))
        match body.get("type"):
            case "offer.changed":
                self._offers[body["id"]] = _offer(body)
            case "campaign.opened":
                self._campaigns[body["id"]] = str(body["family"])
            case str(kind) if kind in (_BEGIN, _END):
                run_id, family, at = int(body["run_id"]), str(body["family"]), _moment(body["t"])
                known = self._runs.get(run_id)
                since = at if known is None or kind == _BEGIN else known.since
                until = at if kind == _END else None if known is None else known.until
                self._runs[run_id] = Collected(run_id=run_id, family=family, since=since, until=until)


def look_at(
    heard: Published, writes: Sequence[ShopWrite], *, orders: int
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Give, by policy, what its offers show, and in words every relation that does not hold.

    A policy is judged only from `ENOUGH_ORDERS` on, and far and near are compared only where there is enough of both.
    """
    found: dict[str, dict[str, Any]] = {}
    broken = _unpublished(heard, writes)
    for policy in sorted(set(heard.policies.values()) & {"distance", "countdown"}):
        families = {family for family, its in heard.policies.items() if its == policy}
        offers = [offer for offer in heard.offers if offer.family in families]
        skus = {offer.sku for offer in offers}
        counts: dict[str, Any] = {
            "offers": len(offers),
            "runs": sum(run.family in families for run in heard.runs),
            "campaigns": sum(count for family, count in heard.campaigns.items() if family in families),
            "shop_writes": sum(write.sku in skus for write in writes),
        }
        relations = [_campaigns_far(heard, offers), "" if offers else "there are no offers"]
        view, more = (_by_distance if policy == "distance" else _by_countdown)(heard, offers)
        found[policy] = counts | view
        if orders >= ENOUGH_ORDERS:
            broken += [f"{policy}: {relation}" for relation in (*relations, *more) if relation]
    return found, broken


def _by_distance(heard: Published, offers: Sequence[ShownOffer]) -> tuple[dict[str, Any], list[str]]:
    """Compare offers while no run collects with those shortly before a run closes."""
    far = [offer for offer in offers if _run_of(heard, offer) is None]
    near = [offer for offer in offers if _is_near(offer, offers)]
    view = {
        "price_far": _mean([offer.factor for offer in far]),
        "price_near": _mean([offer.factor for offer in near]),
        "lead_far_min": _mean([60 * offer.lead_h for offer in far]),
        "lead_near_min": _mean([60 * offer.lead_h for offer in near]),
    }
    if min(len(far), len(near)) < ENOUGH_OFFERS:
        return view, []
    return view, [
        _less("price_near", view, "price_far"),
        _less("lead_near_min", view, "lead_far_min"),
        "" if any(offer.campaign for offer in near) else "no campaign was open near a run",
    ]


def _by_countdown(heard: Published, offers: Sequence[ShownOffer]) -> tuple[dict[str, Any], list[str]]:
    """Follow the lead told of each article as the closing of its run comes nearer."""
    down = up = 0
    for sku in {offer.sku for offer in offers}:
        for before, after in pairwise(offer for offer in offers if offer.sku == sku):
            if _same_run(before, after):
                down += after.lead_h < before.lead_h
                up += after.lead_h > before.lead_h
    families = {offer.family for offer in offers}
    long = sum(run.family in families and _was_long(heard, run) for run in heard.runs)
    relations = [
        f"{long} runs collected for long, but no told lead ever went down" if long and not down else "",
        f"the lead told within a run rose {up} times and fell {down} times" if up > down else "",
    ]
    return {"promise_steps_down": down, "promise_steps_up": up}, relations


def _campaigns_far(heard: Published, offers: Sequence[ShownOffer]) -> str:
    """Find campaigns for runs that nobody had ordered for: those places would not be made anyway."""
    alone = sum(offer.campaign is not None and _run_of(heard, offer, slack=_SLACK) is None for offer in offers)
    return f"{alone} offers have a campaign while no run collects" if alone else ""


def _unpublished(heard: Published, writes: Sequence[ShopWrite]) -> list[str]:
    """Find what the shop was told and the world was not. What came after the last offer heard may be on its way."""
    if not heard.offers:
        return []
    until = heard.offers[-1].at
    told = [write for write in writes if write.at < until]
    prices = {(offer.sku, offer.price_minor) for offer in heard.offers}
    promises = {(offer.sku, offer.promise_at) for offer in heard.offers}
    other = sum(
        (write.price_minor is not None and (write.sku, write.price_minor) not in prices)
        or (write.promise_at is not None and (write.sku, write.promise_at) not in promises)
        for write in told
    )
    return [f"{other} writes to articles in the shop's log were never published as offers"] if other else []


def _run_of(heard: Published, offer: ShownOffer, *, slack: timedelta = timedelta(0)) -> Collected | None:
    its = (run for run in heard.runs if run.family == offer.family and run.holds(offer.at, slack=slack))
    return max(its, key=lambda run: run.since, default=None)


def _was_long(heard: Published, run: Collected) -> bool:
    """Say whether a run collected for long, and the gateway was never away meanwhile."""
    if run.until is None or run.until - run.since < LONG:
        return False
    during = [run.since, *(at for at in heard.moments if run.since < at < run.until), run.until]
    return all(after - before <= SILENT for before, after in pairwise(during))


def _same_run(before: ShownOffer, after: ShownOffer) -> bool:
    """Say by the offers themselves whether both belong to one run: it closes, and no later than it was told to."""
    return before.closes_at is not None and after.closes_at is not None and after.closes_at <= before.closes_at


def _is_near(offer: ShownOffer, offers: Sequence[ShownOffer]) -> bool:
    """Say whether its run closes soon."""
    if offer.closes_at is None:
        return False
    widest = max((one.closes_at - one.at for one in offers if one.closes_at is not None), default=timedelta(0))
    return offer.closes_at - offer.at <= NEAR * widest


def _less(what: str, view: Mapping[str, Any], other: str) -> str:
    return "" if view[what] < view[other] else f"{what} is {view[what]}, not below {other} ({view[other]})"


def _mean(values: Sequence[float]) -> float | None:
    return round(fmean(values), 3) if values else None


def _offer(body: Mapping[str, Any]) -> ShownOffer:
    closes_at, campaign = body.get("closes_at"), body.get("campaign")
    return ShownOffer(
        id=str(body["id"]),
        at=_moment(body["t"]),
        sku=str(body["sku"]),
        family=str(body["family"]),
        price_minor=int(body["price_minor"]),
        factor=float(body["factor"]),
        promise_at=datetime.fromisoformat(body["promise_at"]),
        lead_h=float(body["lead_h"]),
        closes_at=None if closes_at is None else datetime.fromisoformat(closes_at),
        campaign=None if campaign is None else str(campaign),
    )


def _moment(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
