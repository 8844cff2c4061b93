"""`kvot bench`: its verbs and options, and how what was found is printed."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exits
from gateway.cli.client import fail
from gateway.cli.output import Output, OutputOption, show

if TYPE_CHECKING:
    from gateway.cli.bench.figures import Figures

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
RoundsOption = Annotated[int, typer.Option(min=1, max=100, help="How often each way is gone, in turn.")]
DiskOption = Annotated[
    Path | None,
    typer.Option("--disk", help="A directory on the disk to measure (default: that of the state directory)."),
]
CheckOption = Annotated[bool, typer.Option("--check", help="Exit 1 when a median misses its goal.")]


@app.command()
def ledger(
    *,
    orders: Annotated[int, typer.Option(min=1, max=1_000_000, help="Orders of one line, each way.")] = 2000,
    callers: Annotated[int, typer.Option(min=1, max=1000, help="Orders that come at once.")] = 20,
    rounds: RoundsOption = 3,
    disk: DiskOption = None,
    check: CheckOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Take orders: lines a second and p99 of one, beside a plain script's transactions and the bare disk."""
    from gateway.cli.bench import taking  # noqa: PLC0415 - `--help` must not pay for it

    wishes = taking.Wishes(orders=orders, callers=callers, rounds=rounds, directory=_directory(disk))
    _measure(lambda: taking.measure(wishes, _say), check=check, output=output)


@app.command()
def dispatch(
    *,
    orders: Annotated[int, typer.Option(min=1, max=10_000, help="Orders for each machine and round.")] = 20,
    rounds: RoundsOption = 3,
    disk: DiskOption = None,
    check: CheckOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Time from an order's commit to the first byte at an idle machine: a press and an oven that do not exist."""
    from gateway.cli.bench import dispatching  # noqa: PLC0415 - `--help` must not pay for it

    wishes = dispatching.Wishes(orders=orders, rounds=rounds, directory=_directory(disk))
    _measure(lambda: _played(dispatching.measure(wishes, _say)), check=check, output=output)


@app.command()
def neighbours(
    *,
    orders: Annotated[int, typer.Option(min=1, max=10_000, help="Orders for each good machine and round.")] = 20,
    rounds: RoundsOption = 3,
    disk: DiskOption = None,
    check: CheckOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Jobs a second of two good machines beside a frozen, a black-holed and a flapping one, and without them."""
    from gateway.cli.bench import neighbours as beside  # noqa: PLC0415 - `--help` must not pay for it

    wishes = beside.Wishes(orders=orders, rounds=rounds, directory=_directory(disk))
    _measure(lambda: _played(beside.measure(wishes, _say)), check=check, output=output)


def _measure(bench: "Callable[[], Figures]", *, check: bool, output: Output) -> None:
    from gateway.cli.bench.figures import COLUMNS  # noqa: PLC0415
    from gateway.log import configure_logging  # noqa: PLC0415

    configure_logging(level="error", format="text")
    figures = bench()
    busy = ", ".join(f"{load:.1f}" for load in figures.loads)
    _say(f"load average after each round: {busy}; only ratios of one run mean something on a busy computer")
    if output is Output.TABLE:
        show(figures.rows(), output, COLUMNS)
    else:
        show(figures.answer(), output)
    if check and not figures.kept:
        raise typer.Exit(exits.FAILURE)


def _played(bench: "Coroutine[Any, Any, Figures]") -> "Figures":
    """Run a bench with children; say in one line why it could not go on."""
    from gateway.cli.demo.children import ChildError  # noqa: PLC0415

    found: list[Figures] = []
    try:
        found.append(asyncio.run(bench))
    except* (ChildError, TimeoutError) as faults:
        text = "; ".join(str(fault) or "a job was not made in time" for fault in _leaves(faults))
        fail(exits.FAILURE, f"the bench could not go on: {text}")
    return found[0]


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for one in group.exceptions:
        found += _leaves(one) if isinstance(one, BaseExceptionGroup) else [one]
    return found


def _directory(disk: Path | None) -> Path:
    """Give a directory on the disk to be measured: the nearest one above the state directory that exists."""
    from gateway import places  # noqa: PLC0415

    wanted = (disk or places.state_dir(None)).resolve()
    if disk is not None and not disk.is_dir():
        fail(exits.USAGE, f"--disk {disk}: there is no such directory")
    return next(place for place in (wanted, *wanted.parents) if place.is_dir())


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
