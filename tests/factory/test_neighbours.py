"""Two good ovens beside a frozen, a black-holed and a flapping machine, in one gateway over real sockets."""

import tempfile
from pathlib import Path

import pytest

from gateway.cli.bench.neighbours import BAD, BLACK_HOLE, FLAPPING, FROZEN, GOOD, neighbourhood
from gateway.ledger import views
from simulators import journal
from simulators.journal import Event

ORDERS = 4


@pytest.mark.factory
async def test_good_machines_make_all_their_jobs_beside_bad_ones_that_each_fail_by_a_deadline_of_their_own() -> None:
    with tempfile.TemporaryDirectory(prefix="kvot-") as directory:
        place = Path(directory)
        async with neighbourhood(place, bad=True) as running:
            reasons = {name: str(running.board.get(("link", f"machine:{name}"))["reason"]) for name in BAD}
            for _ in range(ORDERS):
                for name in (*GOOD, *BAD):
                    await running.order(name)
            await running.until_made(ORDERS * len(GOOD), timeout_s=90)
            jobs = await running.ledger.read(views.list_jobs)
        assert "no connection within" in reasons[BLACK_HOLE]
        assert "within" in reasons[FROZEN]
        assert reasons[FLAPPING]
        made = {job["job_id"] for job in jobs if job["state"] == "completed"}
        for name in GOOD:
            moved = journal.read(place / f"{name}.journal")
            starts = [entry.job for entry in moved if entry.event is Event.START]
            assert len(starts) == len(set(starts)) == ORDERS
            assert set(starts) <= made
        assert all(entry.event is not Event.START for entry in journal.read(place / f"{FLAPPING}.journal"))
