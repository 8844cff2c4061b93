"""A machine that hangs, at its door or in the middle of a visit, keeps no other machine waiting."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.base import JobPhase, Look, Session
from gateway.ledger import machines
from gateway.stages.tend import tend
from tests.drivers.fake_machine import FakeMachine
from tests.eventually import eventually
from tests.shops.fake_shop import an_order
from tests.stages.factory import LOG, Factory, a_factory

ORDERS = 3


class Hanging(FakeMachine):
    """A machine that never answers again: it does not even end a wait by a deadline, as no real driver would."""

    def __init__(self, *, at_the_door: bool) -> None:
        super().__init__()
        self._at_the_door = at_the_door
        self.hangs = asyncio.Event()

    async def _for_ever(self) -> None:
        self.hangs.set()
        await asyncio.Event().wait()

    def session(self, on_change: Callable[[], None]) -> AbstractAsyncContextManager[Session]:
        return self._hung(on_change)

    @asynccontextmanager
    async def _hung(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        if self._at_the_door:
            await self._for_ever()
        async with super().session(on_change) as session:
            session.look = self._never_looks  # type: ignore[method-assign]
            yield session

    async def _never_looks(self) -> Look:
        await self._for_ever()
        raise AssertionError("it never answers")


@asynccontextmanager
async def _beside(factory: Factory, neighbour: Hanging) -> AsyncIterator[None]:
    """Tend a neighbour of the press that hangs by the time this is entered."""
    machine = replace(factory.machine, name="press-2", endpoint="opc.tcp://127.0.0.1:2")
    await factory.ledger.write(lambda tx: machines.enrol(tx, "press-2"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(
            tend(machine, neighbour, ledger=factory.ledger, board=factory.board, clock=factory.clock, log=LOG)
        )
        await neighbour.hangs.wait()
        yield
        assert not task.done()
        task.cancel()


@pytest.mark.parametrize("at_the_door", [True, False])
async def test_a_press_makes_all_its_jobs_while_its_neighbour_hangs(state_dir: Path, at_the_door: bool) -> None:
    async with a_factory(state_dir) as factory:
        await factory.arm()
        for number in range(ORDERS):
            factory.shop.place(an_order(f"100{number}"))
        async with _beside(factory, Hanging(at_the_door=at_the_door)), factory.running():

            async def all_made() -> bool:
                for job_id, job in list(factory.press.jobs.items()):
                    if job.phase is JobPhase.ALLOWED_TO_START:
                        factory.press.run(job_id)
                        factory.press.finish(job_id, good=1)
                return [job["state"] for job in await factory.jobs()] == ["completed"] * ORDERS

            await eventually(all_made)
        assert len(factory.press.starts) == len(set(factory.press.starts)) == ORDERS
