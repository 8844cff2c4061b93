"""The sections `families` and `pricing`: how work is gathered into runs, priced and promised."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, Tag, model_validator

from gateway.settings.shapes import (
    MAPPING,
    NAME,
    Amount,
    AutoAmount,
    AutoHours,
    Factor,
    Hours,
    Share,
    ShopAmount,
    ShopPrice,
    WordOrMapping,
)
from gateway.settings.times import CalendarText, ClockTime, Duration
from gateway.settings.values import Currency, Distinct, Model, Name, Seconds, Text

Band = Annotated[tuple[Factor, Factor], Field(description="Lowest and highest factor of the list price.")]


class PricingSettings(Model):
    """How far prices and campaigns go by themselves; promises and the start of runs do not depend on it."""

    mode: Literal["off", "advise", "auto"] = "advise"
    """off: prices stay; advise: each change waits for a person; auto: inside the automatic band without asking."""
    advise_days: Annotated[int, Field(ge=0, le=365)] = 28
    """Days from its first price on in which each price and campaign of a family waits for a person, also with auto."""
    currency: Currency | None = None
    """What all costs under families are written in (ISO 4217)."""


class DistanceSettings(Model):
    """Dearer and later far from the run, cheaper as it comes near."""

    far: Factor = 1.15
    """Factor of the list price while the run is empty."""
    near: Factor = 0.95
    """Factor of the list price when the run is about to start."""
    campaign_below_h: Hours = 24
    """A campaign is open while fewer hours than this are left until the latest start."""


class DistancePolicy(Model):
    """The policy `distance` with its own numbers."""

    distance: DistanceSettings
    """The factors far from the run and near it, and when its campaign opens."""


class PromiseSettings(Model):
    """What a customer is promised."""

    static_days: Annotated[int, Field(ge=0, le=365)]
    """Days from placing the order to the promised day, with policy static or when inputs are too old."""
    quantile: Annotated[float, Field(ge=0.5, lt=1, allow_inf_nan=False)] = 0.95
    """How sure a computed promise is."""
    min_days: Annotated[int, Field(ge=0, le=365)] = 0
    """Working days that a promise has at least."""
    margin_h: Hours = 2
    """Working hours kept in hand beyond breakdowns and queue."""


class RunSettings(Model):
    """How jobs are gathered for one set-up."""

    places: Annotated[int, Field(ge=1, le=1_000_000)]
    """What one run holds; it starts when it is full."""
    threshold: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Places from which a run pays: the trigger of `release: threshold`, else a line to compare with."""
    release: Literal["at_once", "threshold", "latest_start"]
    """at_once: with its first order; threshold: when it is reached; latest_start: just in time for its promises."""
    window_h: AutoHours = "auto"
    """How long a run collects, hours; auto: two set-ups divided by what waiting costs, square root."""
    max_window_h: Annotated[float, Field(gt=0, le=8784, allow_inf_nan=False)] = 192
    """No run collects longer than this, hours."""
    calendar: CalendarText | None = None
    """When this family is worked on, such as `mon-fri 06-22`; default: the machine's, else the site's."""


class SetupFallback(Model):
    """What holds until it has been measured."""

    cost: Amount | None = None
    """Cost of a set-up, in the currency under pricing."""
    hours: Hours | None = None
    """Hours of a set-up."""


class SetupSettings(Model):
    """What it takes before the first good piece of a run."""

    cost: AutoAmount = "auto"
    """Cost of a set-up, in the currency under pricing; auto: measured, until then the fallback."""
    hours: AutoHours = "auto"
    """Hours of a set-up; auto: measured, until then the fallback."""
    fallback: SetupFallback = SetupFallback()
    """Cost and hours that hold until they have been measured."""
    first_piece: bool = False
    """Whether one piece is made first and held until a person approves it."""
    tool_code: Text | None = None
    """What the machine names as the fitted tool when the set-up is right: it confirms the set-up by itself."""
    confirm: bool = True
    """Whether a run waits until its set-up is confirmed; false: the machine changes over without a person."""

    @property
    def cost_now(self) -> float | None:
        """Give the cost in force before anything is measured, None where there is none."""
        return self.fallback.cost if self.cost == "auto" else self.cost

    @property
    def hours_now(self) -> float | None:
        """Give the hours in force before anything is measured, None where there are none."""
        return self.fallback.hours if self.hours == "auto" else self.hours


class NeedsSettings(Model):
    """What must be there before a run starts."""

    material: Mapping[Text, Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]] = Field(default_factory=dict)
    """What each piece takes of a stock item."""
    tools: Annotated[tuple[Text, ...], Distinct] = ()
    """Tools of which there is one: no two runs use them at once."""


class UnitSettings(Model):
    """What a piece costs, in the currency under pricing, without tax."""

    material: Amount
    """Material of a good piece."""
    packing: Amount = 0
    """Packing of a piece."""
    machine_rate_h: Amount = 0
    """What an hour of the machine costs."""
    operator_rate_h: Amount = 0
    """What an hour of the operator costs."""
    kwh: Amount = 0
    """Energy of a piece, kWh, until it is metered."""
    kwh_price: Amount = 0
    """Price of a kWh."""
    scrap: Share = 0
    """Share of pieces that become scrap, until it is measured."""
    fees: Amount = 0
    """What selling a piece costs: payment and marketplace."""


