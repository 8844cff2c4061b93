"""`kvot demo`: the verb, its options, and how its verdict is printed."""

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gateway.cli import exits
from gateway.cli.client import fail
from gateway.cli.output import Output, OutputOption, show

if TYPE_CHECKING:
    from gateway.cli.demo.play import Show
    from gateway.cli.demo.scene import Wishes

CompareOption = Annotated[
    bool,
    typer.Option(
        "--compare-policies",
        help="With --once: the same customers under distance, then under countdown, and what each earned.",
    ),
]


def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End by itself with a verdict; exit 0 only if all is right.")
    ] = False,
    orders: Annotated[int, typer.Option(min=1, max=2000, help="Orders the customers place.")] = 40,
    speed: Annotated[float, typer.Option(min=0.1, max=1000, help="Business seconds per second.")] = 60,
    seed: Annotated[int, typer.Option(help="Decides what customers order, and when.")] = 7,
    kill_at: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Kill the gateway once this share of orders is placed and a job is running."),
    ] = None,
    with_trouble: Annotated[
        bool, typer.Option("--with-trouble", help="Add an unknown article and a bad width.")
    ] = False,
    only_press: Annotated[
        bool, typer.Option("--only-press", help="The smallest factory: a press that makes to order, and nothing else.")
    ] = False,
    compare_policies: CompareOption = False,
    keep: Annotated[Path | None, typer.Option(help="Keep journals, logs and the ledger in this directory.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Play a whole factory on this computer: shop, press, broker and gateway."""
    if compare_policies and (only_press or not once):
        fail(exits.USAGE, "--compare-policies goes with --once, and with the whole factory: only the oven has prices")
    from gateway.cli.demo.children import ChildError  # noqa: PLC0415 - `--help` must not pay for it
    from gateway.cli.demo.play import perform  # noqa: PLC0415
    from gateway.cli.demo.scene import Wishes  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from gateway.settings import shipped  # noqa: PLC0415

    with _directory(keep) as directory, _live() as picture:
        wishes = Wishes(
            orders=orders,
            speed=speed,
            seed=seed,
            kill_at=kill_at,
            trouble=with_trouble,
            directory=directory,
            whole=not only_press,
            config=shipped("demo/kvot.yaml" if only_press else "demo/full.yaml"),
            epoch=SystemClock().now().replace(microsecond=0),
        )
        _say(wishes, many=compare_policies)
        try:
            if compare_policies:
                _compared(wishes, picture, output)
            verdict = asyncio.run(perform(wishes, once=once, show=picture))
        except (ChildError, TimeoutError) as fault:
            fail(exits.FAILURE, f"the demo could not go on: {fault or 'the gateway did not come up'}")
    if verdict is None:
        return
    broken = asdict(verdict).pop("broken")
    show(verdict.summary(), output)
    for relation in broken:
        typer.echo(f"does not hold: {relation}", err=True)
    raise typer.Exit(exits.OK if verdict.clean else exits.FAILURE)


def _compared(wishes: "Wishes", picture: "Show", output: Output) -> NoReturn:
    """Play it once under each policy, say what each earned, and end."""
    from gateway.cli.demo.compare import COLUMNS, compare, rows  # noqa: PLC0415

    found = asyncio.run(compare(wishes, show=picture, say=lambda line: typer.echo(line, err=True)))
    if output is Output.TABLE:
        show(rows(found), output, COLUMNS)
    else:
        show({"policies": rows(found), "verdicts": {one.policy: one.verdict.summary() for one in found}}, output)
    for one in found:
        for relation in one.verdict.broken:
            typer.echo(f"does not hold with {one.policy}: {relation}", err=True)
    raise typer.Exit(exits.OK if all(one.verdict.clean for one in found) else exits.FAILURE)


def _say(wishes: "Wishes", *, many: bool) -> None:
    machines = "a press, an oven, a trimmer, a packing station" if wishes.whole else "a press"
    typer.echo(f"starting a broker, a shop, {machines} and the gateway on this computer", err=True)
    if not many:
        typer.echo(f"ask it meanwhile: kvot status --socket {wishes.socket}", err=True)


@contextlib.contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    """Give a directory with a short path, since a socket's path is bounded; remove it unless it is to be kept."""
    if keep is not None:
        if keep.exists() and any(keep.iterdir()):
            fail(exits.USAGE, f"--keep {keep}: the directory is not empty, and a demo begins with nothing")
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    directory = Path(tempfile.mkdtemp(prefix="kvot-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _live() -> "Iterator[Show]":
    """Draw on stderr where somebody looks; stdout is the answer's."""
    if not sys.stderr.isatty():
        yield lambda _moment: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415

    from gateway.cli.demo.table import picture  # noqa: PLC0415

    with Live(console=Console(stderr=True), refresh_per_second=4) as live:
        yield lambda moment: live.update(picture(moment))
