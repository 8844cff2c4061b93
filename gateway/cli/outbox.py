"""`kvot outbox`: what could not be told to a shop, and telling it again."""

from typing import Annotated

import typer

from gateway.cli.client import get, post
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
COLUMNS = ("destination", "subject", "seq", "error", "dead_at")


@app.command("list")
def list_letters(
    socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List the dead letters: facts that their destination has refused."""
    show(get("/api/v1/outbox/dead", socket=socket, state=state_dir)["items"], output, COLUMNS)


@app.command()
def replay(
    destination: Annotated[str, typer.Argument(help="Who is to be told, as in the list: shop:NAME.")],
    subject: Annotated[str, typer.Argument(help="What is told again, as in the list: order:12.")],
    socket: SocketOption = None,
    state_dir: StateOption = None,
) -> None:
    """Tell it again, once the destination takes it."""
    asked = {"destination": destination, "subject": subject}
    typer.echo(post("/api/v1/outbox/replay", asked, socket=socket, state=state_dir)["done"], err=True)
