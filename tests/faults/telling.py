"""The samples of a life whose machine is real: the product's own sampling, spool and way to the broker."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never

from drivers.base import Driver
from drivers.profile import Profile, Tag
from gateway.clock import Clock
from gateway.errors import UplinkError
from gateway.ledger.facts import milliseconds
from gateway.stages.sample import Sampling
from gateway.stages.samples_out import SamplesOut
from gateway.uplink.samples import Encoder
from gateway.uplink.spool import Limits, Spool, open_spool
from gateway.uplink.topics import Topics
from tests.faults.truths import EXTRA_TAGS, OVEN_TAGS, PRESS_TAGS
from tests.faults.wire import Wire
from tests.faults.world import Journal
from tests.stages.factory import PRESS
from tests.stages.lives import LOG

SAMPLE_S = 0.05
COMMIT_S = 0.2
DRAIN_S = 20.0  # real seconds that an ending life may take to send what it has
TOPICS = Topics(base="kvot/LUND", gateway_id="kvot-1")


def tags_of(machine: str, wire: str) -> Mapping[str, Tag]:
    """Give the tags of a scene's machine."""
    if machine == "modbus":
        return {name: Tag(address=address, type=kind) for name, (address, kind) in OVEN_TAGS.items()}
    addresses = {**PRESS_TAGS, **(EXTRA_TAGS if wire == "node removed" else {})}
    return {name: Tag(address=address) for name, address in addresses.items()}


@asynccontextmanager
async def telling(
    driver: Driver, profile: Profile, *, directory: Path, boot: int, wire: Wire, clock: Clock
) -> AsyncIterator[Driver]:
    """Sample each session of a driver as long as the block lasts, and send everything before it ends."""
    given = _Given(directory / "given.journal", boot)
    async with AsyncExitStack() as stack:
        opened = open_spool(
            directory / "state" / "spool",
            Limits(),
            interval_s=COMMIT_S,
            now_ms=lambda: milliseconds(clock.now()),
            log=LOG,
        )
        spool = await stack.enter_async_context(opened)
        given.spool = spool
        sampling = Sampling(
            PRESS,
            tags=profile.tags,
            sample_s=profile.sample_s,
            encoder=Encoder(boot),
            spool=given,  # type: ignore[arg-type]  # it counts, and passes on
            clock=clock,
            log=LOG,
        )
        out = SamplesOut(spool, TOPICS, clock, in_flight=20, history_per_s=2000)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(sampling.run()), group.create_task(_send(out, spool, wire))]
        try:
            yield sampling.watching(driver)
            await _all_sent(spool)
            given.over()
        finally:
            for task in tasks:
                task.cancel()


@dataclass(kw_only=True)
class _Line:
    """The way to the world's broker."""

    wire: Wire

    async def send(self, _topic: str, payload: bytes, **_more: Any) -> "asyncio.Future[None]":
        await self.publish(_topic, payload)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def publish(self, _topic: str, payload: bytes, **_more: Any) -> None:
        await asyncio.sleep(0)
        self.wire.call("sample", payload)


class _Given:
    """The spool, behind somebody who writes down all that is given to it."""

    def __init__(self, path: Path, boot: int) -> None:
        self._journal, self._boot = Journal(path), boot
        self.spool: Spool | None = None

    def keep(self, machine: str, *, seq: int, **more: Any) -> Any:
        assert self.spool is not None
        self._journal.write(boot=self._boot, seq=seq, t=round(time.time() * 1000))
        return self.spool.keep(machine, seq=seq, **more)

    def over(self) -> None:
        """Note that everything was sent."""
        self._journal.write(boot=self._boot, over=True)


async def _send(out: SamplesOut, spool: Spool, wire: Wire) -> Never:
    """Send over one connection after the other."""
    line: Any = _Line(wire=wire)
    while True:
        feed = await out.begin()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(out.live(line, feed))
                group.create_task(out.history(line, feed))
        except* UplinkError:
            pass
        finally:
            out.end(feed)


async def _all_sent(spool: Spool) -> None:
    """Wait until nothing waits any more."""
    async with asyncio.timeout(DRAIN_S):
        while await _waits(spool):  # noqa: ASYNC110 - the thread behind it rings no bell for this
            await asyncio.sleep(0.01)


async def _waits(spool: Spool) -> bool:
    await spool.commit()
    found, _ = await spool.ask(lambda store: store.read(0, limit=1, wanted=lambda _: True, stop=1 << 62))
    gaps = await spool.ask(lambda store: store.gaps)
    return bool(found or gaps)
