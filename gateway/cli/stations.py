"""`kvot stations`: what people work on, and what they say of it."""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.client import get, post
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
COLUMNS = ("station", "job_id", "phase", "good", "scrap", "article", "orders")
_PHASES = {"allowed_to_start": "to start"}
Station = Annotated[str, typer.Argument(help="Its name under machines: in kvot.yaml.")]
Job = Annotated[str, typer.Argument(help="The job on the ticket.")]


@app.command("list")
def list_stations(
    socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List all stations with their open tickets."""
    items = get("/api/v1/stations", socket=socket, state=state_dir)["items"]
    if output is Output.TABLE:
        items = [row for one in items for row in _rows(one)]
    show(items, output, COLUMNS)


def _step(name: str, purpose: str, told: str) -> Callable[..., None]:
    """Make the verb of a step that says nothing but itself; `told` is filled in from the ticket it answers."""

    def take(
        station: Station,
        job_id: Job,
        socket: SocketOption = None,
        state_dir: StateOption = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        ticket = post(_path(station, job_id, name), {}, socket=socket, state=state_dir)
        _tell(ticket, told.format_map({**ticket, "job_id": job_id}), output)

    return app.command(name, help=purpose)(take)


start = _step("start", "Say that you begin a ticket.", "{job_id} is yours: {quantity} pieces of {recipe}")


@app.command()
def report(  # noqa: PLR0917 - typer's options
    station: Station,
    job_id: Job,
    good: Annotated[int, typer.Option(min=0, help="Good pieces since the last report.")] = 0,
    scrap: Annotated[int, typer.Option(min=0, help="Pieces that became scrap since the last report.")] = 0,
    reason: Annotated[str | None, typer.Option(help="Why they became scrap.")] = None,
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say how many more pieces are good, and how many are scrap."""
    body = {"good": good, "scrap": scrap, "reason": reason}
    ticket = post(_path(station, job_id, "report"), body, socket=socket, state=state_dir)
    _tell(ticket, f"{job_id}: {ticket['good']} good, {ticket['scrap']} scrap of {ticket['quantity']}", output)


done = _step(
    "done",
    "Say that a ticket is finished, with the pieces reported so far.",
    "{job_id} is done: {good} good, {scrap} scrap",
)


def _rows(station: dict[str, Any]) -> list[dict[str, Any]]:
    """Give a row for each open ticket, and one for a station without any."""
    rows = [
        {
            **ticket,
            "station": station["station"],
            "phase": _PHASES.get(ticket["phase"], ticket["phase"]),
            "good": f"{ticket['good']} of {ticket['quantity']}",
            "article": ticket["labels"].get("sku"),
            "orders": ticket["labels"].get("order_numbers"),
        }
        for ticket in station["tickets"]
    ]
    return rows or [{"station": station["station"], "phase": "empty"}]


def _path(station: str, job_id: str, act: str) -> str:
    return f"/api/v1/stations/{quote(station, safe='')}/tickets/{quote(job_id, safe='')}/{act}"


def _tell(ticket: Any, text: str, output: Output) -> None:
    if output is Output.TABLE:
        typer.echo(text, err=True)
    else:
        show(ticket, output)
