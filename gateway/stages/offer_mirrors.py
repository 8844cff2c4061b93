"""How open runs, offers and campaigns look on the board: every published field of a plan, in plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from gateway.domain.offers import Offer
from gateway.domain.pricing import FamilyRules, Reason, Reservation, RunPlan, Source, render
from gateway.domain.runs import OpenRun
from gateway.ledger.times import to_text

Value = dict[str, object]
_HOURS: Final = 2  # decimals
_SHARE: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class RunView:
    """A family's open run as the ledger has it (`run` None: nobody has ordered yet), its machine, its quotes."""

    family: str
    machine: str
    run: OpenRun | None
    state: str | None = None
    opened_at: str | None = None
    queue_h: float = 0.0
    reserved: tuple[Reservation, ...] = ()


def run_mirror(
    view: RunView, rules: FamilyRules, plan: RunPlan, *, sources: Sequence[Source], frozen: bool, zone: tzinfo
) -> Mapping[str, object]:
    """Give `runs/<family>/open`."""
    return {
        "run": None if view.run is None else view.run.run_id,
        "family": view.family,
        "setup_key": view.family if view.run is None else view.run.setup_key,
        "machine": view.machine,
        "state": view.state or "empty",
        "held": None if view.run is None else view.run.held,
        "policy": plan.policy.value,
        "fill": {
            "orders": 0 if view.run is None else len({member.order_id for member in view.run.members}),
            "units": plan.fill,
            "reserved": plan.reserved,
            "places": plan.places,
            "full": plan.full,
        },
        "threshold": {
            "units": rules.run.threshold,
            "break_even": plan.break_even_units,
            "reached": plan.threshold_reached,
            "earns": plan.earns,
        },
        "committed": plan.committed,
        "opened_at": view.opened_at,
        "window_h": round(plan.window_h, _HOURS),
        "latest_start": _time(plan.latest_start),
        "hours_left": round(plan.hours_left, _HOURS),
        "release": {
            "decision": plan.release.kind.value,
            "until": _time(plan.release.until),
            "needs_approval": plan.release.needs_approval,
        },
        "promise": {"at": to_text(plan.promise.at), "which": plan.promise.which.value},
        "forecast": _forecast(plan),
        "queue": {"hours": round(view.queue_h, _HOURS)},
        "cost": _cost(plan),
        "price": price_view(rules, plan),
        "demand": {"units_day": round(plan.units_day, _HOURS), "level": plan.level},
        "campaign": campaign_view(plan),
        "at_risk": list(plan.at_risk),
        "confidence": round(plan.confidence, _HOURS),
        "mode": plan.mode.value,
        "frozen": frozen,
        "inputs": {source.name: {"age_s": round(source.age_s), "stale": source.stale} for source in sources},
        "reasons": reasons_view(plan.reasons, zone=zone, currency=plan.price.currency),
    }


def offer_mirror(
    shop: str, sku: str, family: str, offer: Offer, plan: RunPlan, *, lowest_minor: int | None, zone: tzinfo
) -> Value:
    """Give what `offers/<sku>` says of one shop; nothing in it changes but with the offer, and the lowest price."""
    return {
        "sku": sku,
        "shop": shop,
        "family": family,
        "price_minor": offer.price_minor,
        "list_minor": plan.price.list_minor,
        "currency": offer.currency,
        "factor": round(offer.price_minor / plan.price.list_minor, _SHARE),
        "lowest_30d_minor": lowest_minor,
        "promise_at": to_text(offer.promise_at),
        "lead_days": offer.lead_days,
        "closes_at": _time(offer.closes_at),
        "campaign": offer.campaign,
        "mode": plan.mode.value,
        "reasons": reasons_view(plan.reasons, zone=zone, currency=offer.currency),
    }


def campaign_view(plan: RunPlan) -> Value:
    """Give `campaigns/<family>`."""
    campaign = plan.campaign
    return {
        "open": campaign.open,
        "proposed": campaign.proposed,
        "kind": campaign.kind.value,
        "depth": campaign.depth,
        "until": _time(campaign.until),
        "units_left": campaign.units_left,
    }


def price_view(rules: FamilyRules, plan: RunPlan) -> Value:
    """Give the price with its list price, floor and moves."""
    price = plan.price
    return {
        "price_minor": price.price_minor,
        "factor": round(price.factor, _SHARE),
        "base_minor": price.list_minor,
        "wanted_factor": round(price.wanted_factor, _SHARE),
        "proposed_minor": price.proposed_minor,
        "floor_minor": price.floor_minor,
        "currency": price.currency,
        "tax_rate": rules.price.tax_rate,
        "moves_today": price.moves,
    }


def reasons_view(reasons: Sequence[Reason], *, zone: tzinfo, currency: str) -> list[Value]:
    """Give reasons with their texts in English and Swedish."""
    return [
        {
            "about": reason.about.value,
            "code": reason.code,
            "params": {
                name: to_text(value) if isinstance(value, datetime) else value
                for name, value in (reason.params.items())
            },
            "text": {
                "en": render(reason, "en", zone=zone, currency=currency),
                "sv": render(reason, "sv", zone=zone, currency=currency),
            },
        }
        for reason in reasons
    ]


def _forecast(plan: RunPlan) -> Value:
    expected = plan.forecast
    return {
        "start": to_text(expected.start),
        "finish": {"p50": to_text(expected.finish_p50), "p90": to_text(expected.finish_p90)},
        "units": {"p10": expected.units_p10, "p50": expected.units_p50, "p90": expected.units_p90},
    }


def _cost(plan: RunPlan) -> Value:
    return {
        "unit_now_minor": plan.cost.unit_now_minor,
        "setup_minor": plan.cost.setup_minor,
        "share_now_minor": plan.cost.share_now_minor,
        "share_forecast_minor": plan.cost.share_forecast_minor,
        "bid_minor": plan.cost.bid_minor,
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else to_text(at)
