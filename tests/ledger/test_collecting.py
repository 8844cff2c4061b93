"""Runs in the ledger: what joins, what a release starts, what routes hand on, and what leaves a run again."""

from datetime import UTC, timedelta

import pytest
from sqlalchemy import Connection

from drivers.base import Finding, JobPhase
from gateway.domain.calendars import parse_calendar
from gateway.domain.intake import Catalogue, read_order
from gateway.domain.pricing import Capacity, Costs, Demand, FamilyRules, Policy, PriceRules, Release, RunRules
from gateway.domain.products import Family, Product, Range, Step
from gateway.domain.states import JobState
from gateway.ledger import collecting, jobs, machines, moving, orders, views
from gateway.ledger.lines import Reading
from gateway.stages import plan
from gateway.stages.plan import Floor, plan_once
from tests.ledger.work import CATALOGUE, NOW, RULE, SHOP
from tests.shops.fake_shop import a_line, an_order

RUN = RunRules(places=10, threshold=4, release=Release.THRESHOLD)
RULES = FamilyRules(
    policy=Policy.COUNTDOWN,
    run=RUN,
    price=PriceRules(list_minor=10_000, currency="SEK"),
    costs=Costs(unit_minor=3_000, setup_minor=5_000, setup_h=0.1),
    capacity=Capacity(rate_h=100.0, margin_h=0.1),
    calendar=parse_calendar("always", zone=UTC),
    demand=Demand(visitors_h=10, conversion=0.1, lead_slope_day=0.12),
)
FAMILIES = {
    "white": Family(name="white", machines=("press-1",), static_days=5),
    "cure": Family(name="cure", machines=("oven-1",), static_days=5, run=RUN, policy=Policy.COUNTDOWN),
    "pack": Family(name="pack", machines=("packing",), static_days=1, station=True),
}


def _step(family: str, **more: float) -> Step:
    return Step(operation=family, family=family, recipe="tray", parameters={"width_mm": lambda _: 60.0}, **more)  # type: ignore[arg-type]


RANGE = Range(
    products=(
        Product(name="TRAY-12", make=True, route=(_step("white"),)),
        Product(name="PLATE", make=True, route=(_step("cure"),)),
        Product(name="SET", make=True, route=(_step("white"), _step("pack", expected_yield=0.5))),
    ),
    families=FAMILIES,
)
FLOOR = Floor(
    families=FAMILIES,
    machines=("press-1", "oven-1", "packing"),
    rules={"cure": RULES},
    by_hand=frozenset({"press-1", "oven-1", "packing"}),
)


@pytest.fixture
def floor(tx: Connection) -> Connection:
    for name in FLOOR.machines:
        machines.enrol(tx, name)
    return tx


def _take(tx: Connection, number: str, sku: str, quantity: int = 1, **fields: object) -> None:
    order = an_order(number, lines=(a_line(f"{number}-1", sku=sku, quantity=quantity),), **fields)  # type: ignore[arg-type]
    catalogue = Catalogue(range=RANGE, recipe=CATALOGUE.recipe)
    reading = Reading(
        shop=SHOP,
        due=True,
        order=order,
        plans=read_order(order, shop=SHOP, rule=RULE, catalogue=catalogue),
        families=FAMILIES,
        erase_after=timedelta(days=90),
    )
    orders.take(tx, reading, now=NOW)


def _plan(tx: Connection, *, hours: float = 0.0) -> int:
    return plan_once(tx, FLOOR, site="LUND", epoch=1, now=NOW + timedelta(hours=hours))


def _states(tx: Connection) -> list[tuple[str, int]]:
    return [(job["state"], job["quantity"]) for job in views.list_jobs(tx)]


def _finish(tx: Connection, job_id: str, *, good: int, scrap: int = 0) -> None:
    for seen, state in (
        (JobState.RELEASED, JobState.IN_DOUBT),
        (JobState.IN_DOUBT, JobState.ACCEPTED),
        (JobState.ACCEPTED, JobState.RUNNING),
    ):
        moving.move_job(tx, job_id, seen=seen, state=state, who="kvot", evidence="", now=NOW)
    finding = Finding(job_id=job_id, phase=JobPhase.ENDED, evidence="done", produced=good + scrap, good=good)
    jobs.conclude(tx, job_id, state=JobState.COMPLETED, finding=finding, who="kvot", now=NOW)


