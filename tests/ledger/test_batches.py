"""What a step hands on: all pieces at once, or batches as they are made; only stored results count."""

import pytest
from sqlalchemy import Connection

from gateway.ledger import views
from tests.ledger.shop_floor import ShopFloor, a_family, a_step


def _floor(tx: Connection, batch: int | None) -> ShopFloor:
    families = {"white": a_family(), "pack": a_family("pack", machines=("packing",), remake_limit=1)}
    return ShopFloor(tx=tx, families=families, products={"TRAY-12": (a_step(), a_step("pack", batch=batch))})


def _tickets(floor: ShopFloor) -> list[int]:
    """Give the pieces of each job that is released at the packing station."""
    floor.plan()
    return [job["quantity"] for job in views.list_jobs(floor.tx, state="released", machine="packing")]


def _press(floor: ShopFloor, good: int, scrap: int = 0) -> None:
    floor.plan()
    job = views.list_jobs(floor.tx, state="released", machine="press-1")[0]
    floor.make(job["job_id"], good, scrap)


def _pack(floor: ShopFloor, good: int, scrap: int = 0) -> None:
    job = views.list_jobs(floor.tx, state="released", machine="packing")[0]
    floor.make(job["job_id"], good, scrap)


def test_a_step_that_takes_all_at_once_waits_until_all_are_made(tx: Connection) -> None:
    floor = _floor(tx, None)
    floor.order(5)
    _press(floor, good=3, scrap=2)
    assert _tickets(floor) == []
    _press(floor, good=2)
    assert _tickets(floor) == [5]


def test_whole_batches_go_on_as_they_are_made_and_the_rest_at_last(tx: Connection) -> None:
    floor = _floor(tx, 2)
    number = floor.order(6)
    assert _tickets(floor) == []
    _press(floor, good=3, scrap=3)
    assert _tickets(floor) == [2]
    _press(floor, good=2, scrap=1)
    assert _tickets(floor) == [2, 2]
    _pack(floor, good=1, scrap=1)  # its loss goes back to the press
    assert _tickets(floor) == [2]
    _press(floor, good=1)
    assert _tickets(floor) == [2, 2]
    _press(floor, good=1)
    assert _tickets(floor) == [2, 2, 1]
    for good in (2, 2, 1):
        _pack(floor, good=good)
    assert floor.line(number)["state"] == "made"


@pytest.mark.parametrize("batch", [1, 3])
def test_many_batches_are_no_remakes(tx: Connection, batch: int) -> None:
    floor = _floor(tx, batch)
    number = floor.order(9)
    for scrap in (6, 3, 0):
        _press(floor, good=3, scrap=scrap)
        while _tickets(floor):
            _pack(floor, good=batch)
    assert floor.asked() == []
    assert floor.line(number)["state"] == "made"
    assert {job["remake_of"] for job in views.list_jobs(tx, machine="packing")} == {None}


def test_what_falls_short_too_often_still_goes_to_a_person(tx: Connection) -> None:
    floor = _floor(tx, None)
    floor.order(1)
    for _ in range(2):
        _press(floor, good=1)
        assert _tickets(floor) == [1]
        _pack(floor, good=0, scrap=1)
    floor.plan()
    (question,) = floor.asked()
    assert question["cause"] == "remade too often"
