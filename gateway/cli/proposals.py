"""`kvot proposals`: what Kvot would do if a person agreed, and your answer."""

from typing import Annotated, Any

import typer

from gateway.cli.client import get, get_all, post
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
COLUMNS = ("proposal_id", "kind", "family", "subject", "from_minor", "to_minor", "state", "expires_at", "why")
Proposal = Annotated[int, typer.Argument(help="Its number, as in `kvot proposals list`.")]


@app.command("list")
def list_proposals(
    state: Annotated[str, typer.Option(help="open, approved, rejected or expired.")] = "open",
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List what waits for an answer."""
    items = get_all("/api/v1/proposals", query={"state": state}, socket=socket, state=state_dir)
    show(items, output, COLUMNS)


@app.command("show")
def show_proposal(
    proposal: Proposal, socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Show one, with its reasons and options."""
    show(get(f"/api/v1/proposals/{proposal}", socket=socket, state=state_dir), output)


@app.command()
def approve(
    proposal: Proposal,
    option: Annotated[str | None, typer.Option(help="One of its options, where it has some.")] = None,
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Agree, in your name: the price is put in force, the campaign may open, the run is released."""
    _say(post(f"/api/v1/proposals/{proposal}/approve", {"option": option}, socket=socket, state=state_dir), output)


@app.command()
def reject(
    proposal: Proposal,
    reason: Annotated[str, typer.Option(help="Why not; it stands in the audit trail.")],
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say no, in your name: nothing is done, and the same is not proposed again."""
    _say(post(f"/api/v1/proposals/{proposal}/reject", {"reason": reason}, socket=socket, state=state_dir), output)


def _say(answer: Any, output: Output) -> None:
    if output is Output.TABLE:
        typer.echo(answer["done"], err=True)
    else:
        show(answer, output)
