"""`python -m simulators.press`: serve one press, say where on stdout, end cleanly on SIGTERM."""

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from simulators import program
from simulators.press.settings import Duplicates, Memory, Methods, PressSimulation


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one press; print one JSON line when it listens. Give 0, or 2 for arguments that do not fit."""
    arguments = vars(_parser().parse_args(argv))
    try:
        settings = PressSimulation(**arguments)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: PressSimulation) -> None:
    from simulators.press.simulation import RunningPress, serve  # noqa: PLC0415 - asyncua takes 0.7 s

    def ready(running: RunningPress) -> None:
        gc.freeze()  # the address space stays for good
        program.say_ready(endpoint=running.endpoint, panel=running.panel_url, fingerprint=running.fingerprint)

    await program.until_signalled(lambda stop: serve(settings, ready=ready, stop=stop))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulators.press", description=__doc__)
    default = PressSimulation(journal=Path())
    program.add_time(parser, default)
    program.add_panel(parser, panel=default.panel, person_s=default.person_s)
    add = parser.add_argument
    add("--name", default=default.name)
    add("--port", type=int, default=0, help="OPC UA port, 0: any")
    add("--cycle-s", type=float, default=default.cycle_s, help="business seconds a cycle takes")
    add("--setup-s", type=float, default=default.setup_s, help="business seconds a change of work master takes")
    add("--pieces-per-cycle", type=int, default=default.pieces_per_cycle)
    add("--scrap-rate", type=float, default=default.scrap_rate, help="share of pieces that are scrap")
    add("--seed", type=int, default=default.seed)
    add("--tool", default=default.tool, help="code of the tool fitted")
    add("--max-jobs", type=int, default=default.max_jobs, help="MaxDownloadableJobOrders")
    add("--extras", type=int, default=0, help="further values, each of which follows the cycles")
    add("--may-start-itself", action=argparse.BooleanOptionalAction, default=default.may_start_itself)
    add("--memory", type=Memory, choices=list(Memory), default=default.memory)
    add("--state-file", type=Path, default=None, help="file of a persistent memory; default beside the journal")
    add("--duplicates", type=Duplicates, choices=list(Duplicates), default=default.duplicates)
    add("--methods", type=Methods, choices=list(Methods), default=default.methods)
    add("--namespace-shift", type=int, default=0, help="dummy namespaces before the real ones")
    add("--secure", type=Path, default=None, help="directory of the certificate; offers only SignAndEncrypt")
    return parser


if __name__ == "__main__":
    sys.exit(main())
