"""One press for all tests that leave it alive, and a bench with everything else for each test."""

import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from tests.factory.bench import Bench, free_ports
from tests.factory.programs import BusinessTime, Press

SPEED = 60.0
_sites = itertools.count(1)  # one for each test, so that no two share a job's id at the shared press


@pytest.fixture(scope="session")
def business_time() -> BusinessTime:
    return BusinessTime(speed=SPEED, epoch=datetime.now(UTC).isoformat(timespec="seconds"))


@pytest.fixture(scope="session")
def shared_press(business_time: BusinessTime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Press]:
    """A press without security that starts jobs by itself once it was handed over; six seconds a piece."""
    port, panel_port = free_ports(2)
    directory = tmp_path_factory.mktemp("press")
    press = Press("--cycle-s", "6", directory=directory, time=business_time, port=port, panel_port=panel_port)
    press.start()
    yield press
    press.end()


@pytest_asyncio.fixture
async def bench(business_time: BusinessTime, shared_press: Press) -> AsyncIterator[Bench]:
    """A bench at which the shared press stands."""
    made = _bench(business_time, shared_press)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def bench_alone(business_time: BusinessTime) -> AsyncIterator[Bench]:
    """A bench with a press of its own, for tests that kill it."""
    made = _bench(business_time, None)
    yield made
    await made.close()


def _bench(business_time: BusinessTime, press: Press | None) -> Bench:
    directory = Path(tempfile.mkdtemp(prefix="kvot-"))  # short: a socket's path may hold 100 bytes
    return Bench(directory, site=f"F{next(_sites)}", time=business_time, press=press)
