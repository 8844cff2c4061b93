"""Material and tools: a run starts with what it needs, results use it up, and a shortage asks one person once."""

import pytest
from sqlalchemy import Connection

from gateway.domain.states import JobState
from gateway.ledger import events, moving, stock
from gateway.ledger.lots import read_used
from gateway.ledger.sql import row
from gateway.ledger.traces import trace_lot
from tests.ledger.shop_floor import ANNA, ShopFloor, a_family, a_step
from tests.ledger.work import NOW, one

BLANK = "BLANK-12"


@pytest.fixture
def floor(tx: Connection) -> ShopFloor:
    return ShopFloor(tx=tx, families={"white": a_family(material={BLANK: 1.0})})


def _set(floor: ShopFloor, quantity: float, *, item: str = BLANK, lot: str | None = None) -> None:
    stock.set_stock(floor.tx, item, quantity, lot=lot, who=ANNA, now=NOW)


def _add(floor: ShopFloor, quantity: float, *, lot: str | None = None) -> None:
    stock.add_stock(floor.tx, BLANK, quantity, lot=lot, who=ANNA, now=NOW)


def _there(floor: ShopFloor) -> tuple[float | None, float, float]:
    (item,) = stock.list_stock(floor.tx)["material"]
    return item["quantity"], item["reserved"], item["free"]


def test_released_jobs_reserve_their_material_and_results_use_it_scrap_included(floor: ShopFloor) -> None:
    _set(floor, 10)
    floor.order(4)
    (job,) = floor.plan()
    assert _there(floor) == (10, 4, 6)
    floor.make(job, good=3, scrap=2)
    assert _there(floor) == (5, 0, 5)
    floor.plan()  # the piece that is lacking
    assert _there(floor) == (5, 1, 4)


def test_a_shortage_releases_nothing_and_asks_once_however_often_one_plans(floor: ShopFloor) -> None:
    _set(floor, 80)
    floor.order(120)
    for _ in range(3):
        assert floor.plan() == []
    (question,) = floor.asked()
    assert (question["subject"], question["cause"], question["count"]) == ("run:1", "material is missing", 1)
    assert question["evidence"] == {
        "text": "BLANK-12: 120 needed, 80 free. Of 120 pieces 80 can be made now",
        "family": "white",
        "missing": {BLANK: 40},
        "pieces": 120,
        "possible": 80,
        "cure": "kvot stock add BLANK-12 40",
    }
    assert question["actions"] == ["release_part", "hold"]
    assert stock.list_stock(floor.tx)["waiting"][0]["waits_for"] == "BLANK-12: 120 needed, 80 free"


def test_what_nobody_has_counted_is_not_there_and_the_question_says_the_cure(floor: ShopFloor) -> None:
    floor.order(2)
    assert floor.plan() == []
    (question,) = floor.asked()
    assert "nobody has counted it" in question["evidence"]["text"]
    assert question["evidence"]["cure"] == "kvot stock set BLANK-12 QTY"
    assert question["actions"] == ["hold"]


def test_the_question_closes_by_itself_and_the_run_starts_when_stock_arrives(floor: ShopFloor) -> None:
    floor.order(120)
    floor.plan()
    _set(floor, 100)
    assert floor.plan() == []
    (question,) = floor.asked()
    assert question["evidence"]["possible"] == 100
    _add(floor, 20)
    (job,) = floor.plan()
    assert floor.quantity_of(job) == 120
    assert floor.asked() == []
    assert stock.list_stock(floor.tx)["waiting"] == []


def test_the_question_closes_when_nobody_wants_the_run_any_more(floor: ShopFloor) -> None:
    number = floor.order(2)
    floor.plan()
    assert len(floor.asked()) == 1
    floor.cancel(number)
    floor.plan()
    assert floor.asked() == []


def test_the_part_that_can_be_made_is_released_and_the_rest_collects_on(floor: ShopFloor) -> None:
    _set(floor, 80)
    floor.order(50)
    floor.order(70)
    floor.plan()
    floor.decide("release_part")
    first, second = floor.plan()
    assert (floor.quantity_of(first), floor.quantity_of(second)) == (50, 30)
    assert floor.waiting() == [40]
    (question,) = floor.asked()
    assert (question["subject"], question["evidence"]["possible"]) == ("run:2", 0)
    _add(floor, 40)
    assert len(floor.plan()) == 3
    for job in floor.plan():
        floor.make(job, good=floor.quantity_of(job))
    assert _there(floor) == (0, 0, 0)
    assert [floor.line(number)["state"] for number in ("1001", "1002")] == ["made", "made"]


def test_a_part_that_is_not_possible_any_more_is_asked_about_again(floor: ShopFloor) -> None:
    _set(floor, 80)
    floor.order(120)
    floor.plan()
    floor.decide("release_part")
    _set(floor, 10)
    assert floor.plan() == []
    (question,) = floor.asked()
    assert question["evidence"]["possible"] == 10
    _set(floor, 90)
    assert floor.plan() == []  # what was allowed before is not allowed for ever


def test_a_run_that_a_person_holds_asks_again_only_when_stock_has_come(floor: ShopFloor) -> None:
    floor.order(5)
    floor.plan()
    floor.decide("hold")
    assert floor.plan() == []
    assert floor.asked() == []
    _set(floor, 3)
    floor.plan()
    assert len(floor.asked()) == 1


