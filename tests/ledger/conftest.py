"""A ledger of its own for every test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import Connection

from gateway.ledger import engine, schema
from gateway.ledger.database import Ledger, open_ledger


@pytest_asyncio.fixture
async def ledger(state_dir: Path) -> AsyncIterator[Ledger]:
    """A ledger as the daemon opens it."""
    async with open_ledger(state_dir, site="LUND", commit_interval_s=0.001) as opened:
        yield opened


@pytest.fixture
def tx(state_dir: Path) -> Iterator[Connection]:
    """The bare tables on this thread, in a transaction that is given up at the end."""
    connection = engine.connect(state_dir / "bare.db")
    schema.create(connection)
    engine.commit(connection)
    yield connection
    engine.abandon(connection)
    engine.close(connection)
