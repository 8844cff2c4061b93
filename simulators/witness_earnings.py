"""The witness of earnings: what some families' articles brought, by the shop's own orders and the runs heard of."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from simulators.witness_prices import Collected
from simulators.witness_shop import ShopOrder


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """What a family's runs hold and cost, in minor units without tax; `skus`: patterns of its articles."""

    family: str
    skus: tuple[str, ...]
    places: int
    unit_minor: float
    setup_minor: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Earned:
    """What was earned, in minor units without tax; `fill`: the share of places of the runs that were taken."""

    pieces: int
    runs: int
    fill: float
    sales_minor: int
    unit_costs_minor: int
    setup_costs_minor: int
    clicks: int
    click_costs_minor: int

    @property
    def margin_minor(self) -> int:
        """Give sales less what pieces, set-ups and clicks cost."""
        return self.sales_minor - self.unit_costs_minor - self.setup_costs_minor - self.click_costs_minor


def earned(
    costs: Sequence[Costs],
    orders: Sequence[ShopOrder],
    runs: Sequence[Collected],
    *,
    clicks: int,
    click_minor: float,
) -> Earned:
    """Count the orders that are to be made, and the runs that were released."""
    lines = [line for order in orders if order.due for line in order.lines]
    sold = {
        one.family: [line for line in lines if any(fnmatchcase(line.sku, pattern) for pattern in one.skus)]
        for one in costs
    }
    made = {one.family: sum(run.family == one.family and run.until is not None for run in runs) for one in costs}
    pieces = {family: sum(line.pieces for line in ones) for family, ones in sold.items()}
    places = sum(made[one.family] * one.places for one in costs)
    return Earned(
        pieces=sum(pieces.values()),
        runs=sum(made.values()),
        fill=round(sum(pieces.values()) / places, 3) if places else 0.0,
        sales_minor=sum(line.net_minor for ones in sold.values() for line in ones),
        unit_costs_minor=round(sum(pieces[one.family] * one.unit_minor for one in costs)),
        setup_costs_minor=round(sum(made[one.family] * one.setup_minor for one in costs)),
        clicks=clicks,
        click_costs_minor=round(clicks * click_minor),
    )
