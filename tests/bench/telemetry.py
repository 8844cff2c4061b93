"""What a sample costs: CPU of each step, and of the whole way to a real broker with the spool on and off."""

import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson
import structlog
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from drivers.base import Identity, Session
from drivers.blocks import Block, Gathering
from drivers.opcua.telemetry import decode, to_blocks
from drivers.profile import Tag
from gateway.clock import SystemClock
from gateway.domain.telemetry import Screen
from gateway.stages.sample import Sampling
from gateway.stages.samples_out import SamplesOut
from gateway.uplink import mqtt
from gateway.uplink.base import BrokerAccess, Uplink, Will
from gateway.uplink.broker import local_broker
from gateway.uplink.samples import Encoder
from gateway.uplink.spool import Limits, open_spool
from gateway.uplink.topics import Topics

VALUES = 100  # of one block
BLOCKS_PER_S = 100  # 10,000 values a second: W1 and W2 of the goals
RUN_S = 4.0
ROUNDS = 3
MACHINE = "press-1"
TOPICS = Topics(base="bench/LUND", gateway_id="g1", machines={MACHINE: ("a", "b")})
NAMES = tuple(f"tag_{n}" for n in range(VALUES))
TAGS = {name: Tag(address=name) for name in NAMES}
LOG = structlog.get_logger("bench")


class Way(StrEnum):
    """A way from a session to the broker."""

    PLAIN = "plain: dict, orjson, paho's thread"
    OFF = "spool off"
    ON = "spool on"
    AWAY = "spool on, broker away (to disk only)"


class Source:
    """A session that tells blocks when it is asked to."""

    def __init__(self) -> None:
        self.identity = Identity(text="bench", kinds=frozenset())
        self.gathering = Gathering()
        self.take, self.listen = self.gathering.take, self.gathering.listen

    @asynccontextmanager
    async def session(self, _on_change: Callable[[], None]) -> AsyncIterator[Session]:
        """Open the one session."""
        yield self  # type: ignore[misc]


def main() -> None:
    """Print one line for each step and way."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    _say(f"blocks of {VALUES} values; CPU microseconds a value, least of {ROUNDS} rounds")
    for name, step in _steps().items():
        _say(f"  {name:<44} {min(_step(step) for _ in range(ROUNDS)):7.3f}")
    _say(f"whole way at {VALUES * BLOCKS_PER_S} values/s to a real broker, {RUN_S:g} s, QoS 1, CPU of this process")
    found: dict[Way, list[float]] = {way: [] for way in Way}
    for _ in range(ROUNDS):
        for way, costs in found.items():
            costs.append(asyncio.run(_measured(way)))
    for way, costs in found.items():
        _say(f"  {way:<44} {min(costs):7.3f} - {statistics.median(costs):7.3f} - {max(costs):7.3f}")
    for one, other in ((Way.ON, Way.OFF), (Way.ON, Way.PLAIN)):
        ratios = [above / below for above, below in zip(found[one], found[other], strict=True)]
        _say(f"  {one} / {other}: {min(ratios):.2f} - {statistics.median(ratios):.2f} - {max(ratios):.2f}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _step(step: Callable[[], object], times: int = 300) -> float:
    step()
    gc.disable()
    began = time.process_time()
    for _ in range(times):
        step()
    spent = time.process_time() - began
    gc.enable()
    return spent / times / VALUES * 1e6


def _steps() -> dict[str, Callable[[], object]]:
    notification = _notification()
    numbers, mixed = _notification(), _notification(mixed=True)
    screen, state = Screen(TAGS), {"n": 0}
    bands = Screen({name: Tag(address=name, deadband=0.1) for name in NAMES})
    encoder = Encoder(1)

    def block() -> Block:
        state["n"] += 1
        return _block(state["n"])

    asyncua_decode = _asyncua_decode(notification)
    return {
        "make a block (of this bench itself)": block,
        "decode a notification, all Double": lambda: to_blocks(decode(numbers), NAMES),
        "decode a notification, mixed types": lambda: to_blocks(decode(mixed), NAMES),
        "decode a notification by asyncua": asyncua_decode,
        "screen for changes (with making the block)": lambda: screen.news(block()),
        "screen with deadbands (with making the block)": lambda: bands.news(block()),
        "encode (with making the block)": lambda: encoder.messages(MACHINE, block(), t_ms=1),
        "orjson alone (with making the block)": lambda: orjson.dumps(dict(zip(NAMES, block().values, strict=True))),
    }


def _notification(*, mixed: bool = False) -> bytes:
    told = ua.DataChangeNotification()
    stamp: Any = datetime.now(UTC).replace(tzinfo=None)
    kinds = [ua.VariantType.Double, ua.VariantType.Int32, ua.VariantType.Boolean, ua.VariantType.String]
    for handle in range(VALUES):
        kind = kinds[handle % 4] if mixed else kinds[0]
        raw = {kinds[0]: 1.5 * handle, kinds[1]: handle, kinds[2]: True, kinds[3]: f"text {handle}"}[kind]
        value = ua.DataValue(ua.Variant(raw, kind), SourceTimestamp=stamp)
        told.MonitoredItems.append(ua.MonitoredItemNotification(ClientHandle=handle, Value=value))
    return bytes(struct_to_binary(told))


def _asyncua_decode(body: bytes) -> Callable[[], object]:
    from asyncua.common.utils import Buffer
    from asyncua.ua.ua_binary import struct_from_binary

    return lambda: struct_from_binary(ua.DataChangeNotification, Buffer(body))


def _block(number: int) -> Block:
    values = tuple(number + 0.5 * place for place in range(VALUES))
    return Block(t_ms=number, names=NAMES, values=values, qualities=bytes(VALUES))


async def _measured(way: Way) -> float:
    with tempfile.TemporaryDirectory() as place:
        async with local_broker(Path(place) / "broker") as url:
            return await _driven(Path(place), url, way)


async def _driven(place: Path, url: str, way: Way) -> float:
    clock = SystemClock()
    access = BrokerAccess(url=url, client_id="bench", ack_deadline_s=30.0)
    will = Will(topic=TOPICS.availability, payload=b"{}")
    if way is Way.PLAIN:
        return await _paced(_plain(url))
    if way is Way.OFF:
        through = Through()
        async with mqtt.connect(access, will=will, monotonic=clock.monotonic) as uplink:
            return await _beside(_paced(_sampled(through)), through.send(uplink))
    async with open_spool(place / "spool", Limits(), now_ms=lambda: 0, log=LOG) as spool:
        if way is Way.AWAY:
            return await _paced(_sampled(spool))
        async with mqtt.connect(access, will=will, monotonic=clock.monotonic) as uplink:
            out = SamplesOut(spool, TOPICS, clock, in_flight=20, history_per_s=2000)
            feed = await out.begin()
            return await _beside(_paced(_sampled(spool)), out.live(uplink, feed), out.history(uplink, feed))


async def _beside(main: Coroutine[Any, Any, float], *others: Coroutine[Any, Any, Any]) -> float:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(other) for other in others]
        try:
            return await main
        finally:
            for task in tasks:
                task.cancel()


class Through:
    """Where a spool would be: messages wait in memory only, and nobody knows whether they arrived."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(1000)

    def keep(self, _machine: str, *, body: bytes, **_: Any) -> None:
        """Take one message."""
        self._waiting.put_nowait(body)

    async def send(self, uplink: Uplink) -> None:
        """Send what comes."""
        while True:
            await uplink.send(TOPICS.tags(MACHINE), await self._waiting.get())


