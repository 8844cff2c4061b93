"""The world behind real sockets: the simulated press, oven and shop, each behind a relay that can spoil what passes."""

import asyncio
import os
import random
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from simulators import journal
from simulators.controls import Panel
from simulators.modbus_faults import Lie
from simulators.oven.faults import OvenFaults
from simulators.oven.settings import OvenSimulation, Retention
from simulators.oven.simulation import RunningOven, running_oven
from simulators.press import server
from simulators.press.faults import Faults, Reply
from simulators.press.settings import PressSimulation
from simulators.press.simulation import RunningPress, running_press
from simulators.shop import RunningShop, ShopSimulation, Wanted, running_shop
from simulators.shop.store import Backup, Store
from tests.faults import nameless
from tests.faults.answers import SPOILT_ANSWERS, STRAYS, Answers
from tests.faults.chaos import SPOILS, Relay
from tests.faults.oddities import EXTRA, ODDITIES
from tests.faults.scenes import Scene
from tests.faults.world import Journal, World

CYCLE_S = 0.05
KEY, SECRET = "ck_canary", "cs_canary"
EPISODES = 2  # how often it goes wrong, each for some rounds
EPISODE_ROUNDS = (3, 14)  # the first and the last round in which an episode begins
ADDRESS = "address"  # the file that says where the machine is
RESTORED = "shop restored from a backup"
_METHODS = ("StoreAndStart", "Store", "Start", "Clear")


def warm() -> None:
    """Let a child build the address space that every OPC UA server begins with, and keep it here for those to come."""
    if server._pristine:
        return
    there, here = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            settings = PressSimulation(journal=Path(os.devnull))
            asyncio.run(server.make_server(settings, None, keep_a_copy=True))
            with os.fdopen(here, "wb") as pipe:
                pipe.write(server._pristine[0])
        finally:
            os._exit(0)
    os.close(here)
    with os.fdopen(there, "rb") as pipe:
        octets = pipe.read()
    os.waitpid(child, 0)
    if octets:
        server._pristine.append(octets)


