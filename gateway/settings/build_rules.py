"""Settings become the rules that `plan` decides by: costs, capacity, demand, calendar and guard rails of a family."""

import math
import zoneinfo
from collections.abc import Mapping

from drivers.profile import Profile
from gateway.domain.attendance import Attendance
from gateway.domain.calendars import Calendar, parse_calendar
from gateway.domain.pricing.inputs import (
    CampaignKind,
    CampaignRules,
    Capacity,
    Costs,
    Demand,
    Distance,
    FamilyRules,
    Policy,
    PriceRules,
    PromiseRules,
    Release,
    RunRules,
    Shipping,
)
from gateway.domain.products import MAKE_TO_ORDER
from gateway.settings.cycles import planned_cycle_s
from gateway.settings.families import (
    CampaignSettings,
    DemandSettings,
    DistanceSettings,
    FamilySettings,
    PriceSettings,
    RunSettings,
    SetupSettings,
    ShipSettings,
    UnitSettings,
)
from gateway.settings.models import Sections, ShopSettings
from gateway.settings.times import clock_time
from gateway.shops.fields import minor_exponent

_FREE = UnitSettings(material=0)
_NO_SETUP = SetupSettings(cost=0, hours=0)
_NOBODY = Demand(visitors_h=0.0, conversion=0.5, lead_slope_day=0.0, learn=False)
_DAY_H = 24.0


def to_family_rules(
    sections: Sections,
    profiles: Mapping[str, Profile],
    family: str,
    *,
    list_minor: int | None = None,
    shop: str | None = None,
    machine: str | None = None,
    costs: Costs | None = None,
    capacity: Capacity | None = None,
    visitors_h: float | None = None,
) -> FamilyRules:
    """Give the part of `RunInputs` that the configuration decides.

    `list_minor` is the list price as the ledger has it, `shop` where it holds (default: the first shop that
    sells in the currency of the costs), `machine` the one that will make it (default: the family's first).
    `costs`, `capacity` and `visitors_h` are measured, and win. Raise ValueError without a list price or a currency.
    """
    settings = sections.families[family]
    seller = _shop(sections, shop)
    currency = sections.pricing.currency or (seller.currency if seller is not None else None)
    if currency is None:
        raise ValueError(f"families.{family}: no shop sells it, and pricing: names no currency")
    unit = 10 ** minor_exponent(currency)
    if list_minor is None:
        if settings.list_price == "shop":
            raise ValueError(f"families.{family}: the shop has not told its list price yet")
        list_minor = max(1, round(settings.list_price * unit))
    rate_h = _rate_h(sections, profiles, family)
    return FamilyRules(
        policy=Policy(settings.policy_name),
        run=to_run_rules(settings.run) if settings.run is not None else MAKE_TO_ORDER,
        price=_price(settings, seller, currency, list_minor),
        costs=costs or _costs(settings, rate_h, unit),
        capacity=capacity or Capacity(rate_h=rate_h, margin_h=settings.promise.margin_h),
        calendar=to_calendar(sections, family=family, machine=machine),
        demand=_demand(settings.demand, unit, visitors_h),
        distance=_distance(settings.distance),
        shipping=_shipping(settings.ship),
        promise=_promise(settings),
        campaign=_campaign(settings, unit),
    )


def to_attendance(sections: Sections, profiles: Mapping[str, Profile], machine: str) -> Attendance:
    """Give when somebody is at a machine, and how long a cycle of each of its families is planned to take."""
    site = sections.site
    staffed = (
        to_calendar(sections, machine=machine)
        if site.staffed is None
        else parse_calendar(site.staffed, zone=zoneinfo.ZoneInfo(site.timezone), closed=site.holidays)
    )
    families = [name for name, family in sections.families.items() if machine in family.machines]
    planned = {name: planned_cycle_s(sections, profiles, name) for name in families}
    return Attendance(
        staffed=staffed,
        unattended=sections.machines[machine].unattended is not None,
        cycle_s={name: cycle_s for name, cycle_s in planned.items() if cycle_s is not None},
    )


def to_calendar(sections: Sections, *, family: str | None = None, machine: str | None = None) -> Calendar:
    """Give the calendar in force: the family's own, else its (first) machine's, else the site's."""
    settings = sections.families[family] if family is not None else None
    if settings is not None and machine is None:
        machine = settings.machines[0]
    chosen = settings.run.calendar if settings is not None and settings.run is not None else None
    if chosen is None and machine is not None:
        chosen = sections.machines[machine].calendar
    zone = zoneinfo.ZoneInfo(sections.site.timezone)
    return parse_calendar(chosen or sections.site.calendar, zone=zone, closed=sections.site.holidays)


