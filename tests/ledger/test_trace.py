"""Lots and traces: which pieces went into which, both ways, and nobody's name in it."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection

from drivers.base import Finding, JobPhase
from drivers.profile import Recipe
from gateway.domain.intake import Catalogue
from gateway.domain.products import Family, Product, Range, Step
from gateway.domain.states import JobState
from gateway.ledger import events, jobs, machines
from gateway.ledger.sql import rows
from gateway.ledger.traces import trace_lot, trace_order
from gateway.stages.plan import Floor, plan_once
from tests.ledger import work
from tests.ledger.work import NOW, one
from tests.shops.fake_shop import a_line
from tests.stages.factory import RECIPE

ANNA = "person:anna"
FAMILIES = {
    "white": Family(name="white", machines=("press-1",), static_days=5),
    "pack": Family(name="pack", machines=("packing",), static_days=1, station=True),
}
WIDTH = {"width_mm": lambda _: 60.0}
ROUTE = (
    Step(operation="press", family="white", recipe="tray", parameters=WIDTH),
    Step(operation="pack", family="pack", recipe="box", parameters={}, batch=2),
)
CATALOGUE = Catalogue(
    range=Range(products=(Product(name="TRAY-12", make=True, route=ROUTE),), families=FAMILIES),
    recipe=lambda _machine, recipe: (
        replace(RECIPE, version="7") if recipe == "tray" else Recipe(version="1", parameters={})
    ),
)


@pytest.fixture(autouse=True)
def _a_route(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "CATALOGUE", CATALOGUE)
    monkeypatch.setattr(work, "FAMILIES", FAMILIES)


def _plan(tx: Connection) -> list[str]:
    """Plan until nothing is released any more; give the jobs that wait for a machine or a person."""
    for name in ("press-1", "packing"):
        machines.enrol(tx, name)
    floor = Floor(families=FAMILIES, machines=("press-1", "packing"), by_hand=frozenset({"press-1", "packing"}))
    while plan_once(tx, floor, site="LUND", epoch=1, now=NOW):
        pass
    return [job["job_id"] for job in rows(tx, "SELECT job_id FROM jobs WHERE state = 'released' ORDER BY rowid")]


def _make(tx: Connection, job_id: str, *, good: int, scrap: int = 0, by: str | None = None) -> str:
    """Have a job made; its lot has its name."""
    machine = one(tx, "SELECT machine FROM jobs WHERE job_id = :job", job=job_id)
    work.settle(tx, work.intend(tx, job_id, wire=replace(work.WIRE, machine=machine)))
    finding = Finding(
        job_id=job_id,
        phase=JobPhase.ENDED,
        evidence="ended",
        produced=good + scrap,
        good=good,
        reason="torn" if scrap else None,
        started_at=NOW,
        ended_at=NOW,
        confirmed_by=by,
    )
    jobs.conclude(tx, job_id, state=JobState.COMPLETED, finding=finding, who="kvot", now=NOW)
    return job_id


def _material(tx: Connection, lot: str) -> list[tuple[str, int]]:
    found = trace_lot(tx, lot)
    assert found is not None
    return [(share["lot"], share["pieces"]) for share in found["material"]]


def _names(lots: list[dict[str, Any]]) -> list[str]:
    return [lot["lot"] for lot in lots]


def test_a_lot_is_made_of_the_lots_of_the_step_before(tx: Connection) -> None:
    work.take(tx, a_line("1", quantity=2))
    (pressing,) = _plan(tx)
    pressed = _make(tx, pressing, good=2)
    (packing,) = _plan(tx)
    packed = _make(tx, packing, good=2, by=ANNA)
    assert _material(tx, pressed) == []
    assert _material(tx, packed) == [(pressed, 2)]


def test_the_oldest_lot_is_used_first_and_no_piece_twice(tx: Connection) -> None:
    work.take(tx, a_line("1", quantity=4))
    (pressing,) = _plan(tx)
    first = _make(tx, pressing, good=3, scrap=1)
    (packing, pressing) = sorted(_plan(tx), key=lambda job: _machine(tx, job))
    packed = _make(tx, packing, good=1, scrap=1, by=ANNA)
    second = _make(tx, pressing, good=1)
    (packing, pressing) = sorted(_plan(tx), key=lambda job: _machine(tx, job))
    last = _make(tx, packing, good=2, by=ANNA)
    third = _make(tx, pressing, good=1)
    (packing,) = _plan(tx)
    remade = _make(tx, packing, good=1, by=ANNA)
    assert _material(tx, packed) == [(first, 2)]
    assert _material(tx, last) == [(first, 1), (second, 1)]
    assert _material(tx, remade) == [(third, 1)]


def test_a_person_who_found_more_on_the_bench_than_the_ticket_said_packs_it_too(tx: Connection) -> None:
    work.take(tx, a_line("1", quantity=4))
    (pressing,) = _plan(tx)
    first = _make(tx, pressing, good=2, scrap=2)
    packing, pressing = sorted(_plan(tx), key=lambda job: _machine(tx, job))
    second = _make(tx, pressing, good=2)
    packed = _make(tx, packing, good=3, by=ANNA)
    assert _material(tx, packed) == [(first, 2), (second, 1)]
    (packing,) = _plan(tx)
    assert one(tx, "SELECT quantity FROM jobs WHERE job_id = :job", job=packing) == 1
    _make(tx, packing, good=1, by=ANNA)
    assert one(tx, "SELECT state FROM order_lines") == "made"


def test_pieces_that_nobody_made_here_have_no_lot(tx: Connection) -> None:
    work.take(tx, a_line("1", quantity=1))
    (pressing,) = _plan(tx)
    pressed = _make(tx, pressing, good=1)
    (packing,) = _plan(tx)
    assert _material(tx, _make(tx, packing, good=4, by=ANNA)) == [(pressed, 1)]


def test_lines_do_not_share_their_pieces(tx: Connection) -> None:
    work.take(tx, a_line("1", quantity=1), a_line("2", quantity=1))
    lots = [_make(tx, job, good=1) for job in _plan(tx)]
    packed = [_make(tx, job, good=1, by=ANNA) for job in _plan(tx)]
    assert [_material(tx, lot) for lot in packed] == [[(lot, 1)] for lot in lots]


def test_an_order_is_traced_to_machine_version_times_counts_and_confirmations(tx: Connection) -> None:
    work.take(tx, a_line("1", quantity=2))
    (pressing,) = _plan(tx)
    pressed = _make(tx, pressing, good=2)
    (packing,) = _plan(tx)
    packed = _make(tx, packing, good=1, scrap=1, by=ANNA)
    said = {"station": "packing", "good": 1, "scrap": 1, "reason": "torn"}
    events.record(tx, what="ticket.reported", who=ANNA, subject=f"job:{packed}", at=NOW, after=said)
    order = trace_order(tx, 1)
    assert order is not None
    assert (order["number"], order["state"]) == ("1001", "in_production")
    (line,) = order["lines"]
    press, pack = line["steps"]
    assert [(step["operation"], step["quantity"], step["good"]) for step in (press, pack)] == [
        ("press", 3, 2),
        ("pack", 2, 1),
    ]
    (made,) = press["jobs"]
    assert (made["lot"], made["machine"], made["recipe"], made["recipe_version"]) == (pressed, "press-1", "tray", "7")
    assert (made["parameters"], made["counted_by"], made["confirmations"]) == ({"width_mm": 60.0}, "machine", [])
    (boxed,) = pack["jobs"]
    assert (boxed["produced"], boxed["good"], boxed["scrap"], boxed["reason"]) == (2, 1, 1, "torn")
    assert (boxed["started_at"], boxed["counted_by"]) == ("2026-05-04T08:00:00.000000Z", "person")
    assert boxed["for_line"] == {"quantity": 2, "good": 1}
    (confirmed,) = boxed["confirmations"]
    assert confirmed == {
        "at": "2026-05-04T08:00:00.000000Z",
        "what": "ticket.reported",
        "good": 1,
        "scrap": 1,
        "reason": "torn",
    }


def test_a_lot_is_traced_to_its_orders_and_to_the_lots_before_and_after(tx: Connection) -> None:
    work.take(tx, a_line("1", quantity=2))
    (pressing,) = _plan(tx)
    pressed = _make(tx, pressing, good=2)
    (packing,) = _plan(tx)
    packed = _make(tx, packing, good=2, by=ANNA)
    down, up = trace_lot(tx, pressed), trace_lot(tx, packed)
    assert down is not None
    assert up is not None
    assert (_names(down["upstream"]), _names(down["downstream"])) == ([], [packed])
    assert (_names(up["upstream"]), _names(up["downstream"])) == ([pressed], [])
    assert down["orders"] == [
        {
            "order_id": 1,
            "shop": "webshop",
            "number": "1001",
            "line_id": 1,
            "product": "TRAY-12",
            "step": 1,
            "quantity": 2,
            "good": 2,
        }
    ]


def test_a_trace_names_nobody(tx: Connection) -> None:
    work.take(tx, a_line("1", quantity=1))
    (pressing,) = _plan(tx)
    pressed = _make(tx, pressing, good=1)
    (packing,) = _plan(tx)
    events.record(tx, what="job.completed", who=ANNA, subject=f"job:{packing}", at=NOW, after={"evidence": ANNA})
    packed = _make(tx, packing, good=1, by=ANNA)
    assert one(tx, "SELECT confirmed_by FROM results WHERE job_id = :job", job=packed) == ANNA
    for trace in (trace_order(tx, 1), trace_lot(tx, pressed), trace_lot(tx, packed)):
        text = orjson.dumps(trace).decode()
        assert packed in text
        assert "anna" not in text
        assert "Åsa" not in text


def test_no_fact_for_the_world_carries_the_name_of_who_confirmed_it(tx: Connection) -> None:
    work.take(tx, a_line("1", quantity=1))
    (pressing,) = _plan(tx)
    _make(tx, pressing, good=1)
    (packing,) = _plan(tx)
    _make(tx, packing, good=1, by=ANNA)
    bodies = " ".join(fact["body"] for fact in rows(tx, "SELECT body FROM outbox"))
    assert packing in bodies
    assert "anna" not in bodies


def test_what_is_not_there_has_no_trace(tx: Connection) -> None:
    assert trace_order(tx, 1) is None
    assert trace_lot(tx, "LUND-1-1") is None


def _machine(tx: Connection, job_id: str) -> str:
    return str(one(tx, "SELECT machine FROM jobs WHERE job_id = :job", job=job_id))