class ShipSettings(Model):
    """From the last good piece to the customer."""

    hours: Hours = 0
    """Hours on the way."""
    cutoff: ClockTime | None = None
    """Goods leave on working days at this time; default: when they are ready."""


class DemandSettings(Model):
    """What is believed of the buyers, until the level has been learnt."""

    visitors: ShopAmount = "shop"
    """Visitors a day; shop: as the shop tells it."""
    conversion: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
    """Share of visitors who order at the list price."""
    price_slope: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 0
    """How much the log-odds of buying fall with each unit of currency."""
    lead_slope_day: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 0
    """How much the log-odds of buying fall with each day of lead time."""
    order_places: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = 1
    """Places that an order takes on average."""
    order_places_sd: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 0
    """Standard deviation of that."""
    learn: Literal["level", "nothing"] = "level"
    """What is learnt from sales: the level of demand, never its slopes."""


class PriceSettings(Model):
    """Guard rails of the price; limits of change are shares of the list price."""

    auto: Band = (0.95, 1.10)
    """Lowest and highest factor without asking."""
    hard: Band = (0.85, 1.20)
    """Lowest and highest factor at all."""
    max_per_day: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 0.08
    """Largest change within a day."""
    max_per_hour: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] | None = None
    """Largest change within an hour; default: that of a day."""
    moves_per_day: Annotated[int, Field(ge=0, le=1000)] = 2
    """Changes within a day."""
    deadband: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.04
    """Changes below this are not made."""

    @model_validator(mode="after")
    def _nested(self) -> "PriceSettings":
        (hard_low, hard_high), (low, high) = self.hard, self.auto
        if not hard_low <= low <= 1 <= high <= hard_high:
            raise ValueError("auto must lie within hard, and both around 1: [0.95, 1.10] within [0.85, 1.20]")
        return self


class CampaignSettings(Model):
    """What is done to fill a run that has to start anyway."""

    enabled: bool = True
    """Whether campaigns are proposed at all."""
    kind: Literal["visibility", "reduction"] = "visibility"
    """visibility: the run is shown to more people; reduction: an announced lower price, which people approve."""
    cost_per_click: Amount = 0
    """What a visitor costs who comes by a campaign, in the currency under pricing."""
    reserve: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 1.5
    """A campaign opens while a visitor is worth this many times what he costs."""
    max_hours_week: Hours = 24
    """Hours within seven days that a campaign may be open."""
    depth: Share = 0
    """Share of the price that a reduction takes off."""
    channels: Annotated[tuple[Text, ...], Distinct] = ()
    """Where it appears, such as newsletter."""

    @model_validator(mode="after")
    def _announced(self) -> "CampaignSettings":
        if (self.depth > 0) != (self.kind == "reduction"):
            raise ValueError("kind: reduction and a depth above 0 belong together; visibility has none")
        return self


class ExpressSettings(Model):
    """A run of one's own for one customer, at its honest price."""

    enabled: bool = True
    """Whether it is offered."""
    approval: bool = True
    """Whether a person approves each one."""


class FamilySettings(Model):
    """Products that share one set-up."""

    machines: Annotated[tuple[Name, ...], Field(min_length=1, max_length=100), Distinct]
    """The machines that can make it: names under machines."""
    policy: (
        Annotated[
            Annotated[Literal["static", "distance", "countdown"], Tag(NAME)] | Annotated[DistancePolicy, Tag(MAPPING)],
            WordOrMapping,
        ]
        | None
    ) = None
    """static: list price and fixed lead; distance: {..}: by how far off the run is; countdown: by its latest start."""
    list_price: ShopPrice = "shop"
    """shop: the shop's own; a number stands for it until the shop has told."""
    promise: PromiseSettings
    """The fixed lead, and how sure a computed promise is."""
    pieces_per_cycle: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Sellable pieces that one machine cycle makes."""
    cycle_s: Seconds | None = None
    """Time of one machine cycle until it is measured, seconds; default: the slowest of the recipes used."""
    remake_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """How often a shortage is made again by itself before a person decides."""
    run: RunSettings | None = None
    """How jobs are gathered; without it each job is released at once."""
    setup: SetupSettings | None = None
    """What a set-up takes."""
    changeover: Mapping[Text, Duration] = Field(default_factory=dict)
    """Time of the change to this family: default, and "other->this" from a certain one, such as 90m."""
    needs: NeedsSettings = NeedsSettings()
    """Material and tools without which no run starts."""
    unit: UnitSettings | None = None
    """What a piece costs."""
    ship: ShipSettings = ShipSettings()
    """How goods reach the customer."""
    demand: DemandSettings | None = None
    """How many buyers are expected, and what moves them."""
    price: PriceSettings | None = None
    """How far and how fast the price may move."""
    campaign: CampaignSettings | None = None
    """What is done to fill a run that has to start anyway."""
    express: ExpressSettings | None = None
    """A run of one's own for one customer."""

    @property
    def policy_name(self) -> str:
        """Give the policy, static where none is written."""
        return "distance" if isinstance(self.policy, DistancePolicy) else self.policy or "static"

    @property
    def distance(self) -> DistanceSettings:
        """Give the numbers of the policy `distance`."""
        return self.policy.distance if isinstance(self.policy, DistancePolicy) else DistanceSettings()

    @property
    def gathers(self) -> bool:
        """Say whether runs wait for more work before they start."""
        return self.run is not None and self.run.release != "at_once"
