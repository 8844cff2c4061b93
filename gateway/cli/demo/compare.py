"""`kvot demo --compare-policies`: the same customers twice, once under each policy, and what each of them earned."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.cli.demo.play import Show, gather
from gateway.cli.demo.scene import Wishes
from gateway.settings import Settings, load
from gateway.settings.build import driving_step
from gateway.shops.fields import minor_exponent
from simulators.witness import Costs, Evidence, Verdict, earned, judge

# Both groups of the oven follow the same policy; both may have a campaign at the same price of a click.
GROUPS: Final = ("cure-white", "cure-black")
POLICIES: Final = {
    "distance": "{distance: {far: 1.15, near: 0.95, campaign_below_h: 0.2}}",
    "countdown": "countdown",
}
CAMPAIGN: Final = "{kind: visibility, cost_per_click: 2}"
COLUMNS: Final = (
    "policy", "margin", "sales", "pieces", "runs", "fill", "setups", "clicks", "promises_kept", "lead_min", "clean",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """What came of one policy: the witness's verdict, and a row of figures; money in major units without tax."""

    policy: str
    verdict: Verdict
    figures: dict[str, Any]


async def compare(wishes: Wishes, *, show: Show, say: Callable[[str], None]) -> list[Compared]:
    """Play the same seed once under each policy, one demo after the other. Errors as in `play.gather`."""
    found: list[Compared] = []
    for policy, written in POLICIES.items():
        say(f"the same customers, with {policy} for both groups of the oven")
        directory = wishes.directory / policy
        directory.mkdir()
        overrides = {f"families.{name}.policy": written for name in GROUPS}
        overrides |= {f"families.{name}.campaign": CAMPAIGN for name in GROUPS}
        asked = replace(wishes, directory=directory, overrides=overrides)
        evidence = await gather(asked, once=True, show=show)
        assert evidence is not None
        settings = load(wishes.config, overrides=[f"{key}={value}" for key, value in overrides.items()], secrets=False)
        figures = _figures(settings, evidence)
        found.append(Compared(policy=policy, verdict=judge(evidence), figures=figures))
    return found


def rows(found: list[Compared]) -> list[dict[str, Any]]:
    """Give a row for each policy."""
    return [{"policy": one.policy, **one.figures, "clean": one.verdict.clean} for one in found]


def _figures(settings: Settings, evidence: Evidence) -> dict[str, Any]:
    """Count by the shop's own orders and the runs that were heard of; what a piece costs is the oven's part of it."""
    rules = {name: settings.rules(name) for name in GROUPS}
    costs = [
        Costs(
            family=name,
            skus=_skus(settings, name),
            places=one.run.places,
            unit_minor=one.costs.unit_minor,
            setup_minor=one.costs.setup_minor,
        )
        for name, one in rules.items()
    ]
    click_minor = rules[GROUPS[0]].campaign.cost_per_click_minor
    seen = earned(costs, evidence.orders, evidence.prices.runs, clicks=evidence.clicks, click_minor=click_minor)
    unit = 10 ** minor_exponent(rules[GROUPS[0]].price.currency)
    made, kept = evidence.told.promises
    leads = [60 * offer.lead_h for offer in evidence.prices.offers if offer.family in GROUPS]
    return {
        "margin": seen.margin_minor / unit,
        "sales": seen.sales_minor / unit,
        "unit_costs": seen.unit_costs_minor / unit,
        "setups": seen.setup_costs_minor / unit,
        "clicks": seen.clicks,
        "click_costs": seen.click_costs_minor / unit,
        "pieces": seen.pieces,
        "runs": seen.runs,
        "fill": seen.fill,
        "promises_made": made,
        "promises_kept": kept,
        "lead_min": round(sum(leads) / len(leads), 1) if leads else None,
    }


def _skus(settings: Settings, family: str) -> tuple[str, ...]:
    """Give the patterns of the articles that this family prices."""
    return tuple(
        name
        for name, product in settings.products.items()
        if product.make and product.steps and product.steps[driving_step(settings, product.steps)].family == family
    )
