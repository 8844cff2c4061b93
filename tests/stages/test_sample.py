"""Samples reach the broker or are declared, live ones first, whatever broker, machine and gateway do."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog

from drivers.base import Driver, DriverError, Identity, Session
from drivers.blocks import Block, Gathering
from drivers.profile import Tag
from gateway.clock import SystemClock
from gateway.ledger.database import open_ledger
from gateway.stages.board import Board
from gateway.stages.publish import publish
from gateway.stages.sample import Sampling
from gateway.stages.samples_out import BATCH, SamplesOut
from gateway.uplink.base import BrokerAccess
from gateway.uplink.broker import find_mosquitto, running_broker
from gateway.uplink.samples import Encoder
from gateway.uplink.spool import Limits, Spool, open_spool
from gateway.uplink.topics import Topics
from simulators.witness_tags import TagBook, Tags
from tests.eventually import eventually
from tests.uplink.listening import Heard, listening
from tests.uplink.scripted import Script, scripted_broker

TOPICS = Topics(base="nordform/LUND", gateway_id="g1", machines={"press-1": ("moulding", "line-1")})
ROOT = Path(__file__).parents[2]
TOPIC = "nordform/LUND/moulding/line-1/press-1/tags"
TAGS = {"temperature_c": Tag(address="t", deadband=0.5), "cycles": Tag(address="c"), "state": Tag(address="s")}
LOG = structlog.get_logger("test")
needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")


class QuietSession:
    """A session of a machine that does nothing but tell values."""

    def __init__(self) -> None:
        self.identity = Identity(text="quiet", kinds=frozenset())
        self.gathering = Gathering()
        self.take, self.listen = self.gathering.take, self.gathering.listen

    def tell(self, t_ms: int | None = 1, *, lost: int = 0, qualities: bytes | None = None, **values: Any) -> None:
        given = bytes(len(values)) if qualities is None else qualities
        block = Block(t_ms=t_ms, names=tuple(values), values=tuple(values.values()), qualities=given, lost=lost)
        self.gathering.put(block)


class PolledSession(QuietSession):
    """The same, of a machine that must be asked."""

    def __init__(self) -> None:
        super().__init__()
        self.polls = 0
        self.fails = False

    async def poll(self) -> None:
        self.polls += 1
        if self.fails:
            raise DriverError("no answer")
        self.tell(cycles=self.polls)


@dataclass
class OneDriver:
    session_: Any

    @asynccontextmanager
    async def session(self, _on_change: Callable[[], None]) -> AsyncIterator[Session]:
        yield self.session_


@dataclass(frozen=True, kw_only=True, slots=True)
class HurriedClock(SystemClock):
    """Pauses are short, so that a test of reconnection does not wait."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.02))


@dataclass
class Kept:
    """A spool that only writes down what it is given."""

    bodies: list[dict[str, Any]] = field(default_factory=list)

    def keep(self, machine: str, *, body: bytes, **_: Any) -> None:
        self.bodies.append({"machine": machine, **json.loads(body)})


def sampling(spool: Any, *, boot: int = 3, **more: Any) -> Sampling:
    fields: dict[str, Any] = {"tags": TAGS, "sample_s": 0.05, "clock": HurriedClock(), "log": LOG}
    return Sampling("press-1", encoder=Encoder(boot), spool=spool, **fields | more)


@asynccontextmanager
async def running(*bodies: Any) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(body) for body in bodies]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def test_a_block_is_one_message_as_the_contract_says() -> None:
    kept, session = Kept(), QuietSession()
    stage = sampling(kept, to_business_ms=lambda t_ms: t_ms + 5)
    async with running(stage.run()), stage.watching(OneDriver(session)).session(lambda: None):
        session.tell(t_ms=1000, temperature_c=21.5, state="idle")
        session.tell(t_ms=1001, qualities=bytes([1]), temperature_c=30.0)
        await eventually(lambda: len(kept.bodies) == 2)
    assert kept.bodies[:2] == [
        {"machine": "press-1", "v": 1, "t": 1005, "boot": 3, "seq": 1, "values": {"temperature_c": 21.5, "state": "idle"}},
        {"machine": "press-1", "v": 1, "t": 1006, "boot": 3, "seq": 2, "values": {"temperature_c": 30.0},
         "quality": {"temperature_c": "uncertain"}},
    ]  # fmt: skip


