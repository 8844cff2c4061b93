"""`kvot pricing`: what prices are and why, how far they go by themselves, and how to stop them."""

from typing import Annotated, Any

import typer

from gateway.cli.client import get, post
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
FAMILIES = ("family", "policy", "mode", "frozen", "why", "proposals")
ARTICLES = ("shop", "sku", "price_minor", "list_minor", "in_force_minor", "lowest_30d_minor", "currency", "promise_at")
Family = Annotated[str | None, typer.Argument(help="A family of kvot.yaml; without one: all.")]
ReasonOption = Annotated[str, typer.Option(help="Why; shown to everybody.")]


@app.command("show")
def show_pricing(
    socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Show each family's mode with who said so, and each article's price, list price and lowest of 30 days."""
    answer = get("/api/v1/pricing", socket=socket, state=state_dir)
    if output is not Output.TABLE:
        show(answer, output)
        return
    show(answer["families"], output, FAMILIES)
    articles = [article for family in answer["families"] for article in family["articles"]]
    if articles:
        show(articles, output, ARTICLES)


@app.command()
def mode(
    mode: Annotated[str, typer.Argument(help="off: leave prices alone; advise: propose; auto: act within the band.")],
    family: Family = None,
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say how far prices go, in your name; the strictest of kvot.yaml and all that was said holds."""
    _act("mode", {"mode": mode, "family": family}, socket, state_dir, output)


@app.command()
def freeze(
    family: Family = None,
    reason: ReasonOption = "",
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Let prices stand where they are, and close campaigns, until somebody unfreezes them."""
    _act("freeze", {"family": family, "reason": reason}, socket, state_dir, output)


@app.command()
def unfreeze(
    family: Family = None,
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Take back a freeze: that of a family, or the one of all; each is taken back as it was given."""
    _act("unfreeze", {"family": family}, socket, state_dir, output)


@app.command()
def undo(
    family: Annotated[str, typer.Argument(help="A family of kvot.yaml.")],
    reason: ReasonOption = "",
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Put the list price back in force and freeze it there until somebody unfreezes it."""
    _act("undo", {"family": family, "reason": reason}, socket, state_dir, output)


def _act(verb: str, body: dict[str, object], socket: Any, state_dir: Any, output: Output) -> None:
    answer = post(f"/api/v1/pricing/{verb}", body, socket=socket, state=state_dir)
    if output is not Output.TABLE:
        show(answer, output)
        return
    typer.echo(answer["done"], err=True)
    for family in answer["families"]:
        if body.get("family") in {None, family["family"]}:
            frozen = "" if family["frozen"] is None else f", frozen {family['frozen']}"
            typer.echo(f"{family['family']}: {family['mode']}{frozen}; {'; '.join(family['why'])}", err=True)
