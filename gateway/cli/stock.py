"""`kvot stock`: material as people count it, tools in use, and finished goods on the shelf."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from gateway.cli.client import get, post
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
TABLES = {
    "material": ("item", "quantity", "reserved", "free", "lots"),
    "tools": ("tool", "run_id", "family", "machine"),
    "waiting": ("run_id", "family", "waits_for", "hold_reason"),
    "shelf": ("lot", "product", "options", "pieces", "since"),
}
Item = Annotated[str, typer.Argument(help="A stock item, as under needs: of a family in kvot.yaml.")]
Quantity = Annotated[float, typer.Argument(metavar="QTY", min=0, help="In the unit that needs: counts in.")]
LotOption = Annotated[str | None, typer.Option("--lot", help="The supplier's lot; kvot trace shows what used it.")]


@app.command("list")
def list_stock(socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE) -> None:
    """List material, tools in use, runs that wait for either, and finished goods on the shelf."""
    found = get("/api/v1/stock", socket=socket, state=state_dir)
    if output is not Output.TABLE:
        show(found, output)
        return
    for name, columns in TABLES.items():
        if found[name]:
            typer.echo(f"{name}:")
            show(found[name], output, columns)
    if not any(found[name] for name in TABLES):
        typer.echo("nothing was counted, and nothing lies on the shelf", err=True)


def _counting(name: str, purpose: str) -> Callable[..., None]:
    """Make a verb that says how much of an item there is, or has come."""

    def count(  # noqa: PLR0917 - typer's options
        item: Item,
        quantity: Quantity,
        lot: LotOption = None,
        socket: SocketOption = None,
        state_dir: StateOption = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        body = {"item": item, "quantity": quantity, "lot": lot}
        answer = post(f"/api/v1/stock/{name}", body, socket=socket, state=state_dir)
        _tell(answer, f"{answer['item']}: {answer['quantity']:g}", output)

    return app.command(name, help=purpose)(count)


set_stock = _counting("set", "Say how much of an item there is, in your name.")
add = _counting("add", "Say how much more of an item has come, in your name.")


@app.command()
def discard(
    lot: Annotated[str, typer.Argument(help="The lot on the shelf, as listed.")],
    pieces: Annotated[int, typer.Argument(min=1, help="Pieces that are not there any more, or no good.")],
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say that finished goods are not on the shelf any more, in your name."""
    answer = post("/api/v1/stock/discard", {"lot": lot, "pieces": pieces}, socket=socket, state=state_dir)
    _tell(answer, f"{answer['lot']}: {answer['pieces']} left on the shelf", output)


def _tell(answer: dict[str, Any], text: str, output: Output) -> None:
    if output is Output.TABLE:
        typer.echo(text, err=True)
    else:
        show(answer, output)
