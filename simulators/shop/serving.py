"""Start a simulated shop: as a program of its own, or inside somebody's event loop."""

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import uvicorn

from simulators.shop.app import Web
from simulators.shop.appeal import Taste
from simulators.shop.artwork import with_artwork
from simulators.shop.coupons import Coupon, Coupons
from simulators.shop.crowd import Crowd, passers
from simulators.shop.customers import Wares, Why, plan
from simulators.shop.faults import Faults
from simulators.shop.oauth import Gate
from simulators.shop.render import Renderer
from simulators.shop.resources import Resources
from simulators.shop.settings import BusinessClock, ShopSimulation, clock_of
from simulators.shop.store import Store
from simulators.shop.values import Order, Write

STOP_WITHIN_S = 2
BACKLOG = 64
_MINDS = "how far the log-odds of buying fall for"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningShop:
    """A shop that is being served. `store` is its state, to be used from the same event loop."""

    url: str
    settings: ShopSimulation
    faults: Faults
    clock: BusinessClock
    state: Store
    coupons: Mapping[int, Coupon]

    @property
    def store(self) -> Store:
        """Give the state as of now: what the customers had to do until now is done."""
        self.state.step(self.clock.now())
        return self.state

    @property
    def orders(self) -> tuple[Order, ...]:
        """Give all orders placed so far, oldest first."""
        return tuple(self.store.orders.values())

    @property
    def writes(self) -> tuple[Write, ...]:
        """Give all writes that came in over REST, oldest first."""
        return tuple(self.state.writes)

    @property
    def placed(self) -> int:
        """Give how many of the planned, paid orders have been placed."""
        return self.store.count(Why.PAID)


@contextlib.asynccontextmanager
async def running_shop(settings: ShopSimulation | None = None, **changes: Any) -> AsyncIterator[RunningShop]:
    """Serve a shop in this event loop while the block runs; `changes` are fields of `ShopSimulation`.

    Without settings it has no customers (`orders=0, unpaid=0`): place orders through `.store.place_order`.
    """
    settings = replace(settings or ShopSimulation(orders=0, unpaid=0), **changes)
    ready: asyncio.Future[RunningShop] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    # No task group here: it would wrap what the block raises, and a failed test would hide its reason.
    serving = asyncio.create_task(_serve(settings, ready.set_result, stop), name="simulated shop")
    try:
        await asyncio.wait((serving, ready), return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            yield ready.result()
    finally:
        stop.set()
        await serving


async def serve(settings: ShopSimulation, *, ready: Callable[[str], None]) -> None:
    """Serve a shop until the task is cancelled; call `ready` with its address as soon as it listens."""
    await _serve(settings, lambda shop: ready(shop.url), asyncio.Event())


def main(argv: Sequence[str] | None = None) -> int:
    """Serve a shop until SIGTERM or SIGINT; say in one JSON line on stdout when it listens."""
    try:
        settings = _settings(argv)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    asyncio.run(_until_signalled(settings))
    return 0


async def _until_signalled(settings: ShopSimulation) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def announce(shop: RunningShop) -> None:
        line = {"ready": True, "url": shop.url, "placed_target": settings.orders}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    await _serve(settings, announce, stop)


async def _serve(settings: ShopSimulation, ready: Callable[[RunningShop], None], stop: asyncio.Event) -> None:
    """Serve until `stop` is set or the task is cancelled; either way the socket is closed afterwards."""
    with _listener(settings) as listener:
        shop, web = _shop(settings, listener.getsockname()[1])
        server = _Server(
            uvicorn.Config(
                web.app(),
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                date_header=False,  # the shop's clock is business time
                server_header=False,
                proxy_headers=False,  # whether a proxy is believed is the shop's own setting
                ssl_certfile=settings.tls_cert,
                ssl_keyfile=settings.tls_key,
                timeout_graceful_shutdown=STOP_WITHIN_S,
            ),
            lambda: ready(shop),
        )
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve([listener]), name="web server of the shop")
            stopping = tasks.create_task(stop.wait(), name="stop of the shop")
            try:
                await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            finally:
                # A cancelled server would leave connections open, so it is asked to end; that takes 2 s at most.
                server.should_exit = True
                stopping.cancel()
                await asyncio.wait((serving,))


