"""One life of the gateway in a process of its own: the product's stages and ledger, driven step by step."""

import asyncio
import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import IntEnum
from pathlib import Path
from typing import Any, Never, cast

from gateway.domain.machines import Level
from gateway.errors import LedgerError, ShopError, StateLockedError
from gateway.ledger import engine, exceptions, machines, migrations, opening
from gateway.ledger.database import Ledger, Tx, open_ledger
from gateway.ledger.sql import change, rows
from gateway.stages.board import Board
from gateway.stages.intake import bind
from tests.faults import filesystem, nameless, neighbours, vitals, weakened, wirelife
from tests.faults.disk import library_in_use
from tests.faults.remotes import UNKNOWN, Known, LifeClock, RemotePress, RemoteShop, Resting, publish_waiting
from tests.faults.scenes import Act, Between, Point
from tests.faults.strikes import Strikes
from tests.faults.telling import telling
from tests.faults.wire import Wire
from tests.faults.world import ROUND_S
from tests.stages.factory import PRESS, Factory, TestClock
from tests.stages.lives import Life, Place

ROUNDS = 90
LEAK_KB = 8192
UPGRADE_AFTER = 4  # rounds of the first life, where the second brings a new schema
EARLY = ("wal_autocheckpoint", "30", 30)  # pages; the same code as at 1000, only sooner


class End(IntEnum):
    """How a life ended, as its exit code."""

    QUIET = 0  # nothing is left to do
    RESTLESS = 3  # it never came to rest
    BROKEN = 4  # something nobody expects
    REFUSED = 5  # the ledger or the state directory cannot be used, in words
    STOPPED = 6  # it was asked to go, and went


