"""Lives of one gateway: each ends where a test wants it to end, and the next goes on from the same ledger."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import structlog

from drivers.base import Command, DriverError, Finding, Identity, JobPhase, Look, Receipt, Session
from drivers.profile import Profile
from gateway.domain.machines import Level
from gateway.ledger import machines
from gateway.ledger.database import Ledger, Tx, open_ledger
from gateway.stages.board import Board
from gateway.stages.intake import bind, pull_once
from gateway.stages.plan import planning_stage
from gateway.stages.report import report
from gateway.stages.tend import Visit
from tests.drivers.fake_machine import FakeMachine
from tests.shops.fake_shop import FakeShop
from tests.stages.factory import FLOOR, PRESS, PROFILE, SHOP, Factory, TestClock

T = TypeVar("T")
LOG = structlog.wrap_logger(None, processors=[lambda *_: (_ for _ in ()).throw(structlog.DropEvent)])
MOST_STEPS = 60  # a visit that does more without resting is stuck


class CrashError(BaseException):
    """The gateway ends here, in the middle of whatever it does."""


class RestedError(Exception):
    """A stage has nothing more to do."""


@dataclass(kw_only=True, slots=True)
class Fuse:
    """Ends the gateway at the n-th point from now where it touches the ledger or the machine, or one of those given."""

    left: int | None = None
    only: frozenset[str] = frozenset()
    touched: list[str] = field(default_factory=list)
    acts: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)

    def at(self, point: str, act: Callable[[], Awaitable[None]]) -> None:
        """Let somebody else act when the gateway comes to such a point the next time."""
        self.acts[point] = act

    async def touch(self, point: str) -> None:
        """Note that the gateway has come to this point; what is to happen here happens."""
        self.touched.append(point)
        if (act := self.acts.pop(point, None)) is not None:
            await act()
        if self.left is None or (self.only and point not in self.only):
            return
        self.left -= 1
        if self.left <= 0:
            self.left = None
            raise CrashError(point)


class FusedLedger:
    """The real ledger; the gateway can end just before an event, or just after its commit."""

    def __init__(self, ledger: Ledger, fuse: Fuse) -> None:
        self._ledger, self._fuse = ledger, fuse

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def write(self, event: Callable[[Tx], T]) -> T:
        await self._fuse.touch("before a write")
        answer = await self._ledger.write(event)
        await self._fuse.touch("after a write")
        return answer

    async def read(self, question: Callable[[Tx], T]) -> T:
        await self._fuse.touch("a read")
        return await self._ledger.read(question)

    async def changed(self, _name: str, **_: float) -> bool:
        raise RestedError


class FusedSession:
    """The real session; the gateway can end before a question, and before or after a command."""

    def __init__(self, session: Session, fuse: Fuse, before_send: Callable[[Command], Awaitable[None]]) -> None:
        self._session, self._fuse, self._before_send = session, fuse, before_send

    @property
    def identity(self) -> Identity:
        return self._session.identity

    async def look(self) -> Look:
        await self._fuse.touch("a look")
        return await self._session.look()

    async def ask(self, job_id: str) -> Finding:
        await self._fuse.touch("before a question")
        finding = await self._session.ask(job_id)
        await self._fuse.touch("after a question")
        return finding

    async def send(self, command: Command) -> Receipt:
        await self._fuse.touch("before a command")
        await self._before_send(command)
        receipt = await self._session.send(command)
        await self._fuse.touch("after a command")
        return receipt


async def _nothing(_command: Command) -> None:
    """Stand in where nobody wants to look before a command is sent."""


class QuickMachine(FakeMachine):
    """A machine that, while `quick`, starts a job in the moment it may."""

    quick = True

    def _execute(self, command: Command) -> Receipt:
        receipt = super()._execute(command)
        job = self.jobs.get(command.job_id)
        running = any(other.phase is JobPhase.RUNNING for other in self.jobs.values())
        if (
            self.quick
            and job is not None
            and job.phase is JobPhase.ALLOWED_TO_START
            and self._may_move()
            and not running
        ):
            self._start(job)
        return receipt


@dataclass(kw_only=True)
class Place:
    """What outlives the gateway: its directory, the press, the shop, and time."""

    state_dir: Path
    clock: TestClock = field(default_factory=TestClock)
    fuse: Fuse = field(default_factory=Fuse)
    shop: FakeShop = field(default_factory=FakeShop)
    profile: Profile = PROFILE
    visit: type[Visit] = Visit
    press: "QuickMachine" = field(init=False)

    def __post_init__(self) -> None:
        self.press = QuickMachine(monotonic=self.clock.monotonic, now=self.clock.now, duplicates="run")

    @asynccontextmanager
    async def life(self) -> AsyncIterator["Life"]:
        """Start the gateway; however the block ends, its ledger is closed."""
        async with open_ledger(self.state_dir, site="LUND", commit_interval_s=0.0) as ledger, AsyncExitStack() as stack:
            factory = Factory(
                ledger=FusedLedger(ledger, self.fuse),  # type: ignore[arg-type]
                shop=self.shop,
                press=self.press,
                clock=self.clock,
                profile=self.profile,
            )
            life = Life(place=self, ledger=ledger, factory=factory)
            stack.push_async_callback(life.hang_up)
            yield life


@dataclass(kw_only=True)
class Life:
    """One life of the gateway, driven one step at a time; `ledger` is the real one, for the test's own questions."""

    place: Place
    ledger: Ledger
    factory: Factory
    before_send: Callable[[Command], Awaitable[None]] = _nothing
    _visit: Visit | None = None
    _line: AsyncExitStack = field(default_factory=AsyncExitStack)
    _visits: int = 0

    async def begin(self) -> None:
        """Do what every start does, and arm the press by a named person if it is not armed."""
        await bind(self.factory.source, self.place.shop, ledger=self.ledger, clock=self.place.clock)
        await self.ledger.write(lambda tx: machines.enrol(tx, PRESS))
        if (await self.ledger.read(lambda tx: machines.arming(tx, PRESS))).level is Level.READ:
            await Factory(
                ledger=self.ledger, shop=self.place.shop, press=self.place.press, clock=self.place.clock
            ).arm()

    async def pull(self) -> None:
        """Read what changed in the shop."""
        await pull_once(
            self.factory.source, self.place.shop, ledger=self.factory.ledger, clock=self.place.clock, log=LOG
        )

    async def plan(self) -> None:
        """Plan once."""
        await _until_rest(planning_stage(self.factory.ledger, FLOOR, clock=self.place.clock, log=LOG))

    async def report(self) -> None:
        """Tell the shop everything there is to tell."""
        more: dict[str, Any] = {"ledger": self.factory.ledger, "board": Board(), "clock": self.place.clock, "log": LOG}
        await _until_rest(report(SHOP, self.place.shop, **more))

    async def tend(self) -> None:
        """Do all there is to do at the press now, in the session that stands or a new one."""
        try:
            if self._visit is None:
                self._visit = await self._call()
            for _ in range(MOST_STEPS):
                if await self._visit.step():
                    return
        except DriverError:
            await self.hang_up()
            return
        raise AssertionError(f"the visit does not rest: {self.place.fuse.touched[-8:]}")

    async def hang_up(self) -> None:
        """End the session."""
        self._visit = None
        await self._line.aclose()
        self._line = AsyncExitStack()

    async def _call(self) -> Visit:
        self._visits += 1
        session = await self._line.enter_async_context(self.place.press.session(lambda: None))
        return self.place.visit(
            self.factory.machine,
            FusedSession(session, self.place.fuse, self.before_send),
            f"{self.ledger.boot}-{self._visits}",
            ledger=self.factory.ledger,
            board=Board(),
            clock=self.place.clock,
            log=LOG,
        )


async def _until_rest(stage: Awaitable[Any]) -> None:
    try:
        await stage
    except RestedError:
        return
