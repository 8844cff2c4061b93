"""`kvot exceptions`: what people must decide."""

from typing import Annotated

import typer

from gateway.cli.client import get, post
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
COLUMNS = ("exception_id", "severity", "state", "subject", "cause", "evidence", "actions", "count")


@app.command("list")
def list_exceptions(
    state: Annotated[
        str | None, typer.Option(help="open, acked or resolved; without it all that is not resolved.")
    ] = None,
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List exceptions with their evidence and what may be done."""
    query: dict[str, object] = {"state": state}
    show(get("/api/v1/exceptions", query=query, socket=socket, state=state_dir)["items"], output, COLUMNS)


@app.command()
def ack(exception_id: int, socket: SocketOption = None, state_dir: StateOption = None) -> None:
    """Say that you look after it."""
    post(f"/api/v1/exceptions/{exception_id}/ack", {}, socket=socket, state=state_dir)
    typer.echo(f"exception {exception_id} is yours", err=True)


@app.command()
def resolve(
    exception_id: int,
    *,
    action: Annotated[str, typer.Option(help="One of the actions the list shows.")],
    note: Annotated[str, typer.Option(help="Why; kept in the audit trail.")] = "",
    good: Annotated[
        int | None, typer.Option(min=0, help="With `made` or `aborted`: the good pieces you have counted.")
    ] = None,
    socket: SocketOption = None,
    state_dir: StateOption = None,
) -> None:
    """Decide it, in your name."""
    asked = {"action": action, "note": note, **({} if good is None else {"good": good})}
    post(f"/api/v1/exceptions/{exception_id}/resolve", asked, socket=socket, state=state_dir)
    typer.echo(f"exception {exception_id} is resolved: {action}", err=True)