@dataclass(kw_only=True)
class Body:
    """What one life consists of, and what is done to it."""

    point: Point
    number: int
    directory: Path
    began: float = field(default_factory=time.monotonic)
    touched: dict[str, int] = field(default_factory=dict)
    _wire: Wire = field(init=False)
    _clock: Any = field(init=False)
    _strikes: Strikes = field(init=False)
    _task: "asyncio.Task[End]" = field(init=False)
    _recovered_s: float | None = None
    _reconnects: int = 0

    async def live(self) -> End:
        """Live to the end; say how it came."""
        held = vitals.Held()
        vitals.write_log(self.directory / f"{self.number}-log.txt", level="debug" if self._has_shop else "info")
        self._strikes = Strikes(
            acts=self.point.at_life(self.number), directory=self.directory, seed=self.point.seed, act=self._act
        )
        self._wire = Wire(self.directory / "world.sock", self._strikes.touch)
        self._clock = self._a_clock()
        self._strikes.install(with_disk=library_in_use() is not None)
        if self.point.scene.early_checkpoints:
            engine.PRAGMAS = (*engine.PRAGMAS, EARLY)
        weakened.weaken(self.point.weakness)
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            self._task = group.create_task(self._until_the_end())
        vitals.note_held(held, self.directory / f"{self.number}-held.json")
        return self._task.result()

    @property
    def _has_shop(self) -> bool:
        return self.point.scene.shop != "memory"

    async def _until_the_end(self) -> End:
        try:
            return await self._live()
        except asyncio.CancelledError:
            self._task.uncancel()
            return End.STOPPED
        except (LedgerError, StateLockedError) as error:
            self._note("refused.txt", str(error))
            return End.REFUSED
        except BaseExceptionGroup as errors:
            if errors.split(LedgerError)[1] is not None:
                raise
            self._note("refused.txt", str(errors.exceptions))
            return End.REFUSED
        finally:
            self._note("touched.json", json.dumps(self._strikes.touched))
            if self._recovered_s is not None:
                self._note("recovered.txt", f"{self._recovered_s:.3f}")

    async def _live(self) -> End:
        state = self.directory / "state"
        async with open_ledger(state, site=self.point.scene.site, commit_interval_s=0.0, steps=self._steps()) as ledger:
            place = Place(state_dir=state, clock=self._clock, shop=RemoteShop(wire=self._wire))  # type: ignore[arg-type]
            addresses = self._wire.call("addresses") if self.point.scene.is_wired else {}
            if self.point.scene.between is Between.CLEARED:
                place.profile = replace(place.profile, clears_by_itself=True)
            place.press = RemotePress(wire=self._wire, identity=UNKNOWN)  # type: ignore[assignment]
            async with contextlib.AsyncExitStack() as stack:
                if "machine" in addresses:
                    place.press = cast("Any", await self._machine(stack, place, ledger, addresses))
                if "shop" in addresses:
                    nameless.install(self.directory)
                    place.shop = await stack.enter_async_context(wirelife.shop(self.point.scene, addresses["shop"]))
                if self._is_watched:
                    await stack.enter_async_context(vitals.beating(ledger, Board(), self.directory, self._clock))
                factory = _factory(ledger, place)
                life = weakened.life(self.point.weakness)(place=place, ledger=ledger, factory=factory)
                try:
                    return await self._rounds(life, ledger)
                finally:
                    await life.hang_up()

    async def _machine(
        self, stack: contextlib.AsyncExitStack, place: Place, ledger: Ledger, addresses: Mapping[str, str]
    ) -> Known:
        """Give the driver of a real machine; what is beside it, and its samples, live as long as this life."""
        scene = self.point.scene
        driver, place.profile = wirelife.machine(scene, addresses, self.directory)
        if "fingerprint" in addresses:
            driver = neighbours.Noting(driver, self.directory / "refused-sessions.txt")
        if "dead" in addresses:
            dead, profile = wirelife.dead_unit(scene, addresses)
            await stack.enter_async_context(neighbours.tended(dead, profile, ledger=ledger, clock=self._clock))
        if scene.sampled:
            more: dict[str, Any] = {"directory": self.directory, "boot": ledger.boot, "wire": self._wire}
            driver = await stack.enter_async_context(telling(driver, place.profile, clock=self._clock, **more))
        return Known(driver)

    async def _rounds(self, life: Life, ledger: Ledger) -> End:
        board = Board()
        started_s = self._clock.monotonic()
        begun = False
        for number in range(self._most_rounds):
            self._strikes.touch("round")
            begun = begun or await self._patiently(lambda: self._begin(life, ledger))
            pulled = begun and await self._patiently(life.pull)
            await life.plan()
            await life.tend()
            # Whoever takes 10,000 orders first is not late because of what struck it.
            if self._recovered_s is None and not self.point.scene.crowd and await ledger.read(_is_settled):
                self._recovered_s = self._clock.monotonic() - started_s + time.monotonic() - self.began
            if self._reconnects and life._visit is not None:
                await self._reconnect(life)
            await publish_waiting(ledger, board, self._wire, self._clock)
            await life.report()
            await self._person(life, ledger)
            customers_left = not self._wire.call("round", pulled)
            await self._let_pass()
            if self.point.scene.upgrade and self.number == 1 and number == UPGRADE_AFTER:
                return End.STOPPED
            if not customers_left and number > 1 and await ledger.read(_is_quiet):
                return End.QUIET
        self._note("restless.txt", "\n".join(await ledger.read(_what_is_left)))
        return End.RESTLESS

    async def _patiently(self, deed: Callable[[], Any]) -> bool:
        """Do what the intake stage does in a loop: a shop that fails is asked again in the next round."""
        try:
            await deed()
        except ShopError:
            return False
        return True

    async def _begin(self, life: Life, ledger: Ledger) -> None:
        """Do what every start does; a machine that has never answered is armed once it has."""
        place = life.place
        await bind(life.factory.source, place.shop, ledger=ledger, clock=place.clock)
        await ledger.write(lambda tx: machines.enrol(tx, PRESS))

    @property
    def _is_watched(self) -> bool:
        return any(act.deed in ("stuck", "log") for act in self.point.at_life(self.number))

    @property
    def _most_rounds(self) -> int:
        return 10 * ROUNDS if self.point.scene.is_wired else ROUNDS

    def _a_clock(self) -> Any:
        """Give the clock of this life: the world's own, or where sockets are real the computer's."""
        if self.point.scene.is_wired:
            return wirelife.RealClock()
        business, machine_s = self._wire.call("time")
        return LifeClock(business=business, machine_s=machine_s, wire=self._wire)

    async def _let_pass(self) -> None:
        """Let the time of a round pass here, as it has passed in the world."""
        if self.point.scene.is_wired:
            await asyncio.sleep(wirelife.ROUND_S)
        else:
            TestClock.advance(self._clock, ROUND_S)

    async def _person(self, life: Life, ledger: Ledger) -> None:
        """Let a person look at the machine and answer each open question truthfully."""
        started, made = self._wire.call("truth")
        for question in await ledger.read(exceptions.list_exceptions):
            if question["state"] == "resolved":
                continue
            await life.factory.decide(question["exception_id"], truthful(question, started, made))
            if question["subject"].startswith("machine:") and life._visit is not None:
                await self._take_as_it_is(life, ledger)
                await life.factory.arm()
        if (await ledger.read(lambda tx: machines.arming(tx, PRESS))).level is Level.READ and life._visit is not None:
            await life.factory.arm()

    async def _reconnect(self, life: Life) -> None:
        """Open and end the session again and again: what this process holds must not grow."""
        times, self._reconnects = self._reconnects, 0
        before = vitals.settled()
        for n in range(times):
            await life.hang_up()
            await life.tend()
            if n == times // 5:  # by then everything that is made once has been made
                before = vitals.settled()
        after = vitals.settled()
        if after.files > before.files + 2 or after.tasks > before.tasks + 2 or after.kb > before.kb + LEAK_KB:
            self._note("leak.txt", f"{before} and after {times} sessions {after}")

    async def _take_as_it_is(self, life: Life, ledger: Ledger) -> None:
        """Let a person who has looked say that the machine's mark is right as it stands (`kvot machines baseline`)."""
        assert life._visit is not None
        mark = (await life._visit._session.look()).mark
        if mark is not None:
            await ledger.write(
                lambda tx: machines.baseline(tx, PRESS, mark=mark, who="person:tester", now=self._clock.now())
            )

    def _steps(self) -> tuple[migrations.Migration, ...] | None:
        if not self.point.scene.upgrade or self.number == 1:
            return None
        steps = migrations.known()
        more = migrations.Migration(number=len(steps) + 1, name="later", upgrade=_upgrade)
        return (*steps, self._strikes.watched(more))

    def _act(self, act: Act) -> None:
        """Do what needs the life itself."""
        match act.deed:
            case "stop":
                self._loop.call_soon_threadsafe(self._task.cancel)
            case "clock":
                self._clock.business += timedelta(seconds=act.amount)
            case "slow" | "stuck":
                time.sleep(act.amount)
            case "reconnect":
                self._reconnects = int(act.amount)
            case "shutdown":
                filesystem.shut_down(self.directory / "state", log=int(act.amount))
            case "outside" | "small":
                pass  # the trial sees to it, from outside
            case "log":
                _talk_to_nobody()
            case "second":
                self._second_instance()
            case _:
                raise AssertionError(act.deed)

    def _second_instance(self) -> None:
        """Start a second gateway on the same directory: it must refuse, in words."""
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with opening.state_lock(self.directory / "state"):
                    pass
            except StateLockedError:
                code = 0
            finally:
                os._exit(code)
        if os.waitpid(child, 0)[1] != 0:
            self._note("second.txt", "a second gateway could use the same state directory")

    def _note(self, name: str, text: str) -> None:
        (self.directory / f"{self.number}-{name}").write_text(text)


