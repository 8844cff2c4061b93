"""The world behind real sockets: the simulated press, oven and shop, each behind a relay that can spoil what passes."""

import asyncio
import json
import os
import random
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from gateway.errors import UplinkError
from simulators import journal
from simulators.press import server
from simulators.press.settings import PressSimulation
from simulators.shop import RunningShop, ShopSimulation, Wanted, running_shop
from simulators.shop.store import Backup, Store
from tests.faults import nameless
from tests.faults.answers import SPOILT_ANSWERS, STRAYS, Answers
from tests.faults.chaos import SPOILS, Relay
from tests.faults.oddities import EXTRA, ODDITIES
from tests.faults.ovenside import OvenSide
from tests.faults.pressside import PressSide
from tests.faults.scenes import Scene
from tests.faults.truths import Truths
from tests.faults.world import Journal, World

KEY, SECRET = "ck_canary", "cs_canary"
EPISODES = 2  # how often it goes wrong, each for some rounds
EPISODE_ROUNDS = (3, 14)  # the first and the last round in which an episode begins
NEIGHBOUR_ROUND = 24  # where the jobs that a neighbour has finished are counted
_BROKER_TROUBLE = 11  # one sample in so many is lost at the broker, and of another one the answer is
ADDRESS = "address"  # the file that says where the machine is
RESTORED = "shop restored from a backup"


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
        self._side = self._machine_of(scene)
        self._samples, self._heard = Journal(directory / "samples.journal"), 0
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

    def _machine_of(self, scene: Scene) -> PressSide | OvenSide | None:
        truths = Truths(self._directory / "truths.journal") if scene.sampled else None
        if truths is not None:
            truths.watch()
        if scene.machine == "opcua":
            return PressSide(self._directory, scene, self._chance, truths)
        return OvenSide(self._directory, scene, self._chance) if scene.machine == "modbus" else None

    async def start(self) -> None:
        """Start what is real in this scene."""
        if self._side is not None:
            await self._side.start()
            (self._directory / ADDRESS).write_text(self._side.url)
            await self._relay("machine", _port(self._side.url))
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
        if self._side is not None:
            await self._side.close()
        await self._stack.aclose()

    async def do_addresses(self) -> dict[str, str]:
        """Give the addresses of the near ends."""
        found: dict[str, str] = {}
        if self._side is not None:
            found |= self._side.addresses(self._relays["machine"].port)
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
            self._heal_at = self._rounds + max(rounds, await self._break())
        elif self._rounds == self._heal_at:
            await self._heal()
        elif self._rounds > self._heal_at and isinstance(self._side, OvenSide):
            await self._side.tidy()
        if self.scene.neighbour:
            self._count_finished()
            over = over and self._rounds > NEIGHBOUR_ROUND
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

    async def do_sample(self, payload: bytes) -> None:
        """Be the broker of samples: most are heard and acknowledged."""
        self._heard += 1
        trouble = self._heard % _BROKER_TROUBLE if self.scene.machine != "memory" else 0
        if trouble == 1:
            raise UplinkError("the broker is away")
        self._samples.write(**json.loads(payload))
        if trouble == _BROKER_TROUBLE // 2:
            raise UplinkError("the broker's answer was lost")

    def _count_finished(self) -> None:
        if self._rounds == NEIGHBOUR_ROUND:
            entries = journal.read(self._directory / "press.journal")
            finished = sum(entry.event is journal.Event.END for entry in entries)
            (self._directory / "finished.txt").write_text(str(finished))

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

    async def _break(self) -> int:
        """Let it go wrong; give for how many rounds that lasts at least."""
        wire = self.scene.wire
        if wire in ("", "nothing") or wire in ODDITIES:
            return 0
        relay = self._relays["shop" if self.scene.shop == "http" else "machine"]
        if wire in SPOILS:
            relay.spoil = wire
        elif isinstance(relay, Answers):
            relay.spoil, relay.left = wire, self._chance.randint(1, 4)
        elif wire == "black hole":
            relay.spoil, relay.one_in = "stall", 1
        elif wire == "one connection":
            self.struck = True
            relay.spoil = "stall"
        elif wire == nameless.AWAY:
            self.struck = True
            nameless.take_away(self._directory, times=self._chance.randint(1, 6))
        elif wire == RESTORED:
            self._restore_shop()
        elif self._running_shop is not None:
            self._spoil_shop(wire)
        elif self._side is not None:
            self.struck = True
            return await self._side.break_down()
        return 0

    async def _heal(self) -> None:
        for relay in self._relays.values():
            relay.spoil, relay.one_in = "", 4
        if self._running_shop is not None:
            self._running_shop.faults.clear()
        if self._side is not None:
            await self._side.heal()

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
