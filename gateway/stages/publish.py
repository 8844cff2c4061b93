"""Facts leave the outbox when the broker acknowledged them; beside them go mirrors of the board, and samples."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Never

import orjson
from structlog.typing import FilteringBoundLogger

from gateway.clock import Clock
from gateway.errors import UplinkError
from gateway.ledger import outbox
from gateway.ledger.database import Ledger
from gateway.stages.backoff import Backoff
from gateway.stages.board import Board
from gateway.stages.link import LinkState
from gateway.stages.samples_out import SamplesOut
from gateway.uplink import mqtt
from gateway.uplink.base import BrokerAccess, Connect, Uplink, Will
from gateway.uplink.spool import Feed
from gateway.uplink.topics import Topics

DESTINATION = "mqtt"
BATCH = 200  # facts read, sent and marked as delivered together
MIRROR_INTERVAL_S = 1.0  # the shortest time between two values of one mirror
MIRROR_EXPIRY_S = 900  # a mirror that nobody refreshes is no live value
MIRROR_REFRESH_S = 300.0
_LOOK_AGAIN_S = 5.0  # for facts whose time had not come
_LONGEST_PAUSE_S = 10.0
_STEADY_S = 10.0  # a connection that lasted this long forgives the failures before it


async def publish(
    ledger: Ledger,
    board: Board,
    *,
    access: BrokerAccess,
    topics: Topics,
    clock: Clock,
    log: FilteringBoundLogger,
    samples: SamplesOut | None = None,
    follow: Callable[[Uplink], Coroutine[Any, Any, Never]] | None = None,
    connect: Connect = mqtt.connect,
) -> Never:
    """Keep one connection to the broker for ever, with a fresh client after each failure.

    Order on each connection: availability, every mirror, and beside them the facts in the order of
    their numbers, and the samples. A fact may be sent twice (same `id`), never left out; so may a sample
    (same `boot` and `seq`). `follow` listens on each connection while it lasts.
    """
    stage = _Stage(
        board=board, access=access, topics=topics, clock=clock, samples=samples, follow=follow, connect=connect
    )
    link = LinkState("mqtt", board=board, clock=clock, log=log)
    facts = _Facts(ledger, topics, clock)
    backoff = Backoff(most_s=_LONGEST_PAUSE_S)
    while True:
        opened_s = clock.monotonic()
        link.down(await stage.connection(facts, link))
        if clock.monotonic() - opened_s >= _STEADY_S:
            backoff.reset()
        await clock.sleep(backoff.wait_s())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stage:
    board: Board
    access: BrokerAccess
    topics: Topics
    clock: Clock
    samples: SamplesOut | None
    follow: Callable[[Uplink], Coroutine[Any, Any, Never]] | None
    connect: Connect

    async def connection(self, facts: "_Facts", link: LinkState) -> str:
        """Use one connection until it ends; give the reason."""
        reasons: list[str] = []
        will = Will(topic=self.topics.availability, payload=_availability("offline"))
        cancellations = _cancellations()
        try:
            async with self.connect(self.access, will=will, monotonic=self.clock.monotonic) as uplink:
                await uplink.publish(self.topics.availability, _availability("online"), retain=True)
                link.up()
                async with self._feed() as feed, asyncio.TaskGroup() as group:
                    group.create_task(self._mirrors(uplink), name="mqtt mirrors")
                    group.create_task(facts.send_all(uplink), name="mqtt facts")
                    if self.follow is not None:
                        group.create_task(self.follow(uplink), name="mqtt commands")
                    if self.samples is not None and feed is not None:
                        group.create_task(self.samples.live(uplink, feed), name="mqtt live samples")
                        group.create_task(self.samples.history(uplink, feed), name="mqtt history")
                    await uplink.ended()
        except* UplinkError as faults:
            reasons += [str(fault) for fault in _leaves(faults)]
        if _cancellations() > cancellations:
            # A task group (Python 3.11, 3.12) drops a cancellation that meets a failure of its own: without
            # this the stage would outlive a daemon that stops while the broker goes away.
            raise asyncio.CancelledError
        return reasons[0]

    @asynccontextmanager
    async def _feed(self) -> AsyncIterator[Feed | None]:
        """Have samples to send as long as the block lasts."""
        if self.samples is None:
            yield None
            return
        feed = await self.samples.begin()
        try:
            yield feed
        finally:
            self.samples.end(feed)

    async def _mirrors(self, uplink: Uplink) -> Never:
        """Show the board's present values, then each change, and everything anew before it expires."""
        seen, refresh_at_s = 0, self.clock.monotonic() + MIRROR_REFRESH_S
        while True:
            stamp, values = self.board.stamp, self.board.since(seen)
            for subject, value in values.items():
                topic = self.topics.mirror(subject)
                if topic is not None:
                    payload = orjson.dumps({"v": 1, **value})
                    await uplink.send(topic, payload, retain=True, expiry_s=MIRROR_EXPIRY_S)
            seen = stamp
            await self.clock.sleep(MIRROR_INTERVAL_S)
            seen = await self._something_new(seen, refresh_at_s - self.clock.monotonic())
            if seen == 0:
                refresh_at_s = self.clock.monotonic() + MIRROR_REFRESH_S

    async def _something_new(self, seen: int, wait_s: float) -> int:
        """Wait for a change after that stamp; 0 when it is time to show everything again."""
        try:
            async with asyncio.timeout(wait_s):
                await self.board.changed(seen)
        except TimeoutError:
            return 0
        return seen


