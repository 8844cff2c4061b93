"""Spool -> broker: live samples as they come, beside them what waited, at a limited rate and marked as history."""

import asyncio
from functools import partial
from typing import Never

from gateway.clock import Clock
from gateway.uplink.base import Uplink
from gateway.uplink.samples import as_history, gap_message
from gateway.uplink.spool import Feed, Sample, Spool
from gateway.uplink.topics import Topics

BATCH = 200  # samples read from the disk at once
_LOOK_AGAIN_S = 5.0  # for gaps
_REST_S = 0.01  # a shorter pause is not worth a sleep


class SamplesOut:
    """Sends the samples of one gateway. Facts have at least a quarter of the places in flight to themselves."""

    def __init__(self, spool: Spool, topics: Topics, clock: Clock, *, in_flight: int, history_per_s: int) -> None:
        self._spool, self._topics, self._clock = spool, topics, clock
        self._in_flight, self._history_per_s = in_flight, history_per_s

    async def begin(self) -> Feed:
        """Begin to send over a new connection; what is not acknowledged by now is history."""
        return await self._spool.feed()

    def end(self, feed: Feed) -> None:
        """Stop sending: from now on everything waits on the disk."""
        self._spool.close_feed(feed)

    async def live(self, uplink: Uplink, feed: Feed) -> Never:
        """Send what comes from now on, in its order."""
        room = asyncio.Semaphore(max(1, self._in_flight // 2))
        while True:
            sample = await feed.live()
            await self._send(uplink, sample, sample.body, room)

    async def history(self, uplink: Uplink, feed: Feed) -> Never:
        """Send what waited, oldest first, and declare what was lost."""
        room = asyncio.Semaphore(max(1, self._in_flight // 4))
        while True:
            for gap in await feed.gaps():
                await uplink.publish(self._topics.tags(gap.machine), gap_message(gap))
                await feed.gap_told(gap)
            began_s, sent = self._clock.monotonic(), 0
            while samples := await feed.history(BATCH):
                for sample in samples:
                    await self._send(uplink, sample, as_history(sample.body), room)
                sent += len(samples)
                ahead_s = sent / self._history_per_s - (self._clock.monotonic() - began_s)
                if ahead_s > _REST_S:
                    await self._clock.sleep(ahead_s)
            await feed.more(_LOOK_AGAIN_S)

    async def _send(self, uplink: Uplink, sample: Sample, body: bytes, room: asyncio.Semaphore) -> None:
        await room.acquire()
        try:
            acknowledged = await uplink.send(self._topics.tags(sample.machine), body)
        except BaseException:
            room.release()
            raise
        acknowledged.add_done_callback(partial(self._answered, sample, room))

    def _answered(self, sample: Sample, room: asyncio.Semaphore, acknowledged: asyncio.Future[None]) -> None:
        room.release()
        if not acknowledged.cancelled() and acknowledged.exception() is None:
            self._spool.acknowledged(sample)
