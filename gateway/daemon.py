"""Supervises everything: one TaskGroup, signals, readiness, watchdog."""

import asyncio
import gc
import signal
from pathlib import Path
from typing import NoReturn

import structlog

from gateway import __version__, sdnotify
from gateway.api.app import create_app
from gateway.api.serve import control_socket, serve
from gateway.house import House
from gateway.ledger.database import open_ledger
from gateway.settings import Settings
from gateway.stages.board import Board

MEGABYTE = 1024 * 1024


class _StopAskedError(Exception):
    """SIGTERM or SIGINT came: leave in order."""


async def run(settings: Settings, *, state_dir: Path, socket: Path) -> None:
    """Run the gateway until SIGTERM; raise what no stage can survive, so that the restart recovers.

    A machine, shop or broker that is away is a state, never a reason not to start.
    """
    log = structlog.get_logger("kvot")
    clock = settings.clock()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    commit_s = settings.ledger.commit_interval_ms / 1000
    async with open_ledger(
        state_dir,
        site=settings.site.id,
        commit_interval_s=commit_s,
        batch=settings.ledger.batch,
        ballast_bytes=settings.ledger.ballast_mb * MEGABYTE,
    ) as ledger:
        board = Board()
        house = House(settings, state_dir=state_dir, ledger=ledger, board=board, clock=clock, log=log)
        desk = house.desk()
        with control_socket(socket) as bound:
            async with house.shops() as shops, house.spool() as spool, house.carriers() as carriers:
                await ledger.write(house.enrol)
                try:
                    async with asyncio.TaskGroup() as group:
                        house.start(group, shops, spool)
                        for name, run in carriers.items():
                            group.create_task(run(), name=name)
                        group.create_task(serve(create_app(desk), bound), name="api")
                        group.create_task(house.pulse(), name="pulse")
                        group.create_task(_stopped(stop), name="stop")
                        gc.freeze()  # what was loaded lives as long as we do: no collection looks at it again
                        sdnotify.notify_ready(f"{len(shops)} shops, {len(settings.machines)} machines")
                        log.info(
                            "gateway running",
                            version=__version__,
                            site=ledger.site,
                            boot=ledger.boot,
                            socket=str(socket),
                        )
                except* _StopAskedError:
                    sdnotify.notify_stopping()
                    log.info("gateway stopping")


async def _stopped(stop: asyncio.Event) -> NoReturn:
    await stop.wait()
    raise _StopAskedError
