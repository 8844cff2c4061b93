"""What `plan` decides from: the rules and figures of a family, and what is seen of its open run right now.

Money is in minor units of one currency (1250 is 12.50): integers where a shop or customer sees it, and
fractions where it is a measured cost. Quantities count places: an order that takes 1.5 places a piece is
given as its places, and the rate in the same unit. Figures that would be taken from measurements carry the
values in force; who measured them does not matter here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum

from gateway.domain.calendars import Calendar, aware

Band = tuple[float, float]  # lowest and highest factor of the list price


class Policy(StrEnum):
    """How price, promise and campaign follow the run."""

    STATIC = "static"
    DISTANCE = "distance"
    COUNTDOWN = "countdown"


class Release(StrEnum):
    """What starts a run. A full run always starts."""

    AT_ONCE = "at_once"
    THRESHOLD = "threshold"
    LATEST_START = "latest_start"


class Mode(StrEnum):
    """How far prices and campaigns go by themselves; promises and releases do not depend on it."""

    OFF = "off"
    ADVISE = "advise"  # every change is a proposal
    AUTO = "auto"  # inside the automatic band without asking


class CampaignKind(StrEnum):
    """What a campaign does: it makes the run visible, or it announces a reduction, which people approve."""

    VISIBILITY = "visibility"
    REDUCTION = "reduction"


@dataclass(frozen=True, kw_only=True, slots=True)
class Distance:
    """The policy `distance`: factors far from the run and near it, and when its campaign opens."""

    far: float = 1.15
    near: float = 0.95
    campaign_below_h: float = 24.0

    def __post_init__(self) -> None:
        """Refuse a price that falls to nothing."""
        _positive(far=self.far, near=self.near)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRules:
    """The size of a run and what starts it. `window_h` None: computed, never above `max_window_h`."""

    places: int
    threshold: int = 1
    release: Release = Release.AT_ONCE
    window_h: float | None = None
    max_window_h: float = 192.0

    def __post_init__(self) -> None:
        """Refuse a run that can hold nothing."""
        _positive(places=self.places, threshold=self.threshold)
        _not_negative(window_h=self.window_h or 0.0, max_window_h=self.max_window_h)


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceRules:
    """The list price and the guard rails around it; limits of change are shares of the list price.

    `tax_rate` is the tax that the list price contains (0.25), 0 for net prices. `fees_minor` are net, a unit.
    The written price is a multiple of `step_minor`. Without `max_per_hour` the limit of a day holds.
    """

    list_minor: int
    currency: str
    tax_rate: float = 0.0
    fees_minor: float = 0.0
    step_minor: int = 1
    auto: Band = (0.95, 1.10)
    hard: Band = (0.85, 1.20)
    max_per_hour: float | None = None
    max_per_day: float = 0.08
    moves_per_day: int = 2
    deadband: float = 0.04

    def __post_init__(self) -> None:
        """Refuse bands that do not lie inside each other around the list price."""
        _positive(list_minor=self.list_minor, step_minor=self.step_minor)
        _not_negative(tax_rate=self.tax_rate, fees_minor=self.fees_minor, deadband=self.deadband)
        if not 0 < self.hard[0] <= self.auto[0] <= 1 <= self.auto[1] <= self.hard[1]:
            raise ValueError("price bands: hard low <= auto low <= 1 <= auto high <= hard high")

    @property
    def net_minor(self) -> float:
        """Give the list price without tax."""
        return self.list_minor / (1 + self.tax_rate)


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """c, K and S: a unit's cost, the cost of a set-up, its hours. All net.

    `waiting_minor_day`: what a unit's waiting costs a day. `late_minor_day`: what a unit's lateness costs a day.
    """

    unit_minor: float
    setup_minor: float
    setup_h: float
    waiting_minor_day: float = 0.0
    late_minor_day: float = 0.0

    def __post_init__(self) -> None:
        """Refuse negative costs."""
        _not_negative(unit_minor=self.unit_minor, setup_minor=self.setup_minor, setup_h=self.setup_h)
        _not_negative(waiting_minor_day=self.waiting_minor_day, late_minor_day=self.late_minor_day)


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """r, MTBF, MTTR of the machine in working hours; `queue_h` is the quantile of waiting for it.

    `margin_h` is what the buffer holds beyond breakdowns and queue.
    """

    rate_h: float
    mtbf_h: float = math.inf
    mttr_h: float = 0.0
    queue_h: float = 0.0
    margin_h: float = 2.0

    def __post_init__(self) -> None:
        """Refuse a machine that makes nothing or only fails."""
        _positive(rate_h=self.rate_h, mtbf_h=self.mtbf_h)
        _not_negative(mttr_h=self.mttr_h, queue_h=self.queue_h, margin_h=self.margin_h)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shipping:
    """Hours on the way. With a `cutoff` (local time) goods leave on working days at that time, else when ready."""

    hours: float = 0.0
    cutoff: time | None = None

    def __post_init__(self) -> None:
        """Refuse a way back in time."""
        _not_negative(hours=self.hours)


@dataclass(frozen=True, kw_only=True, slots=True)
class PromiseRules:
    """How sure a promise is, the least working days, and the lead of `static` and of stale inputs."""

    quantile: float = 0.95
    min_days: int = 0
    static_days: int = 5

    def __post_init__(self) -> None:
        """Refuse a promise that is kept less than every second time, or always."""
        if not 0.5 <= self.quantile < 1:  # noqa: PLR2004
            raise ValueError("promise quantile: at least 0.5 and below 1")
        _not_negative(min_days=self.min_days, static_days=self.static_days)


@dataclass(frozen=True, kw_only=True, slots=True)
class CampaignRules:
    """What a campaign is, what a click costs, and how long it may be open within seven days.

    It opens while a visitor is worth `reserve` times his click. `depth` is the share a reduction takes off.
    """

    enabled: bool = True
    kind: CampaignKind = CampaignKind.VISIBILITY
    cost_per_click_minor: float = 0.0
    reserve: float = 1.5
    max_hours_week: float = 24.0
    depth: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a reduction that leaves nothing."""
        _not_negative(cost_per_click_minor=self.cost_per_click_minor, reserve=self.reserve, depth=self.depth)
        if self.depth >= 1:
            raise ValueError("campaign depth: a share below 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What is believed of the buyers.

    conversion: P, the share of visitors who order at the list price and a lead of `lead_days`; with None the
    lead is taken to be that of the count-down on average. Slopes are falls of the log-odds of buying, a day of
    lead and a *major* unit of price (`minor_per_major` minor units). units, units_sd: an order's size.
    """

    visitors_h: float
    conversion: float
    lead_slope_day: float
    price_slope: float = 0.0
    minor_per_major: int = 100
    units: float = 1.0
    units_sd: float = 0.0
    lead_days: float | None = None
    learn: bool = True

    def __post_init__(self) -> None:
        """Refuse probabilities that are none."""
        if not 0 < self.conversion < 1:
            raise ValueError("conversion: above 0 and below 1")
        _positive(units=self.units, minor_per_major=self.minor_per_major)
        _not_negative(visitors_h=self.visitors_h, lead_slope_day=self.lead_slope_day, units_sd=self.units_sd)


@dataclass(frozen=True, kw_only=True, slots=True)
class FamilyRules:
    """Everything about a family that does not change from minute to minute."""

    policy: Policy
    run: RunRules
    price: PriceRules
    costs: Costs
    capacity: Capacity
    calendar: Calendar
    demand: Demand
    distance: Distance = field(default_factory=Distance)
    shipping: Shipping = field(default_factory=Shipping)
    promise: PromiseRules = field(default_factory=PromiseRules)
    campaign: CampaignRules = field(default_factory=CampaignRules)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenOrder:
    """An order line in the open run. Without a promise it sets no latest start."""

    units: int
    promise: datetime | None
    placed: datetime
    order_id: str = ""

    def __post_init__(self) -> None:
        """Refuse a time without a zone, and an order for nothing."""
        aware(self.placed)
        if self.promise is not None:
            aware(self.promise)
        _positive(units=self.units)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """A quote that holds places and its promise until it expires."""

    units: int
    promise: datetime
    valid_until: datetime

    def __post_init__(self) -> None:
        """Refuse a time without a zone."""
        aware(self.promise)
        aware(self.valid_until)
        _positive(units=self.units)


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceMove:
    """One change of the published price."""

    at: datetime
    from_minor: int
    to_minor: int

    def __post_init__(self) -> None:
        """Refuse a time without a zone."""
        aware(self.at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """The price in force and its moves of at least the last 24 hours (older ones are left out of account)."""

    price_minor: int
    moves: tuple[PriceMove, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CampaignSeen:
    """The campaign as it stands: open, its open hours within the last seven days, approved where that is needed.

    freshness: the share of the audience that has not just been asked; None: 1 - hours_week / max_hours_week.
    share: what a reduction takes off the price of now (None: its depth); none opens before rests_until.
    """

    open: bool = False
    hours_week: float = 0.0
    approved: bool = False
    freshness: float | None = None
    share: float | None = None
    rests_until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """How old what we know is. Older than twice its period it is stale."""

    name: str
    age_s: float
    period_s: float

    @property
    def stale(self) -> bool:
        """Say whether this is too old to price by."""
        return self.age_s > 2 * self.period_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Recent:
    """Sales of late: hours looked back on, visitors, units sold (sums that fade with ten days, see `remember`)."""

    hours: float = 0.0
    visitors: float = 0.0
    units: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What is seen of a family at one moment.

    free_h: working hours before the machine is free (other load); down: it has failed and is being repaired.
    held: why a person or a shortage holds the run. level: the demand level in force (the last plan's).
    error_quantile_h: measured quantile of (actual - forecast) finish after 20 runs, in place of the buffer.
    confidence: by input, 0 to 1. frozen: the price stands; at_list: a person put the list price back, and it stands.
    """

    orders: tuple[OpenOrder, ...] = ()
    reserved: tuple[Reservation, ...] = ()
    free_h: float = 0.0
    down: bool = False
    held: str | None = None
    published: Published | None = None
    campaign: CampaignSeen = field(default_factory=CampaignSeen)
    recent: Recent | None = None
    level: float = 1.0
    error_quantile_h: float | None = None
    sources: tuple[Source, ...] = ()
    confidence: Mapping[str, float] = field(default_factory=dict)
    mode: Mode = Mode.AUTO
    frozen: bool = False
    at_list: bool = False

    def __post_init__(self) -> None:
        """Refuse a machine that was free in the past."""
        _not_negative(free_h=self.free_h)
        _positive(level=self.level)

    @property
    def stale(self) -> tuple[Source, ...]:
        """Give the sources that are too old."""
        return tuple(source for source in self.sources if source.stale)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunInputs:
    """Everything `plan` looks at, besides the time."""

    rules: FamilyRules
    seen: Seen = field(default_factory=Seen)


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name}: above 0, not {value}")


def _not_negative(**values: float) -> None:
    for name, value in values.items():
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name}: 0 or more, not {value}")
