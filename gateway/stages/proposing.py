"""What people are asked about prices, campaigns and runs: proposed, kept while it is wanted, and let go."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from gateway.domain.pricing import About, CampaignKind
from gateway.ledger.database import Tx
from gateway.ledger.proposals import Key, Proposal, expire, propose
from gateway.ledger.times import to_text
from gateway.stages.decided import Decided, Priced, texts
from gateway.stages.pricing import CAMPAIGN, REDUCTION, Pricing

PRICE: Final = "price"
RELEASE: Final = "release"
PROMISE: Final = "promise"

Step = Callable[[Tx], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """Something a person is to decide. `same`: what of the body makes another proposal of it; `band`: how near is same.

    A wish that a person rejected is not made again while it is the same.
    """

    kind: str
    subject: str
    body: Mapping[str, object]
    same: tuple[str, ...] = ()
    band: float | None = None

    @property
    def key(self) -> Key:
        """Give what it is about."""
        return self.kind, self.subject

    def is_known(self, known: Proposal | None, now: datetime) -> bool:
        """Say whether this was proposed, and a person answered it or still may."""
        if known is None or (known.state == "open" and known.expires_at <= now):
            return False
        if self.band is None:
            return all(known.body.get(name) == self.body[name] for name in self.same)
        if known.state == "approved" or known.expires_at <= now or known.body["list_minor"] != self.body["list_minor"]:
            return False
        before, wanted = known.body["to_minor"], self.body["to_minor"]
        assert isinstance(wanted, int)
        return bool(abs(before - wanted) < max(1.0, self.band))


def proposal_steps(
    decided: Sequence[Decided], known: Mapping[Key, Proposal], pricing: Pricing, *, shops: frozenset[str], now: datetime
) -> Iterator[Step]:
    """Give what has to be written: new proposals, and open ones that nobody wants any more or nobody answered.

    What is not known now (a family that cannot be planned, a shop that was not read yet: not in `shops`) stays.
    """
    wishes = {wish.key: wish for one in decided for wish in _wishes(one, pricing)}
    for key, wish in wishes.items():
        before = known.get(key)
        if not wish.is_known(before, now):
            yield partial(propose, kind=wish.kind, subject=wish.subject, body=wish.body, after=before, now=now)
    families = {one.seen.view.family: bool(one.articles) for one in decided}
    for key, proposal in known.items():
        if proposal.state != "open" or key in wishes:
            continue
        family = proposal.body.get("family")
        unknown = family not in families or (proposal.kind in {CAMPAIGN, REDUCTION} and not families[family])
        unknown = unknown or (proposal.kind == PRICE and proposal.body["shop"] not in shops)
        if proposal.expires_at <= now or not unknown:
            yield partial(expire, proposal_id=proposal.proposal_id, now=now)


def _wishes(one: Decided, pricing: Pricing) -> Iterator[Wish]:
    for priced in one.articles:
        if priced.plan.price.proposed_minor is not None:
            yield _price(priced, pricing)
    if one.articles and one.plan.campaign.proposed:
        yield _campaign(one, pricing)
    run = one.seen.view.run
    if run is None or run.run_id == 0 or run.held is not None:
        return
    if any(plan.release.needs_approval for plan in (one.plan, *(priced.plan for priced in one.articles))):
        yield _release(one, pricing, run.run_id)
    if one.plan.at_risk and not one.stale:
        yield _promise(one, pricing, run.run_id)


def _price(priced: Priced, pricing: Pricing) -> Wish:
    price, product = priced.plan.price, priced.article.sold.product
    return Wish(
        kind=PRICE,
        subject=f"offer:{priced.article.shop}/{product.sku}",
        body={
            "family": priced.article.sold.family,
            "shop": priced.article.shop,
            "sku": product.sku,
            "from_minor": price.price_minor,
            "to_minor": price.proposed_minor,
            "list_minor": price.list_minor,
            "currency": price.currency,
            "why": list(texts(pricing, priced.plan, About.PRICE)),
        },
        band=priced.rules.price.deadband * price.list_minor,
    )


def _campaign(one: Decided, pricing: Pricing) -> Wish:
    run, campaign = one.seen.view.run, one.plan.campaign
    kind = REDUCTION if campaign.kind is CampaignKind.REDUCTION else CAMPAIGN
    return Wish(
        kind=kind,
        subject=f"{kind}:{one.seen.view.family}",
        body={
            "family": one.seen.view.family,
            "run": None if run is None else run.run_id,
            "depth": campaign.depth,
            "until": None if campaign.until is None else to_text(campaign.until),
            "units_left": campaign.units_left,
            **({"articles": _prior(one)} if kind == REDUCTION else {}),
            "why": list(texts(pricing, one.plan, About.CAMPAIGN)),
        },
        same=("run", "depth"),
    )


def _prior(one: Decided) -> list[dict[str, object]]:
    """Give what each article costs now, and the lowest price of 30 days, from which a reduction is counted."""
    return [
        {
            "shop": priced.article.shop,
            "sku": priced.article.sold.product.sku,
            "price_minor": priced.plan.price.price_minor,
            "prior_minor": priced.article.lowest_minor,
        }
        for priced in one.articles
    ]


def _release(one: Decided, pricing: Pricing, run_id: int) -> Wish:
    return Wish(
        kind=RELEASE,
        subject=f"run:{run_id}",
        body={
            "family": one.seen.view.family,
            "run": run_id,
            "fill": one.plan.fill,
            "break_even": one.plan.break_even_units,
            "otherwise": None if one.plan.release.until is None else to_text(one.plan.release.until),
            "why": list(texts(pricing, one.plan, About.RELEASE)),
        },
        same=("run",),
    )


def _promise(one: Decided, pricing: Pricing, run_id: int) -> Wish:
    """Ask about a promise at risk: start the run now, or only what it takes to keep the promises that are."""
    run = one.seen.view.run
    assert run is not None
    late = set(one.plan.at_risk)
    last = max(member.promise_at for member in run.members if str(member.order_id) in late and member.promise_at)
    keep = sum(member.quantity for member in run.members if member.promise_at is not None and member.promise_at <= last)
    options = {"release": "start the whole run now"}
    if 0 < keep < sum(member.quantity for member in run.members):
        options["split"] = f"start {keep} pieces now, up to the last promise at risk; the others collect on"
    return Wish(
        kind=PROMISE,
        subject=f"run:{run_id}",
        body={
            "family": one.seen.view.family,
            "run": run_id,
            "orders": sorted(late),
            "expected": {order: to_text(at) for order, at in sorted(one.plan.late.items())},
            "keep": keep,
            "options": options,
            "otherwise": "the run starts at its latest start, and customers are told the later day",
            "why": list(texts(pricing, one.plan, About.PROMISE)),
        },
        same=("run", "orders"),
    )
