"""What is true of buyers, machine and costs; `plan` knows only what it believes of them."""

import math
from dataclasses import dataclass

from gateway.domain.pricing import FamilyRules
from gateway.domain.pricing.figures import derive
from gateway.domain.pricing.formulas import HOURS_DAY, moved_probability

HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """The truth of a simulation. Money is in minor units and net, times of the machine are working hours.

    conversion: the share of visitors who order at `list_minor` (as shown, with tax) and a lead of `lead_days`;
    its log-odds fall by `lead_slope_day` for each day more and by `price_slope` for each `minor_per_major` more.
    campaign_visitors_h: who comes besides while a campaign is open, at `click_minor` each; their conversion falls
    with the root of the share of `audience_h` (open hours of the last seven days) that is left.
    """

    visitors_h: float
    conversion: float
    lead_days: float
    lead_slope_day: float
    price_slope: float
    list_minor: int
    minor_per_major: int
    tax_rate: float
    units: float
    units_sd: float
    unit_minor: float
    fees_minor: float
    setup_minor: float
    setup_h: float
    late_minor_day: float
    rate_h: float
    mtbf_h: float
    mttr_h: float
    campaign_visitors_h: float
    click_minor: float
    audience_h: float

    def __post_init__(self) -> None:
        """Refuse a world in which nobody comes: there is nothing to compare in it."""
        if not self.visitors_h > 0:
            raise ValueError("visitors_h: above 0, else nobody comes")

    def chance(self, *, price_minor: float, lead_days: float) -> float:
        """Give the probability that a visitor buys at this price and lead."""
        dearer = (price_minor - self.list_minor) / self.minor_per_major
        later = lead_days - self.lead_days
        return moved_probability(self.conversion, -self.lead_slope_day * later - self.price_slope * dearer)

    def interest(self, open_h: float) -> float:
        """Give what is left of a campaign's pull after so many open hours within seven days."""
        return math.sqrt(max(0.0, 1 - open_h / self.audience_h)) if self.audience_h > 0 else 0.0


def as_believed(rules: FamilyRules) -> World:
    """Give the world in which all that the rules say is true, and a campaign doubles the visitors.

    Where the belief names no lead, its conversion holds at the average lead of a run that counts down.
    """
    figures = derive(rules, level=1.0, error_quantile_h=None)
    believed = rules.demand.lead_days
    usual_h = figures.window_h / 2 + figures.need_h(_usual_units(rules)) + rules.shipping.hours
    return World(
        visitors_h=rules.demand.visitors_h,
        conversion=rules.demand.conversion,
        lead_days=usual_h / HOURS_DAY if believed is None else believed,
        lead_slope_day=rules.demand.lead_slope_day,
        price_slope=rules.demand.price_slope,
        list_minor=rules.price.list_minor,
        minor_per_major=rules.demand.minor_per_major,
        tax_rate=rules.price.tax_rate,
        units=rules.demand.units,
        units_sd=rules.demand.units_sd,
        unit_minor=rules.costs.unit_minor,
        fees_minor=rules.price.fees_minor,
        setup_minor=rules.costs.setup_minor,
        setup_h=rules.costs.setup_h,
        late_minor_day=rules.costs.late_minor_day,
        rate_h=rules.capacity.rate_h,
        mtbf_h=rules.capacity.mtbf_h,
        mttr_h=rules.capacity.mttr_h,
        campaign_visitors_h=rules.demand.visitors_h,
        click_minor=rules.campaign.cost_per_click_minor,
        audience_h=rules.campaign.max_hours_week,
    )


def _usual_units(rules: FamilyRules) -> float:
    figures = derive(rules, level=1.0, error_quantile_h=None)
    return min(float(rules.run.places), figures.units_day * figures.window_h / HOURS_DAY)