def to_run_rules(settings: RunSettings) -> RunRules:
    """Give a run's size and what starts it."""
    return RunRules(
        places=settings.places,
        threshold=settings.threshold,
        release=Release(settings.release),
        window_h=None if settings.window_h == "auto" else settings.window_h,
        max_window_h=settings.max_window_h,
    )


def _shop(sections: Sections, name: str | None) -> ShopSettings | None:
    if name is not None:
        return sections.shops[name]
    currency = sections.pricing.currency
    return next((shop for shop in sections.shops.values() if currency in (None, shop.currency)), None)


def _rate_h(sections: Sections, profiles: Mapping[str, Profile], family: str) -> float:
    """Give r, good pieces an hour; without a cycle, a run takes as long as its set-up."""
    settings = sections.families[family]
    cycle_s = planned_cycle_s(sections, profiles, family)
    scrap = settings.unit.scrap if settings.unit is not None else 0.0
    return math.inf if cycle_s is None else 3600 / cycle_s * settings.pieces_per_cycle * (1 - scrap)


def _costs(settings: FamilySettings, rate_h: float, minor: int) -> Costs:
    """Give c = material/(1-s) + (machine + operator)/r + kWh*price/(1-s) + packing, and K, S as written."""
    unit, setup = settings.unit or _FREE, settings.setup or _NO_SETUP
    good = 1 - unit.scrap
    piece = (unit.material + unit.kwh * unit.kwh_price) / good + unit.packing
    piece += (unit.machine_rate_h + unit.operator_rate_h) / rate_h
    return Costs(
        unit_minor=piece * minor,
        setup_minor=(setup.cost_now or 0.0) * minor,
        setup_h=setup.hours_now or 0.0,
    )


def _price(settings: FamilySettings, shop: ShopSettings | None, currency: str, list_minor: int) -> PriceRules:
    rails, minor = settings.price or PriceSettings(), 10 ** minor_exponent(currency)
    taxed = shop is not None and shop.price_includes_tax
    step = shop.rounding if shop is not None and shop.rounding is not None else 0.0
    return PriceRules(
        list_minor=list_minor,
        currency=currency,
        tax_rate=(shop.tax_rate or 0.0) if shop is not None and taxed else 0.0,
        fees_minor=(settings.unit or _FREE).fees * minor,
        step_minor=max(1, round(step * minor)),
        auto=rails.auto,
        hard=rails.hard,
        max_per_hour=rails.max_per_hour,
        max_per_day=rails.max_per_day,
        moves_per_day=rails.moves_per_day,
        deadband=rails.deadband,
    )


def _demand(settings: DemandSettings | None, minor: int, visitors_h: float | None) -> Demand:
    """Give what is believed of the buyers; nobody is expected where nothing is known."""
    if settings is None:
        return _NOBODY
    believed = 0.0 if settings.visitors == "shop" else settings.visitors / _DAY_H
    return Demand(
        visitors_h=believed if visitors_h is None else visitors_h,
        conversion=settings.conversion,
        lead_slope_day=settings.lead_slope_day,
        price_slope=settings.price_slope,
        minor_per_major=minor,
        units=settings.order_places,
        units_sd=settings.order_places_sd,
        learn=settings.learn == "level",
    )


def _distance(settings: DistanceSettings) -> Distance:
    return Distance(far=settings.far, near=settings.near, campaign_below_h=settings.campaign_below_h)


def _shipping(settings: ShipSettings) -> Shipping:
    cutoff = None if settings.cutoff is None else clock_time(settings.cutoff)
    return Shipping(hours=settings.hours, cutoff=cutoff)


def _promise(settings: FamilySettings) -> PromiseRules:
    promise = settings.promise
    return PromiseRules(quantile=promise.quantile, min_days=promise.min_days, static_days=promise.static_days)


def _campaign(settings: FamilySettings, minor: int) -> CampaignRules:
    """Give the campaign; without a block of its own only the policy `distance`, which names its hours, has one."""
    campaign = settings.campaign or CampaignSettings(enabled=settings.policy_name == "distance")
    return CampaignRules(
        enabled=campaign.enabled,
        kind=CampaignKind(campaign.kind),
        cost_per_click_minor=campaign.cost_per_click * minor,
        reserve=campaign.reserve,
        max_hours_week=campaign.max_hours_week,
        depth=campaign.depth,
    )
