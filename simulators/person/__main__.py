"""`python -m simulators.person`: work at one station, say so on stdout, end cleanly on SIGTERM."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from simulators import program
from simulators.person.settings import PersonSimulation
from simulators.person.working import work


def main(argv: Sequence[str] | None = None) -> int:
    """Work until SIGTERM; print one JSON line at the start. Give 0, or 2 for arguments that do not fit."""
    try:
        settings = PersonSimulation(**vars(_parser().parse_args(argv)))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: PersonSimulation) -> None:
    async def day(stop: asyncio.Event) -> None:
        program.say_ready(station=settings.station, socket=str(settings.socket))
        await work(settings, stop)

    await program.until_signalled(day)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulators.person", description=__doc__)
    default = PersonSimulation(socket=Path(), station="", journal=Path())
    program.add_time(parser, default)
    add = parser.add_argument
    add("--socket", type=Path, required=True, help="the gateway's control socket; it may come later, and go")
    add("--station", required=True, help="the station's name in the gateway")
    add("--journal", type=Path, required=True, help="file of what the hands have done, appended to")
    add("--cycle-s", type=float, default=default.cycle_s, help="business seconds a piece takes")
    add("--scrap-rate", type=float, default=default.scrap_rate, help="share of pieces that are scrap")
    add("--scrap-reason", default=default.scrap_reason)
    add("--seed", type=int, default=default.seed)
    add("--look-s", type=float, default=default.look_s, help="seconds between two looks at an empty board")
    return parser


if __name__ == "__main__":
    sys.exit(main())
