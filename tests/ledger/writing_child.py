"""A process that writes numbered rows until it is killed, and says each number once it was promised.

With `early` it says a number from inside the event, before the commit: the test that uses it must see the loss.
"""

import asyncio
import sys
from pathlib import Path

from sqlalchemy import text

from gateway.ledger.database import Ledger, Tx, open_ledger

INSERT = text("INSERT INTO stock (item, quantity) VALUES (:item, 1)")
WRITERS = 8


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


async def write(ledger: Ledger, first: int, *, early: bool) -> None:
    number = first
    while True:

        def event(tx: Tx, number: int = number) -> None:
            tx.execute(INSERT, {"item": str(number)})
            if early:
                say(number)

        await ledger.write(event)
        if not early:
            say(number)
        number += WRITERS


async def main(state_dir: Path, *, early: bool) -> None:
    interval_s = 20.0 if early else 0.005
    async with (
        open_ledger(state_dir, site="LUND", commit_interval_s=interval_s) as ledger,
        asyncio.TaskGroup() as group,
    ):
        for first in range(WRITERS):
            group.create_task(write(ledger, first, early=early))


asyncio.run(main(Path(sys.argv[1]), early="early" in sys.argv))
