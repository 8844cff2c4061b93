"""A small factory in memory: a real ledger, a fake shop, a fake press, and time that a test advances."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from drivers.base import Scalar
from drivers.profile import Effect, Limit, Memory, PermitTags, Profile, Recipe
from gateway.domain.attendance import Attendance
from gateway.domain.intake import Catalogue, DueRule
from gateway.domain.machines import Level
from gateway.domain.products import ExpressionFaultError, Family, Product, Range, Step
from gateway.ledger import decisions, exceptions, machines, views
from gateway.ledger.database import Ledger, open_ledger
from gateway.stages.board import Board
from gateway.stages.intake import Intake, bind, intake, pull_once
from gateway.stages.plan import Floor, planning_stage
from gateway.stages.report import report
from gateway.stages.tend import Machine, tend
from tests.drivers.fake_machine import FakeMachine
from tests.shops.fake_shop import FakeShop

PRESS = "press-1"
SHOP = "webshop"
LOG = structlog.get_logger("test")


@dataclass(kw_only=True)
class TestClock:
    """Both clocks in the hands of a test; a sleep ends at once and lets the rest of the loop run."""

    __test__ = False
    business: datetime = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
    machine_s: float = 1000.0

    def now(self) -> datetime:
        return self.business

    def monotonic(self) -> float:
        return self.machine_s

    def advance(self, seconds: float) -> None:
        self.machine_s += seconds
        self.business += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)


def _width(variables: Any) -> Scalar:
    try:
        return float(variables["line"]["options"].get("width_mm", 60))
    except ValueError as fault:
        raise ExpressionFaultError(f"line.options.width_mm: {fault}") from fault


RECIPE = Recipe(version="1", parameters={"width_mm": Limit(min=20, max=400, unit="mm")})
PROFILE = Profile(
    name="test-press",
    protocol="opcua",
    dialect="isa95-jobs",
    effect=Effect.REMEMBERED,
    memory=Memory.VOLATILE,
    clears_by_itself=False,
    permits=PermitTags(remote="r", ready="y", handed_over="h"),
    recipes={"tray": RECIPE},
    settle_s=2.0,
    poll_s=0.05,
)
STEP = Step(operation="make", family="pla-white", recipe="tray", parameters={"width_mm": _width})
RANGE = Range(
    products=(
        Product(name="TRAY-12", make=True, route=(STEP,)),
        Product(name="GIFT-*", make=False),
    ),
    families={"pla-white": Family(name="pla-white", machines=(PRESS,), static_days=5)},
)

FLOOR = Floor(families=RANGE.families, machines=(PRESS,))


@dataclass(kw_only=True)
class Factory:
    """All parts of the small factory, and short ways to run and read them."""

    ledger: Ledger
    shop: FakeShop
    press: FakeMachine
    clock: TestClock
    board: Board = field(default_factory=Board)
    profile: Profile = PROFILE
    configured: Level = Level.START
    accepted: bool = True
    attendance: Attendance | None = None
    floor: Floor = FLOOR
    catalogue: Catalogue = field(
        default_factory=lambda: Catalogue(range=RANGE, recipe=lambda _machine, _recipe: RECIPE)
    )

    @property
    def source(self) -> Intake:
        return Intake(
            shop=SHOP,
            poll_s=0.02,
            rule=DueRule(states=frozenset({"processing", "completed"}), methods=frozenset({"invoice"})),
            catalogue=self.catalogue,
            erase_after=timedelta(days=90),
        )

    @property
    def machine(self) -> Machine:
        return Machine(
            name=PRESS,
            endpoint="opc.tcp://127.0.0.1:1",
            profile=self.profile,
            profile_hash="p1",
            configured=self.configured,
            accepted=self.accepted,
            attendance=self.attendance,
            pieces_per_cycle={name: family.pieces_per_cycle for name, family in self.floor.families.items()},
            families={name: family for name, family in self.floor.families.items() if family.setup is not None},
        )

    async def pull(self) -> None:
        """Read what changed in the shop."""
        await pull_once(self.source, self.shop, ledger=self.ledger, clock=self.clock, log=LOG)

    async def arm(self, level: Level = Level.START) -> None:
        """Arm the press by a named person."""

        def act(tx: Any) -> None:
            machines.arm(
                tx,
                PRESS,
                level,
                who="person:tester",
                identity=self.press.identity.text,
                profile="p1",
                now=self.clock.now(),
            )

        await self.ledger.write(act)

    @asynccontextmanager
    async def running(self, *stages: str) -> AsyncIterator[None]:
        """Run these stages (all without a name) until the block ends."""
        chosen = stages or ("intake", "plan", "tend", "report")
        more: dict[str, Any] = {"ledger": self.ledger, "board": self.board, "clock": self.clock, "log": LOG}
        bodies: dict[str, Callable[[], Any]] = {
            "intake": lambda: intake(self.source, self.shop, **more),
            "plan": lambda: planning_stage(self.ledger, self.floor, clock=self.clock, log=LOG),
            "tend": lambda: tend(self.machine, self.press, **more),
            "report": lambda: report(SHOP, self.shop, **more),
        }
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(bodies[name](), name=name) for name in chosen]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def order(self, number: int = 1) -> dict[str, Any]:
        """Give an order as the API shows it."""
        view = await self.ledger.read(lambda tx: views.show_order(tx, number))
        assert view is not None
        return view

    async def orders(self) -> list[dict[str, Any]]:
        return await self.ledger.read(views.list_orders)

    async def jobs(self) -> list[dict[str, Any]]:
        return await self.ledger.read(views.list_jobs)

    async def job_state(self, index: int = 0) -> str | None:
        jobs = await self.jobs()
        return jobs[index]["state"] if len(jobs) > index else None

    async def exceptions(self) -> list[dict[str, Any]]:
        found = await self.ledger.read(exceptions.list_exceptions)
        return [one for one in found if one["state"] != "resolved"]

    async def decide(self, exception_id: int, action: str) -> None:
        await self.ledger.write(
            lambda tx: decisions.decide(
                tx, exception_id, action=action, who="person:tester", note="", now=self.clock.now()
            )
        )

    def with_profile(self, **changes: Any) -> "Factory":
        """Give the same factory with another machine type."""
        return replace(self, profile=replace(self.profile, **changes))


@asynccontextmanager
async def a_factory(
    state_dir: Path, *, press: FakeMachine | None = None, shop: FakeShop | None = None
) -> AsyncIterator[Factory]:
    """Open the ledger of a small factory whose shop is known already and still empty."""
    clock = TestClock()
    async with open_ledger(state_dir, site="LUND", commit_interval_s=0.001) as ledger:
        factory = Factory(
            ledger=ledger,
            shop=shop or FakeShop(),
            press=press or FakeMachine(monotonic=clock.monotonic, now=clock.now),
            clock=clock,
        )
        await bind(factory.source, factory.shop, ledger=ledger, clock=clock)
        await ledger.write(lambda tx: machines.enrol(tx, PRESS))
        yield factory