def test_below_its_threshold_a_run_collects_and_at_it_all_jobs_are_released(floor: Connection) -> None:
    _take(floor, "1", "PLATE", 3)
    assert _plan(floor) == 0
    assert _states(floor) == [("waiting", 3)]
    _take(floor, "2", "PLATE", 1)
    assert _plan(floor) == 2
    assert _states(floor) == [("released", 3), ("released", 1)]
    (run,) = {job["run_id"] for job in views.list_jobs(floor)}
    assert collecting.open_runs(floor) == []
    assert run is not None


def test_a_backlog_is_planned_in_portions_by_promise_and_each_calls_for_the_next(
    floor: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PORTION", 2)
    for number in range(1, 6):
        _take(floor, str(number), "TRAY-12", number, placed_at=NOW - timedelta(days=number))
    rung: list[str] = floor.info.setdefault("bells", [])
    released = []
    while True:
        rung.clear()
        released.append(_plan(floor))
        if "plan" not in rung:
            break
    assert released == [2, 2, 1]
    assert [quantity for _, quantity in _states(floor)] == [5, 4, 3, 2, 1]


def test_planning_twice_plans_nothing_twice(floor: Connection) -> None:
    _take(floor, "1", "PLATE", 3)
    for _ in range(3):
        _plan(floor)
    assert _states(floor) == [("waiting", 3)]


def test_a_line_larger_than_a_run_splits_over_runs(floor: Connection) -> None:
    _take(floor, "1", "PLATE", 23)
    released = [_plan(floor) for _ in range(4)]
    assert released == [1, 1, 0, 0]
    assert _states(floor) == [("released", 10), ("released", 10), ("waiting", 3)]


def test_a_line_in_an_open_run_changes_and_leaves_freely(floor: Connection) -> None:
    _take(floor, "1", "PLATE", 3)
    _plan(floor)
    _take(floor, "1", "PLATE", 2)
    _plan(floor)
    assert [one for one in _states(floor) if one[0] != "cancelled"] == [("waiting", 2)]
    _take(floor, "1", "PLATE", 2, status="cancelled", cancelled=True)
    _plan(floor)
    assert {state for state, _ in _states(floor)} == {"cancelled"}
    assert views.show_order(floor, 1)["state"] == "cancelled"  # type: ignore[index]
    assert collecting.owed(floor) == []


def test_a_released_line_that_was_never_sent_takes_a_change_and_is_planned_anew(floor: Connection) -> None:
    _take(floor, "1", "TRAY-12", 3)
    assert _plan(floor) == 1
    _take(floor, "1", "TRAY-12", 2)
    assert _states(floor) == [("cancelled", 3)]
    assert views.counts(floor)["lines"] == {"received": 1}
    assert _plan(floor) == 1
    assert _states(floor) == [("cancelled", 3), ("released", 2)]


def test_a_later_step_waits_for_what_the_step_before_made_good(floor: Connection) -> None:
    _take(floor, "1", "SET", 2)
    _plan(floor)
    (press,) = views.list_jobs(floor)
    assert press["quantity"] == 4  # half of what is packed is expected to be lost
    _finish(floor, press["job_id"], good=4)
    assert _plan(floor) == 1
    packing = views.list_jobs(floor)[1]
    assert (packing["machine"], packing["quantity"], packing["state"]) == ("packing", 2, "released")
    _finish(floor, packing["job_id"], good=2)
    assert views.show_order(floor, 1)["state"] == "made"  # type: ignore[index]


def test_scrap_of_a_later_step_goes_back_to_the_first_step_needed(floor: Connection) -> None:
    _take(floor, "1", "SET", 2)
    _plan(floor)
    _finish(floor, views.list_jobs(floor)[0]["job_id"], good=4)
    _plan(floor)
    _finish(floor, views.list_jobs(floor)[1]["job_id"], good=0, scrap=4)  # more was lost than expected
    assert _plan(floor) == 1
    remade = views.list_jobs(floor)[2]
    assert (remade["machine"], remade["quantity"]) == ("press-1", 2)
    _finish(floor, remade["job_id"], good=2)
    assert _plan(floor) == 1
    last = views.list_jobs(floor)[3]
    assert (last["machine"], last["quantity"], last["remake_of"] is not None) == ("packing", 2, True)
