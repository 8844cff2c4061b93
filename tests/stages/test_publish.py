"""No fact is lost or overtaken, whatever the broker does, and a mirror shows the newest value."""

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Never

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.clock import SystemClock
from gateway.errors import UplinkError
from gateway.ledger import facts, outbox
from gateway.ledger.database import Ledger, open_ledger
from gateway.stages import publish as stage
from gateway.stages.board import Board
from gateway.uplink.base import BrokerAccess, Message, Uplink, Will
from gateway.uplink.broker import BrokerKind, find_mosquitto, running_broker
from gateway.uplink.topics import Topics
from tests.eventually import eventually
from tests.uplink.listening import Heard, listening
from tests.uplink.scripted import NOT_AUTHORISED, Script, accept, scripted_broker

TOPICS = Topics(base="nordform/LUND", gateway_id="g1", machines={"press-1": ("moulding", "line-1")})
STATE = "nordform/LUND/moulding/line-1/press-1/state"
AVAILABILITY = "nordform/LUND/_gateway/g1/availability"
needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")


@dataclass(frozen=True, kw_only=True, slots=True)
class HurriedClock(SystemClock):
    """Pauses are short, so that a test of reconnection does not wait."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.05))


@dataclass
class Factory:
    """The stage with what it reads from."""

    ledger: Ledger
    board: Board = field(default_factory=Board)
    clock: SystemClock = field(default_factory=HurriedClock)
    posted: int = 0

    async def post(self, count: int) -> None:
        for _ in range(count):
            self.posted += 1
            at = self.clock.now()
            await self.ledger.write(lambda tx: facts.post(tx, "order.state", at=at, order_id=self.posted, state="made"))  # noqa: B023

    async def waiting(self) -> int:
        return len(await self.ledger.read(lambda tx: outbox.pending(tx, "mqtt", limit=10_000, now=self.clock.now())))

    async def nothing_waits(self) -> bool:
        return await self.waiting() == 0

    @property
    def link(self) -> Any:
        return self.board.get(("link", "mqtt"))

    @asynccontextmanager
    async def publishing(self, url: str, **more: Any) -> AsyncIterator[None]:
        quick: dict[str, Any] = {"connect_deadline_s": 1.0, "ack_deadline_s": 0.5, "keepalive_s": 1, **more}
        access = BrokerAccess(url=url, client_id="kvot-g1", **quick)
        running = asyncio.ensure_future(
            stage.publish(
                self.ledger, self.board, access=access, topics=TOPICS, clock=self.clock, log=structlog.get_logger()
            )
        )
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


@pytest.fixture
async def factory(state_dir: Path) -> AsyncIterator[Factory]:
    async with open_ledger(state_dir, site="LUND") as ledger:
        yield Factory(ledger=ledger)


def first_seen(heard: Heard) -> list[int]:
    """The numbers of the facts heard, each once, in the order of its first arrival."""
    bodies = [json.loads(message.payload) for message in heard.messages if message.topic.endswith("/event")]
    return list(dict.fromkeys(body["seq"] for body in bodies))


@pytest.mark.parametrize(
    "kind", [pytest.param(BrokerKind.MOSQUITTO, marks=needs_mosquitto), pytest.param(BrokerKind.IOTCORE)]
)
async def test_facts_arrive_in_order_with_their_envelope_and_leave_the_outbox(
    kind: BrokerKind, factory: Factory, tmp_path: Path
) -> None:
    await factory.post(5)
    async with running_broker(tmp_path, kind=kind) as broker:
        with listening(broker.url) as heard:
            async with factory.publishing(broker.url):
                await eventually(factory.nothing_waits)
                await factory.post(250)
                await eventually(factory.nothing_waits)
            await eventually(lambda: len(first_seen(heard)) == 255)
    assert first_seen(heard) == list(range(1, 256))
    (body,) = heard.bodies("nordform/LUND/orders/3/event")
    assert body == {
        "v": 1,
        "id": "LUND-1-3",
        "epoch": 1,
        "seq": 3,
        "t": body["t"],
        "type": "order.state",
        "order_id": 3,
        "state": "made",
    }
    assert abs(body["t"] / 1000 - time.time()) < 60
    told: Any = heard.on("nordform/LUND/orders/3/event")[0].properties
    assert dict(told.UserProperty) == {"schema": "1", "type": "order.state"}
    assert not heard.on("nordform/LUND/orders/3/event")[0].retain


async def test_availability_comes_first_and_every_mirror_again_on_each_connection(
    factory: Factory, tmp_path: Path
) -> None:
    factory.board.put(("state", "press-1"), {"state": "idle"})
    factory.board.put(("health", "g1"), {"ledger": "ok"})
    async with running_broker(tmp_path) as broker:
        for round_ in (1, 2):
            with listening(broker.url, client_id=f"listener-{round_}") as heard:
                await eventually(lambda: len(heard.messages) >= (round_ - 1) * 3)  # noqa: B023 - what was kept
                kept = len(heard.messages)
                async with factory.publishing(broker.url):
                    await eventually(lambda: len(heard.messages) >= kept + 3)  # noqa: B023
            news = heard.messages[kept:]
            assert [message.topic for message in news[:3]] == [
                AVAILABILITY,
                STATE,
                "nordform/LUND/_gateway/g1/health",
            ]
            assert json.loads(news[0].payload) == {"v": 1, "state": "online"}
            assert json.loads(news[1].payload) == {"v": 1, "state": "idle"}
        with listening(broker.url, client_id="latecomer") as later:
            await eventually(lambda: len(later.messages) == 3)
            assert later.bodies(AVAILABILITY) == [{"v": 1, "state": "offline"}]
            expiring: Any = later.on(STATE)[0].properties
            assert 0 < expiring.MessageExpiryInterval <= stage.MIRROR_EXPIRY_S


async def test_a_mirror_changes_at_most_once_a_second_and_ends_with_the_newest_value(factory: Factory) -> None:
    factory.clock = SystemClock()
    arrivals: list[float] = []

    def note(payload: bytes) -> int:
        if b'"n":' in payload:
            arrivals.append(time.monotonic())
        return 0

    factory.board.put(("state", "press-1"), {"n": -1})
    async with scripted_broker(Script(puback=note)) as broker, factory.publishing(broker.url):
        await eventually(lambda: arrivals)
        for n in range(30):
            factory.board.put(("state", "press-1"), {"n": n})
            await asyncio.sleep(0.01)
        await eventually(lambda: b'"n":29' in broker.payloads[-1])
    assert len(arrivals) == 2
    assert 0.95 < arrivals[1] - arrivals[0] < 2


async def test_a_mirror_is_shown_again_before_it_expires(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "MIRROR_REFRESH_S", 0.2)
    factory.board.put(("state", "press-1"), {"n": 1})
    async with scripted_broker(Script()) as broker, factory.publishing(broker.url):
        await eventually(lambda: broker.topics.count(STATE) >= 3)


@needs_mosquitto
async def test_a_broker_that_restarts_in_the_middle_loses_no_fact_and_no_order(
    factory: Factory, tmp_path: Path
) -> None:
    async with running_broker(tmp_path) as broker:
        port = int(broker.url.rsplit(":", 1)[1])
        listener = contextlib.ExitStack()
        heard = listener.enter_context(listening(broker.url))
        with listener:
            async with factory.publishing(broker.url):
                await factory.post(100)
                await eventually(lambda: first_seen(heard))
                os.kill(broker.pid, signal.SIGTERM)  # it stores its sessions
                await eventually(lambda: factory.link["state"] == "down")
                await factory.post(100)
                async with running_broker(tmp_path, port=port):
                    await eventually(factory.nothing_waits)
                    await eventually(lambda: len(first_seen(heard)) == 200)
                    assert factory.link["state"] == "up"
    assert first_seen(heard) == list(range(1, 201))


@needs_mosquitto
async def test_a_frozen_broker_is_left_and_found_again(factory: Factory, tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        with listening(broker.url) as heard:
            async with factory.publishing(broker.url):
                await factory.post(10)
                await eventually(factory.nothing_waits)
                os.kill(broker.pid, signal.SIGSTOP)
                try:
                    await factory.post(10)
                    await eventually(lambda: factory.link["state"] == "down")
                    assert "no acknowledgement within" in factory.link["reason"]
                    assert await factory.waiting() == 10
                finally:
                    os.kill(broker.pid, signal.SIGCONT)
                await eventually(factory.nothing_waits)
                await eventually(lambda: len(first_seen(heard)) == 20)
    assert first_seen(heard) == list(range(1, 21))


async def test_a_broker_that_is_absent_at_start_is_a_state_and_not_an_end(factory: Factory, tmp_path: Path) -> None:
    async with scripted_broker(Script()) as closed:
        pass
    await factory.post(3)
    with capture_logs() as logs:
        async with factory.publishing(closed.url):
            await eventually(lambda: factory.link.get("reason") and "cannot be reached" in factory.link["reason"])
            await eventually(lambda: logs)
            async with running_broker(tmp_path, port=closed.port):
                await eventually(factory.nothing_waits)
                assert factory.link["state"] == "up"
    told = [(entry["event"], entry["log_level"]) for entry in logs[:2]]
    assert told == [("link down", "warning"), ("link up", "info")]
    assert logs[1]["failures"] > 0


async def test_a_fact_whose_acknowledgement_was_lost_is_told_again_under_the_same_id(factory: Factory) -> None:
    await factory.post(2)
    script = Script(puback=lambda payload: None if b'"seq"' in payload else 0)
    async with scripted_broker(script) as broker, factory.publishing(broker.url):
        await eventually(lambda: len(script.held) == 2)
        script.drop()
        script.puback = accept
        await eventually(factory.nothing_waits)
    told = [json.loads(payload)["id"] for payload in broker.payloads if b'"seq"' in payload]
    assert told == ["LUND-1-1", "LUND-1-2", "LUND-1-1", "LUND-1-2"]


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_lost_with_a_connection_the_facts_arrive_in_order(factory: Factory, seed: int) -> None:
    dice = random.Random(seed)
    script = Script()

    def answer(payload: bytes) -> int | None:
        """Now and then drop the line, before or after the message counts, or swallow the acknowledgement."""
        match dice.choices(("take", "drop", "swallow"), (30, 1, 1))[0] if b'"seq"' in payload else "take":
            case "drop":
                script.drop()
                return None
            case "swallow":
                return None
            case _:
                return 0

    script.puback = answer
    async with scripted_broker(script) as broker, factory.publishing(broker.url, ack_deadline_s=0.05):
        for _ in range(8):
            await factory.post(dice.randint(1, 40))
        await eventually(factory.nothing_waits)
    told = [json.loads(payload)["seq"] for payload in broker.payloads if b'"seq"' in payload]
    assert list(dict.fromkeys(told)) == list(range(1, factory.posted + 1))
    assert len(told) > factory.posted


async def test_a_refused_fact_stays_and_is_told_again_with_those_after_it(factory: Factory) -> None:
    await factory.post(3)
    script = Script(puback=lambda payload: NOT_AUTHORISED if b'"seq":2' in payload else 0)
    async with scripted_broker(script) as broker, factory.publishing(broker.url):
        await eventually(lambda: "Not authorized" in str(factory.link.get("reason")))
        assert await factory.waiting() >= 2
        script.puback = accept
        await eventually(factory.nothing_waits)
    told = [json.loads(payload)["seq"] for payload in broker.payloads if b'"seq"' in payload]
    assert told[:3] == [1, 2, 3]
    assert told[-2:] == [2, 3]


async def test_a_fact_without_a_topic_is_a_bug_and_ends_the_stage(factory: Factory) -> None:
    at = factory.clock.now()
    await factory.ledger.write(lambda tx: facts.post(tx, "weather.changed", at=at))
    async with scripted_broker(Script()) as broker:
        access = BrokerAccess(url=broker.url, client_id="kvot-g1")
        with pytest.raises(BaseExceptionGroup) as ended:
            await stage.publish(
                factory.ledger,
                factory.board,
                access=access,
                topics=TOPICS,
                clock=factory.clock,
                log=structlog.get_logger(),
            )
    assert ended.group_contains(ValueError, match="no topic")
    assert not ended.group_contains(UplinkError)


async def test_a_flapping_broker_is_asked_less_and_less_often(factory: Factory) -> None:
    pauses: list[float] = []

    class CountingClock(HurriedClock):
        async def sleep(self, seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(0)

    factory.clock = CountingClock()
    async with scripted_broker(Script(connack_reason=0x88)) as broker, factory.publishing(broker.url):
        await eventually(lambda: len(pauses) >= 10)
    bounds = [0.5, 1, 2, 4, 8, 10, 10, 10, 10, 10]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=False))


class LostUplink:
    """A connection that takes everything, acknowledges all but facts, and ends when told."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.sent = asyncio.Event()

    async def send(self, topic: str, payload: bytes, **_: Any) -> asyncio.Future[None]:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not (topic.endswith("/event") and payload):
            answer.set_result(None)
        else:
            self.sent.set()
            self._fact = answer
        return answer

    async def publish(self, topic: str, payload: bytes, **_: Any) -> None:
        await (await self.send(topic, payload))

    async def hear(self, _topic: str) -> AsyncIterator[Message]:
        raise AssertionError("nobody listens")
        yield

    async def ended(self) -> Never:
        await self.lost.wait()
        raise UplinkError("gone")

    def lose(self) -> None:
        self.lost.set()
        self._fact.set_exception(UplinkError("gone"))


@pytest.mark.parametrize("turns", range(8))
async def test_stopping_in_the_moment_the_broker_goes_stops_the_stage(factory: Factory, turns: int) -> None:
    uplinks: list[LostUplink] = []

    @asynccontextmanager
    async def connect(access: BrokerAccess, *, will: Will, monotonic: object) -> AsyncIterator[Uplink]:
        uplinks.append(LostUplink())
        yield uplinks[-1]

    await factory.post(1)
    running = asyncio.ensure_future(
        stage.publish(
            factory.ledger,
            factory.board,
            access=BrokerAccess(url="mqtt://127.0.0.1", client_id="g1"),
            topics=TOPICS,
            clock=factory.clock,
            log=structlog.get_logger(),
            connect=connect,
        )
    )
    await eventually(lambda: uplinks and uplinks[0].sent.is_set())
    uplinks[0].lose()
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=1)
    if not done:
        running.cancel()
        await asyncio.wait([running], timeout=1)
    assert done
    assert running.cancelled()
