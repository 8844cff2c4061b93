"""`python -m simulators.plain`: serve one plain machine, say where on stdout, end cleanly on SIGTERM."""

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from simulators import program
from simulators.plain.settings import Counters, PlainSimulation, Points
from simulators.tally import Counts
from simulators.words import WordOrder


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one plain machine; print one JSON line when it listens. Give 0, or 2 for arguments that do not fit."""
    arguments = vars(_parser().parse_args(argv))
    try:
        settings = PlainSimulation(
            **{name: value for name, value in arguments.items() if not name.startswith("at_")},
            points=Points(**{name[3:]: value for name, value in arguments.items() if name.startswith("at_")}),
        )
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: PlainSimulation) -> None:
    from simulators.plain.simulation import RunningPlain, serve  # noqa: PLC0415 - uvicorn takes 0.3 s

    def ready(running: RunningPlain) -> None:
        gc.freeze()
        program.say_ready(url=running.url, panel=running.panel_url)

    await program.until_signalled(lambda stop: serve(settings, ready=ready, stop=stop))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulators.plain", description=__doc__)
    default = PlainSimulation(journal=Path())
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
    add("--counters", type=Counters, choices=list(Counters), default=default.counters)
    add("--start-clears", action=argparse.BooleanOptionalAction, default=default.start_clears)
    for point in fields(Points):
        help_text = "coil:N, holding:N or holding:N.BIT"
        add(f"--at-{point.name}", dest=f"at_{point.name}", default=getattr(default.points, point.name), help=help_text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