async def test_a_machine_that_is_away_takes_back_its_values() -> None:
    kept, session = Kept(), QuietSession()
    stage = sampling(kept)
    async with running(stage.run()):
        async with stage.watching(OneDriver(session)).session(lambda: None):
            session.tell(cycles=7)
        assert kept.bodies[0]["values"] == {"cycles": 7}
        assert kept.bodies[1]["values"] == {"cycles": None}
        assert kept.bodies[1]["quality"] == {"cycles": "bad"}
        assert kept.bodies[1]["seq"] == 2


async def test_what_was_lost_before_the_gateway_takes_a_number_of_its_own() -> None:
    kept, session = Kept(), QuietSession()
    stage = sampling(kept)
    async with running(stage.run()), stage.watching(OneDriver(session)).session(lambda: None):
        session.tell(cycles=1, lost=4)
        await eventually(lambda: len(kept.bodies) == 2)
    gap = kept.bodies[0]["gap"]
    assert (gap["from"], gap["to"], gap["values"]) == (1, 1, 4)
    assert kept.bodies[1]["seq"] == 2


async def test_a_machine_that_tells_nothing_is_asked_again_and_again() -> None:
    kept, session = Kept(), PolledSession()
    stage = sampling(kept)
    async with running(stage.run()), stage.watching(OneDriver(session)).session(lambda: None):
        await eventually(lambda: len(kept.bodies) >= 3)
        session.fails = True
        await eventually(lambda: "quality" in kept.bodies[-1])
    assert [body["values"]["cycles"] for body in kept.bodies[:3]] == [1, 2, 3]


class Gateway:
    """As much of a gateway as samples need: machine double, spool, publisher. Killed, it leaves without farewell."""

    def __init__(self, place: Path, url: str, *, boot: int, history_per_s: int = 5000, **access: Any) -> None:
        self.session = QuietSession()
        self.driver: Driver = OneDriver(self.session)
        self.told = 0
        self._place, self._boot, self._history_per_s = place, boot, history_per_s
        quick = {"connect_deadline_s": 1.0, "ack_deadline_s": 0.5, "keepalive_s": 1, **access}
        self._access = BrokerAccess(url=url, client_id=f"kvot-{boot}", **quick)
        self._board = Board()
        self.spool: Spool | None = None

    async def linked(self) -> None:
        """Wait until live samples are sent at once."""
        spool = self.spool
        await eventually(lambda: spool is not None and spool._feed is not None)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Gateway"]:
        # A limited rate is a matter of real time.
        clock = SystemClock() if self._history_per_s < 5000 else HurriedClock()
        board = self._board
        async with (
            open_ledger(self._place / f"boot{self._boot}", site="LUND") as ledger,
            open_spool(
                self._place / "spool", Limits(), interval_s=0.05, now_ms=lambda: 1_700_000_000_000, log=LOG
            ) as spool,
        ):
            self.spool = spool
            stage = sampling(spool, boot=self._boot)
            out = SamplesOut(
                spool, TOPICS, clock, in_flight=self._access.receive_maximum, history_per_s=self._history_per_s
            )
            sender = publish(ledger, board, access=self._access, topics=TOPICS, clock=clock, log=LOG, samples=out)
            async with running(stage.run(), sender), stage.watching(self.driver).session(lambda: None):
                yield self

    async def tell(self, count: int) -> None:
        for _ in range(count):
            self.told += 1
            self.session.tell(t_ms=self.told, cycles=self.told, temperature_c=float(self.told))
            await asyncio.sleep(0.001)


def heard_of(heard: Heard) -> Tags:
    book = TagBook()
    for message in heard.on(TOPIC):
        assert book.hear(message.topic, bytes(message.payload))
    return book.total()


def numbers(heard: Heard, boot: int, *, history: bool) -> list[int]:
    """Give the numbers of one kind in the order of their first arrival; a broker may repeat itself."""
    found = (body for body in heard.bodies(TOPIC) if body["boot"] == boot and "values" in body)
    return list(dict.fromkeys(body["seq"] for body in found if bool(body.get("history")) is history))


@needs_mosquitto
async def test_samples_flow_live_and_leave_nothing_on_the_disk(tmp_path: Path) -> None:
    async with running_broker(tmp_path / "broker") as broker, Gateway(tmp_path, broker.url, boot=1).running() as one:
        with listening(broker.url) as heard:
            await one.linked()
            await one.tell(200)
            await eventually(lambda: heard_of(heard).values == 400)
            assert numbers(heard, 1, history=False) == list(range(1, 201))
            await eventually(_nothing_kept(tmp_path))