def _listener(settings: ShopSimulation) -> socket.socket:
    """Open the socket. With the protocol named, asyncio sets TCP_NODELAY; without, each answer takes 40 ms more."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


class _Server(uvicorn.Server):
    """A server that says when it listens and leaves the signals to its surroundings."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _shop(settings: ShopSimulation, port: int) -> tuple[RunningShop, Web]:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"{'https' if settings.tls_cert else 'http'}://{host}:{port}"
    clock, faults = clock_of(settings), Faults()
    now = clock.now()
    visits = plan(
        seed=settings.seed,
        orders=settings.orders,
        unpaid=settings.unpaid,
        trouble=settings.with_trouble,
        within=settings.within,
        wares=settings.wares,
    )
    visitors = passers(seed=settings.seed, orders=settings.orders, within=settings.within, taste=settings.taste)
    store = Store(
        crowd=Crowd(with_artwork(visits, url) if settings.artwork else visits, visitors, settings.taste),
        now=now,
        opens_at=None if settings.waiting else now,
        hpos=settings.hpos,
        seed=settings.seed,
    )
    renderer = Renderer(site_url=settings.site_url or url, zone=ZoneInfo(settings.timezone))
    resources = Resources(store=store, renderer=renderer, faults=faults, site_name=settings.site_name)
    coupons = Coupons(store, renderer)
    web = Web(
        settings=settings,
        clock=clock,
        store=store,
        faults=faults,
        gate=Gate(key=settings.key, secret=settings.secret),
        resources=resources,
        coupons=coupons,
    )
    return RunningShop(url=url, settings=settings, faults=faults, clock=clock, state=store, coupons=coupons.all), web


def _settings(argv: Sequence[str] | None) -> ShopSimulation:
    arguments = vars(_parser().parse_args(argv))
    arguments["within"] = timedelta(minutes=arguments.pop("within_min"))
    slopes = {name: arguments.pop(name) for name in ("price_slope_percent", "lead_slope_percent")}
    arguments["taste"] = Taste(**slopes)
    return ShopSimulation(**arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulators.shop", description="A simulated WooCommerce shop.")
    known = ShopSimulation()
    add = parser.add_argument
    add("--host", default=known.host, help="loopback address")
    add("--port", type=int, default=0, help="0 takes a free one")
    add("--orders", type=int, default=known.orders, help="paid orders the customers place")
    add("--unpaid", type=int, default=known.unpaid, help="orders on top that are never paid")
    add("--within-min", type=float, default=60.0, help="business minutes in which they are placed")
    add("--wares", type=Wares, choices=list(Wares), default=known.wares, help="trays alone, or the whole range")
    add("--artwork", action="store_true", help="trays carry the address of a picture (artwork_url)")
    add("--price-slope-percent", type=float, default=known.taste.price_slope_percent, help=f"{_MINDS} a dearer percent")
    add("--lead-slope-percent", type=float, default=known.taste.lead_slope_percent, help=f"{_MINDS} a later percent")
    add("--with-trouble", action="store_true", help="add an unknown article and a bad width")
    add("--seed", type=int, default=known.seed)
    add("--waiting", action="store_true", help="customers begin at POST /_simulator/customers")
    add("--speed", type=float, default=known.speed, help="business seconds per second")
    add("--wall-epoch", type=_time, help="ISO 8601 or seconds since 1970")
    add("--business-epoch", type=_time, help="business time at the wall epoch")
    add("--key", default=known.key)
    add("--secret", default=known.secret)
    add("--hpos", action=argparse.BooleanOptionalAction, default=True, help="metadata moves date_modified")
    add("--tls-cert", type=Path)
    add("--tls-key", type=Path)
    add("--behind-proxy", action="store_true", help="believe X-Forwarded-Proto")
    add("--site-url", help="the address the shop says it has")
    add("--site-name", default=known.site_name)
    add("--timezone", default=known.timezone)
    add("--log", type=Path, help="file that gets a JSON line per write")
    return parser


def _time(text: str) -> datetime:
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except ValueError:
        return datetime.fromisoformat(text)
