"""`kvot quotes`: what a customer may choose from, and what became of it."""

from datetime import datetime
from typing import Annotated, Any

import typer

from gateway.cli import exits
from gateway.cli.client import fail, get, post
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
COLUMNS = ("quote_id", "shop", "sku", "quantity", "state", "offers", "valid_until", "used", "order_id")
OFFERS = ("kind", "state", "unit_price_minor", "currency", "promise_at", "ship_by", "reserved_units", "token")


@app.command()
def create(  # noqa: PLR0917 - typer's options
    sku: Annotated[str, typer.Argument(help="The article, by its number in the shop.")],
    quantity: Annotated[int, typer.Argument(min=1, help="Pieces.")],
    shop: Annotated[str | None, typer.Option(help="The shop that sells it; needed where there are several.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, as the shop would carry it; repeatable.")
    ] = None,
    wanted: Annotated[datetime | None, typer.Option(help="By when it is wanted, in local time.")] = None,
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Ask what may be ordered for the next minutes; the places it names are held that long."""
    body: dict[str, Any] = {"sku": sku, "quantity": quantity, "options": _options(option or [])}
    if shop is not None:
        body["shop"] = shop
    if wanted is not None:
        body["wanted"] = wanted.astimezone().isoformat()
    _show(post("/api/v1/quotes", body, socket=socket, state=state_dir), output)


@app.command("list")
def list_quotes(
    socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List quotes, the newest first, and what became of each."""
    show(get("/api/v1/quotes", socket=socket, state=state_dir)["items"], output, COLUMNS)


@app.command("show")
def show_quote(
    quote: Annotated[str, typer.Argument(help="Its id, as in `kvot quotes list`.")],
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one quote: its offers, why each is what it is, and why the others are not offered."""
    _show(get(f"/api/v1/quotes/{quote}", socket=socket, state=state_dir), output)


def _show(quote: dict[str, Any], output: Output) -> None:
    if output is not Output.TABLE:
        show(quote, output)
        return
    offers, withheld = quote.pop("offers"), quote.pop("withheld")
    show(quote, output)
    show(offers, output, OFFERS)
    why = [
        {"kind": one["kind"], "offered": offered, "why": reason["text"]["en"]}
        for many, offered in ((offers, True), (withheld, False))
        for one in many
        for reason in one["why"]
    ]
    show(why, output, ("kind", "offered", "why"))


def _options(given: list[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    if wrong := [name for name, equals, _ in pairs if not (name and equals)]:
        fail(exits.USAGE, f"--option {wrong[0]!r}: write NAME=VALUE")
    return {name: value for name, _, value in pairs}
