"""`python -m simulators.plain`: serve one plain machine, say where on stdout, end cleanly on SIGTERM."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from simulators import modbus_program
from simulators.plain.settings import Counters, PlainSimulation, Points


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one plain machine; print one JSON line when it listens. Give 0, or 2 for arguments that do not fit."""
    arguments = vars(_parser().parse_args(argv))
    return modbus_program.run(
        lambda: PlainSimulation(
            **{name: value for name, value in arguments.items() if not name.startswith("at_")},
            points=Points(**{name[3:]: value for name, value in arguments.items() if name.startswith("at_")}),
        ),
        _serve,
    )


async def _serve(settings: PlainSimulation, stop: asyncio.Event) -> None:
    from simulators.plain.simulation import serve  # noqa: PLC0415 - uvicorn takes 0.3 s

    await serve(settings, ready=modbus_program.say_ready, stop=stop)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulators.plain", description=__doc__)
    default = PlainSimulation(journal=Path())
    modbus_program.add_machine(parser, default)
    add = parser.add_argument
    add("--counters", type=Counters, choices=list(Counters), default=default.counters)
    add("--worked", type=int, default=default.worked, help="good pieces counted before its journal began")
    add("--start-clears", action=argparse.BooleanOptionalAction, default=default.start_clears)
    for point in fields(Points):
        help_text = "coil:N, holding:N or holding:N.BIT"
        add(f"--at-{point.name}", dest=f"at_{point.name}", default=getattr(default.points, point.name), help=help_text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
