"""Orders that are taken, planned and sent in the ledger alone, as the stages would do it."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from drivers.base import CommandKind, Finding, JobPhase
from gateway.domain.dispatch import Settlement
from gateway.domain.intake import Catalogue, DueRule, read_order
from gateway.domain.orders import ShopLine, ShopOrder
from gateway.domain.products import Family, Product, Range, Step
from gateway.domain.states import JobState
from gateway.ledger import engine, jobs, machines, moving, orders, schema
from gateway.ledger.jobs import Intent, Wire
from gateway.ledger.lines import Reading
from gateway.ledger.orders import Taken
from gateway.ledger.sql import row, rows
from gateway.stages.plan import Floor, plan_once
from tests.shops.fake_shop import a_line, an_order
from tests.stages.factory import RECIPE

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
SHOP = "webshop"
WIRE = Wire(machine="press-1", endpoint="opc.tcp://127.0.0.1:1", session="1-1", boot="boot-1")
FAMILIES: Mapping[str, Family] = {
    "white": Family(name="white", machines=("press-1", "press-2"), static_days=5, remake_limit=2)
}
CATALOGUE = Catalogue(
    range=Range(
        products=(
            Product(
                name="TRAY-12",
                make=True,
                route=(Step(operation="make", family="white", recipe="tray", parameters={"width_mm": lambda _: 60.0}),),
            ),
            Product(name="GIFT-*", make=False),
        ),
        families=FAMILIES,
    ),
    recipe=lambda _machine, _recipe: RECIPE,
)
RULE = DueRule(states=frozenset({"processing"}))


@contextmanager
def bare() -> Iterator[Connection]:
    """Open bare tables of their own, for one example of a property."""
    with tempfile.TemporaryDirectory(prefix="kvot-") as directory:
        connection = engine.connect(Path(directory) / "bare.db")
        schema.create(connection)
        engine.commit(connection)
        try:
            yield connection
        finally:
            engine.abandon(connection)
            engine.close(connection)


def take(tx: Connection, *lines: ShopLine, number: str = "1001", now: datetime = NOW, **fields: Any) -> Taken:
    """Take an order from the shop."""
    return take_order(tx, an_order(number, lines=lines or (a_line(),), **fields), now=now)


def take_order(tx: Connection, order: ShopOrder, *, now: datetime = NOW) -> Taken:
    reading = Reading(
        shop=SHOP,
        due=RULE.hold(order) is None,
        order=order,
        plans=read_order(order, shop=SHOP, rule=RULE, catalogue=CATALOGUE),
        families=FAMILIES,
        erase_after=timedelta(days=90),
    )
    return orders.take(tx, reading, now=now)


def release(tx: Connection, *, epoch: int = 1, usable: tuple[str, ...] = ("press-1",)) -> int:
    """Plan what is owed and release it; give the number of jobs."""
    for name in ("press-1", "press-2"):
        machines.enrol(tx, name)
    floor = Floor(families=FAMILIES, machines=("press-1", "press-2"), by_hand=frozenset(usable))
    return plan_once(tx, floor, site="LUND", epoch=epoch, now=NOW)


def a_released_job(tx: Connection, *, quantity: int = 2, number: str = "1001") -> str:
    """Take an order of one line and release its job."""
    take(tx, a_line(f"{number}-1", quantity=quantity), number=number)
    assert release(tx) == 1
    return job_ids(tx)[-1]


def intend(tx: Connection, job_id: str, kind: CommandKind = CommandKind.LOAD_START, *, wire: Wire = WIRE) -> Intent:
    return jobs.intend(tx, job_id, kind, wire, now=NOW)


def settle(tx: Connection, intent: Intent, settlement: Settlement = Settlement.ACCEPTED) -> None:
    jobs.settle(tx, intent.command_id, settlement, evidence="as told", now=NOW)


def bring(tx: Connection, state: str, *, quantity: int = 2) -> str:
    """Make a job and bring it to a state, as the stages would."""
    job_id = a_released_job(tx, quantity=quantity)
    if state == "released":
        return job_id
    intent = intend(tx, job_id)
    if state == "in_doubt":
        return job_id
    settle(tx, intent)
    way = {"accepted": (), "running": ("running",), "interrupted": ("running", "interrupted")}.get(state, ("running",))
    seen = JobState.ACCEPTED
    for name in way:
        moving.move_job(tx, job_id, seen=seen, state=JobState(name), who="kvot", evidence="seen", now=NOW)
        seen = JobState(name)
    if state in {"completed", "aborted"}:
        conclude(tx, job_id, state=JobState(state), good=quantity if state == "completed" else 0)
    return job_id


def conclude(
    tx: Connection, job_id: str, *, state: JobState = JobState.COMPLETED, good: int, who: str = "kvot"
) -> None:
    phase = JobPhase.ENDED if state is JobState.COMPLETED else JobPhase.ABORTED
    finding = Finding(job_id=job_id, phase=phase, evidence="response", produced=good, good=good)
    jobs.conclude(tx, job_id, state=state, finding=finding, who=who, now=NOW)


def job_ids(tx: Connection) -> list[str]:
    return [job["job_id"] for job in rows(tx, "SELECT job_id FROM jobs ORDER BY rowid")]


def one(tx: Connection, sql: str, **values: Any) -> Any:
    """Give the first column of the first row."""
    found = row(tx, sql, **values)
    return None if found is None else next(iter(found.values()))


def values(tx: Connection, sql: str) -> tuple[Any, ...]:
    """Give the first row."""
    return tuple(rows(tx, sql)[0].values())


def state_of(tx: Connection, job_id: str) -> str:
    return str(one(tx, "SELECT state FROM jobs WHERE job_id = :job", job=job_id))


def open_questions(tx: Connection) -> list[tuple[int, str, str]]:
    found = rows(tx, "SELECT exception_id, subject, cause FROM exceptions WHERE state <> 'resolved' ORDER BY 1")
    return [(question["exception_id"], question["subject"], question["cause"]) for question in found]
