"""Goods on the shelf: what was made beyond an order is used first, by who ordered the very same, and counted once."""

from dataclasses import replace

import pytest
from sqlalchemy import Connection

from gateway.domain.products import MAKE_TO_ORDER, Setup
from gateway.errors import RefusedError
from gateway.ledger import events, first_pieces, setups, shelf, stock
from gateway.ledger.offers import promises
from gateway.ledger.sql import insert, rows
from gateway.ledger.times import to_text
from gateway.ledger.traces import trace_lot, trace_order
from tests.ledger.shop_floor import ANNA, ShopFloor, a_family, a_step
from tests.ledger.work import NOW, one


@pytest.fixture
def floor(tx: Connection) -> ShopFloor:
    return ShopFloor(tx=tx)


@pytest.fixture
def route(tx: Connection) -> ShopFloor:
    families = {"white": a_family(), "pack": a_family("pack", machines=("packing",))}
    return ShopFloor(tx=tx, families=families, products={"TRAY-12": (a_step(), a_step("pack"))})


_LAST_LETTER = "SELECT body FROM outbox WHERE destination = 'shop:webshop' ORDER BY seq DESC LIMIT 1"


def _lying(floor: ShopFloor) -> list[tuple[str, int]]:
    return [(one["lot"], one["pieces"]) for one in shelf.list_shelf(floor.tx)]


def _made(floor: ShopFloor, quantity: int, good: int, **options: str) -> tuple[str, str]:
    """Order, and have more made than was ordered; give the order's number and the lot."""
    number = floor.order(quantity, **options)
    (job,) = floor.plan()
    floor.make(job, good=good)
    return number, job


def test_what_is_made_beyond_the_order_lies_on_the_shelf(floor: ShopFloor) -> None:
    number, lot = _made(floor, 3, 4)
    assert _lying(floor) == [(lot, 1)]
    assert floor.line(number)["good"] == 3


def test_a_line_that_lies_there_whole_is_made_without_a_job_and_its_shop_is_told(floor: ShopFloor) -> None:
    _, lot = _made(floor, 1, 4)
    number = floor.order(3)
    assert floor.plan() == []
    line = floor.line(number)
    assert (line["state"], line["good"]) == ("made", 3)
    assert _lying(floor) == []
    assert '"_kvot_state":"made"' in one(tx=floor.tx, sql=_LAST_LETTER)
    assert [view["quantity"] for view in rows(floor.tx, "SELECT quantity FROM jobs")] == [1]
    assert promises(floor.tx) == (2, 2)
    traced = trace_order(floor.tx, 2)
    assert traced is not None
    assert traced["lines"][0]["from_shelf"] == [{"lot": lot, "pieces": 3}]
    story = trace_lot(floor.tx, lot)
    assert story is not None
    assert [(entry["kind"], entry["pieces"], entry["number"]) for entry in story["shelf"]] == [
        ("put", 3, "1001"),
        ("take", 3, "1002"),
    ]


def test_only_the_rest_is_made_where_the_shelf_has_a_part(floor: ShopFloor) -> None:
    _made(floor, 1, 3)
    number = floor.order(5)
    (job,) = floor.plan()
    assert floor.quantity_of(job) == 3
    assert floor.line(number)["good"] == 2
    floor.make(job, good=3)
    assert (floor.line(number)["state"], floor.line(number)["good"]) == ("made", 5)


def test_goods_made_for_one_customer_never_go_to_another_who_wants_other_ones(floor: ShopFloor) -> None:
    _made(floor, 1, 3, width_mm="60", engraving="Ada")
    for options in ({"width_mm": "60", "engraving": "Bo"}, {"width_mm": "80", "engraving": "Ada"}, {}):
        floor.order(1, **options)
    assert len(floor.plan()) == 3
    assert [pieces for _, pieces in _lying(floor)] == [2]


def test_goods_with_another_picture_are_other_goods_and_one_not_seen_yet_is_waited_for(floor: ShopFloor) -> None:
    floor.order(1)
    _picture(floor, 1, sha256="ada")
    (job,) = floor.plan()
    floor.make(job, good=3)
    numbers = [floor.order(1) for _ in range(3)]
    for line_id, sha256 in ((2, "bo"), (3, "ada"), (4, None)):
        _picture(floor, line_id, sha256=sha256)
    assert len(floor.plan()) == 1
    assert [floor.line(number)["good"] for number in numbers] == [0, 1, 0]