class _Facts:
    """Sends the outbox in order; remembers over connections what was acknowledged and is still to be marked."""

    def __init__(self, ledger: Ledger, topics: Topics, clock: Clock) -> None:
        self._ledger = ledger
        self._topics = topics
        self._clock = clock
        self._acknowledged: list[int] = []

    async def send_all(self, uplink: Uplink) -> Never:
        """Send fact after fact, as many at once as the connection lets in flight."""
        while True:
            await self._mark()
            waiting = await self._ledger.read(
                lambda tx: outbox.pending(tx, DESTINATION, limit=BATCH, now=self._clock.now())
            )
            if not waiting:
                await self._ledger.changed(outbox.bell(DESTINATION), timeout_s=_LOOK_AGAIN_S)
                continue
            sent: list[tuple[int, asyncio.Future[None]]] = []
            try:
                for row in waiting:
                    topic, payload, labels = self._message(row.seq, row.body)
                    sent.append((row.seq, await uplink.send(topic, payload, labels=labels)))
                for _, acknowledged in sent:
                    await acknowledged
            finally:
                self._acknowledged += _confirmed(sent)

    async def _mark(self) -> None:
        if self._acknowledged:
            numbers = tuple(self._acknowledged)
            await self._ledger.write(lambda tx: outbox.delivered(tx, DESTINATION, numbers))
            self._acknowledged.clear()

    def _message(self, seq: int, body: Mapping[str, object]) -> tuple[str, bytes, Mapping[str, str]]:
        site, epoch = self._ledger.site, self._ledger.epoch
        head = {"v": 1, "id": f"{site}-{epoch}-{seq}", "epoch": epoch, "seq": seq}
        return self._topics.fact(body), orjson.dumps({**body, **head}), {"type": str(body["type"])}


def _availability(state: str) -> bytes:
    return orjson.dumps({"v": 1, "state": state})


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def _confirmed(sent: list[tuple[int, asyncio.Future[None]]]) -> list[int]:
    """Give the numbers acknowledged before the first that was not, so that order survives a new start."""
    confirmed: list[int] = []
    for number, acknowledged in sent:
        if not acknowledged.done() or acknowledged.cancelled() or acknowledged.exception():
            break
        confirmed.append(number)
    return confirmed


def _leaves(group: BaseExceptionGroup[UplinkError]) -> list[UplinkError]:
    found: list[UplinkError] = []
    for fault in group.exceptions:
        found += _leaves(fault) if isinstance(fault, BaseExceptionGroup) else [fault]
    return found
