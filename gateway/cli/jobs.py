"""`kvot jobs`: what the machines make, made, or may have made."""

from typing import Annotated

import typer

from gateway.cli.client import get, get_all, post
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
COLUMNS = ("job_id", "machine", "recipe", "quantity", "good", "scrap", "state", "hold_reason")


@app.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    machine: Annotated[str | None, typer.Option(help="Only jobs of this machine.")] = None,
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List all jobs."""
    items = get_all("/api/v1/jobs", query={"state": state, "machine": machine}, socket=socket, state=state_dir)
    show(items, output, COLUMNS)


@app.command("show")
def show_job(
    job_id: str, socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Show one job with its commands, the lines it serves and its history."""
    job = get(f"/api/v1/jobs/{job_id}", socket=socket, state=state_dir)
    if output is not Output.TABLE:
        show(job, output)
        return
    commands, serves, history = job.pop("commands"), job.pop("serves"), job.pop("history")
    show(job, output)
    show(serves, output, ("order_id", "number", "product", "name", "quantity", "good"))
    show(commands, output, ("kind", "attempt", "job_no", "endpoint", "intended_at", "settlement", "evidence"))
    show(history, output, ("at", "what", "who", "after"))


@app.command()
def abort(job_id: str, socket: SocketOption = None, state_dir: StateOption = None) -> None:
    """Ask the machine, in your name, to abort a job it has; it must be armed at level start."""
    typer.echo(post(f"/api/v1/jobs/{job_id}/abort", {}, socket=socket, state=state_dir)["done"], err=True)


@app.command()
def reroute(
    job_id: str,
    machine: Annotated[str, typer.Option(help="Another machine of the same family.")],
    socket: SocketOption = None,
    state_dir: StateOption = None,
) -> None:
    """Give a job that has not begun to another machine; a machine that has it is asked to give it back first."""
    typer.echo(
        post(f"/api/v1/jobs/{job_id}/reroute", {"machine": machine}, socket=socket, state=state_dir)["done"], err=True
    )
