"""A full disk: the ballast is given back, whoever writes waits, and nothing else ends the ledger."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import structlog

from gateway.errors import LedgerFullError
from gateway.ledger import database
from gateway.ledger.ballast import Ballast
from gateway.ledger.database import Ledger, Tx, open_ledger
from gateway.ledger.sql import insert, row
from gateway.stages.board import Board
from gateway.stages.disk import STANDING, watch_disk
from gateway.uplink.spool import Limits, open_spool
from tests.eventually import eventually
from tests.stages.factory import TestClock

MEGABYTE = 1024 * 1024
LOG = structlog.get_logger("test")


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A real file system of 4 MB; skipped where nobody may mount one."""
    place = Path(tempfile.mkdtemp(prefix="kvot-"))
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, check=False)
    if made.returncode != 0:
        place.rmdir()
        pytest.skip("no small file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)
    place.rmdir()


def fill(place: Path, *, leave: int = 0) -> Path:
    """Take all the room there is, but for so many bytes."""
    path = place / "somebody-elses.log"
    with path.open("wb") as file:
        with suppress(OSError):
            while True:
                os.write(file.fileno(), bytes(4096))
        size = file.seek(0, os.SEEK_END)
        file.truncate(max(0, size - leave))
    return path


def put(item: str) -> Callable[[Tx], int]:
    return partial(insert, table="stock", item=item, quantity=1)


async def items(ledger: Ledger) -> int:
    found = await ledger.read(lambda tx: row(tx, "SELECT COUNT(*) AS n FROM stock"))
    return 0 if found is None else int(found["n"])


@asynccontextmanager
async def a_ledger(place: Path, *, ballast: int = MEGABYTE) -> AsyncIterator[Ledger]:
    async with open_ledger(place, site="LUND", commit_interval_s=0.001, ballast_bytes=ballast) as ledger:
        yield ledger


def _limit(*, pages_more: int) -> Callable[[Tx], None]:
    """Give SQLite itself the limit of a full disk."""

    def event(tx: Tx) -> None:
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.exec_driver_sql(f"PRAGMA max_page_count = {pages + pages_more}").scalar_one()

    return event


def test_ballast_takes_real_room_and_gives_it_back(small_disk: Path) -> None:
    ballast = Ballast(small_disk, size=MEGABYTE)
    before = os.statvfs(small_disk).f_bavail
    assert ballast.lay()
    assert ballast.lies
    taken = before - os.statvfs(small_disk).f_bavail
    assert taken * os.statvfs(small_disk).f_frsize >= MEGABYTE
    assert ballast.free()
    assert os.statvfs(small_disk).f_bavail == before
    assert not ballast.lies
    assert not ballast.free()


def test_ballast_is_laid_only_where_there_is_room_for_twice_as_much(small_disk: Path) -> None:
    ballast = Ballast(small_disk, size=MEGABYTE)
    log = fill(small_disk, leave=MEGABYTE + 8192)
    assert not ballast.lay()
    assert not ballast.lies
    log.unlink()
    assert ballast.lay()


def test_no_ballast_is_wanted_where_its_size_is_nothing(state_dir: Path) -> None:
    ballast = Ballast(state_dir, size=0)
    assert ballast.lay()
    assert ballast.lies
    assert not (state_dir / "ballast").exists()


async def test_orders_go_on_when_the_disk_is_full(small_disk: Path) -> None:
    async with a_ledger(small_disk) as ledger:
        fill(small_disk)
        assert ledger.ballast.lies

        for number in range(20):
            await ledger.at_once().write(put(f"{number} {'x' * 10_000}"))

        assert await items(ledger) == 20
        assert not ledger.ballast.lies
        assert not ledger.full


async def test_without_room_whoever_writes_waits_and_goes_on_when_there_is(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "TRY_AGAIN_S", 0.02)
    async with a_ledger(small_disk, ballast=0) as ledger:
        log = fill(small_disk)
        with pytest.raises(LedgerFullError):
            await ledger.at_once().write(put("x" * 100_000))
        assert ledger.full
        assert await items(ledger) == 0  # it can still be read

        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(ledger.write(put("x" * 100_000)))
            assert await ledger.changed("disk", timeout_s=20)
            assert not waiting.done()
            log.unlink()

        assert await items(ledger) == 1
        assert not ledger.full


async def test_a_question_among_writes_that_find_no_room_is_answered(small_disk: Path) -> None:
    async with open_ledger(small_disk, site="LUND", commit_interval_s=0.3) as ledger:
        fill(small_disk)
        lost, answer = await asyncio.gather(
            ledger.at_once().write(put("x" * 100_000)), items(ledger), return_exceptions=True
        )

    assert isinstance(lost, LedgerFullError)
    assert answer == 0


async def test_a_ledger_opens_on_a_full_disk_by_giving_back_its_ballast(small_disk: Path) -> None:
    async with a_ledger(small_disk) as ledger:
        await ledger.write(put("before"))
    fill(small_disk)

    async with a_ledger(small_disk) as ledger:
        await ledger.at_once().write(put("after"))
        assert await items(ledger) == 2


async def test_a_full_disk_that_sqlite_reports_frees_the_ballast_once(state_dir: Path) -> None:
    async with a_ledger(state_dir, ballast=4096) as ledger:
        await ledger.write(_limit(pages_more=0))
        with pytest.raises(LedgerFullError):
            await ledger.at_once().write(put("x" * 2_000_000))
        assert not ledger.ballast.lies
        assert not ledger.broken
        await ledger.write(_limit(pages_more=10_000))
        await ledger.write(put("x" * 2_000_000))
        assert await items(ledger) == 1


async def test_samples_give_way_to_orders_and_the_ballast_is_laid_again(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.stages.disk.LOOK_AGAIN_S", 0.02)
    board = Board()
    spool_at = small_disk / "spool"
    async with (
        a_ledger(small_disk, ballast=512 * 1024) as ledger,
        open_spool(spool_at, Limits(max_bytes=MEGABYTE), interval_s=0.01, now_ms=lambda: 1_000, log=LOG) as spool,
    ):
        for seq in range(1, 400):
            spool.keep("press-1", boot=1, seq=seq, t_ms=1_000, count=1, body=b"x" * 1000)
            if seq % 50 == 0:
                await spool.commit()
        await spool.commit()
        log = fill(small_disk)
        watch = asyncio.create_task(watch_disk(ledger, spool, board=board, clock=TestClock(), log=LOG))
        try:
            for number in range(20):
                await ledger.write(put(f"{number} {'x' * 10_000}"))
            await eventually(lambda: board.get(STANDING).get("ballast") is False)
            spool.keep("press-1", boot=1, seq=400, t_ms=1_000, count=1, body=b"x" * 1000)
            feed = await spool.feed()
            gaps = await feed.gaps()
            assert sum(gap.count for gap in gaps) >= 1
            assert {gap.reason for gap in gaps} == {"the disk is full: orders come first"}
            kept = {sample.seq for sample in await feed.history(1000)}
            missing = {seq for gap in gaps for seq in range(gap.first, gap.last + 1)}
            assert kept | missing == set(range(1, 401))

            log.unlink()
            await eventually(lambda: board.get(STANDING) == {"writable": True, "ballast": True})
            spool.keep("press-1", boot=1, seq=401, t_ms=1_000, count=1, body=b"x" * 1000)
            await spool.commit()
            assert [sample.seq for sample in await (await spool.feed()).history(1000)][-1] == 401
        finally:
            watch.cancel()
            await asyncio.wait((watch,))
        assert await items(ledger) == 20
