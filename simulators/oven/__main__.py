"""`python -m simulators.oven`: serve one oven, say where on stdout, end cleanly on SIGTERM."""

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from simulators import program
from simulators.oven.settings import OvenSimulation, Retention
from simulators.tally import Counts
from simulators.words import WordOrder


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one oven; print one JSON line when it listens. Give 0, or 2 for arguments that do not fit."""
    arguments = vars(_parser().parse_args(argv))
    try:
        settings = OvenSimulation(
            **{
                **arguments,
                "recipes": frozenset(arguments["recipes"]),
                "tools": dict(arguments["tools"]),
            }
        )
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: OvenSimulation) -> None:
    from simulators.oven.simulation import RunningOven, serve  # noqa: PLC0415 - uvicorn takes 0.3 s

    def ready(running: RunningOven) -> None:
        gc.freeze()
        program.say_ready(url=running.url, panel=running.panel_url)

    await program.until_signalled(lambda stop: serve(settings, ready=ready, stop=stop))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulators.oven", description=__doc__)
    default = OvenSimulation(journal=Path())
    program.add_time(parser, default)
    program.add_panel(parser, panel=default.panel, person_s=default.person_s)
    add = parser.add_argument
    add("--name", default=default.name)
    add("--port", type=int, default=0, help="Modbus TCP port, 0: any")
    add("--unit", type=int, default=default.unit)
    add("--status-base", type=int, default=default.status_base, help="first register of the status block")
    add("--command-base", type=int, default=default.command_base, help="first register of the command block")
    add("--word-order", type=WordOrder, choices=list(WordOrder), default=default.word_order)
    add("--one-connection", action="store_true", help="turn a second client away")
    add("--scan-s", type=float, default=default.scan_s, help="seconds between two scans")
    add("--cycle-s", type=float, default=default.cycle_s, help="business seconds a cycle takes")
    add("--pieces-per-cycle", type=int, default=default.pieces_per_cycle)
    add("--counts", type=Counts, choices=list(Counts), default=default.counts, help="what quantities count")
    add("--scrap-rate", type=float, default=default.scrap_rate, help="share of pieces that are scrap")
    add("--seed", type=int, default=default.seed)
    add("--recipe", dest="recipes", type=int, action="append", default=[], help="a recipe it knows; none given: all")
    add("--tool", type=int, default=default.tool, help="number of the tool fitted, 0: not known")
    add("--tool-for", dest="tools", type=_pair, action="append", default=[], help="RECIPE=TOOL that it needs")
    add("--setup-s", type=float, default=default.setup_s, help="business seconds the simulated person needs for a tool")
    add("--may-start-itself", action=argparse.BooleanOptionalAction, default=default.may_start_itself)
    add("--retention", type=Retention, choices=list(Retention), default=default.retention)
    add("--save-every-s", type=float, default=default.save_every_s, help="seconds by which a lagging memory lags")
    add("--state-file", type=Path, default=None, help="file of the retentive memory; default beside the journal")
    add("--commands-kept", action="store_true", help="the command block is retentive too")
    return parser


def _pair(text: str) -> tuple[int, int]:
    recipe, _, tool = text.partition("=")
    return int(recipe), int(tool)


if __name__ == "__main__":
    sys.exit(main())
