"""A line of several jobs becomes another only when each machine has given its own back."""

import pytest
from sqlalchemy import Connection

from drivers.base import CommandKind
from gateway.domain.dispatch import Settlement
from gateway.domain.states import JobState
from gateway.ledger import jobs, moving
from gateway.ledger.jobs import Wire
from gateway.ledger.sql import row, rows
from tests.ledger.shop_floor import ShopFloor, a_family
from tests.ledger.work import NOW, one


@pytest.fixture
def floor(tx: Connection) -> ShopFloor:
    """A line of two and three pieces in two jobs, each accepted by its own machine; its options have changed since."""
    floor = ShopFloor(tx=tx, families={"white": a_family(machines=("press-1", "press-2"))})
    number = floor.order(2)
    _accept(floor)
    floor.order(5, number=number)
    floor.decide("make_more")
    _accept(floor)
    assert [job["machine"] for job in rows(tx, "SELECT machine FROM jobs")] == ["press-1", "press-2"]
    floor.order(5, number=number, width_mm="80")
    floor.decide("withdraw")
    return floor


def _accept(floor: ShopFloor) -> None:
    (job_id,) = floor.plan()
    for seen, to in ((JobState.RELEASED, JobState.IN_DOUBT), (JobState.IN_DOUBT, JobState.ACCEPTED)):
        moving.move_job(floor.tx, job_id, seen=seen, state=to, who="kvot", evidence="", now=NOW)


def _ask_back(tx: Connection, machine: str, settlement: Settlement) -> None:
    """Ask a machine for its job, and hear what it says."""
    job = row(tx, "SELECT job_id FROM jobs WHERE machine = :machine AND end_asked = 'cancel'", machine=machine)
    assert job is not None
    wire = Wire(machine=machine, endpoint="", session="1-1", boot="b")
    intent = jobs.intend(tx, job["job_id"], CommandKind.CANCEL, wire, now=NOW)
    jobs.settle(tx, intent.command_id, settlement, evidence="said", now=NOW)


def _parameters(tx: Connection) -> str:
    return str(one(tx, "SELECT parameters FROM requirements"))


def test_nothing_is_planned_before_the_last_job_is_given_back(floor: ShopFloor) -> None:
    _ask_back(floor.tx, "press-1", Settlement.ACCEPTED)
    assert floor.plan() == []
    assert "60" in _parameters(floor.tx)
    _ask_back(floor.tx, "press-2", Settlement.ACCEPTED)
    (job_id,) = floor.plan()
    assert "80" in _parameters(floor.tx)
    assert floor.quantity_of(job_id) == 5


def test_one_machine_that_keeps_its_job_keeps_the_whole_line_as_it_was(floor: ShopFloor) -> None:
    _ask_back(floor.tx, "press-1", Settlement.ACCEPTED)
    _ask_back(floor.tx, "press-2", Settlement.REFUSED)
    (told,) = floor.asked()
    assert "the change of its order was not taken" in told["evidence"]["text"]
    (job_id,) = floor.plan()
    assert "60" in _parameters(floor.tx)
    assert floor.quantity_of(job_id) == 2
