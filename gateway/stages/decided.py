"""What a round of the price stage found out about each family, before anything of it is written."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.domain.offers import Offer
from gateway.domain.pricing import About, FamilyRules, Policy, RunPlan, Source, render
from gateway.stages.pricing import Article, FamilySeen, Pricing


@dataclass(frozen=True, kw_only=True, slots=True)
class Priced:
    """An article with its plan, the offer that follows from it, and what is different about that."""

    article: Article
    rules: FamilyRules
    plan: RunPlan
    offer: Offer
    changed: tuple[str, ...]
    write: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """What a round found out about one family. `plan`: of an article whose campaign is open, else of the first."""

    seen: FamilySeen
    rules: FamilyRules
    plan: RunPlan
    sources: tuple[Source, ...]
    articles: tuple[Priced, ...]

    @property
    def stale(self) -> bool:
        """Say whether prices rest on what is too old."""
        return bool(self.articles) and self.plan.policy is not Policy.STATIC and any(one.stale for one in self.sources)


def texts(pricing: Pricing, plan: RunPlan, about: About | None = None) -> Iterator[str]:
    """Give the reasons of a plan in English, all of them or those about one thing."""
    for reason in plan.reasons:
        if about in (None, reason.about):
            yield render(reason, "en", zone=pricing.zone, currency=plan.price.currency)
