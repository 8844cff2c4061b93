"""The world of a point: machine, shop and broker that write down what really happened, each in a file of its own."""

import asyncio
import json
import os
import pickle
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from drivers.base import Command, CommandKind, DriverError, JobPhase, Receipt, Session
from gateway.domain.orders import ShopOrder
from gateway.errors import ShopError, UplinkError
from tests.drivers.fake_machine import FakeJob
from tests.faults.scenes import Between, Scene
from tests.faults.wire import HEAD, packed, size_of
from tests.shops.fake_shop import FakeShop, a_line, an_order
from tests.stages.factory import TestClock
from tests.stages.lives import QuickMachine

CROWD_ROUND = 2
CROWD_BATCH = 200  # orders in one answer of a crowded shop
ROUND_S = 1.5  # machine time between two rounds


class Journal:
    """Appends one line per event; what was written outlives the process that wrote it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, **event: Any) -> None:
        os.write(self._file, json.dumps(event).encode() + b"\n")


class Press(QuickMachine):
    """A machine that hides no mistake of the gateway, and writes down what it is told and what it does."""

    def __init__(self, journal: Journal, scene: Scene, clock: TestClock) -> None:
        super().__init__(monotonic=clock.monotonic, now=clock.now, duplicates="run")
        self.quick = scene.quick
        self.made: dict[str, int] = {}
        self._journal, self._scene, self._commands = journal, scene, 0

    def take(self, command: Command) -> Receipt:
        self._commands += 1
        for number, fault in self._scene.faults:
            if number == self._commands:
                self.fail_next(fault)
        return super().take(command)

    def _execute(self, command: Command) -> Receipt:
        self._journal.write(event="received", kind=command.kind.value, job=command.job_id, boot=self.boot)
        return super()._execute(command)

    def _start(self, job: FakeJob) -> None:
        self._journal.write(event="start", job=job.command.job_id)
        super()._start(job)

    def _end(self, job: FakeJob, phase: JobPhase) -> None:
        super()._end(job, phase)
        self.made[job.command.job_id] = job.good
        self._journal.write(event="end", job=job.command.job_id, good=job.good, phase=phase.name)


class Shop(FakeShop):
    """A shop that writes down each order as it stands, and each word about it that changed something."""

    def __init__(self, journal: Journal, scene: Scene) -> None:
        super().__init__(echo=True, batch_size=CROWD_BATCH if scene.crowd else 2)
        self._journal = journal
        for call, number in scene.shop_faults:
            self.fail(call, after=number - 1)

    def place(self, order: ShopOrder) -> ShopOrder:
        lines = {line.shop_line_id: line.quantity for line in order.lines}
        make = not all(sku.startswith("GIFT-") for line in order.lines for sku in line.skus)
        self._journal.write(event="order", order=order.shop_order_id, lines=lines, cancelled=order.cancelled, make=make)
        return super().place(order)

    async def write_status(self, shop_order_id: str, values: Any) -> None:
        before = len(self.status_writes)
        try:
            await super().write_status(shop_order_id, values)
        finally:
            for order, changed in self.status_writes[before:]:
                self._journal.write(event="told", order=order, values=changed)


class World:
    """Everything that outlives the gateway: its time, its machine, its shop, its broker. Deeds are called by name."""

    def __init__(self, directory: Path, scene: Scene) -> None:
        self.scene = scene
        self.clock = TestClock()
        self.press = Press(Journal(directory / "press.journal"), scene, self.clock)
        self.shop = Shop(Journal(directory / "shop.journal"), scene)
        self._facts = Journal(directory / "broker.journal")
        self._rounds = self._publishes = 0
        self._changed = False
        self._session: Session | None = None
        self._line = AsyncExitStack()

    async def start(self) -> None:
        """Start what has to be started."""

    async def close(self) -> None:
        """End what was started."""

    async def do_struck(self) -> bool:
        """Say whether anything went wrong of itself."""
        return False

    async def do(self, deed: str, values: tuple[Any, ...]) -> Any:
        """Do one deed and give its answer."""
        found: Callable[..., Any] = getattr(self, f"do_{deed}")
        return await found(*values)

    # The machine, as a session sees it --------------------------------------------------------------

    async def do_call(self) -> Any:
        await self.do_hang_up()
        self._session = await self._line.enter_async_context(self.press.session(lambda: None))
        return self.press.identity

    async def do_hang_up(self) -> None:
        self._session = None
        await self._line.aclose()
        self._line = AsyncExitStack()

    async def do_look(self) -> Any:
        return await self._talk().look()

    async def do_ask(self, job_id: str) -> Any:
        return await self._talk().ask(job_id)

    async def do_send(self, command: Command) -> Any:
        return await self._talk().send(command)

    def _talk(self) -> Session:
        if self._session is None:
            raise DriverError("no session")
        return self._session

    # The shop and the broker ------------------------------------------------------------------------

    async def do_site(self) -> str:
        return await self.shop.site()

    async def do_first_cursor(self) -> str:
        return await self.shop.first_cursor()

    async def do_pull(self, cursor: str) -> tuple[list[Any], ShopError | None]:
        batches = []
        try:
            async for batch in self.shop.pull(cursor):
                batches.append(batch)  # noqa: PERF401 - what came before the failure counts
        except ShopError as error:
            return batches, error
        return batches, None

    async def do_write_status(self, order: str, values: dict[str, str]) -> None:
        await self.shop.write_status(order, values)

    async def do_publish(self, payload: bytes) -> None:
        told = json.loads(payload)
        if "seq" in told:
            self._publishes += 1
            self._facts.write(seq=told["seq"], id=told["id"], type=told["type"], epoch=told["epoch"])
            if self._publishes in self.scene.broker_faults:
                raise UplinkError("the broker's answer was lost")

    # Time -------------------------------------------------------------------------------------------

    async def do_time(self) -> tuple[datetime, float]:
        return self.clock.now(), self.clock.monotonic()

    async def do_advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def do_round(self, pulled: bool) -> bool:
        """Let everybody but the gateway do what they do in a round; say whether nothing new can come.

        That is so when all customers have been, and the shop was read (`pulled`) since.
        """
        self._changed = self._changed and not pulled
        known = not self._changed
        self._rounds += 1
        self.clock.advance(ROUND_S)
        self._customers()
        self.press.arrive()
        if self.press.permits.handed_over is False:
            self.press.close_guard()
            self.press.press_start()
        self._work()
        return known and all(order.round + order.after < self._rounds for order in self.scene.orders)

    async def do_truth(self) -> tuple[frozenset[str], dict[str, int]]:
        """Tell a person who looks at the machine and beside it: what was started, what was made."""
        return frozenset(self.press.starts), dict(self.press.made)

    async def do_between(self, cut: bool) -> None:
        """Let time pass in which no gateway lives; after a power cut the machine was dark too."""
        await self.do_hang_up()
        self.clock.advance(ROUND_S)
        self.press.arrive()
        between = self.scene.between
        if between is not Between.NOTHING:
            self._work()
            self._work()
        if between is Between.FORGETS or (cut and between is Between.WORKS):
            self.press.restart(forget=True)
        elif between is Between.RESTARTS:
            self.press.restart(forget=False)
        elif between is Between.CLEARED:
            for name, job in list(self.press.jobs.items()):
                if job.phase in (JobPhase.ENDED, JobPhase.ABORTED):
                    self.press.forget(name)

    def _customers(self) -> None:
        if self.scene.crowd and self._rounds == CROWD_ROUND:
            self._changed = True
            for number in range(self.scene.crowd):
                self.shop.place(an_order(f"c{number}", sku="GIFT-CARD"))
        for number, order in enumerate(self.scene.orders, start=1001):
            name = str(number)
            if order.round == self._rounds:
                self._changed = True
                lines = tuple(
                    a_line(f"{name}-{n}", quantity=quantity) for n, quantity in enumerate(order.quantities, start=1)
                )
                self.shop.place(an_order(name, lines=lines))
            elif order.then and self._rounds == order.round + order.after:
                self._changed = True
                if order.then == "cancel":
                    self.shop.cancel(name)
                else:
                    first, *rest = self.shop.orders[name].lines
                    more = a_line(first.shop_line_id, quantity=first.quantity + 1)
                    self.shop.edit(name, lines=(more, *rest))

    def _work(self) -> None:
        for name, job in list(self.press.jobs.items()):
            busy = any(other.phase is JobPhase.RUNNING for other in self.press.jobs.values())
            if job.phase is JobPhase.ALLOWED_TO_START and not busy and self.press._may_move():
                self.press.run(name)
            elif job.phase is JobPhase.RUNNING:
                self.press.finish(name, good=job.command.quantity)


LOADS = frozenset({CommandKind.LOAD.value, CommandKind.LOAD_START.value})
Make = Callable[[Path, Scene], World]


async def serve(directory: Path, make: Callable[[], World]) -> None:
    """Be the world at a socket until somebody says `over`."""
    over = asyncio.Event()
    world = make()
    await world.start()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                deed, values = pickle.loads(await reader.readexactly(size_of(await reader.readexactly(HEAD))))
                if deed == "over":
                    over.set()
                    writer.write(packed(True, None))
                    return
                try:
                    writer.write(packed(True, await world.do(deed, values)))
                except (DriverError, ShopError, UplinkError) as error:
                    writer.write(packed(False, error))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_unix_server(answer, directory / "world.sock")
    try:
        await over.wait()
    finally:
        server.close()
        await world.close()
