"""A small factory in the ledger alone, of families and articles that a test chooses, worked by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from drivers.base import Finding, JobPhase
from gateway.domain.intake import Catalogue, read_order
from gateway.domain.products import Family, Needs, Product, Range, Step
from gateway.domain.states import JobState
from gateway.ledger import decisions, exceptions, jobs, machines, moving, orders, views
from gateway.ledger.lines import Reading
from gateway.ledger.sql import row, rows
from gateway.stages.plan import Floor, plan_once
from tests.ledger.work import CATALOGUE, NOW, RULE, SHOP
from tests.shops.fake_shop import a_line, an_order

ANNA = "person:anna"
MACHINES = ("press-1", "press-2", "packing")


def a_family(name: str = "white", *, material: Mapping[str, float] | None = None, **more: Any) -> Family:
    tools = more.pop("tools", ())
    machines_of = more.pop("machines", ("press-1",))
    needs = Needs(material=material or {}, tools=tools)
    return Family(name=name, machines=machines_of, static_days=5, needs=needs, **more)


def a_step(family: str = "white", **more: Any) -> Step:
    return Step(
        operation=family,
        family=family,
        recipe="tray",
        parameters={"width_mm": lambda of: float(of["line"]["options"].get("width_mm", 60))},  # type: ignore[index]
        **more,
    )


@dataclass(kw_only=True)
class ShopFloor:
    """Orders come in, are planned, made with what a test says, and decided about."""

    tx: Connection
    families: Mapping[str, Family] = field(default_factory=lambda: {"white": a_family()})
    products: Mapping[str, tuple[Step, ...]] = field(default_factory=lambda: {"TRAY-12": (a_step(),)})
    numbers: int = 1000

    def __post_init__(self) -> None:
        for name in MACHINES:
            machines.enrol(self.tx, name)

    def order(self, quantity: int = 1, *, sku: str = "TRAY-12", number: str | None = None, **options: str) -> str:
        """Take an order of one line, or another version of one; give its number."""
        self.numbers += number is None
        name = number or str(self.numbers)
        line = a_line(f"{name}-1", sku=sku, quantity=quantity, options=options)
        self._take(an_order(name, lines=(line,)))
        return name

    def cancel(self, number: str, quantity: int = 1) -> None:
        """Let the shop cancel an order."""
        line = a_line(f"{number}-1", quantity=quantity)
        self._take(an_order(number, lines=(line,), status="cancelled", cancelled=True))

    def _take(self, order: Any) -> None:
        products = tuple(Product(name=name, make=True, route=route) for name, route in self.products.items())
        catalogue = Catalogue(range=Range(products=products, families=self.families), recipe=CATALOGUE.recipe)
        reading = Reading(
            shop=SHOP,
            due=True,
            order=order,
            plans=read_order(order, shop=SHOP, rule=RULE, catalogue=catalogue),
            families=self.families,
            erase_after=timedelta(days=90),
        )
        orders.take(self.tx, reading, now=NOW)

    def plan(self) -> list[str]:
        """Plan until nothing is released any more; give the jobs that wait for a machine."""
        floor = Floor(families=self.families, machines=MACHINES, by_hand=frozenset(MACHINES))
        while plan_once(self.tx, floor, site="LUND", epoch=1, now=NOW):
            pass
        found = rows(self.tx, "SELECT job_id FROM jobs WHERE state = 'released' ORDER BY rowid")
        return [job["job_id"] for job in found]

    def begin(self, job_id: str) -> None:
        """Have a machine begin a released job."""
        for seen, to in (
            (JobState.RELEASED, JobState.IN_DOUBT),
            (JobState.IN_DOUBT, JobState.ACCEPTED),
            (JobState.ACCEPTED, JobState.RUNNING),
        ):
            moving.move_job(self.tx, job_id, seen=seen, state=to, who="kvot", evidence="", now=NOW)

    def make(self, job_id: str, good: int, scrap: int = 0, *, state: JobState = JobState.COMPLETED) -> None:
        """Have a job made that is released, or has begun."""
        job = row(self.tx, "SELECT state FROM jobs WHERE job_id = :job", job=job_id)
        if job is not None and job["state"] == JobState.RELEASED:
            self.begin(job_id)
        finding = Finding(job_id=job_id, phase=JobPhase.ENDED, evidence="done", produced=good + scrap, good=good)
        jobs.conclude(self.tx, job_id, state=state, finding=finding, who="kvot", now=NOW)

    def asked(self) -> list[dict[str, Any]]:
        return [one for one in exceptions.list_exceptions(self.tx) if one["state"] != "resolved"]

    def decide(self, action: str) -> None:
        """Decide the one open question."""
        (question,) = self.asked()
        decisions.decide(self.tx, question["exception_id"], action=action, who=ANNA, note="", now=NOW)

    def line(self, number: str) -> dict[str, Any]:
        found = row(self.tx, "SELECT order_id FROM orders WHERE number = :number", number=number)
        assert found is not None
        view = views.show_order(self.tx, found["order_id"])
        assert view is not None
        line: dict[str, Any] = view["lines"][0]
        return line

    def waiting(self) -> list[int]:
        found = rows(self.tx, "SELECT quantity FROM jobs WHERE state = 'waiting' ORDER BY rowid")
        return [job["quantity"] for job in found]

    def quantity_of(self, job_id: str) -> int:
        found = row(self.tx, "SELECT quantity FROM jobs WHERE job_id = :job", job=job_id)
        assert found is not None
        return int(found["quantity"])
