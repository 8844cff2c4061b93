"""`kvot trace`: from an order to its lots, machines and counts, and from a lot to its orders, both ways."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.client import get
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, show

LOTS = ("lot", "machine", "recipe", "recipe_version", "good", "scrap", "ended_at")
ORDERS = ("order_id", "shop", "number", "line_id", "product", "step", "quantity", "good")


def trace(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="ORDER|LOT", help="An order's order_id, a lot (the job_id that made it), or lot:L of stock."
        ),
    ],
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Follow an order down to its lots, or a lot to its orders and to the lots before and after it."""
    kind = "order" if subject.isascii() and subject.isdigit() else "lot"
    name = subject.removeprefix("lot:")  # a supplier's lot may be a number
    found = get(f"/api/v1/trace/{kind}/{quote(name, safe='')}", socket=socket, state=state_dir)
    if output is not Output.TABLE:
        show(found, output)
    elif kind == "order":
        _show_order(found, output)
    else:
        _show_lot(found, output)


def _show_order(order: dict[str, Any], output: Output) -> None:
    lines = order.pop("lines")
    show(order, output)
    for line in lines:
        steps = line.pop("steps")
        show(line, output)
        for step in steps:
            for job in step["jobs"]:
                show({"step": step["step"], "operation": step["operation"], **job}, output)


def _show_lot(lot: dict[str, Any], output: Output) -> None:
    lists = {"orders": ORDERS, "upstream": LOTS, "downstream": LOTS}
    rows = {name: lot.pop(name) for name in lists}
    show(lot, output)
    for name, columns in lists.items():
        if rows[name]:
            typer.echo(f"{name}:")
            show(rows[name], output, columns)
