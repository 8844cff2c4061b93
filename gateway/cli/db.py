"""`kvot db`: the ledger's file, how large it is and whether it is sound."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import exits
from gateway.cli.client import fail, get
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command()
def status(socket: SocketOption = None, state_dir: StateOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show which ledger the gateway has open, its size, and whether it can be written."""
    show(get("/api/v1/ledger", socket=socket, state=state_dir), output)


@app.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="A backup; without it the ledger itself.")] = None,
    state_dir: StateOption = None,
) -> None:
    """Check the ledger as a whole while no gateway runs, or a backup at any time."""
    from gateway import places  # noqa: PLC0415 - `--help` must not pay for it
    from gateway.errors import StateLockedError  # noqa: PLC0415
    from gateway.ledger.check import faults  # noqa: PLC0415
    from gateway.ledger.opening import state_lock  # noqa: PLC0415
    from gateway.ledger.remains import LEDGER  # noqa: PLC0415

    state = places.state_dir(state_dir)
    path = state / LEDGER if file is None else file
    if not path.is_file():
        fail(exits.FAILURE, f"{path} is no file")
    if file is None:
        try:
            with state_lock(state):
                found = faults(path, whole=False)
        except StateLockedError as fault:
            fail(exits.STATE_LOCKED, str(fault))
    else:
        found = faults(path, whole=True)
    if found:
        fail(exits.FAILURE, f"{path} is damaged: " + "; ".join(found))
    typer.echo(f"{path} is sound")


@app.command()
def upgrade(state_dir: StateOption = None) -> None:
    """Bring the ledger to this program's schema while no gateway runs; a copy of it is kept first.

    The gateway does the same when it starts: this is for who wants it done, and seen, before.
    """
    from gateway import places  # noqa: PLC0415 - `--help` must not pay for it
    from gateway.errors import LedgerError, StateLockedError  # noqa: PLC0415
    from gateway.ledger import migrations, opening  # noqa: PLC0415

    try:
        done = opening.upgrade(places.state_dir(state_dir), migrations=migrations.known())
    except StateLockedError as fault:
        fail(exits.STATE_LOCKED, str(fault))
    except (LedgerError, OSError) as fault:
        fail(exits.FAILURE, str(fault))
    if done.kept is None:
        typer.echo(f"nothing is due: the ledger has schema {done.after}", err=True)
        return
    typer.echo(
        f"the ledger has schema {done.after} now, not {done.before}; as it was it is kept as {done.kept}", err=True
    )
