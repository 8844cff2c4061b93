"""What `plan` answers: every published field of an open run, and why each is what it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gateway.domain.pricing.inputs import CampaignKind, Mode, Policy
from gateway.domain.pricing.promises import Promise, PromiseFor
from gateway.domain.pricing.reasons import Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceDecision:
    """The price that may stand now without asking anybody, in minor units, and its factor of the list price.

    proposed_minor: the price a person is to decide about, None where there is nothing to decide.
    wanted_factor: what the policy asks for before any guard rail. moves: changes of the last 24 h.
    """

    price_minor: int
    factor: float
    list_minor: int
    currency: str
    wanted_factor: float
    floor_minor: int
    moves: int
    proposed_minor: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CampaignDecision:
    """Whether a campaign may be open now without asking anybody. depth: the share an announced reduction takes off.

    until is the real latest start, None where the run has none. proposed: it would be open if a person agreed.
    """

    open: bool
    kind: CampaignKind
    depth: float
    until: datetime | None
    units_left: int
    proposed: bool = False


class ReleaseKind(StrEnum):
    """What becomes of the open run now."""

    WAIT = "wait"
    NOW = "now"
    HOLD = "hold"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseDecision:
    """Wait (until then, if nothing is ordered before), release now, or hold.

    needs_approval: the threshold is reached, but so few units do not earn the set-up, and no promise
    presses yet: a person decides, and without an answer the run goes on collecting until its latest start.
    """

    kind: ReleaseKind
    until: datetime | None = None
    needs_approval: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """When the run is expected to start and to finish, and how many units it will hold then."""

    start: datetime
    finish_p50: datetime
    finish_p90: datetime
    units_p10: int
    units_p50: int
    units_p90: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CostNow:
    """Costs in minor units: a unit if the run started now, the set-up's share now and as forecast, the bid.

    The first two are None for an empty run.
    """

    unit_now_minor: int | None
    share_now_minor: int | None
    share_forecast_minor: int
    setup_minor: int
    bid_minor: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPlan:
    """An open run at one moment.

    latest_start: None without promises. hours_left: d, negative when the latest start has passed, D* for an
    empty run. earns: the fill has reached break-even. level: the demand level to give the next plan.
    at_risk: order ids whose p90 finish is later than their promise needs; late: when these reach the customer in nine
    of ten cases; keeps: nothing that was promised is at risk, in quotes neither. machine_done_at: when what is under
    way at the machine now does, on average. promise_for(q): for q more units.
    """

    at: datetime
    policy: Policy
    mode: Mode
    fill: int
    reserved: int
    places: int
    full: bool
    committed: bool
    threshold_reached: bool
    break_even_units: int | None
    earns: bool
    window_h: float
    latest_start: datetime | None
    hours_left: float
    units_day: float
    level: float
    price: PriceDecision
    promise: Promise
    campaign: CampaignDecision
    release: ReleaseDecision
    forecast: Forecast
    cost: CostNow
    confidence: float
    at_risk: tuple[str, ...]
    late: Mapping[str, datetime]
    keeps: bool
    machine_done_at: datetime
    reasons: tuple[Reason, ...]
    promise_for: PromiseFor = field(compare=False, repr=False)
