"""`kvot simulate`: shops and machines that do not exist, with the addresses and keys of a configuration."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from gateway.cli import exits
from gateway.cli.client import fail
from gateway.cli.options import ConfigOption

if TYPE_CHECKING:
    from gateway.settings import Settings

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(context_settings=_PASS_ON)
def shop(
    context: typer.Context,
    config: ConfigOption = None,
    name: Annotated[str | None, typer.Option(help="The shop's name under shops: (default: the only one).")] = None,
) -> None:
    """Simulate a WooCommerce-compatible shop with customers; its own options: `kvot simulate shop -- --help`."""
    from simulators.shop.serving import main  # noqa: PLC0415 - `--help` must not pay for it

    _end(main, [*(_shop_arguments(config, name) if config else []), *context.args])


@app.command(context_settings=_PASS_ON)
def opcua(
    context: typer.Context,
    config: ConfigOption = None,
    name: Annotated[
        str | None, typer.Option(help="The machine's name under machines: (default: the only one).")
    ] = None,
) -> None:
    """Simulate an OPC UA press with ISA-95 Job Control; its own options: `kvot simulate opcua -- --help`."""
    from simulators.press.__main__ import main  # noqa: PLC0415 - `--help` must not pay for it

    _end(main, [*(_press_arguments(config, name) if config else []), *context.args])


@app.command(context_settings=_PASS_ON)
def oven(context: typer.Context) -> None:
    """Simulate a Modbus oven with the mailbox map; its own options: `kvot simulate oven -- --help`."""
    from simulators.oven.__main__ import main  # noqa: PLC0415 - `--help` must not pay for it

    _end(main, context.args)


@app.command(context_settings=_PASS_ON)
def plain(context: typer.Context) -> None:
    """Simulate a Modbus machine that remembers no jobs; its own options: `kvot simulate plain -- --help`."""
    from simulators.plain.__main__ import main  # noqa: PLC0415 - `--help` must not pay for it

    _end(main, context.args)


@app.command(context_settings=_PASS_ON)
def person(context: typer.Context) -> None:
    """Simulate the person at a station; its own options: `kvot simulate person -- --help`."""
    from simulators.person.__main__ import main  # noqa: PLC0415 - `--help` must not pay for it

    _end(main, context.args)


@app.command(context_settings=_PASS_ON)
def operator(context: typer.Context) -> None:
    """Simulate who sets machines up and looks at first pieces; its own options: `kvot simulate operator -- --help`."""
    from simulators.operator.__main__ import main  # noqa: PLC0415 - `--help` must not pay for it

    _end(main, context.args)


def _end(main: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> None:
    raise typer.Exit(main(arguments))


def _shop_arguments(config: Path, name: str | None) -> list[str]:
    settings = _load(config)
    name = _only(name, settings.shops, "shops")
    chosen = settings.shops[name]
    port = urlsplit(chosen.url).port or 80
    keys = ["--key", chosen.key.reveal(), "--secret", chosen.secret.reveal()]
    return ["--port", str(port), *keys, *_time_arguments(settings)]


def _press_arguments(config: Path, name: str | None) -> list[str]:
    settings = _load(config)
    name = _only(name, settings.machines, "machines")
    port = urlsplit(settings.machines[name].url).port or 4840
    return ["--name", name, "--port", str(port), *_time_arguments(settings)]


def _time_arguments(settings: "Settings") -> list[str]:
    simulation = settings.simulation
    if simulation is None:
        return []
    return [
        "--speed",
        str(simulation.speed),
        "--wall-epoch",
        simulation.wall_epoch.isoformat(),
        "--business-epoch",
        simulation.business_epoch.isoformat(),
    ]


def _load(config: Path) -> "Settings":
    from gateway.errors import SettingsError  # noqa: PLC0415 - `--help` must not pay for it
    from gateway.settings import load  # noqa: PLC0415

    try:
        return load(config)
    except SettingsError as fault:
        fail(exits.CONFIGURATION, "the configuration cannot be used:\n" + "\n".join(fault.faults))


def _only(name: str | None, found: Mapping[str, object], section: str) -> str:
    """Give the name asked for, or the only one there is."""
    if name is None and len(found) == 1:
        return next(iter(found))
    if name is None or name not in found:
        fail(exits.USAGE, f"--name must be one of those under {section}: {', '.join(found) or 'there is none'}")
    return name
