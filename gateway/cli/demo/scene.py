"""The demo's factory: broker, shop, machines and gateway as children, and what a person does there."""

import asyncio
import json
import math
import sys
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.cli.client import AskError, ask
from gateway.cli.demo.children import OUR_CODE, Child, running
from gateway.uplink.broker import local_broker

KEY, SECRET = "ck_demo", "cs_demo"
PRESS, OVEN, TRIMMER, STATION = "press-1", "oven-1", "trimmer-1", "packing"
UP_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """How the demo is to be played."""

    orders: int
    speed: float
    seed: int
    kill_at: float | None
    trouble: bool
    directory: Path
    config: Path
    gateway: Sequence[str] = (sys.executable, "-m", "gateway")  # a test may put another build here
    press: Sequence[str] = ()  # more arguments for the press
    overrides: Mapping[str, str] = field(default_factory=dict)  # of the shipped configuration
    whole: bool = True  # the whole factory: oven, trimmer, station and runs beside the press
    grace_s: float = 60.0  # beyond the customers' time, before the verdict is taken as it is
    epoch: datetime  # when the demo's business time begins, in both times

    @property
    def kill_after(self) -> int | None:
        """Give the number of orders that must be placed before the kill."""
        return None if self.kill_at is None else max(1, math.ceil(self.kill_at * self.orders))

    @property
    def machines(self) -> tuple[str, ...]:
        """Give the machines that are handed to Kvot at the start."""
        return (PRESS, OVEN, TRIMMER) if self.whole else (PRESS,)

    @property
    def unnamed(self) -> frozenset[str]:
        """Give the machines that know no job ids: they number their starts themselves."""
        return frozenset({TRIMMER} if self.whole else ())

    @property
    def journals(self) -> tuple[Path, ...]:
        """Give the machines' own records of what really moved; the person at the station keeps one too."""
        return tuple(self.journal(name) for name in (*self.machines, *((STATION,) if self.whole else ())))

    def journal(self, machine: str) -> Path:
        """Give one machine's own record."""
        return self.directory / f"{machine}.journal"

    @property
    def shop_log(self) -> Path:
        """Give the shop's own record of what was written to it."""
        return self.directory / "shop.log.jsonl"

    @property
    def socket(self) -> Path:
        """Give the gateway's control socket."""
        return self.directory / "state" / "kvot.sock"


class Scene:
    """A running factory: where everything is, and what can be done to it."""

    def __init__(
        self, wishes: Wishes, *, broker: str, shop: str, panel: str, gateway: Child, others: Sequence[Child]
    ) -> None:
        self.wishes, self.broker, self.shop = wishes, broker, shop
        self._panel, self._gateway, self._others = panel, gateway, others

    async def start_gateway(self) -> None:
        """Start the gateway; whoever wants to hear everything listens by now."""
        await self._gateway.start()

    async def open(self) -> None:
        """Wait for the gateway, hand the machine over in the caller's name, and let customers in."""
        await self._until_up()
        for machine in self.wishes.machines:
            await self.ask("POST", f"/api/v1/machines/{machine}/arm", json={"level": "start"})
        await self._shop("POST", "customers", running=True)

    async def kill_gateway(self) -> None:
        """Kill the gateway without warning and start the same command again at once."""
        await self._gateway.kill()
        await self._gateway.start()

    async def ask(self, method: str, path: str, **more: Any) -> Any:
        """Ask the gateway as any command does."""
        return await asyncio.to_thread(ask, method, path, socket=self.wishes.socket, **more)

    async def status(self) -> dict[str, Any] | None:
        """Give the gateway's status, or None while it does not answer."""
        try:
            return await self.ask("GET", "/api/v1/status")  # type: ignore[no-any-return]
        except AskError:
            return None

    async def shop_status(self) -> dict[str, Any]:
        """Ask the shop how many orders its customers have placed."""
        return await self._shop("GET", "status")

    def check(self) -> None:
        """Raise `ChildError` when any child has ended by itself."""
        for child in (*self._others, self._gateway):
            child.check()

    async def fault_press(self, **faults: object) -> None:
        """Have the press misbehave from now on; without arguments it behaves again."""
        await asyncio.to_thread(_call, "POST", f"{self._panel}/faults", faults)

    async def _shop(self, method: str, what: str, **body: object) -> dict[str, Any]:
        return await asyncio.to_thread(_call, method, f"{self.shop}/_simulator/{what}", body)

    async def _until_up(self) -> None:
        async with asyncio.timeout(UP_S):
            while True:
                self.check()
                if (status := await self.status()) is not None and self._answered(status):
                    return
                await asyncio.sleep(0.1)

    def _answered(self, status: Mapping[str, Any]) -> bool:
        """Say whether shop and broker are there, and every machine has said who it is and is ready to be armed."""
        links = {name: link["state"] for name, link in status["links"].items()}
        ready = {one["machine"] for one in status["machines"] if one["now"].get("permits", {}).get("ready")}
        return links.get("mqtt") == links.get("shop:webshop") == "up" and ready >= set(self.wishes.machines)


