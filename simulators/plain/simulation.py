"""A whole plain machine as one thing: started in the same process for tests, or served until told to stop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from simulators.modbus_machine import Running, running_machine, serve_until
from simulators.plain.faults import PlainFaults
from simulators.plain.machine import PlainMachine
from simulators.plain.settings import PlainSimulation


class RunningPlain(Running[PlainMachine, PlainFaults]):
    """A plain machine that listens. `url` is `modbus://host:port`."""

    __slots__ = ()


async def serve(
    settings: PlainSimulation, *, ready: Callable[[RunningPlain], None], stop: asyncio.Event | None = None
) -> None:
    """Run a plain machine until `stop` is set or the task is cancelled; `ready` is called once it listens."""
    await serve_until(running_plain(settings), ready=ready, stop=stop)


@asynccontextmanager
async def running_plain(settings: PlainSimulation) -> AsyncIterator[RunningPlain]:
    """Run a plain machine in this process, in some 30 ms."""
    async with running_machine(
        settings,
        pace=settings,
        build=lambda tally: PlainMachine(settings, tally=tally),
        running_type=RunningPlain,
        faults_type=PlainFaults,
    ) as running:
        yield running
