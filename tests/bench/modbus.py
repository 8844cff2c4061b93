"""What a value polled over Modbus costs: the product's whole way beside a plain script's, alternately in one run.

The source is a process of its own; the CPU that counts is that of the process that polls, encodes and publishes.
"""

import asyncio
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson
import structlog
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from pymodbus.client import AsyncModbusTcpClient

from drivers.base import Identity, Session
from drivers.link import Links
from drivers.modbus.address import parse_address
from drivers.modbus.machine import link_to
from drivers.modbus.polling import Poller
from drivers.modbus.tags import reads_of
from drivers.profile import Tag
from gateway.clock import SystemClock
from gateway.stages.sample import Sampling
from gateway.stages.samples_out import SamplesOut
from gateway.uplink import mqtt
from gateway.uplink.base import BrokerAccess, Will
from gateway.uplink.broker import local_broker
from gateway.uplink.samples import Encoder
from gateway.uplink.spool import Limits, open_spool
from gateway.uplink.topics import Topics

DEVICES, REGISTERS, PERIOD_S = 10, 100, 0.1  # 10,000 values a second: W1 of the goals
RUN_S = 5.0
ROUNDS = 3
MACHINES = tuple(f"device-{number}" for number in range(DEVICES))
TOPICS = Topics(base="bench/LUND", gateway_id="g1", machines=dict.fromkeys(MACHINES, ("a", "b")))
TAGS = {f"tag_{n}": Tag(address=f"holding:{n}") for n in range(REGISTERS)}
SCALED = {f"tag_{n}": Tag(address=f"holding:{2 * n}", type="float32", scale=0.1) for n in range(REGISTERS // 2)}
LOG = structlog.get_logger("bench")


class Way(StrEnum):
    """A way from the registers to the broker."""

    RAW = "plain: own frames, dict, orjson, paho's thread"
    PYMODBUS = "plain: pymodbus, dict, orjson, paho's thread"
    PRODUCT = "product, spool on: uint16"
    SCALED = "product, spool on: float32, scaled (half as many values)"


def main() -> None:
    """Print CPU microseconds a value for each way, and their ratios."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    rate = round(DEVICES * REGISTERS / PERIOD_S)
    _say(f"{DEVICES} devices x {REGISTERS} registers each {PERIOD_S:g} s: {rate} values/s, all of them changing")
    _say(f"CPU microseconds a value of this process, {RUN_S:g} s, {ROUNDS} rounds: min - median - max")
    found: dict[Way, list[float]] = {way: [] for way in Way}
    for _ in range(ROUNDS):
        for way, costs in found.items():
            costs.append(asyncio.run(_measured(way)))
    for way, costs in found.items():
        _say(f"  {way:<58} {_three(costs)}")
    for below in (Way.RAW, Way.PYMODBUS):
        ratios = [above / other for above, other in zip(found[Way.PRODUCT], found[below], strict=True)]
        _say(f"  {Way.PRODUCT} / {below}: {_three(ratios)}")


def serve() -> None:
    """Be the devices: print a port for each, and answer reads of holding registers with what changes all the time."""
    asyncio.run(_serve())


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        for _ in MACHINES:
            server = await loop.create_server(_Device, "127.0.0.1", 0)
            await stack.enter_async_context(server)
            _say(str(server.sockets[0].getsockname()[1]))
        sys.stdout.flush()
        await asyncio.Event().wait()


class _Device(asyncio.Protocol):
    """One device, whose registers all count its replies; two of them are also a float32 that changes."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._number = 0

    def data_received(self, request: bytes) -> None:
        self._number = (self._number + 1) & 0x3FFF
        count = int.from_bytes(request[10:12], "big")
        body = struct.pack(">H", 0x4000 | self._number) * count
        head = request[:4] + (3 + len(body)).to_bytes(2, "big") + request[6:8] + bytes([len(body)])
        self._transport.write(head + body)


@asynccontextmanager
async def _devices() -> AsyncIterator[list[int]]:
    code = "from tests.bench.modbus import serve; serve()"
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    try:
        yield [int(await child.stdout.readline()) for _ in MACHINES]
    finally:
        child.kill()
        await child.wait()


async def _measured(way: Way) -> float:
    with tempfile.TemporaryDirectory() as place:
        async with _devices() as ports, local_broker(Path(place) / "broker") as url:
            if way in {Way.RAW, Way.PYMODBUS}:
                return await _plain(url, ports, _raw if way is Way.RAW else _pymodbus)
            return await _product(Path(place), url, ports, SCALED if way is Way.SCALED else TAGS)


# The product's way --------------------------------------------------------------------------------------


class _Polled:
    """A session that does nothing but let its tags be polled."""

    def __init__(self, poller: Poller) -> None:
        self.identity = Identity(text="bench", kinds=frozenset())
        self.poll, self.take, self.listen = poller.poll, poller.take, poller.listen


class _Devices:
    """The driver of one device."""

    def __init__(self, port: int, tags: dict[str, Tag], links: Links, clock: SystemClock) -> None:
        self._bus, self._unit = parse_address(f"modbus://127.0.0.1:{port}/1")
        self._link = link_to(self._bus, links=links, monotonic=clock.monotonic)
        self._tags, self._clock = tags, clock

    @asynccontextmanager
    async def session(self, _on_change: Callable[[], None]) -> AsyncIterator[Session]:
        """Open the one session."""
        async with self._link.use(self._unit) as line:
            reads = reads_of(self._tags)
            poller = Poller(line, unit=self._unit, reads=reads, timeout_s=1.0, monotonic=self._clock.monotonic)
            yield _Polled(poller)  # type: ignore[misc]


async def _product(place: Path, url: str, ports: list[int], tags: dict[str, Tag]) -> float:
    clock, links, encoder = SystemClock(), Links(), Encoder(1)
    access = BrokerAccess(url=url, client_id="bench", ack_deadline_s=30.0)
    will = Will(topic=TOPICS.availability, payload=b"{}")
    async with (
        open_spool(place / "spool", Limits(), now_ms=lambda: 0, log=LOG) as spool,
        mqtt.connect(access, will=will, monotonic=clock.monotonic) as uplink,
        AsyncExitStack() as sessions,
    ):
        out = SamplesOut(spool, TOPICS, clock, in_flight=20, history_per_s=2000)
        feed = await out.begin()
        tasks: list[Coroutine[Any, Any, Any]] = [out.live(uplink, feed), out.history(uplink, feed)]
        counted = _Counting(spool)
        for name, port in zip(MACHINES, ports, strict=True):
            stage = Sampling(name, tags=tags, sample_s=PERIOD_S, encoder=encoder, spool=counted, clock=clock, log=LOG)  # type: ignore[arg-type]
            await sessions.enter_async_context(stage.watching(_Devices(port, tags, links, clock)).session(lambda: None))
            tasks.append(stage.run())
        return await _cost(tasks, lambda: counted.values, RUN_S * DEVICES * len(tags) / PERIOD_S)


class _Counting:
    """The spool, and how many values it was given."""

    def __init__(self, spool: Any) -> None:
        self._spool, self.values = spool, 0

    def keep(self, machine: str, *, count: int, **fields: Any) -> None:
        """Keep a message."""
        self.values += count
        self._spool.keep(machine, count=count, **fields)


async def _cost(tasks: list[Coroutine[Any, Any, Any]], values: Callable[[], int], wanted: float) -> float:
    """Run for a while; give the CPU time of this process a value, in microseconds."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(task) for task in tasks]
        await asyncio.sleep(0.5)
        before, cpu = values(), time.process_time()
        await asyncio.sleep(RUN_S)
        spent, delivered = time.process_time() - cpu, values() - before
        for task in running:
            task.cancel()
    if delivered < 0.97 * wanted:
        _say(f"  only {delivered} of {wanted:.0f} values: the computer is too busy to measure")
    return spent / delivered * 1e6


# The ways of a script -----------------------------------------------------------------------------------


class _Frames(asyncio.Protocol):
    """Requests and replies without a library: one outstanding read."""

    def connection_made(self, transport: Any) -> None:
        self._transport, self._got = transport, b""

    def data_received(self, data: bytes) -> None:
        self._got += data
        if len(self._got) >= 9 + 2 * REGISTERS:
            if not self._reply.done():
                self._reply.set_result(self._got)
            self._got = b""

    async def read(self) -> tuple[int, ...]:
        """Read all registers."""
        self._reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._transport.write(struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, REGISTERS))
        return struct.unpack_from(f">{REGISTERS}H", await self._reply, 9)


async def _raw(port: int) -> tuple[Callable[[], Coroutine[Any, Any, Any]], Callable[[], None]]:
    transport, frames = await asyncio.get_running_loop().create_connection(_Frames, "127.0.0.1", port)
    return frames.read, transport.close


async def _pymodbus(port: int) -> tuple[Callable[[], Coroutine[Any, Any, Any]], Callable[[], None]]:
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    await client.connect()

    async def read() -> list[int]:
        return list((await client.read_holding_registers(0, count=REGISTERS, device_id=1)).registers)

    return read, client.close


async def _plain(url: str, ports: list[int], opened: Any) -> float:
    client = Client(CallbackAPIVersion.VERSION2, client_id="plain", protocol=MQTTProtocolVersion.MQTTv5)
    client.connect("127.0.0.1", int(url.rpartition(":")[2]))
    client.loop_start()
    told = 0
    names = tuple(TAGS)

    async def polling(machine: str, read: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        nonlocal told
        loop, topic, task = asyncio.get_running_loop(), TOPICS.tags(machine), asyncio.current_task()
        assert task is not None
        due_s = loop.time()
        while not task.cancelling():  # pymodbus may lose a cancellation (drivers/modbus/wire.py)
            values = await read()
            body = orjson.dumps({"t": round(time.time() * 1000), "values": dict(zip(names, values, strict=True))})
            client.publish(topic, body, qos=1)
            told += len(values)
            due_s += PERIOD_S
            await asyncio.sleep(max(0.0, due_s - loop.time()))

    devices = [await opened(port) for port in ports]
    try:
        tasks = [polling(name, read) for name, (read, _) in zip(MACHINES, devices, strict=True)]
        return await _cost(tasks, lambda: told, RUN_S * DEVICES * REGISTERS / PERIOD_S)
    finally:
        for _, close in devices:
            close()
        client.disconnect()
        client.loop_stop()
        await asyncio.sleep(0)


def _three(numbers: list[float]) -> str:
    return f"{min(numbers):6.2f} - {statistics.median(numbers):6.2f} - {max(numbers):6.2f}"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
