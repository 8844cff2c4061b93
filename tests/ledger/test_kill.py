"""A process that is killed while it writes has lost nothing that it had promised."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.ledger.database import Tx, open_ledger

pytestmark = pytest.mark.factory
CHILD = "tests.ledger.writing_child"
ROOT = Path(__file__).parents[2]


async def _write_until_killed(state_dir: Path, *options: str, promises: int) -> set[str]:
    """Kill the child when it has made that many promises; give all it made."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", CHILD, str(state_dir), *options, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    async with asyncio.timeout(30):
        promised = [await child.stdout.readline() for _ in range(promises)]
        child.send_signal(signal.SIGKILL)
        promised += (await child.stdout.read()).splitlines()
        await child.wait()
    return {line.decode().strip() for line in promised}  # a short line goes through a pipe whole or not at all


def _kept(tx: Tx) -> set[str]:
    return set(tx.execute(text("SELECT item FROM stock")).scalars())


@pytest.mark.parametrize("promises", [1, 40, 333])
async def test_a_killed_process_has_lost_nothing_it_promised(state_dir: Path, promises: int) -> None:
    promised = await _write_until_killed(state_dir, promises=promises)

    async with open_ledger(state_dir, site="LUND") as ledger:
        kept = await ledger.read(_kept)
        boot = ledger.boot

    assert len(promised) >= promises
    assert promised <= kept
    assert boot == 2


async def test_a_promise_made_before_the_commit_is_seen_to_be_broken(state_dir: Path) -> None:
    promised = await _write_until_killed(state_dir, "early", promises=1)

    async with open_ledger(state_dir, site="LUND") as ledger:
        kept = await ledger.read(_kept)

    assert not promised <= kept
