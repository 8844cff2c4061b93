"""`kvot runs`: what is made together, what waits for somebody, and what you say of it."""

from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import typer

from gateway.cli import policies
from gateway.cli.client import get, get_all, post
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
COLUMNS = ("run_id", "family", "machine", "state", "waits_for", "hold_reason", "jobs", "pieces", "good", "promise_at")
Run = Annotated[int, typer.Argument(help="Its number, as in `kvot runs list`.")]


class Lang(StrEnum):
    """The languages that reasons are told in."""

    EN = "en"
    SV = "sv"


@app.command("list")
def list_runs(
    state: Annotated[
        str | None, typer.Option(help="Only runs in this state; default: all that have not ended.")
    ] = None,
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List runs, and what each waits for."""
    items = get_all("/api/v1/runs", query={"state": state}, socket=socket, state=state_dir)
    show(items, output, COLUMNS)


@app.command("show")
def show_run(
    run: Run, socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Show one run with its jobs and history."""
    found = get(f"/api/v1/runs/{run}", socket=socket, state=state_dir)
    if output is not Output.TABLE:
        show(found, output)
        return
    jobs, history = found.pop("jobs"), found.pop("history")
    show(found, output)
    show(jobs, output, ("job_id", "recipe", "quantity", "good", "scrap", "state", "first_piece", "hold_reason"))
    show(history, output, ("at", "what", "who", "after"))


@app.command()
def hold(
    run: Run,
    reason: Annotated[str, typer.Option(help="Why; shown to everybody.")],
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Release a run not, and send nothing more of it; what a machine has goes on."""
    _say(post(f"/api/v1/runs/{run}/hold", {"reason": reason}, socket=socket, state=state_dir), output)


@app.command()
def release(
    run: Run, socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Let a held run go on; release one that collects now, whether it pays or not."""
    _say(post(f"/api/v1/runs/{run}/release", {}, socket=socket, state=state_dir), output)


@app.command()
def split(
    run: Run,
    keep: Annotated[int, typer.Option(min=1, help="Pieces that start now, the earliest promise first.")],
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Release so many pieces of a run that collects; the others collect in the next run."""
    _say(post(f"/api/v1/runs/{run}/split", {"keep": keep}, socket=socket, state=state_dir), output)


@app.command("setup-done")
def setup_done(
    run: Run, socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Say that the machine is set up for a run: its first piece, or all of it, may now be sent."""
    _say(post(f"/api/v1/runs/{run}/setup-done", {}, socket=socket, state=state_dir), output)


@app.command()
def approve(
    run: Run, socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Say that the first piece is good: the rest of the run may now be sent."""
    _say(post(f"/api/v1/runs/{run}/approve", {}, socket=socket, state=state_dir), output)


@app.command()
def reject(
    run: Run,
    reason: Annotated[str, typer.Option(help="What is wrong with the first piece.")],
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say that the first piece is scrap: another one is made first."""
    _say(post(f"/api/v1/runs/{run}/reject", {"reason": reason}, socket=socket, state=state_dir), output)


@app.command()
def explain(
    family: policies.FamilyArgument,
    lang: Annotated[Lang, typer.Option(help="English or Swedish.")] = Lang.EN,
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Tell why price, promise and campaign of a family's open run are what they are now."""
    answer = get(f"/api/v1/runs/families/{quote(family, safe='')}/explain", socket=socket, state=state_dir)
    if output is not Output.TABLE:
        show(answer, output)
        return
    from gateway.cli.run_words import explained  # noqa: PLC0415 - only who asks for it pays
    from gateway.shops.fields import minor_exponent  # noqa: PLC0415

    run, zone = answer["run"], ZoneInfo(answer["timezone"])
    exponent = minor_exponent(run["price"]["currency"])
    for sentence in explained(run, zone=zone, language=lang.value, exponent=exponent):
        typer.echo(sentence)


app.command("simulate")(policies.simulate)


def _say(run: Any, output: Output) -> None:
    if output is Output.TABLE:
        typer.echo(run["done"], err=True)
    else:
        show(run, output)
