"""Simulated presses that the tests of drivers share: a server takes seconds to start, so each starts once."""

import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from simulators.press.faults import Faults
from simulators.press.machine import Controls
from simulators.press.settings import Methods, PressSimulation
from simulators.press.simulation import RunningPress, running_press

FreshPress = Callable[[str], Awaitable[RunningPress]]
CYCLE_S = 0.1
_KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "secure": {"namespace_shift": 3},  # its namespaces have other indexes than those of the plain one
    "store-and-start-only": {"methods": Methods.STORE_AND_START_ONLY},
    "store-start-only": {"methods": Methods.STORE_START_ONLY},
}


def open_sessions(press: RunningPress) -> list[Any]:
    """Give the sessions that the press's server keeps."""
    return list(press.server.iserver._external_sessions.values())


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_presses(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, RunningPress]]:
    running = {}
    async with contextlib.AsyncExitStack() as stack:
        for kind, changes in _KINDS.items():
            place = tmp_path_factory.mktemp(kind)
            secure = place / "own" if kind == "secure" else None
            settings = PressSimulation(journal=place / "journal", cycle_s=CYCLE_S, secure=secure, **changes)
            running[kind] = await stack.enter_async_context(running_press(settings))
        gc.freeze()  # looking through the nodes of four servers stops everything for seconds
        yield running
        gc.unfreeze()


@pytest_asyncio.fixture(loop_scope="session")
async def fresh_press(running_presses: dict[str, RunningPress]) -> AsyncIterator[FreshPress]:
    """Give a press of a kind, repaired, empty, just booted and not handed over, with an empty journal."""
    used: list[RunningPress] = []

    async def get(kind: str) -> RunningPress:
        press = running_presses[kind]
        await press.break_down(Faults())
        press.machine.jobs.clear()
        press.machine.controls = Controls(tool=press.press.settings.tool)
        press.journal_path.write_bytes(b"")
        await press.press.show()
        used.append(press)
        return press

    yield get
    for press in used:
        await press.break_down(Faults())
        for left in open_sessions(press):  # a session outlives a socket that was cut
            await left.close_session(True)