class WireWorld(World):
    """The world whose machine or shop answers over TCP. `scene.wire` says what goes wrong there."""

    def __init__(self, directory: Path, scene: Scene) -> None:
        super().__init__(directory, scene)
        self._directory = directory
        self._chance = random.Random(scene.wire_seed)
        self._stack = AsyncExitStack()
        self._machine: RunningPress | RunningOven | None = None
        self._running_shop: RunningShop | None = None
        self._press_journal = directory / "press.journal"
        self._shop_journal = Journal(directory / "shop.journal")
        self._told = self._stable = 0
        self._relays: dict[str, Relay] = {}
        first, last = EPISODE_ROUNDS
        self._episodes = {self._chance.randint(first, last): self._chance.randint(1, 4) for _ in range(EPISODES)}
        self._heal_at = 0
        self._backup: Backup | None = None
        self.struck = scene.guest  # of two gateways each is in the way of the other

    async def start(self) -> None:
        """Start what is real in this scene."""
        if self.scene.machine != "memory":
            await self._start_machine(port=0)
            (self._directory / ADDRESS).write_text(self._url)
            await self._relay("machine", _port(self._url))
        if self.scene.shop == "http":
            ahead = {"clock 1 h ahead": 1, "clock 1 h behind": -1}.get(self.scene.wire, 0)
            now = datetime.now(UTC)
            settings = ShopSimulation(
                orders=0, unpaid=0, key=KEY, secret=SECRET, wall_epoch=now, business_epoch=now + timedelta(hours=ahead)
            )
            self._running_shop = await self._stack.enter_async_context(
                running_shop(settings, site_url="http://shop.example")
            )
            await self._before_shop(_port(self._running_shop.url))
            self.struck = bool(ahead)

    async def close(self) -> None:
        """End everything."""
        await self._machine_stack.aclose() if self.scene.machine != "memory" else None
        await self._stack.aclose()

    async def do_addresses(self) -> dict[str, str]:
        """Give the addresses of the near ends."""
        found = {}
        if "machine" in self._relays:
            parts = urlsplit(self._url)
            found["machine"] = f"{parts.scheme}://127.0.0.1:{self._relays['machine'].port}{parts.path}"
        if "shop" in self._relays:
            host = nameless.HOST if self.scene.wire == nameless.AWAY else "127.0.0.1"
            found["shop"] = f"http://{host}:{self._relays['shop'].port}"
        return found

    async def do_round(self, pulled: bool) -> bool:
        """Let customers come, and things go wrong and well again."""
        over = await super().do_round(pulled)
        if self._running_shop is not None:
            self._note_words()
            self._stable = self._stable + 1 if over and pulled else 0
            over = self._stable > 3  # what one pull did not show, the next one does
        if (rounds := self._episodes.get(self._rounds)) is not None:
            self._heal_at = self._rounds + rounds
            await self._break()
        elif self._rounds == self._heal_at:
            await self._heal()
        return over and self._rounds > max(*self._episodes, self._heal_at)

    async def do_truth(self) -> tuple[frozenset[str], dict[str, int]]:
        if self.scene.machine == "memory":
            return await super().do_truth()
        entries = journal.read(self._press_journal)
        started = frozenset(entry.job for entry in entries if entry.event is journal.Event.START)
        return started, {entry.job: entry.good for entry in entries if entry.event is journal.Event.END}

    async def do_between(self, cut: bool) -> None:
        if self.scene.machine == "memory":
            await super().do_between(cut)

    async def do_struck(self) -> bool:
        """Say whether anything went wrong."""
        return self.struck or any(relay.spoiled for relay in self._relays.values())

    # Customers --------------------------------------------------------------------------------------

    def _customers(self) -> None:
        if self._running_shop is None:
            super()._customers()
            return
        store = self._running_shop.store
        for order in self.scene.orders:
            if order.round == self._rounds:
                self._place(store, order.quantities)
                self._backup = self._backup or store.backup()

    def _place(self, store: Store, quantities: tuple[int, ...], **more: bool) -> None:
        wanted = [
            Wanted(sku="TRAY-12", quantity=quantity, options={"width_mm": "60.5", "engraving": "Åsa"})
            for quantity in quantities
        ]
        placed = store.place_order(wanted)
        self._changed = True
        lines = {str(line.id): line.quantity for line in placed.lines}
        self._shop_journal.write(event="order", order=str(placed.id), lines=lines, cancelled=False, **more)
        relay = self._relays["shop"]
        if self.scene.wire in ODDITIES and isinstance(relay, Answers) and not relay.odd:
            first = placed.lines[0].id
            relay.odd[placed.id, first] = self.scene.wire
            if self.scene.wire != EXTRA:
                self._shop_journal.write(event="odd", order=str(placed.id), line=str(first))

    def _note_words(self) -> None:
        assert self._running_shop is not None
        writes = self._running_shop.state.writes
        for write in writes[self._told :]:
            if write.changed:
                self._shop_journal.write(event="told", order=str(write.id), values=dict(write.values))
        self._told = len(writes)

    # What goes wrong --------------------------------------------------------------------------------

    async def _break(self) -> None:
        wire = self.scene.wire
        if wire == "nothing" or wire in ODDITIES:
            return
        relay = self._relays["shop" if self.scene.shop == "http" else "machine"]
        if wire in SPOILS:
            relay.spoil = wire
        elif isinstance(relay, Answers):
            relay.spoil, relay.left = wire, self._chance.randint(1, 4)
        elif wire == "black hole":
            relay.spoil, relay.one_in = "stall", 1
        elif wire == nameless.AWAY:
            self.struck = True
            nameless.take_away(self._directory, times=self._chance.randint(1, 6))
        elif wire == RESTORED:
            self._restore_shop()
        elif self._running_shop is not None:
            self._spoil_shop(wire)
        elif isinstance(self._machine, RunningOven):
            self.struck = True
            await self._break_oven(self._machine, wire)
        elif self._machine is not None:
            self.struck = True
            await self._break_press(self._machine, wire)

    async def _heal(self) -> None:
        for relay in self._relays.values():
            relay.spoil, relay.one_in = "", 4
        if self._running_shop is not None:
            self._running_shop.faults.clear()
        if isinstance(self._machine, RunningOven):
            await self._machine.power(cut=False)
            await self._machine.break_down(OvenFaults())
        elif self._machine is not None:
            await self._machine.break_down(Faults())

    def _spoil_shop(self, wire: str) -> None:
        assert self._running_shop is not None
        shop, times = self._running_shop, self._chance.randint(1, 4)
        self.struck = True
        kind, method = {
            "429 with seconds": ("limited", None),
            "5xx": ("down", None),
            "HTML with 200": ("html", None),
            "truncated JSON": ("truncated", None),
            "lost answer of a write": ("lost", "PUT"),
            "slow": ("slow", None),
            "duplicate page": ("duplicate_page", None),
            "missing page": ("missing_page", None),
        }.get(wire, ("", None))
        if kind:
            shop.faults.put(kind, times=times, method=method, seconds=1)

    async def _break_oven(self, oven: RunningOven, wire: str) -> None:
        times, functions = self._chance.randint(1, 3), frozenset({self._chance.choice((3, 6, 16))})
        if wire in ("reboot, memory kept", "reboot, memory lost"):
            await oven.power(cut=True, lose=wire.endswith("lost"))
        elif wire == "torn value":
            await oven.break_down(OvenFaults(torn=True))
        elif wire == "torn write":
            await oven.break_down(OvenFaults(torn_write=True))
        elif wire == "frozen":
            await oven.break_down(OvenFaults(frozen=True))
        elif wire == "late reply":
            await oven.break_down(OvenFaults(late_s=1.2, functions=functions, times=times))
        elif wire == "one connection":
            self._relays["machine"].spoil = "stall"
        elif wire.startswith("exception "):
            fault = OvenFaults(exception=int(wire.split()[1]), functions=functions, times=times)
            await oven.break_down(replace(fault, executes=self._chance.random() < 0.5))
        else:
            await oven.break_down(OvenFaults(lie=Lie(wire), functions=functions, times=times))

    async def _break_press(self, press: RunningPress, wire: str) -> None:
        times, methods = self._chance.randint(1, 2), frozenset({self._chance.choice(_METHODS)})
        if wire in ("restart", "restart with other indexes"):
            port = _port(self._url)
            await self._machine_stack.aclose()
            await self._start_machine(port=port, shift=3 if wire != "restart" else 0)
        elif wire in ("bad", "never", "close", "uncertain"):
            await press.break_down(Faults(reply=Reply(wire), methods=methods, times=times))
        elif wire == "late":
            await press.break_down(Faults(late_s=1.3, methods=methods, times=times))
        else:
            await press.break_down(
                Faults(
                    frozen=wire == "frozen",
                    namespace_missing=wire == "nodes missing",
                    permits_bad=wire == "bad permits",
                )
            )

    async def _start_machine(self, *, port: int, shift: int = 0) -> None:
        self._machine_stack = AsyncExitStack()
        diary = self._directory / "press.journal"
        if self.scene.machine == "opcua":
            settings = PressSimulation(
                journal=diary, cycle_s=CYCLE_S, panel=Panel.AUTO, person_s=0.05, port=port, namespace_shift=shift
            )
            press = await self._machine_stack.enter_async_context(running_press(settings))
            self._machine, self._url = press, press.endpoint
        else:
            oven_settings = OvenSimulation(
                journal=diary,
                name="press-1",
                cycle_s=CYCLE_S,
                panel=Panel.AUTO,
                person_s=0.05,
                port=port,
                one_connection=self.scene.wire == "one connection",
                retention=Retention.SYNCHRONOUS,
            )
            if self.scene.wire == "nothing":  # whoever connects need not wait for its next heartbeat
                oven_settings = replace(oven_settings, scan_s=0.002, heartbeat_s=0.004)
            oven = await self._machine_stack.enter_async_context(running_oven(oven_settings))
            self._machine, self._url = oven, oven.url

    async def _before_shop(self, target: int) -> None:
        """Put before the shop what this scene needs there."""
        if self.scene.wire not in (*SPOILT_ANSWERS, *ODDITIES):
            await self._relay("shop", target)
            return
        relay = Answers(target=target, chance=self._chance)
        if (stray := STRAYS.get(self.scene.wire)) is not None:
            trap = Answers(target=target, chance=self._chance, host=stray, on_request=self._strayed)
            relay.trap = (await self._stack.enter_async_context(trap.running())).port
        self._relays["shop"] = await self._stack.enter_async_context(relay.running())

    def _strayed(self, request: str) -> None:
        self._shop_journal.write(event="strayed", request=request.partition("?")[0])

    def _restore_shop(self) -> None:
        """Bring back the shop's backup of before all but its first order, and let a customer get a number again."""
        assert self._running_shop is not None
        store = self._running_shop.store
        newest = max(store.orders, default=0)
        if self._backup is None or self.struck or newest == min(store.orders):
            return
        told = {entry.key: entry.value for entry in store.order(newest).meta}
        begun = told.get("_kvot_state") == "made"
        quantities = tuple(line.quantity for line in store.order(newest).lines)
        store.restore(self._backup)
        store.step(store.now + timedelta(seconds=2))  # that takes its time, and the shop's times are whole seconds
        self.struck = True
        self._place(store, tuple(quantity + self._chance.choice((0, 1)) for quantity in quantities), begun=begun)

    async def _relay(self, name: str, target: int) -> None:
        relay = Relay(target=target, chance=self._chance)
        self._relays[name] = await self._stack.enter_async_context(relay.running())


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