@asynccontextmanager
async def _plain(url: str) -> AsyncIterator[Callable[[Block], Any]]:
    """Go the way of a plain script: a dict, orjson, paho with its own thread."""
    client = Client(CallbackAPIVersion.VERSION2, client_id="plain", protocol=MQTTProtocolVersion.MQTTv5)
    client.connect("127.0.0.1", int(url.rpartition(":")[2]))
    client.loop_start()

    async def tell(block: Block) -> None:
        body = orjson.dumps({"t": block.t_ms, "values": dict(zip(block.names, block.values, strict=True))})
        client.publish(TOPICS.tags(MACHINE), body, qos=1)

    try:
        yield tell
    finally:
        client.disconnect()
        client.loop_stop()


@asynccontextmanager
async def _sampled(spool: Any) -> AsyncIterator[Callable[[Block], Any]]:
    """Go the product's own way: session, sampling, spool."""
    source = Source()
    stage = Sampling(MACHINE, tags=TAGS, sample_s=0.1, encoder=Encoder(1), spool=spool, clock=SystemClock(), log=LOG)

    async def tell(block: Block) -> None:
        source.gathering.put(block)

    async with stage.watching(source).session(lambda: None), asyncio.TaskGroup() as group:
        task = group.create_task(stage.run())
        try:
            yield tell
        finally:
            task.cancel()


async def _paced(way: Any) -> float:
    """Tell blocks on absolute deadlines; give CPU microseconds a value, with the making of the blocks."""
    async with way as tell:
        loop = asyncio.get_running_loop()
        blocks = round(RUN_S * BLOCKS_PER_S)
        began_s, began_cpu = loop.time(), time.process_time()
        for number in range(blocks):
            await asyncio.sleep(max(0.0, began_s + number / BLOCKS_PER_S - loop.time()))
            await tell(_block(number))
        await asyncio.sleep(0.3)
        return (time.process_time() - began_cpu) / blocks / VALUES * 1e6


if __name__ == "__main__":
    main()
