"""A whole oven as one thing: started in the same process for tests, or served until told to stop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from simulators.modbus_machine import Running, running_machine, serve_until
from simulators.oven.faults import OvenFaults
from simulators.oven.machine import Oven
from simulators.oven.settings import OvenSimulation


class RunningOven(Running[Oven, OvenFaults]):
    """An oven that listens. `url` is `modbus://host:port`."""

    __slots__ = ()

    @property
    def oven(self) -> Oven:
        """Give the oven itself."""
        return self.machine


async def serve(
    settings: OvenSimulation, *, ready: Callable[[RunningOven], None], stop: asyncio.Event | None = None
) -> None:
    """Run an oven until `stop` is set or the task is cancelled; `ready` is called once it listens."""
    await serve_until(running_oven(settings), ready=ready, stop=stop)


@asynccontextmanager
async def running_oven(settings: OvenSimulation) -> AsyncIterator[RunningOven]:
    """Run an oven in this process, in some 30 ms."""
    async with running_machine(
        settings,
        pace=settings,
        build=lambda tally: Oven(settings, tally=tally),
        running_type=RunningOven,
        faults_type=OvenFaults,
    ) as running:
        yield running
