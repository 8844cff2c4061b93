"""A machine without memory of jobs, in memory: the real session over signs and counters that a test moves."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from drivers.base import DriverError, MonotonicClock, Permits, Scalar, Session
from drivers.plain_session import PlainSession, Terms, plain_identity
from drivers.profile import Effect, Memory, PermitTags, Place, PlainMap, PlainRecipe, Profile
from tests.stages.factory import PROFILE

SPEC = PlainMap(
    start="coil:0",
    busy="coil:1",
    done="coil:2",
    good=Place(address="holding:100", type="uint32"),
    scrap=Place(address="holding:102", type="uint32"),
    quantity=Place(address="holding:1"),
    boot=Place(address="holding:105"),
    scan_s=0.001,
    recipes={"tray": PlainRecipe(parameters={"width_mm": Place(address="holding:2", type="float32")})},
)
SAW: Profile = replace(
    PROFILE,
    name="test-saw",
    protocol="modbus",
    dialect="plain",
    effect=Effect.OBSERVABLE,
    memory=Memory.VOLATILE,
    permits=PermitTags(remote="coil:3", ready="coil:4"),
    plain=SPEC,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """One physical start: what the machine was told by then."""

    quantity: Scalar
    width_mm: Scalar


class FakeSaw:
    """A machine and its own driver. `starts` lists its physical starts, `lose` breaks the wire at the next one."""

    def __init__(self, *, monotonic: MonotonicClock, spec: PlainMap = SPEC) -> None:
        self.spec = spec
        self.identity = plain_identity("fake saw", spec)
        self.permits = Permits(remote=True, ready=True, handed_over=None)
        self.start = self.busy = self.done = False
        self.good = self.scrap = 0
        self.boot = 1
        self.starts: list[Start] = []
        self.lose: str | None = None  # "answer": it starts, "command": it does not; "late": the start lies there
        self.restless = False  # its counters never stand still
        self.switched_off = 0
        self.held: dict[str, Scalar] = {}
        self.before_start: Callable[[], Any] | None = None
        self.sessions = self.looks = 0
        self._monotonic = monotonic

    @asynccontextmanager
    async def session(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        del on_change
        self.sessions += 1
        terms = Terms(spec=self.spec, answer_s=1, persistent=False, monotonic=self._monotonic)
        yield PlainSession(self, terms=terms, identity=self.identity)

    # What happens at the machine

    def begin(self, quantity: Scalar = 1, width_mm: Scalar = 0) -> None:
        """Start a batch: ours, or by somebody at its own panel."""
        assert not self.busy
        self.busy, self.done, self.start = True, False, False
        self.starts.append(Start(quantity=quantity, width_mm=width_mm))

    def make(self, good: int, scrap: int = 0, *, end: bool = True) -> None:
        """Make pieces of the batch in the machine, and end it."""
        assert self.busy
        self.good, self.scrap = self.good + good, self.scrap + scrap
        if end:
            self.busy, self.done = False, True

    def power_cycle(self) -> None:
        """Lose everything but the journal."""
        self.start = self.busy = self.done = False
        self.good = self.scrap = 0
        self.boot += 1

    # What the session sees

    async def shown(self) -> Mapping[str, Scalar | None]:
        await asyncio.sleep(0)
        self.looks += 1
        self.good += self.restless
        signs = {"start": self.start, "busy": self.busy, "done": self.done, "good": self.good, "scrap": self.scrap}
        signs |= {"remote": self.permits.remote is True, "ready": self.permits.ready is True}
        return signs | ({} if self.spec.boot is None else {"boot": self.boot})

    async def write(self, values: Sequence[tuple[Place, Scalar]], *, deadline_s: float) -> None:
        assert self._monotonic() < deadline_s
        self.held |= {place.address: value for place, value in values}

    async def holds(self, values: Sequence[tuple[Place, Scalar]]) -> bool:
        return all(self.held.get(place.address) == value for place, value in values)

    async def switch(self, address: str, *, on: bool, deadline_s: float | None = None) -> None:
        del deadline_s
        assert address == self.spec.start
        if not on:
            self.start, self.switched_off = False, self.switched_off + 1
            return
        if self.before_start is not None:
            await self.before_start()
        lost, self.lose = self.lose, None
        if lost == "late":
            self.start = True
        elif lost != "command":
            self.begin(self.held["holding:1"], self.held["holding:2"])
        if lost is not None:
            raise DriverError("no answer in time")
