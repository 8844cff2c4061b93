"""`python -m simulators.operator`: walk the rounds of one factory, say so on stdout, end cleanly on SIGTERM."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from simulators import program
from simulators.operator.rounds import Operator
from simulators.operator.settings import OperatorSimulation


def main(argv: Sequence[str] | None = None) -> int:
    """Work until SIGTERM; print one JSON line at the start. Give 0, or 2 for arguments that do not fit."""
    try:
        settings = OperatorSimulation(**vars(_parser().parse_args(argv)))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: OperatorSimulation) -> None:
    async def day(stop: asyncio.Event) -> None:
        program.say_ready(socket=str(settings.socket))
        await Operator(settings, stop).work()

    await program.until_signalled(day)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulators.operator", description=__doc__)
    default = OperatorSimulation(socket=Path())
    program.add_time(parser, default)
    add = parser.add_argument
    add("--socket", type=Path, required=True, help="the gateway's control socket; it may come later, and go")
    add("--setup-s", type=float, default=default.setup_s, help="business seconds that a set-up takes")
    add("--judge-s", type=float, default=default.judge_s, help="business seconds that a first piece is looked at")
    add("--reject-rate", type=float, default=default.reject_rate, help="share of first pieces that are scrap")
    add("--reason", default=default.reason, help="why they are")
    add("--seed", type=int, default=default.seed)
    add("--look-s", type=float, default=default.look_s, help="seconds between two looks at what is to do")
    return parser


if __name__ == "__main__":
    sys.exit(main())
