"""The spool in use: nothing kept is lost or sent twice without need, whatever the connection does."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.uplink.spool import Feed, Limits, Policy, Sample, Spool, open_spool
from gateway.uplink.spool import spool as inside
from gateway.uplink.spool.segment import Disk
from tests.eventually import eventually

LOG = structlog.get_logger("test")


class CountingDisk(Disk):
    """A disk that counts what is written."""

    written = 0

    def write(self, descriptor: int, raw: bytes) -> None:
        self.written += len(raw)
        super().write(descriptor, raw)


def opened(place: Path, *, interval_s: float = 0.01, disk: Disk | None = None, **limits: Any) -> Any:
    return open_spool(
        place, Limits(**limits), interval_s=interval_s, now_ms=lambda: 1_700_000_000_000, log=LOG, disk=disk
    )


def keep(spool: Spool, *seqs: int) -> list[Sample]:
    return [spool.keep("press-1", boot=1, seq=seq, t_ms=seq, count=1, body=b'{"v":1,"n":%d}' % seq) for seq in seqs]


async def history(feed: Feed) -> list[int]:
    found: list[int] = []
    while part := await feed.history(3):
        found += [sample.seq for sample in part]
    return found


def on_disk(place: Path) -> int:
    return sum(file.stat().st_size for file in place.glob("*.seg"))


async def test_what_was_kept_without_a_connection_is_history_for_the_next(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        keep(spool, 1, 2, 3, 4, 5)
    async with opened(tmp_path) as spool:
        keep(spool, 6, 7)
        feed = await spool.feed()
        assert await history(feed) == [1, 2, 3, 4, 5, 6, 7]
        assert await history(feed) == []


async def test_what_comes_with_a_connection_is_live_and_no_history(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        keep(spool, 1)
        feed = await spool.feed()
        keep(spool, 2, 3)
        assert (await feed.live()).seq == 2
        assert await history(feed) == [1]
        await spool.commit()
        assert await history(feed) == []
        assert (await feed.live()).seq == 3


async def test_live_samples_acknowledged_in_time_never_touch_the_disk(tmp_path: Path) -> None:
    disk = CountingDisk()
    async with opened(tmp_path, interval_s=5, disk=disk) as spool:
        feed = await spool.feed()
        for seq in range(1, 50):
            keep(spool, seq)
            spool.acknowledged(await feed.live())
        await spool.commit()
    assert disk.written == 0


async def test_a_sample_is_on_disk_within_the_commit_interval(tmp_path: Path) -> None:
    async with opened(tmp_path, interval_s=0.05) as spool:
        keep(spool, 1)
        await eventually(lambda: on_disk(tmp_path) > 0)


async def test_what_was_sent_but_not_acknowledged_is_sent_again_over_the_next_connection(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        first = await spool.feed()
        keep(spool, 1, 2, 3)
        sent = [await first.live() for _ in range(3)]
        spool.acknowledged(sent[1])
        spool.close_feed(first)
        keep(spool, 4)
        second = await spool.feed()
        assert await history(second) == [1, 3, 4]


async def test_before_a_live_sample_leaves_all_older_ones_are_on_disk(tmp_path: Path) -> None:
    async with opened(tmp_path, interval_s=60) as spool:
        keep(spool, 1, 2, 3)
        assert on_disk(tmp_path) == 0
        await spool.feed()
        assert on_disk(tmp_path) > 0


async def test_live_samples_that_nobody_takes_in_time_become_history_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside, "LIVE_MAX", 4)
    async with opened(tmp_path) as spool:
        feed = await spool.feed()
        keep(spool, *range(1, 11))
        assert await history(feed) == [1, 2, 3, 4, 5, 6]
        taken = [(await feed.live()).seq for _ in range(2)]
        keep(spool, *range(11, 21))
        assert taken == [7, 8]
        assert await history(feed) == [9, 10, 11, 12, 13, 14, 15, 16]
        assert [(await feed.live()).seq for _ in range(4)] == [17, 18, 19, 20]
        assert await history(feed) == []


async def test_acknowledged_history_is_gone_from_the_disk(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        keep(spool, *range(1, 8))
        feed = await spool.feed()
        for sample in await feed.history(100):
            spool.acknowledged(sample)
        await spool.commit()
        assert on_disk(tmp_path) == 0
    async with opened(tmp_path) as spool:
        assert await history(await spool.feed()) == []


async def test_gaps_wait_until_they_are_told(tmp_path: Path) -> None:
    async with opened(tmp_path, max_bytes=2_000, policy=Policy.DROP_OLDEST) as spool:
        for seq in range(1, 101):
            keep(spool, seq)
            if seq % 5 == 0:
                await spool.commit()
        feed = await spool.feed()
        there = await history(feed)
        (gap,) = await feed.gaps()
        assert (gap.first, gap.last, gap.count) == (1, there[0] - 1, there[0] - 1)
        await feed.gap_told(gap)
        assert await feed.gaps() == ()


async def test_a_disk_that_hangs_costs_declared_samples_and_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside, "PENDING_MAX", 100)
    async with opened(tmp_path, interval_s=60) as spool:
        keep(spool, *range(1, 21))
        feed = await spool.feed()
        there = await history(feed)
        (gap,) = await feed.gaps()
        assert [*there, *range(gap.first, gap.last + 1)] == list(range(1, 21))


async def test_a_fault_of_the_thread_reaches_whoever_uses_the_spool(tmp_path: Path) -> None:
    def broken(_store: object) -> None:
        raise ZeroDivisionError

    async def use_it() -> None:
        async with opened(tmp_path) as spool:
            with pytest.raises(ZeroDivisionError):
                await spool.ask(broken)
            with pytest.raises(RuntimeError):
                keep(spool, 1)

    with pytest.raises(ZeroDivisionError):
        await use_it()


async def test_waiting_for_more_history_ends_when_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside, "LIVE_MAX", 1)
    async with opened(tmp_path) as spool:
        feed = await spool.feed()
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(feed.more(timeout_s=60))
            await asyncio.sleep(0)
            keep(spool, 1, 2)
        assert await history(feed) == [1]
