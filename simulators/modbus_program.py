"""A simulated Modbus machine as a process: the arguments that all such machines have, and its life."""

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from simulators import program
from simulators.tally import Counts
from simulators.words import WordOrder

SettingsT = TypeVar("SettingsT")


class Listening(Protocol):
    """A machine that listens."""

    @property
    def url(self) -> str:
        """Give where its registers are."""
        ...

    @property
    def panel_url(self) -> str:
        """Give where its panel is."""
        ...


def run(read: Callable[[], SettingsT], serve: Callable[[SettingsT, asyncio.Event], Awaitable[None]]) -> int:
    """Read the settings and serve until told to stop. Give 0, or 2 where `read` raises `ValueError`."""
    try:
        settings = read()
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(program.until_signalled(lambda stop: serve(settings, stop)))
    return 0


def say_ready(running: Listening) -> None:
    """Print the one JSON line that says where the machine listens."""
    gc.freeze()
    program.say_ready(url=running.url, panel=running.panel_url)


def add_machine(parser: argparse.ArgumentParser, default: Any) -> None:
    """Add the arguments that all Modbus machines have; `default`: settings, whose values they begin with."""
    program.add_time(parser, default)
    program.add_panel(parser, panel=default.panel, person_s=default.person_s)
    add = parser.add_argument
    add("--name", default=default.name)
    add("--port", type=int, default=0, help="Modbus TCP port, 0: any")
    add("--unit", type=int, default=default.unit)
    add("--word-order", type=WordOrder, choices=list(WordOrder), default=default.word_order)
    add("--one-connection", action="store_true", help="turn a second client away")
    add("--scan-s", type=float, default=default.scan_s, help="seconds between two scans")
    add("--cycle-s", type=float, default=default.cycle_s, help="business seconds a cycle takes")
    add("--pieces-per-cycle", type=int, default=default.pieces_per_cycle)
    add("--counts", type=Counts, choices=list(Counts), default=default.counts, help="what quantities count")
    add("--scrap-rate", type=float, default=default.scrap_rate, help="share of pieces that are scrap")
    add("--seed", type=int, default=default.seed)
    add("--tool", type=int, default=default.tool, help="number of the tool fitted, 0: not known")
