"""`python -m simulators.oven`: serve one oven, say where on stdout, end cleanly on SIGTERM."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from simulators import modbus_program
from simulators.oven.settings import OvenSimulation, Retention


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one oven; print one JSON line when it listens. Give 0, or 2 for arguments that do not fit."""
    arguments = vars(_parser().parse_args(argv))
    return modbus_program.run(
        lambda: OvenSimulation(
            **{
                **arguments,
                "recipes": frozenset(arguments["recipes"]),
                "tools": dict(arguments["tools"]),
            }
        ),
        _serve,
    )


async def _serve(settings: OvenSimulation, stop: asyncio.Event) -> None:
    from simulators.oven.simulation import serve  # noqa: PLC0415 - uvicorn takes 0.3 s

    await serve(settings, ready=modbus_program.say_ready, stop=stop)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulators.oven", description=__doc__)
    default = OvenSimulation(journal=Path())
    modbus_program.add_machine(parser, default)
    add = parser.add_argument
    add("--status-base", type=int, default=default.status_base, help="first register of the status block")
    add("--command-base", type=int, default=default.command_base, help="first register of the command block")
    add("--recipe", dest="recipes", type=int, action="append", default=[], help="a recipe it knows; none given: all")
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