def _picture(floor: ShopFloor, line_id: int, *, sha256: str | None) -> None:
    state = "wanted" if sha256 is None else "checked"
    more = {"name": "a.png", "type": "image/png", "erase_after": to_text(NOW)}
    insert(floor.tx, "files", line_id=line_id, step=1, state=state, sha256=sha256, **more)


def test_another_recipe_makes_another_good(tx: Connection) -> None:
    floor = ShopFloor(tx=tx)
    _made(floor, 1, 2)
    floor.families = {"black": a_family("black")}
    floor.products = {"TRAY-12": (a_step("black"),)}
    floor.order(1)
    assert len(floor.plan()) == 1


def test_the_earliest_promise_is_served_first_and_no_piece_goes_out_twice(floor: ShopFloor) -> None:
    _made(floor, 1, 3)
    first, second = floor.order(1), floor.order(2)
    (job,) = floor.plan()
    assert floor.line(first)["state"] == "made"
    assert floor.line(second)["good"] == 1
    assert floor.quantity_of(job) == 1
    assert _lying(floor) == []


def test_scrap_is_made_up_for_from_the_shelf(floor: ShopFloor) -> None:
    number = floor.order(3)
    (job,) = floor.plan()
    _, other = floor.order(1), floor.plan()
    floor.make(other[1], good=2)
    floor.make(job, good=2, scrap=1)
    assert floor.plan() == []
    assert (floor.line(number)["state"], floor.line(number)["good"]) == ("made", 3)


def test_what_lies_half_made_is_no_finished_good(route: ShopFloor) -> None:
    number = route.order(2)
    (pressing,) = route.plan()
    route.make(pressing, good=4)
    assert _lying(route) == []
    (packing,) = route.plan()
    route.make(packing, good=2)
    assert route.line(number)["state"] == "made"
    assert _lying(route) == []


def test_a_line_of_a_route_is_served_before_its_first_step_has_begun_and_makes_less(route: ShopFloor) -> None:
    route.order(1)
    (pressing,) = route.plan()
    route.make(pressing, good=1)
    (packing,) = route.plan()
    route.make(packing, good=3)
    number = route.order(5)
    (pressing,) = route.plan()
    assert route.quantity_of(pressing) == 3
    route.make(pressing, good=3)
    (packing,) = route.plan()
    route.make(packing, good=2, scrap=1)
    (pressing,) = route.plan()
    assert route.quantity_of(pressing) == 1  # one was lost, and two came from the shelf
    route.make(pressing, good=1)
    (packing,) = route.plan()
    route.make(packing, good=1)
    assert (route.line(number)["state"], route.line(number)["good"]) == ("made", 5)


def test_a_line_whose_first_step_has_begun_is_not_served(route: ShopFloor) -> None:
    route.order(1)
    late = route.order(2)
    first, second = route.plan()
    route.make(first, good=1)
    (packing,) = [job for job in route.plan() if job != second]
    route.make(packing, good=3)
    route.plan()
    assert [pieces for _, pieces in _lying(route)] == [2]
    assert route.line(late)["good"] == 0


def test_an_order_that_changes_before_its_release_puts_back_what_it_had(floor: ShopFloor) -> None:
    families = {"white": a_family(material={"BLANK": 1.0})}
    _made(floor, 1, 3)
    floor.families = families
    number = floor.order(5)
    assert floor.plan() == []  # no material: the rest waits
    assert (_lying(floor), floor.line(number)["good"]) == ([], 2)
    floor.order(4, number=number, width_mm="80")
    assert [pieces for _, pieces in _lying(floor)] == [2]
    floor.order(4, number=number)
    floor.plan()
    assert (_lying(floor), floor.line(number)["good"], floor.waiting()) == ([], 2, [2])
    floor.cancel(number, 4)
    assert [pieces for _, pieces in _lying(floor)] == [2]
    assert floor.line(number)["good"] == 0


def test_goods_of_a_line_that_is_cancelled_after_its_release_go_to_the_shelf_when_a_person_says_so(
    floor: ShopFloor,
) -> None:
    number, lot = _made(floor, 3, 3)
    floor.cancel(number, 3)
    (question,) = floor.asked()
    assert question["actions"] == ["close", "to_shelf"]
    floor.decide("to_shelf")
    assert (floor.line(number)["state"], floor.line(number)["good"]) == ("cancelled", 0)
    assert _lying(floor) == [(lot, 3)]
    other = floor.order(2)
    assert floor.plan() == []
    assert floor.line(other)["state"] == "made"


