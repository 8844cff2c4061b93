"""`kvot probe`: prove what a machine remembers or shows, before it is sent work."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from gateway.cli import exits
from gateway.cli.client import fail, get, post
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, cell, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
Machine = Annotated[str, typer.Argument(help="Its name under machines: in kvot.yaml.")]
PowerCycle = Annotated[
    bool, typer.Option("--power-cycle", help="Prove the memory too: you cut the machine's power when asked.")
]
Recipe = Annotated[str | None, typer.Option(help="The recipe that goes down; default: the first by name.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
_LOOK_S = 0.2
_CODES = {"proven": exits.OK, "refuted": exits.FAILURE}


@app.command("machine")
def probe_machine(  # noqa: PLR0917 - options, which are given by name
    machine: Machine,
    power_cycle: PowerCycle = False,  # noqa: FBT002
    recipe: Recipe = None,
    yes: Yes = False,  # noqa: FBT002
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Prove the effect level of a machine that is not armed: one job goes down twice and is never started.

    A machine without memory of jobs is only watched, while a person runs one cycle at its panel.
    """
    path = f"/api/v1/machines/{machine}/probe"
    asked: dict[str, object] = {"power_cycle": power_cycle, "recipe": recipe}
    _agree(get(f"{path}/plan", query=asked, socket=socket, state=state_dir), yes=yes)
    begun = post(path, asked, socket=socket, state=state_dir)
    try:
        ended = asyncio.run(_follow(lambda: get(path, socket=socket, state=state_dir), begun["probe_id"]))
    except KeyboardInterrupt:
        _stop(path, socket=socket, state=state_dir)
    if output is not Output.TABLE:
        show(ended, output)
    _conclude(ended)


@app.command("show")
def show_probe(
    machine: Machine, socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Show the newest probe of a machine with everything it sent."""
    found = get(f"/api/v1/machines/{machine}/probe", socket=socket, state=state_dir)
    if output is not Output.TABLE:
        show(found, output)
        return
    commands = found.pop("commands")
    show(found, output)
    show(commands, output, ("kind", "attempt", "intended_at", "settlement", "evidence"))


@app.command("stop")
def stop_probe(machine: Machine, socket: SocketOption = None, state_dir: StateOption = None) -> None:
    """End a probe before its time: its job is taken back from the machine."""
    post(f"/api/v1/machines/{machine}/probe/stop", {}, socket=socket, state=state_dir)
    typer.echo(f"the probe of {machine} ends; `kvot probe show {machine}` says when the machine is clean", err=True)


def _agree(plan: Any, *, yes: bool) -> None:
    """Show what will be written where, and ask once."""
    _say(f"{plan['machine']} at {plan['endpoint']}: {plan['identity']}")
    _say(f"its profile says: effect {plan['effect']}, memory {plan['memory']}")
    for text in plan["writes"] or ["nothing is written"]:
        _say(f"  Kvot   {text}")
    for text in plan["people"]:
        _say(f"  people {text}")
    if yes:
        return
    if not sys.stdin.isatty():
        fail(exits.USAGE, "nobody can be asked here: give --yes once people at the machine know")
    if not typer.confirm("begin?", err=True):
        fail(exits.INTERRUPTED, "nothing was begun")


async def _follow(ask: Callable[[], Any], probe_id: int) -> Any:
    """Tell each change of a probe until it has ended; the gateway gives every wait of it a limit."""
    told = ""
    while True:
        probe = ask()
        if probe["probe_id"] != probe_id or probe["stage"] == "ended":
            return probe
        text = (probe["now"] or probe["text"]) if probe["link"] == "up" else "the machine does not answer: waiting"
        if text != told:
            _say(f"  {text}")
            told = text
        await asyncio.sleep(_LOOK_S)


def _stop(path: str, *, socket: Path | None, state: Path | None) -> NoReturn:
    post(f"{path}/stop", {}, socket=socket, state=state)
    fail(exits.INTERRUPTED, "stopped: the gateway takes the job back; `kvot probe show` says when the machine is clean")


def _conclude(probe: Any) -> None:
    """Say what came out of it and what to do next; end with the code that fits."""
    machine, verdict = probe["machine"], probe["verdict"]
    _say(f"{machine}: {probe['effect']} {verdict}: {probe['verdict_text']}")
    if probe["memory"] is not None:
        _say(f"{machine}: memory {probe['memory']}")
    match verdict:
        case "proven":
            _say(f"next: `kvot machines arm {machine}`")
        case "refuted":
            _say(
                f"nothing is sent to {machine}. Correct `effect` and `memory` in its profile, or make it a station; "
                f"who answers for it all the same signs machines.{machine}.effect_accepted"
            )
        case _:
            _say(f"nothing is proven; what the machine showed before still counts. Try `kvot probe machine {machine}`")
    code = _CODES.get(verdict, exits.TEMPORARY)
    if code != exits.OK:
        raise typer.Exit(code)


def _say(text: str) -> None:
    typer.echo(cell(text), err=True)