def be(point: Point, number: int, directory: Path) -> Never:
    """Live one life in this process and end it with its code."""
    code: int = End.BROKEN
    try:
        code = asyncio.run(Body(point=point, number=number, directory=directory).live())
    except BaseException:  # noqa: BLE001 - it is told to whoever judges, and the process ends
        (directory / f"{number}-broken.txt").write_text(traceback.format_exc())
    finally:
        os._exit(code)


def _talk_to_nobody() -> None:
    """Let the log go into a pipe that is full and that nobody reads."""
    _, full = os.pipe()
    os.set_blocking(full, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(full, b"." * 4096)
    os.set_blocking(full, True)
    sys.stderr = os.fdopen(full, "w")
    vitals.speak("debug")


def truthful(question: Mapping[str, Any], started: frozenset[str], made: Mapping[str, int]) -> str:
    """Give what an honest person answers who sees what really happened."""
    actions: list[str] = question["actions"]
    if "not_made" not in actions:
        return next((one for one in ("retry", "remake", "replay") if one in actions), "close")
    job_id = question["subject"].partition(":")[2]
    if job_id not in started:
        return "not_made"
    if made.get(job_id, 0) >= question["evidence"]["quantity"]:
        return "made"
    return "aborted" if "aborted" in actions else "not_made"


def _factory(ledger: Ledger, place: Place) -> Factory:
    return Factory(
        ledger=Resting(ledger),  # type: ignore[arg-type]
        shop=place.shop,
        press=place.press,
        clock=place.clock,
        profile=place.profile,
    )


def _upgrade(tx: Tx) -> None:
    change(tx, "CREATE TABLE later (one INTEGER PRIMARY KEY, note TEXT)")
    for number in range(20):
        change(tx, "INSERT INTO later (one, note) VALUES (:one, :note)", one=number, note="x" * 500)
    change(tx, "UPDATE jobs SET lot = lot")


_UNSETTLED = "SELECT job_id FROM commands WHERE settlement IS NULL"
_ASKED = "SELECT substr(subject, 5) FROM exceptions WHERE state <> 'resolved' AND subject LIKE 'job:%'"


def _is_settled(tx: Tx) -> bool:
    """Say whether no command is in doubt without a person having been asked."""
    return not rows(tx, f"{_UNSETTLED} AND job_id NOT IN ({_ASKED})")


_LEFT = {
    "lines": "SELECT line_id, state FROM order_lines WHERE state NOT IN ('made','cancelled','not_made')",
    "jobs": "SELECT job_id, state, prev_state FROM jobs WHERE state NOT IN ('completed','aborted','cancelled')",
    "uncleared": "SELECT job_id, kind FROM commands WHERE settlement IS NULL",
    "outbox": "SELECT destination, subject FROM outbox WHERE dead_at IS NULL",
}


def _is_quiet(tx: Tx) -> bool:
    """Say whether every line has come to its end, all is told, and no machine, person or job is waited for."""
    return not exceptions.count_open(tx) and not any(rows(tx, question) for question in _LEFT.values())


def _what_is_left(tx: Tx) -> list[str]:
    return [f"{name}: {dict(row)}" for name, question in _LEFT.items() for row in rows(tx, question)]
