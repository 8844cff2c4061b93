"""The witness of earnings counts what the shop took and what its runs cost, for the families asked about."""

from datetime import UTC, datetime, timedelta

from simulators.witness import Costs, ShopOrder, earned
from simulators.witness_prices import Collected
from simulators.witness_shop import SoldLine

OPENING = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
WHITE = Costs(family="white", skus=("PLATE-W*", "SET-12*"), places=10, unit_minor=3000, setup_minor=9000)
BLACK = Costs(family="black", skus=("PLATE-B*",), places=10, unit_minor=3500, setup_minor=8000)


def _order(*lines: tuple[str, int, int], due: bool = True) -> ShopOrder:
    found = tuple(SoldLine(sku=sku, pieces=pieces, net_minor=minor) for sku, pieces, minor in lines)
    return ShopOrder(order_id="1", due=due, pieces=0, state="made", lines=found)


def _run(number: int, family: str, *, released: bool = True) -> Collected:
    return Collected(
        run_id=number, family=family, since=OPENING, until=OPENING + timedelta(hours=1) if released else None
    )


def test_sales_pieces_set_ups_and_clicks_make_the_margin() -> None:
    orders = [
        _order(("PLATE-W-1", 2, 20_000), ("TRAY-12", 5, 50_000)),
        _order(("SET-12", 1, 15_000), ("PLATE-B-1", 3, 30_000)),
        _order(("PLATE-W-1", 9, 90_000), due=False),
    ]
    runs = [_run(1, "white"), _run(2, "black"), _run(3, "white", released=False), _run(4, "trays")]
    found = earned([WHITE, BLACK], orders, runs, clicks=4, click_minor=200)
    assert (found.pieces, found.runs, found.fill) == (6, 2, 0.3)
    assert found.sales_minor == 65_000
    assert found.unit_costs_minor == 3 * 3000 + 3 * 3500
    assert found.setup_costs_minor == 17_000
    assert (found.clicks, found.click_costs_minor) == (4, 800)
    assert found.margin_minor == 65_000 - 19_500 - 17_000 - 800


def test_without_a_run_nothing_is_full() -> None:
    assert earned([WHITE], [], [], clicks=0, click_minor=200).fill == 0.0
