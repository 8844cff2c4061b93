"""A family's derived plan in words: what its numbers mean for runs, set-up, break-even, promise and price."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from gateway.domain.pricing import FamilyRules, RunInputs
from gateway.domain.pricing.figures import Figures, derive
from gateway.domain.pricing.promises import promise_for
from gateway.domain.pricing.schedule import lay_out
from gateway.settings.families import FamilySettings, PriceSettings, PricingSettings, RunSettings
from gateway.settings.load import Settings
from gateway.shops.fields import minor_exponent

_A_MONDAY: Final = datetime(2001, 1, 1, tzinfo=UTC)
_IN_DAYS_FROM_H: Final = 48.0
_WHOLE_FROM: Final = 10.0


def family_plan(settings: Settings, name: str) -> str:
    """Say how a family's work is gathered, what a run is about, and how it is priced and promised."""
    family = settings.families[name]
    sentences = [f"{_gathering(family)} on {' or '.join(family.machines)}", *_needs(family)]
    if not family.gathers:
        sentences.append(f"list price, promised in {family.promise.static_days} days")
    elif family.list_price == "shop":
        sentences += _without_price(family, settings.pricing.currency)
    else:
        rules = settings.rules(name)
        sentences += _numbers(rules, derive(rules, level=1.0, error_quantile_h=None))
    if family.gathers:
        sentences.append(_policy(family, settings.pricing))
    return "; ".join(sentences)


def _gathering(family: FamilySettings) -> str:
    if family.run is None:
        return "made to order"
    return f"runs of up to {_units(family.run.places)} places that start {_release(family.run)}"


def _release(run: RunSettings) -> str:
    match run.release:
        case "at_once":
            return "with their first order"
        case "threshold":
            return f"at {run.threshold}, at their latest start, or when full, whichever comes first"
        case "latest_start":
            return f"at their latest start or when full ({run.threshold} is only where a run should pay)"


def _needs(family: FamilySettings) -> Iterator[str]:
    material = [f"{amount:g} {item}" for item, amount in family.needs.material.items()]
    if material:
        yield f"each piece takes {' and '.join(material)}"
    if family.needs.tools:
        yield f"one run at a time has {' and '.join(family.needs.tools)}"
    if family.setup is not None and family.setup.first_piece:
        yield "a first piece is held until it is approved"


def _without_price(family: FamilySettings, currency: str | None) -> Iterator[str]:
    assert family.run is not None
    if family.setup is not None and family.setup.cost_now is not None:
        share = family.setup.cost_now / family.run.places
        yield f"set-up is {share:.2f} {currency or ''}".rstrip() + " a place of a full run"
    if family.run.window_h != "auto":
        yield f"a run collects for {_number(min(family.run.window_h, family.run.max_window_h))} h"
    yield "break-even and promise follow when the shop has told its price (list_price: NUMBER shows them now)"


def _numbers(rules: FamilyRules, figures: Figures) -> Iterator[str]:
    unit = 10 ** minor_exponent(rules.price.currency)
    fill = min(float(rules.run.places), figures.units_day * figures.window_h / 24)
    if figures.units_day > 0:
        expected = f"with {_number(figures.units_day)} units a day a window of {_number(figures.window_h)} h"
        yield f"{expected} makes runs of about {_units(max(1, round(fill)))} units"
    else:
        yield f"nobody is expected, and a run collects for {_number(figures.window_h)} h"
    each = rules.costs.setup_minor / max(1.0, fill) if figures.units_day > 0 else figures.share_minor
    of_what = "unit" if figures.units_day > 0 else "place of a full run"
    yield f"set-up is {each / unit:.2f} {rules.price.currency} a {of_what}"
    needed = figures.break_even_units
    if needed is None:
        yield "no number of units earns the set-up: a piece costs more than its price without tax"
    else:
        never = f", more than the {_units(rules.run.places)} of a run" if needed > rules.run.places else ""
        yield f"break-even {_units(needed)} units{never}"
    yield f"promise {_promise(rules, figures)}"


def _promise(rules: FamilyRules, figures: Figures) -> str:
    """Give the lead of a run's first order, and what is left of it when the run starts."""
    now = rules.calendar.next_opening(_A_MONDAY)
    promise = promise_for(lay_out(RunInputs(rules=rules), figures, now), 1)
    far_h, near_h = ((promise.at - since).total_seconds() / 3600 for since in (now, promise.start))
    if far_h < _IN_DAYS_FROM_H:
        return f"{_number(far_h)} to {_number(near_h)} h"
    return f"{math.ceil(far_h / 24)} to {math.ceil(near_h / 24)} days"


def _policy(family: FamilySettings, pricing: PricingSettings) -> str:
    """Say what the policy does to price, promise and campaign, and how far without asking."""
    match family.policy_name:
        case "distance":
            far, near = family.distance.far, family.distance.near
            prices = f"price {far:g} of the list price while a run is empty, {near:g} when it is full or about to start"
            hours = _number(family.distance.campaign_below_h)
            return f"distance: {prices}; a campaign in the last {hours} h{_asking(family, pricing)}"
        case "countdown":
            promises = "a run's first order sets its latest start, and later ones are promised what is left of it"
            low, high = (family.price or PriceSettings()).auto
            prices = f"list price while it fills as planned, up to {high:g} where places get scarce, down to {low:g}"
            rest = f"{_campaign(family, pricing)}{_asking(family, pricing)}"
            return f"countdown: {promises}; {prices} where they stay free; {rest}"
    return f"static: list price, promised in {family.promise.static_days} days"


def _campaign(family: FamilySettings, pricing: PricingSettings) -> str:
    if family.campaign is None or not family.campaign.enabled:
        return "no campaign"
    click = f"{family.campaign.cost_per_click:g} {pricing.currency or ''}".rstrip()
    hours = _number(family.campaign.max_hours_week)
    worth = f"{family.campaign.reserve:g} times his {click}"
    return f"a campaign ({family.campaign.kind}) within the last {hours} h while a visitor is worth {worth}"


def _asking(family: FamilySettings, pricing: PricingSettings) -> str:
    """Say who puts that in force."""
    match pricing.mode:
        case "off":
            return "; prices and campaigns are switched off (pricing.mode)"
        case "advise":
            return "; each change of price and each campaign waits for a person (pricing.mode)"
    low, high = (family.price or PriceSettings()).auto
    return f"; beyond {low:g} to {high:g} of the list price a person is asked"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= _WHOLE_FROM else f"{value:.2g}"


def _units(value: int) -> str:
    return f"{value:d}"
