"""A controller alive: its program scanned by the clock, its panel attended, its power cut and given back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, Self

from simulators.controls import InputBoard, Touch
from simulators.modbus_wire import ModbusServer
from simulators.timing import Pace

_ACT_S: Final = 10.0  # a scan comes in time, or the simulation is broken


@dataclass(frozen=True, kw_only=True, slots=True)
class Now:
    """One instant in both times: business seconds since 1970 for work, monotonic seconds for the protocol."""

    work_s: float
    machine_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Errand:
    """What the person at the panel is to do next, and how many machine seconds that takes."""

    touch: Touch
    takes_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Power:
    """What happens to the supply: cut, or back; `lose` empties the memory meanwhile."""

    cut: bool
    lose: bool = False

    @classmethod
    def from_json(cls, wanted: dict[str, Any]) -> Self:
        """Read plain JSON values; raise `ValueError` for anything but `cut` and `lose`."""
        if not {"cut"} <= wanted.keys() <= {"cut", "lose"} or not all(type(value) is bool for value in wanted.values()):
            raise ValueError('give {"cut": true} or {"cut": false}, and "lose" if the memory is to be empty')
        return cls(**wanted)


class Controller(Protocol):
    """A machine's controller with its machine. It is on between `boot` and `power_off`."""

    board: InputBoard

    def boot(self, now: Now) -> None:
        """Begin, as after power has come back."""
        ...

    def scan(self, now: Now) -> None:
        """Read inputs, work, write outputs: once around."""
        ...

    def power_off(self) -> None:
        """Stop dead; what is not retentive is gone."""
        ...

    def lose_memory(self) -> None:
        """Forget what is retentive too; only without power."""
        ...

    def errand(self) -> Errand | None:
        """Say what a person at the panel would do now."""
        ...


class LiveController:
    """Joins controller, wire and clock. `act` is the way to change anything at the panel."""

    def __init__(
        self,
        controller: Controller,
        server: ModbusServer,
        *,
        pace: Pace,
        scan_s: float,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._controller = controller
        self._server = server
        self._pace = pace
        self._scan_s = scan_s
        self._wall = wall
        self._monotonic = monotonic
        self._cut = self._stopped = False
        self._scans = 0
        self._scanned = asyncio.Condition()

    @property
    def on(self) -> bool:
        """Say whether the controller works: it has power and is not stopped."""
        return not (self._cut or self._stopped)

    @property
    def powered(self) -> bool:
        """Say whether there is power."""
        return not self._cut

    def business(self) -> datetime:
        """Give the business time."""
        return self._pace.business(self._wall())

    def now(self) -> Now:
        """Give this instant in both times."""
        return Now(work_s=self.business().timestamp(), machine_s=self._monotonic())

    async def run(self) -> None:
        """Scan for ever, while there is power; never returns. The controller must have booted."""
        while True:
            if self.on:
                self._controller.scan(self.now())
            async with self._scanned:
                self._scans += 1
                self._scanned.notify_all()
            await asyncio.sleep(self._scan_s)

    async def act(self, touch: Touch) -> None:
        """Do something at the panel; the controller has scanned it when this returns."""
        touch(self._controller.board, self.business())
        if not self.on:
            self._controller.board.forget()
        target = self._scans + 1
        async with asyncio.timeout(_ACT_S), self._scanned:
            await self._scanned.wait_for(lambda: self._scans >= target)

    async def attend(self) -> None:
        """Be the person who resets, fits tools and presses Start whenever that is wanted; never returns."""
        while True:
            async with self._scanned:
                await self._scanned.wait_for(lambda: self.on and self._controller.errand() is not None)
            errand = self._controller.errand()
            if errand is None:
                continue
            await asyncio.sleep(errand.takes_s)
            if self.on and self._controller.errand() == errand:
                await self.act(errand.touch)

    async def power(self, wanted: Power) -> None:
        """Cut the power or give it back; without it nobody is reached and nothing moves."""
        await self._set(cut=wanted.cut, stopped=self._stopped, lose=wanted.lose)
        await self._server.power(on=self.powered)

    async def stop(self, *, stopped: bool) -> None:
        """Stop the controller while its wire goes on answering, or let it boot again."""
        await self._set(cut=self._cut, stopped=stopped, lose=False)

    async def _set(self, *, cut: bool, stopped: bool, lose: bool) -> None:
        was_on = self.on
        self._cut, self._stopped = cut, stopped
        if was_on and (lose or not self.on):
            self._controller.power_off()
            was_on = False
        if lose:
            self._controller.lose_memory()
        if self.on and not was_on:
            self._controller.boot(self.now())


@asynccontextmanager
async def at_work(live: LiveController, *, attended: bool) -> AsyncIterator[asyncio.TaskGroup]:
    """Run a controller's clock and, where wanted, its person, as long as the block lasts."""
    async with asyncio.TaskGroup() as tasks:
        endless = [tasks.create_task(live.run(), name="scan")]
        if attended:
            endless.append(tasks.create_task(live.attend(), name="person"))
        try:
            yield tasks
        finally:
            for task in endless:
                task.cancel()