def test_what_is_still_made_for_a_cancelled_line_goes_to_the_shelf_too(floor: ShopFloor) -> None:
    number = floor.order(3)
    (job,) = floor.plan()
    floor.begin(job)
    floor.cancel(number, 3)
    floor.decide("to_shelf")
    floor.make(job, good=4)
    assert sum(pieces for _, pieces in _lying(floor)) == 4
    assert floor.line(number)["good"] == 0


def test_a_line_that_a_person_closes_leaves_nothing_waiting(floor: ShopFloor) -> None:
    floor.families = {"white": a_family(material={"BLANK": 1.0})}
    number = floor.order(3)
    floor.plan()
    assert floor.waiting() == [3]
    floor.cancel(number, 3)
    assert floor.waiting() == []


def test_what_is_not_there_any_more_is_written_off_in_somebodys_name(floor: ShopFloor) -> None:
    _, lot = _made(floor, 1, 4)
    with pytest.raises(RefusedError, match="3 pieces of lot"):
        shelf.discard(floor.tx, lot, 4, who=ANNA, now=NOW)
    with pytest.raises(RefusedError, match="0 pieces of lot"):
        shelf.discard(floor.tx, "LUND-1-9", 1, who=ANNA, now=NOW)
    assert shelf.discard(floor.tx, lot, 2, who=ANNA, now=NOW) == {"lot": lot, "pieces": 1}
    assert _lying(floor) == [(lot, 1)]
    assert [event["who"] for event in events.history(floor.tx, f"lot:{lot}", 5)] == ["kvot", ANNA]


def test_a_trace_of_the_shelf_names_nobody(floor: ShopFloor) -> None:
    _, lot = _made(floor, 1, 4)
    shelf.discard(floor.tx, lot, 1, who=ANNA, now=NOW)
    assert "anna" not in str(trace_lot(floor.tx, lot))


def test_over_delivery_serves_its_own_line_before_the_shelf(tx: Connection) -> None:
    small = replace(MAKE_TO_ORDER, places=5)
    floor = ShopFloor(tx=tx, families={"white": a_family(run=small, material={"BLANK": 1.0}, pieces_per_cycle=4)})
    stock.set_stock(tx, "BLANK", 8, lot=None, who=ANNA, now=NOW)
    number = floor.order(7)
    (job,) = floor.plan()
    assert (floor.quantity_of(job), floor.waiting()) == (5, [2])
    floor.make(job, good=8)
    assert (floor.line(number)["state"], floor.line(number)["good"]) == ("made", 7)
    assert floor.waiting() == []
    assert _lying(floor) == [(job, 1)]
    assert one(tx, "SELECT SUM(good) FROM allocations") == 7


def test_a_first_piece_counts_once_it_is_approved_and_what_it_has_too_many_lies_on_the_shelf(tx: Connection) -> None:
    setup = Setup(first_piece=True)
    floor = ShopFloor(tx=tx, families={"white": a_family(pieces_per_cycle=4, setup=setup, material={"BLANK": 1.0})})
    stock.set_stock(tx, "BLANK", 20, lot=None, who=ANNA, now=NOW)
    number = floor.order(3)
    (job,) = floor.plan()
    setups.confirm(tx, 1, floor.families, code=None, who=ANNA, now=NOW)
    floor.make(job, good=4)
    assert floor.plan() == []
    assert (floor.line(number)["good"], _lying(floor)) == (0, [])
    assert stock.list_stock(tx)["material"][0]["quantity"] == 16
    first_pieces.approve(tx, 1, who=ANNA, now=NOW)
    assert (floor.line(number)["state"], _lying(floor)) == ("made", [(job, 1)])


def test_a_rejected_first_piece_leaves_nothing_on_the_shelf_and_is_made_again(tx: Connection) -> None:
    floor = ShopFloor(tx=tx, families={"white": a_family(setup=Setup(first_piece=True))})
    number = floor.order(3)
    piece = floor.plan()[-1]
    setups.confirm(tx, 1, floor.families, code=None, who=ANNA, now=NOW)
    floor.make(piece, good=1)
    first_pieces.reject(tx, 1, reason="bent", who=ANNA, site="LUND", epoch=1, now=NOW)
    again = floor.plan()[-1]
    floor.make(again, good=1)
    first_pieces.approve(tx, 1, who=ANNA, now=NOW)
    for job in floor.plan():
        floor.make(job, good=floor.quantity_of(job))
    assert (floor.line(number)["state"], floor.line(number)["good"], _lying(floor)) == ("made", 3, [])
