"""The demo's factory: broker, shop, press and gateway as children, and what a person does there."""

import asyncio
import json
import math
import os
import sys
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.cli.client import AskError, ask
from gateway.cli.demo.children import Child, running
from gateway.uplink.broker import local_broker

KEY, SECRET = "ck_demo", "cs_demo"
MACHINE = "press-1"
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
    grace_s: float = 60.0  # beyond the customers' time, before the verdict is taken as it is
    epoch: datetime  # when the demo's business time begins, in both times

    @property
    def kill_after(self) -> int | None:
        """Give the number of orders that must be placed before the kill."""
        return None if self.kill_at is None else max(1, math.ceil(self.kill_at * self.orders))

    @property
    def journal(self) -> Path:
        """Give the press's own record of what really moved."""
        return self.directory / f"{MACHINE}.journal"

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
        await self.ask("POST", f"/api/v1/machines/{MACHINE}/arm", json={"level": "start"})
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
                status = await self.status()
                links = {} if status is None else {name: link["state"] for name, link in status["links"].items()}
                if all(links.get(name) == "up" for name in ("mqtt", "shop:webshop", f"machine:{MACHINE}")):
                    return
                await asyncio.sleep(0.1)


@asynccontextmanager
async def scene(wishes: Wishes) -> AsyncIterator[Scene]:
    """Start everything but the gateway; leave nothing running."""
    time = (
        "--speed",
        str(wishes.speed),
        "--wall-epoch",
        wishes.epoch.isoformat(),
        "--business-epoch",
        wishes.epoch.isoformat(),
    )
    shop_argv = [
        *_simulate("shop"),
        *("--waiting", "--orders", str(wishes.orders), "--seed", str(wishes.seed), "--log", str(wishes.shop_log)),
        *("--key", KEY, "--secret", SECRET, *time, *(("--with-trouble",) if wishes.trouble else ())),
    ]
    press_argv = [
        *_simulate("press"),
        *("--name", MACHINE, "--journal", str(wishes.journal), "--seed", str(wishes.seed), "--panel", "auto"),
        *time,
        *wishes.press,
    ]
    shop = Child("shop", shop_argv, directory=wishes.directory, environment=_SAFE)
    press = Child("press", press_argv, directory=wishes.directory, environment=_SAFE)
    async with AsyncExitStack() as stack:
        broker_directory = wishes.directory / "broker"
        broker_directory.mkdir(exist_ok=True)
        for child in (shop, press):
            await stack.enter_async_context(running(child))
        broker = await stack.enter_async_context(local_broker(broker_directory))
        shop_ready, press_ready = await shop.ready(), await press.ready()
        gateway = Child(
            "gateway",
            _gateway(wishes, broker=broker, shop=shop_ready["url"], press=press_ready["endpoint"]),
            directory=wishes.directory,
            environment={**_SAFE, "KVOT_SECRET_WEBSHOP_KEY": KEY, "KVOT_SECRET_WEBSHOP_SECRET": SECRET},
        )
        stack.push_async_callback(gateway.stop)
        yield Scene(
            wishes,
            broker=broker,
            shop=shop_ready["url"],
            panel=press_ready["panel"],
            gateway=gateway,
            others=(shop, press),
        )


def _call(method: str, url: str, body: Mapping[str, object]) -> dict[str, Any]:
    """Ask a simulator, over its own door."""
    sent = json.dumps(body).encode() if method == "POST" else None
    headers = {"X-Simulator": "1", "Content-Type": "application/json"}
    request = urllib.request.Request(url, sent, headers, method=method)  # noqa: S310 - our own child
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        found = json.loads(answer.read() or b"{}")
        assert isinstance(found, dict)
        return found


_SAFE = {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _simulate(what: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"simulators.{what}")


def _gateway(wishes: Wishes, *, broker: str, shop: str, press: str) -> list[str]:
    """Give the command that runs the gateway: the shipped configuration, with this demo's addresses and time."""
    overrides = {
        "mqtt.url": broker,
        "shops.webshop.url": shop,
        f"machines.{MACHINE}.url": press,
        "simulation.speed": str(wishes.speed),
        "simulation.wall_epoch": wishes.epoch.isoformat(),
        "simulation.business_epoch": wishes.epoch.isoformat(),
    }
    settings = [part for key, value in overrides.items() for part in ("--set", f"{key}={value}")]
    return [*wishes.gateway, "run", "-c", str(wishes.config), "--state-dir", str(wishes.socket.parent), *settings]
