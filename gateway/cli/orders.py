"""`kvot orders`: what was ordered and what became of it."""

from typing import Annotated

import typer

from gateway.cli.client import get, get_all, post
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
COLUMNS = ("order_id", "shop", "number", "state", "placed_at", "lines")
LINES = ("line_id", "product", "name", "quantity", "good", "state", "promise_at", "reason")


@app.command("list")
def list_orders(
    state: Annotated[str | None, typer.Option(help="Only orders in this state.")] = None,
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List all orders."""
    items = get_all("/api/v1/orders", query={"state": state}, socket=socket, state=state_dir)
    if output is Output.TABLE:
        items = [{**order, "lines": len(order["lines"])} for order in items]  # type: ignore[arg-type]
    show(items, output, COLUMNS)


@app.command("show")
def show_order(
    order_id: int,
    trace: Annotated[bool, typer.Option("--trace", help="With every command and the order's history.")] = False,  # noqa: FBT002
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one order with its lines, jobs, and on request each command that was sent for it."""
    order = get(f"/api/v1/orders/{order_id}", socket=socket, state=state_dir)
    if output is not Output.TABLE:
        show(order, output)
        return
    jobs, lines, history = order.pop("jobs"), order.pop("lines"), order.pop("history")
    show(order, output)
    show(lines, output, LINES)
    show(jobs, output, ("job_id", "machine", "state", "quantity", "good", "started_at", "ended_at"))
    if trace:
        for job in jobs:
            show(
                job["commands"],
                output,
                ("kind", "attempt", "job_no", "endpoint", "intended_at", "settlement", "evidence"),
            )
            history += job["history"]
        show(sorted(history, key=lambda event: str(event["at"])), output, ("at", "what", "who", "subject", "after"))


@app.command()
def cancel(order_id: int, socket: SocketOption = None, state_dir: StateOption = None) -> None:
    """Cancel an order in your name: what no machine has is taken back, the rest is one question a line."""
    typer.echo(post(f"/api/v1/orders/{order_id}/cancel", {}, socket=socket, state=state_dir)["done"], err=True)


@app.command()
def hold(
    order_id: int,
    reason: Annotated[str, typer.Option(help="Why; shown to everybody, and kept in the audit trail.")],
    socket: SocketOption = None,
    state_dir: StateOption = None,
) -> None:
    """Make nothing more of an order; what a machine has of it goes on."""
    path = f"/api/v1/orders/{order_id}/hold"
    typer.echo(post(path, {"reason": reason}, socket=socket, state=state_dir)["done"], err=True)


@app.command()
def release(
    order_id: int,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit trail.")],
    socket: SocketOption = None,
    state_dir: StateOption = None,
) -> None:
    """Let an order into production that somebody holds, or that its shop does not say to make yet."""
    path = f"/api/v1/orders/{order_id}/release"
    typer.echo(post(path, {"reason": reason}, socket=socket, state=state_dir)["done"], err=True)


@app.command()
def retry(order_id: int, socket: SocketOption = None, state_dir: StateOption = None) -> None:
    """Have what was set aside of an order read again, after the configuration was changed."""
    typer.echo(post(f"/api/v1/orders/{order_id}/retry", {}, socket=socket, state=state_dir)["done"], err=True)
