"""What else a life has to do with machines: one beside the scene's own that is not well, and refusals to be shown."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from drivers.base import Driver, DriverError, Session
from drivers.profile import Profile
from gateway.clock import Clock
from gateway.domain.machines import Level
from gateway.ledger import machines
from gateway.ledger.database import Ledger
from gateway.stages.board import Board
from gateway.stages.tend import Machine, tend
from tests.stages.lives import LOG

NAME = "press-2"


@asynccontextmanager
async def tended(driver: Driver, profile: Profile, *, ledger: Ledger, clock: Clock) -> AsyncIterator[None]:
    """Tend a second machine by the real stage as long as the block lasts; there is no work for it."""
    await ledger.write(lambda tx: machines.enrol(tx, NAME))
    machine = Machine(
        name=NAME,
        endpoint="modbus://127.0.0.1:1/2",
        profile=profile,
        profile_hash="p1",
        configured=Level.START,
        accepted=True,
        attendance=None,
        pieces_per_cycle={},
        families={},
    )
    task = asyncio.create_task(tend(machine, driver, ledger=ledger, board=Board(), clock=clock, log=LOG))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Noting:
    """A driver that writes down why a session could not be opened, as the board shows it to people."""

    def __init__(self, driver: Driver, path: Path) -> None:
        self._driver, self._path = driver, path

    @asynccontextmanager
    async def session(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        opened = False
        try:
            async with self._driver.session(on_change) as session:
                opened = True
                yield session
        except DriverError as refusal:
            if not opened:
                with self._path.open("a") as notes:
                    notes.write(f"{refusal}\n")
            raise