def test_what_was_used_beyond_the_count_leaves_nothing_and_asks(floor: ShopFloor) -> None:
    _set(floor, 4)
    floor.order(4)
    (job,) = floor.plan()
    floor.make(job, good=4, scrap=3)
    assert _there(floor) == (0, 0, 0)
    (question,) = floor.asked()
    assert (question["subject"], question["evidence"]["used"], question["evidence"]["counted"]) == (
        f"stock:{BLANK}",
        7,
        4,
    )
    assert "kvot stock set BLANK-12 QTY" in question["evidence"]["text"]
    _set(floor, 50)
    assert floor.asked() == []


def test_every_count_and_every_use_is_in_the_audit_trail_with_its_name(floor: ShopFloor) -> None:
    _set(floor, 10)
    _add(floor, 2.5)
    floor.order(4)
    (job,) = floor.plan()
    floor.make(job, good=4)
    story = events.history(floor.tx, f"stock:{BLANK}", 10)
    assert [(event["what"], event["who"]) for event in story] == [
        ("stock.set", ANNA),
        ("stock.added", ANNA),
        ("stock.used", "kvot"),
    ]
    assert story[1]["before"]["quantity"] == 10
    assert story[2]["after"] == {"quantity": 8.5, "used": 4, "job_id": job}


def test_a_cancelled_job_gives_its_reservation_back(floor: ShopFloor) -> None:
    _set(floor, 4)
    floor.order(4)
    (job,) = floor.plan()
    moving.move_job(floor.tx, job, seen=JobState.RELEASED, state=JobState.CANCELLED, who=ANNA, evidence="no", now=NOW)
    assert _there(floor) == (4, 0, 4)


def test_what_a_run_needs_is_that_of_its_release_whatever_is_configured_since(floor: ShopFloor) -> None:
    _set(floor, 10)
    floor.order(4)
    (job,) = floor.plan()
    floor.families = {"white": a_family(material={BLANK: 5.0})}
    floor.make(job, good=4)
    assert _there(floor) == (6, 0, 6)


def test_whole_cycles_are_reserved(tx: Connection) -> None:
    floor = ShopFloor(tx=tx, families={"white": a_family(material={BLANK: 0.5}, pieces_per_cycle=4)})
    _set(floor, 10)
    floor.order(5)
    floor.plan()
    assert _there(floor) == (10, 4, 6)


# Tools ---------------------------------------------------------------------------------------------


def test_two_runs_that_need_one_tool_are_never_released_together(tx: Connection) -> None:
    families = {
        "white": a_family("white", tools=("MOULD",)),
        "black": a_family("black", tools=("MOULD", "JIG"), machines=("press-2",)),
    }
    products = {"TRAY-12": (a_step("white"),), "TRAY-B": (a_step("black"),)}
    floor = ShopFloor(tx=tx, families=families, products=products)
    floor.order(2)
    floor.order(3, sku="TRAY-B")
    floor.order(1)
    released = floor.plan()
    assert len({one(tx, "SELECT run_id FROM jobs WHERE job_id = :job", job=job) for job in released}) == 1
    assert floor.asked() == []  # nobody has to decide that
    found = stock.list_stock(tx)
    assert [(tool["tool"], tool["machine"]) for tool in found["tools"]] == [("JIG", "press-2"), ("MOULD", "press-2")]
    assert "tool MOULD: run" in found["waiting"][0]["waits_for"]
    for job in released:
        floor.make(job, good=floor.quantity_of(job))
    assert floor.plan() != []
    assert stock.list_stock(tx)["waiting"] == []


def test_a_tool_is_free_again_only_when_every_job_of_its_run_has_ended(tx: Connection) -> None:
    floor = ShopFloor(tx=tx, families={"white": a_family(tools=("MOULD",))})
    floor.order(1)
    floor.order(1)
    first, second = floor.plan()
    floor.order(1)
    floor.make(first, good=1)
    assert floor.plan() == [second]
    floor.make(second, good=1)
    assert len(floor.plan()) == 1


# Lots of material ----------------------------------------------------------------------------------


def test_the_lots_in_force_are_written_down_with_what_used_them(floor: ShopFloor) -> None:
    _set(floor, 3, lot="L-1")
    floor.order(2)
    (first,) = floor.plan()
    floor.make(first, good=2)
    _add(floor, 5, lot="L-2")
    floor.order(6)
    (second,) = floor.plan()
    floor.make(second, good=6)
    _add(floor, 1, lot="L-3")
    floor.order(1)
    (third,) = floor.plan()
    floor.make(third, good=1)
    used = [trace_lot(floor.tx, job)["used"] for job in (first, second, third)]  # type: ignore[index]
    assert [(share["item"], share["quantity"], share["lots"]) for (share,) in used] == [
        (BLANK, 2, ["L-1"]),
        (BLANK, 6, ["L-1", "L-2"]),
        (BLANK, 1, ["L-3"]),
    ]


def test_a_suppliers_lot_is_traced_to_all_that_may_have_used_it(floor: ShopFloor) -> None:
    _set(floor, 10, lot="4711")
    floor.order(2)
    (job,) = floor.plan()
    floor.make(job, good=2)
    found = trace_lot(floor.tx, "4711")
    assert found is not None
    assert [lot["lot"] for lot in found["downstream"]] == [job]
    assert [order["number"] for order in found["orders"]] == ["1001"]
    assert trace_lot(floor.tx, "4712") is None
    stored = row(floor.tx, "SELECT material_lots FROM lots")
    assert stored is not None
    assert len(read_used(stored["material_lots"])) == 1