@asynccontextmanager
async def scene(wishes: Wishes) -> AsyncIterator[Scene]:
    """Start everything but the gateway; leave nothing running."""
    children = {name: _child(name, argv, wishes) for name, argv in _simulations(wishes).items()}
    async with AsyncExitStack() as stack:
        broker_directory = wishes.directory / "broker"
        broker_directory.mkdir(exist_ok=True)
        for child in children.values():
            await stack.enter_async_context(running(child))
        broker = await stack.enter_async_context(local_broker(broker_directory))
        ready = {name: await child.ready() for name, child in children.items()}
        addresses = {
            "mqtt.url": broker,
            "shops.webshop.url": ready["shop"]["url"],
            f"machines.{PRESS}.url": ready[PRESS]["endpoint"],
        }
        if wishes.whole:
            addresses |= {f"machines.{name}.url": f"{ready[name]['url']}/1" for name in (OVEN, TRIMMER)}
        gateway = _child("gateway", _gateway(wishes, addresses), wishes)
        stack.push_async_callback(gateway.stop)
        others = list(children.values())
        if wishes.whole:
            for name, argv in {"person": _person(wishes), "operator": _operator(wishes)}.items():
                others.append(await stack.enter_async_context(running(_child(name, argv, wishes))))
        yield Scene(
            wishes,
            broker=broker,
            shop=ready["shop"]["url"],
            panel=ready[PRESS]["panel"],
            gateway=gateway,
            others=others,
        )


def _child(name: str, argv: Sequence[str], wishes: Wishes) -> Child:
    keys = {"KVOT_SECRET_WEBSHOP_KEY": KEY, "KVOT_SECRET_WEBSHOP_SECRET": SECRET}
    return Child(name, argv, directory=wishes.directory, environment={**OUR_CODE, **keys})


def _simulations(wishes: Wishes) -> dict[str, list[str]]:
    """Give the commands of the shop and the machines that do not exist."""
    shop = [
        *("--waiting", "--orders", str(wishes.orders), "--seed", str(wishes.seed), "--log", str(wishes.shop_log)),
        *("--key", KEY, "--secret", SECRET, "--wares", "all" if wishes.whole else "trays"),
        *(("--with-trouble",) if wishes.trouble else ()),
    ]
    machine = ("--seed", str(wishes.seed), "--panel", "auto")
    found = {
        "shop": _simulate("shop", wishes, *shop),
        PRESS: _simulate("press", wishes, *_named(PRESS, wishes), *machine, *wishes.press),
    }
    if wishes.whole:
        found[OVEN] = _simulate("oven", wishes, *_named(OVEN, wishes), *machine)
        found[TRIMMER] = _simulate("plain", wishes, *_named(TRIMMER, wishes), *machine, "--worked", "2500")
    return found


def _person(wishes: Wishes) -> list[str]:
    """Give the command of the person at the station, who acts over the control socket like anyone."""
    journal = ("--station", STATION, "--journal", str(wishes.journal(STATION)), "--socket", str(wishes.socket))
    return _simulate("person", wishes, *journal, "--seed", str(wishes.seed))


def _operator(wishes: Wishes) -> list[str]:
    """Give the command of who sets the machines up and looks at first pieces."""
    return _simulate("operator", wishes, "--socket", str(wishes.socket), "--seed", str(wishes.seed))


def _named(machine: str, wishes: Wishes) -> tuple[str, ...]:
    return ("--name", machine, "--journal", str(wishes.journal(machine)))


def _simulate(what: str, wishes: Wishes, *arguments: str) -> list[str]:
    epoch = wishes.epoch.isoformat()
    time = ("--speed", str(wishes.speed), "--wall-epoch", epoch, "--business-epoch", epoch)
    return [sys.executable, "-m", f"simulators.{what}", *arguments, *time]


def _call(method: str, url: str, body: Mapping[str, object]) -> dict[str, Any]:
    """Ask a simulator, over its own door."""
    sent = json.dumps(body).encode() if method == "POST" else None
    headers = {"X-Simulator": "1", "Content-Type": "application/json"}
    request = urllib.request.Request(url, sent, headers, method=method)  # noqa: S310 - our own child
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        found = json.loads(answer.read() or b"{}")
        assert isinstance(found, dict)
        return found


def _gateway(wishes: Wishes, addresses: Mapping[str, str]) -> list[str]:
    """Give the command that runs the gateway: the shipped configuration, with this demo's addresses and time."""
    overrides = {
        **addresses,
        "simulation.speed": str(wishes.speed),
        "simulation.wall_epoch": wishes.epoch.isoformat(),
        "simulation.business_epoch": wishes.epoch.isoformat(),
        **wishes.overrides,
    }
    settings = [part for key, value in overrides.items() for part in ("--set", f"{key}={value}")]
    return [*wishes.gateway, "run", "-c", str(wishes.config), "--state-dir", str(wishes.socket.parent), *settings]
