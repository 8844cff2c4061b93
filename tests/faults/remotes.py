"""The gateway's ends of the wires to the world: clock, machine, shop and broker as its ports see them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Never

from drivers.base import Command, CommandKind, Driver, Finding, Identity, Look, Receipt, Session
from gateway.errors import UplinkError
from gateway.ledger.database import Ledger
from gateway.shops.base import Batch
from gateway.stages.board import Board
from gateway.stages.publish import publish
from gateway.uplink.base import BrokerAccess, Will
from gateway.uplink.topics import Topics
from tests.faults.wire import Wire
from tests.stages import lives
from tests.stages.factory import TestClock
from tests.stages.lives import RestedError

UNKNOWN = Identity(text="fake machine, serial 1", kinds=frozenset(CommandKind))


@dataclass(kw_only=True)
class LifeClock(TestClock):
    """The life's two clocks. The world's time passes with ours, but not when our wall clock is set."""

    wire: Wire

    def advance(self, seconds: float) -> None:
        TestClock.advance(self, seconds)
        self.wire.call("advance", seconds)


@dataclass(kw_only=True)
class RemotePress:
    """The machine of the world as a driver gives it."""

    wire: Wire
    identity: Identity

    @asynccontextmanager
    async def session(self, _on_change: Callable[[], None]) -> AsyncIterator[Session]:
        self.identity = self.wire.call("call", peer="connect")
        try:
            yield _RemoteSession(self.wire, self.identity)
        finally:
            self.wire.call("hang_up")


@dataclass(frozen=True, slots=True)
class _RemoteSession:
    _wire: Wire
    identity: Identity

    async def look(self) -> Look:
        look: Look = self._wire.call("look", peer="look")
        return look

    async def ask(self, job_id: str) -> Finding:
        finding: Finding = self._wire.call("ask", job_id, peer="ask")
        return finding

    async def send(self, command: Command) -> Receipt:
        receipt: Receipt = self._wire.call("send", command, peer="machine")
        return receipt


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteShop:
    """The shop of the world behind the port."""

    wire: Wire

    async def site(self) -> str:
        return str(self.wire.call("site", peer="shop"))

    async def first_cursor(self) -> str:
        return str(self.wire.call("first_cursor", peer="shop"))

    async def pull(self, cursor: str) -> AsyncIterator[Batch]:
        batches, error = self.wire.call("pull", cursor, peer="shop")
        for batch in batches:
            yield batch
        if error is not None:
            raise error

    async def write_status(self, shop_order_id: str, values: Mapping[str, str]) -> None:
        self.wire.call("write_status", shop_order_id, dict(values), peer="shop")


@dataclass(frozen=True, slots=True)
class RemoteUplink:
    _wire: Wire

    async def send(self, topic: str, payload: bytes, **_more: Any) -> "asyncio.Future[None]":
        await self.publish(topic, payload)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def publish(self, _topic: str, payload: bytes, **_more: Any) -> None:
        await asyncio.sleep(0)
        self._wire.call("publish", payload, peer="broker")

    async def ended(self) -> Never:
        await asyncio.Event().wait()
        raise UplinkError("it has ended")


class Known:
    """A driver that remembers who answered last."""

    def __init__(self, driver: Driver) -> None:
        self._driver, self.identity = driver, UNKNOWN

    @asynccontextmanager
    async def session(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        async with self._driver.session(on_change) as session:
            self.identity = session.identity
            yield session


class Resting:
    """The real ledger; who would wait for its bells has come to rest."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def changed(self, _name: str, **_: float) -> bool:
        raise RestedError


async def publish_waiting(ledger: Ledger, board: Board, wire: Wire, clock: TestClock) -> None:
    """Send the facts that wait, by the real stage, until it has nothing more to send."""

    @asynccontextmanager
    async def connect(access: BrokerAccess, *, will: Will, monotonic: Callable[[], float]) -> AsyncIterator[Any]:
        yield RemoteUplink(wire)

    access = BrokerAccess(url="mqtt://127.0.0.1:1", client_id="kvot-faults")
    topics = Topics(base="kvot/LUND", gateway_id="kvot-1")
    try:
        await publish(
            Resting(ledger),  # type: ignore[arg-type]
            board,
            access=access,
            topics=topics,
            clock=clock,
            log=lives.LOG,
            connect=connect,
        )
    except* RestedError:
        pass
