"""A factory on a bench: every program a test may want, each to be started when the test says so."""

import itertools
import os
import re
import shutil
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.uplink.broker import LocalBroker, running_broker
from tests.eventually import eventually
from tests.factory.programs import KEY, ROOT, SECRET, BusinessTime, Gateway, Press, Program, Shop
from tests.factory.wires import Cable, Ear, cable, ear

MADE_S = 40.0  # the longest that a few orders may take, with a recovery in between


class Broker:
    """A broker that can be killed and started again at the same address, with what it kept on disk."""

    def __init__(self, directory: Path, *, port: int) -> None:
        self.port, self.url = port, f"mqtt://127.0.0.1:{port}"
        self._directory = directory
        self._stack = AsyncExitStack()
        self._running: LocalBroker | None = None

    async def start(self) -> None:
        self._running = await self._stack.enter_async_context(running_broker(self._directory, port=self.port))

    async def kill(self) -> None:
        self._signal(signal.SIGKILL)
        await self.end()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    async def end(self) -> None:
        await self._stack.aclose()

    def _signal(self, number: signal.Signals) -> None:
        assert self._running is not None
        os.kill(self._running.pid, number)


class Bench:
    """The parts of one test's factory. Ports are chosen at once, so that what is absent has an address already."""

    def __init__(self, directory: Path, *, site: str, time: BusinessTime, press: Press | None) -> None:
        shop_port, broker_port, press_port, panel_port = free_ports(4)
        self.directory, self.site, self.time = directory, site, time
        self.shop = Shop("--waiting", "--orders", "0", "--unpaid", "0", directory=directory, time=time, port=shop_port)
        self.broker = Broker(directory / "broker", port=broker_port)
        self.press = press or self.own_press(port=press_port, panel_port=panel_port)
        self.gateway = Gateway(config=directory / "kvot.yaml", state=directory / "state")
        self._stack = AsyncExitStack()
        self._started: list[Program] = []
        self._ear: Ear | None = None
        self._codes = itertools.count(1)

    @property
    def ear(self) -> Ear:
        assert self._ear is not None, "nobody listens: start_broker comes first"
        return self._ear

    # Parts other than the usual ones

    def own_press(self, *more: str, port: int = 0, panel_port: int = 0) -> Press:
        """Put a press of this test's own on the bench."""
        port, panel_port = (port, panel_port) if port else free_ports(2)
        arguments = ("--cycle-s", "6", *more)
        self.press = Press(*arguments, directory=self.directory, time=self.time, port=port, panel_port=panel_port)
        return self.press

    def shop_with(self, *customers: str) -> Shop:
        """Put another shop in the usual one's place."""
        port = int(self.shop.url.rpartition(":")[2])
        self.shop = Shop(*customers, directory=self.directory, time=self.time, port=port)
        return self.shop

    @asynccontextmanager
    async def cable_to(self, target: str) -> AsyncIterator[tuple[Cable, str]]:
        """Lay a cable to an address, and give it with the address of its near end."""
        near = free_ports(1)[0]
        scheme, _, place = target.partition("://")
        async with cable(port=near, target=int(place.rpartition(":")[2])) as laid:
            yield laid, f"{scheme}://127.0.0.1:{near}"

    # Configuration

    def configure(
        self,
        *,
        mqtt: str | None = None,
        press: str | None = None,
        fingerprint: str | None = None,
        profile: dict[str, str] | None = None,
        accepted: bool = True,
    ) -> None:
        """Write kvot.yaml with our addresses, the secrets as files beside it, and a changed machine type if asked.

        Without `accepted` nobody has signed for what the press remembers: it must be probed.
        """
        places = {
            "id: DEMO": f"id: {self.site}",
            "poll_s: 1": "poll_s: 0.2",
            "mqtt://127.0.0.1:1883": mqtt or self.broker.url,
            "http://127.0.0.1:8080": self.shop.url,
            "opc.tcp://127.0.0.1:4840": press or self.press.endpoint,
        }
        if fingerprint is not None:
            places["security: none"] = f"security: {{server_fingerprint: '{fingerprint}'}}"
        text = _replaced((ROOT / "config/demo/kvot.yaml").read_text(), places)
        text = text if accepted else without_acceptance(text)
        epoch = f"wall_epoch: {self.time.epoch}, business_epoch: {self.time.epoch}"
        text += f"\nsimulation: {{speed: {self.time.speed}, {epoch}}}\n"
        self.gateway.config.write_text(text)
        self.write_secrets()
        if profile is not None:
            self._write_profile(profile)

    def write_secrets(self) -> None:
        secrets = self.directory / "secrets"
        secrets.mkdir(mode=0o700, exist_ok=True)
        for name, value in {"webshop-key": KEY, "webshop-secret": SECRET}.items():
            file = secrets / name
            file.touch(mode=0o600)
            file.write_text(f"{value}\n")

    def _write_profile(self, changes: dict[str, str]) -> None:
        text = (ROOT / "config/machines/isa95-press.yaml").read_text()
        for key, value in changes.items():
            text, found = re.subn(rf"(?m)^{key}: \S+", f"{key}: {value}", text)
            assert found == 1, f"the shipped profile has no {key}"
        machines = self.directory / "machines"
        machines.mkdir(exist_ok=True)
        (machines / "isa95-press.yaml").write_text(text)

    # Starting

    def start(self, *programs: Program) -> None:
        """Start programs together; the bench ends them after the test."""
        for program in programs:
            self._started.append(program)
            program.start()

    async def start_broker(self) -> None:
        """Start the broker and listen there to all that is said about this site."""
        await self.broker.start()
        if self._ear is None:
            self._ear = self._stack.enter_context(ear(self.broker.url, f"nordform/{self.site}/#"))

    async def start_all(self) -> None:
        """Start broker, shop and gateway beside the press, hand the press over and arm it."""
        if not self.press.runs:
            self.start(self.press)
        self.start(self.shop, self.gateway)
        await self.start_broker()
        await self.press.ready()
        await self.press.hand_over()
        await self.shop.ready()
        await self.gateway.up()
        await self.gateway.linked("mqtt", "shop:webshop", "machine:press-1")
        await self.gateway.arm()

    async def close(self) -> None:
        for program in self._started:
            program.end()
        await self._stack.aclose()
        await self.broker.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    async def has_looked(self) -> None:
        """Wait until the gateway has looked at the press once more, and so could have done something."""
        code = f"{self.site}-{next(self._codes)}"
        await self.press.touch(tool=code)

        async def seen() -> bool:
            return bool((await self.gateway.machine())["now"].get("setup_code") == code)

        await eventually(seen)

    # What must hold at the end

    async def orders_are_made(self, count: int, *, others: int = 0, timeout_s: float = MADE_S) -> None:
        """Wait until the shop's own list shows that many orders as made, beside others that were not due."""
        wanted = Counter(made=count, not_due=others)

        async def made() -> bool:
            return Counter((await self.shop.told()).values()) == wanted

        try:
            await eventually(made, timeout_s=timeout_s)
        except AssertionError as late:
            raise AssertionError(await self.report()) from late

    async def each_job_started_once(self) -> None:
        """Hold the press's own journal against the gateway's jobs: each started once, and none that was cancelled."""
        jobs = await self.gateway.items("jobs")
        assert jobs
        starts = Counter(self.press.started(self.site))
        assert starts == Counter(job["job_id"] for job in jobs if job["state"] != "cancelled"), await self.report()

    async def all_is_told(self) -> None:
        """Wait until no fact is left in the gateway, and see that the broker heard of each end, without a gap."""

        async def nothing_left() -> bool:
            return not any(one["pending"] or one["dead"] for one in (await self.gateway.status())["outbox"])

        await eventually(nothing_left)
        jobs = await self.gateway.job_states()
        wanted = Counter(job_id for job_id, state in jobs.items() if state == "completed")
        heard = self.ear
        await eventually(
            lambda: Counter(fact["job_id"] for fact in heard.of_type("job.completed")) == wanted, timeout_s=10
        )
        assert not heard.missing

    async def all_is_well(self, *, orders: int, others: int = 0) -> None:
        """Check the whole promise: made, once, told, and nobody was asked anything."""
        await self.orders_are_made(orders, others=others)
        await self.each_job_started_once()
        assert set((await self.gateway.job_states()).values()) - {"cancelled"} == {"completed"}
        await self.all_is_told()
        made = Counter(fact["order_id"] for fact in self.ear.of_type("order.state") if fact["state"] == "made")
        assert sorted(made.values()) == [1] * orders
        assert await self.gateway.items("exceptions") == []

    async def report(self) -> str:
        """Say how everything stands, for a failed test."""
        moved = [f"{entry.event} {entry.job}" for entry in self.press.moved(self.site)]
        lines = [f"told: {await self.shop.told()}" if self.shop.runs else "the shop is away", f"moved: {moved}"]
        if self.gateway.runs:
            status: dict[str, Any] = await self.gateway.status()
            lines += [f"{name}: {status[name]}" for name in ("jobs", "machines", "links", "outbox")]
            lines.append(f"exceptions: {await self.gateway.items('exceptions')}")
        return "\n".join([*lines, self.gateway.log[-2000:]])


def free_ports(count: int) -> list[int]:
    """Give that many ports that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def without_acceptance(text: str) -> str:
    """Take away who has signed for what a machine remembers."""
    text, found = re.subn(r"(?m)^    effect_accepted: .*\n", "", text)
    assert found == 1
    return text


def _replaced(text: str, places: dict[str, str]) -> str:
    for old, new in places.items():
        assert text.count(old) == 1, f"the demo's configuration has {old!r} {text.count(old)} times"
        text = text.replace(old, new)
    return text