@needs_mosquitto
async def test_a_broker_away_costs_no_sample_and_what_waited_is_marked(tmp_path: Path) -> None:
    async with running_broker(tmp_path / "broker") as broker:
        port = int(broker.url.rpartition(":")[2])
        with listening(broker.url) as heard:
            async with Gateway(tmp_path, broker.url, boot=1).running() as one:
                await one.linked()
                await one.tell(50)
                await eventually(lambda: heard_of(heard).values == 100)
                os.kill(broker.pid, signal.SIGTERM)  # it keeps the listener's session
                await one.tell(300)
                async with running_broker(tmp_path / "broker", port=port):
                    await eventually(lambda: len(heard.on(TOPIC)) > 50)
                    await one.tell(50)
                    await eventually(lambda: heard_of(heard).values == 2 * 400)
    assert heard_of(heard) == Tags(values=800, undeclared=0, declared=0, late=heard_of(heard).late)
    late = numbers(heard, 1, history=True)
    assert late == sorted(late)
    live = numbers(heard, 1, history=False)
    assert live == sorted(live)
    assert len(late) > 200


@needs_mosquitto
async def test_live_samples_do_not_wait_for_history(tmp_path: Path) -> None:
    async with Gateway(tmp_path, "mqtt://127.0.0.1:9", boot=1).running() as before:
        await before.tell(4 * BATCH)
    async with running_broker(tmp_path / "broker") as broker:
        with listening(broker.url) as heard:
            async with Gateway(tmp_path, broker.url, boot=2, history_per_s=BATCH).running() as one:
                await eventually(lambda: len(numbers(heard, 1, history=True)) >= BATCH)
                await one.tell(5)
                await eventually(lambda: len(numbers(heard, 2, history=False)) == 5)
                assert len(numbers(heard, 1, history=True)) < 4 * BATCH
                await eventually(lambda: len(numbers(heard, 1, history=True)) >= 4 * BATCH)


@needs_mosquitto
async def test_a_gateway_killed_while_the_broker_is_away_loses_at_most_what_was_not_committed(tmp_path: Path) -> None:
    """The child is killed by SIGKILL; what it had on disk by then is sent by its successor, with nothing in between."""
    code = f"""
import asyncio, pathlib
from tests.stages.test_sample import Gateway
async def main():
    async with Gateway(pathlib.Path({str(tmp_path)!r}), "mqtt://127.0.0.1:9", boot=1).running() as one:
        await one.tell(200)
        await one.spool.commit()
        pathlib.Path({str(tmp_path / "kept")!r}).touch()
        await one.tell(100000)
asyncio.run(main())
"""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    await eventually((tmp_path / "kept").exists)
    child.kill()
    await child.wait()
    async with running_broker(tmp_path / "broker") as broker:
        with listening(broker.url) as heard:
            async with Gateway(tmp_path, broker.url, boot=2).running() as successor:
                await successor.linked()
                await successor.tell(20)
                await eventually(lambda: len(set(numbers(heard, 1, history=True))) >= 200)
                await eventually(lambda: len(numbers(heard, 2, history=False)) == 20)
                await eventually(_nothing_kept(tmp_path))
    first = numbers(heard, 1, history=True)
    assert first == list(range(1, len(first) + 1))
    assert heard_of(heard).undeclared == 0


def _nothing_kept(place: Path) -> Callable[[], bool]:
    return lambda: not list((place / "spool").glob("*.seg"))


async def test_samples_leave_places_in_flight_to_facts(tmp_path: Path) -> None:
    async with (
        scripted_broker(Script(puback=_only_availability)) as broker,
        Gateway(tmp_path, broker.url, boot=1, receive_maximum=8, ack_deadline_s=30.0).running() as one,
    ):
        await one.linked()
        await one.tell(50)
        await eventually(lambda: len(broker.held) >= 4)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await eventually(lambda: len(broker.held) > 6)
        assert 4 <= sum(topic == TOPIC for topic in broker.topics) <= 6


def _only_availability(payload: bytes) -> int | None:
    return 0 if b"online" in payload or b"state" in payload else None
