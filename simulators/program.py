"""A simulator as a process: arguments that all have, one ready line on stdout, a clean end on SIGTERM."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

from simulators.controls import Panel
from simulators.timing import Pace


def add_time(parser: argparse.ArgumentParser, default: Pace) -> None:
    """Add the arguments that say how business time passes."""
    add = parser.add_argument
    add("--speed", type=float, default=default.speed, help="business seconds in one second")
    add("--wall-epoch", type=_instant, default=default.wall_epoch, help="ISO instant, default: now")
    add("--business-epoch", type=_instant, default=default.business_epoch, help="business time then, default: now")


def add_panel(parser: argparse.ArgumentParser, *, panel: Panel, person_s: float) -> None:
    """Add the arguments of the journal and of whoever stands at the panel."""
    add = parser.add_argument
    add("--journal", type=Path, required=True, help="file of the physical events, appended to")
    add("--panel-port", type=int, default=0, help="HTTP port of the panel, 0: any")
    add("--panel", type=Panel, choices=list(Panel), default=panel)
    add("--person-s", type=float, default=person_s, help="seconds the simulated person takes")


async def until_signalled(serve: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Serve until SIGTERM or SIGINT; `serve` gets the event that tells it to end."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(stop)


def say_ready(**where: object) -> None:
    """Print the one line that tells the parent process where everything is."""
    sys.stdout.write(json.dumps({"ready": True, **where}) + "\n")
    sys.stdout.flush()


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} names no time zone")
    return instant
