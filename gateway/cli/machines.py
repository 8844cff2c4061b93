"""`kvot machines`: who may start what, and what each machine does."""

from typing import Annotated

import typer

from gateway.cli.client import fail, get, post
from gateway.cli.exits import FAILURE
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
COLUMNS = (
    "machine",
    "link.state",
    "level",
    "configured",
    "hold_reason",
    "open_jobs",
    "now.state",
    "now.why",
    "unproven",
    "armed_by",
)
Machine = Annotated[str, typer.Argument(help="Its name under machines: in kvot.yaml.")]


@app.command("list")
def list_machines(
    socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List all machines."""
    show(get("/api/v1/machines", socket=socket, state=state_dir)["items"], output, COLUMNS)


@app.command("show")
def show_machine(
    machine: Machine, socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Show one machine."""
    items = get("/api/v1/machines", socket=socket, state=state_dir)["items"]
    found = next((one for one in items if one["machine"] == machine), None)
    if found is None:
        fail(
            FAILURE,
            f"no machine is called {machine!r}; there is {', '.join(one['machine'] for one in items) or 'none'}",
        )
    show(found, output)


@app.command()
def arm(
    machine: Machine,
    level: Annotated[str, typer.Option(help="read, load or start; at most machines.NAME.control.")] = "start",
    socket: SocketOption = None,
    state_dir: StateOption = None,
) -> None:
    """Hand a machine to Kvot, in your name: it may now be sent jobs, and asked to start them by its own permits."""
    post(f"/api/v1/machines/{machine}/arm", {"level": level}, socket=socket, state=state_dir)
    typer.echo(f"{machine} is armed: {level}", err=True)


@app.command()
def baseline(machine: Machine, socket: SocketOption = None, state_dir: StateOption = None) -> None:
    """Accept that a controller was replaced or lost its memory: its job mark counts from now on. Then arm it again."""
    post(f"/api/v1/machines/{machine}/baseline", {}, socket=socket, state=state_dir)
    typer.echo(f"the job mark of {machine} is taken as it is now; arm the machine again", err=True)


@app.command()
def disarm(machine: Machine, socket: SocketOption = None, state_dir: StateOption = None) -> None:
    """Take a machine back: Kvot only watches it. This stops nothing that runs; it is no emergency stop."""
    post(f"/api/v1/machines/{machine}/disarm", {}, socket=socket, state=state_dir)
    typer.echo(f"{machine} is yours: nothing more is sent to it", err=True)


@app.command()
def commission(
    machine: Machine,
    end: Annotated[bool, typer.Option("--end", help="End it, whoever began it.")] = False,  # noqa: FBT002
    socket: SocketOption = None,
    state_dir: StateOption = None,
) -> None:
    """Take a machine out of production in your name for 60 minutes: nothing is dispatched, and you may `kvot write`.

    It lapses by itself. Afterwards the machine is armed anew.
    """
    if end:
        post(f"/api/v1/machines/{machine}/commission/end", {}, socket=socket, state=state_dir)
        typer.echo(f"{machine} is out of commissioning; arm it anew", err=True)
        return
    given = post(f"/api/v1/machines/{machine}/commission", {}, socket=socket, state=state_dir)
    typer.echo(f"{machine} is in commissioning by {given['by']} until {given['until']}", err=True)


@app.command()
def hold(
    machine: Machine,
    reason: Annotated[str, typer.Option(help="Why; shown to everybody.")],
    socket: SocketOption = None,
    state_dir: StateOption = None,
) -> None:
    """Send nothing new to a machine; what it has goes on."""
    post(f"/api/v1/machines/{machine}/hold", {"reason": reason}, socket=socket, state=state_dir)
    typer.echo(f"{machine} is held: {reason}", err=True)


@app.command()
def release(machine: Machine, socket: SocketOption = None, state_dir: StateOption = None) -> None:
    """Let a held machine go on."""
    post(f"/api/v1/machines/{machine}/release", {}, socket=socket, state=state_dir)
    typer.echo(f"{machine} goes on", err=True)
