"""`kvot backup`: copies of the ledger, and one of them back in its place."""

import time
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import typer

from gateway.cli import exits
from gateway.cli.client import fail, get, post
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
COLUMNS = ("made_at", "epoch", "bytes", "file")
BAR_AFTER_S = 2.0
_POLL_S = 0.1
_pause = Event()  # never set
_OVER = frozenset({"done", "failed"})


@app.command()
def create(
    socket: SocketOption = None,
    state_dir: StateOption = None,
    timeout: Annotated[float, typer.Option(help="Give up waiting after so many seconds.")] = 7200.0,
) -> None:
    """Make a backup now, while the gateway goes on; print where it is once it was checked as a whole."""
    number = post("/api/v1/backups", {}, socket=socket, state=state_dir)["number"]
    made = _followed(number, socket=socket, state=state_dir, timeout_s=timeout)
    if made["phase"] == "failed":
        fail(exits.FAILURE, f"no backup was made: {made['error']}")
    typer.echo(made["file"])


@app.command("list")
def list_backups(
    socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List the backups there are."""
    show(get("/api/v1/backups", socket=socket, state=state_dir)["items"], output, COLUMNS)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="The backup, one of those `kvot backup list` shows.")],
    state_dir: StateOption = None,
) -> None:
    """Put a backup in the ledger's place, while no gateway runs; what was there is kept beside it.

    Nothing is sent to a machine before each machine and each shop was asked what happened since; then a
    person is asked about the orders that may have been made already. Every machine must be armed again.
    """
    from gateway import places  # noqa: PLC0415 - `--help` must not pay for it
    from gateway.clock import SystemClock  # noqa: PLC0415
    from gateway.errors import LedgerError, RefusedError, StateLockedError  # noqa: PLC0415
    from gateway.ledger.restore import restore as put_back  # noqa: PLC0415

    state = places.state_dir(state_dir)
    try:
        done = put_back(state, file, who=places.person(), now=SystemClock().now())
    except StateLockedError as fault:
        fail(exits.STATE_LOCKED, str(fault))
    except RefusedError as fault:
        fail(exits.REFUSED, str(fault))
    except (LedgerError, OSError) as fault:
        fail(exits.FAILURE, str(fault))
    kept = "" if done.aside is None else f"; what was there is kept as {done.aside}"
    typer.echo(f"the ledger of {done.site} is as of {done.as_of}, epoch {done.epoch}{kept}", err=True)
    typer.echo("start the gateway: it asks every machine and shop before it sends anything; then arm again", err=True)


def _followed(number: int, *, socket: Path | None, state: Path | None, timeout_s: float) -> dict[str, Any]:
    """Wait until a backup is over, with a bar where that takes long."""
    began_s = time.monotonic()

    def look() -> dict[str, Any] | None:
        if time.monotonic() - began_s > timeout_s:
            fail(exits.TEMPORARY, f"the backup was not finished within {timeout_s:g} s; `kvot backup list` shows it")
        latest: dict[str, Any] | None = get("/api/v1/backups", socket=socket, state=state)["latest"]
        if latest is None or latest["number"] < number:
            return None
        return latest

    while time.monotonic() - began_s < BAR_AFTER_S:
        latest = look()
        if latest is not None and latest["phase"] in _OVER:
            return latest
        _pause.wait(_POLL_S)
    return _with_bar(look)


def _with_bar(look: Any) -> dict[str, Any]:
    from rich.console import Console  # noqa: PLC0415 - `--help` must not pay for it
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("waiting", total=None)
        while True:
            latest: dict[str, Any] | None = look()
            if latest is not None:
                progress.update(
                    task, description=latest["phase"], completed=latest["done"], total=latest["pages"] or None
                )
                if latest["phase"] in _OVER:
                    return latest
            _pause.wait(_POLL_S)
