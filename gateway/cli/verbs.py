"""Every verb of the `kvot` command in one list."""

import typer

from gateway import __version__
from gateway.cli import (
    backup,
    config,
    db,
    exceptions,
    jobs,
    machines,
    orders,
    outbox,
    pricing,
    probe,
    proposals,
    quotes,
    run,
    runs,
    simulate,
    stations,
    status,
    stock,
    trace,
    write,
)
from gateway.cli.bench import verb as bench
from gateway.cli.demo.verb import demo

app = typer.Typer(
    name="kvot",
    help="Orders from web shops become machine runs, exactly once each.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


app.command()(run.run)
app.command()(status.status)
app.command()(trace.trace)
app.command()(write.write)
app.command()(demo)
app.add_typer(orders.app, name="orders", help="What was ordered and what became of it.")
app.add_typer(jobs.app, name="jobs", help="What the machines make.")
app.add_typer(runs.app, name="runs", help="What is made together, and what waits for somebody.")
app.add_typer(proposals.app, name="proposals", help="What Kvot would do if a person agreed.")
app.add_typer(pricing.app, name="pricing", help="How far prices go, and what they are.")
app.add_typer(quotes.app, name="quotes", help="What a customer may choose from, and what became of it.")
app.add_typer(machines.app, name="machines", help="Who may start what.")
app.add_typer(probe.app, name="probe", help="Prove what a machine remembers or shows.")
app.add_typer(stations.app, name="stations", help="What people work on, and what they say of it.")
app.add_typer(stock.app, name="stock", help="Material as people count it, and goods on the shelf.")
app.add_typer(exceptions.app, name="exceptions", help="What people must decide.")
app.add_typer(backup.app, name="backup", help="Copies of the ledger, and one of them back in its place.")
app.add_typer(db.app, name="db", help="The ledger's file.")
app.add_typer(outbox.app, name="outbox", help="What could not be told.")
app.add_typer(config.app, name="config", help="Check, show and describe the configuration.")
app.add_typer(bench.app, name="bench", help="What Kvot costs and how fast it is, on this computer.")
app.add_typer(simulate.app, name="simulate", help="Shops and machines that do not exist.")
