"""`kvot run`: the daemon itself."""

import asyncio
from typing import Annotated

import typer

from gateway.cli import exits
from gateway.cli.client import fail
from gateway.cli.options import ConfigOption, DirectoryOption, SetOption, SocketOption, StateOption


def run(
    *,
    config: ConfigOption = None,
    config_directory: DirectoryOption = None,
    overrides: SetOption = None,
    state_dir: StateOption = None,
    socket: SocketOption = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    log_format: Annotated[str, typer.Option(help="text, json or journald.")] = "text",
) -> None:
    """Run the gateway until it is told to stop."""
    from gateway import daemon, places  # noqa: PLC0415 - `--help` must not pay for it
    from gateway.errors import (  # noqa: PLC0415
        LedgerError,
        LedgerFullError,
        LedgerLostError,
        SettingsError,
        StateLockedError,
    )
    from gateway.log import configure_logging  # noqa: PLC0415
    from gateway.settings import load  # noqa: PLC0415

    try:
        configure_logging(level=log_level, format=log_format)
    except ValueError as fault:
        fail(exits.USAGE, str(fault))
    try:
        settings = load(config, directory=config_directory, overrides=overrides or ())
        state = places.state_dir(state_dir)
        chosen = socket or settings.api.socket
        asyncio.run(daemon.run(settings, state_dir=state, socket=places.socket_path(chosen, state_dir)))
    except SettingsError as fault:
        fail(exits.CONFIGURATION_AT_START, "the configuration cannot be used:\n" + "\n".join(fault.faults))
    except StateLockedError as fault:
        fail(exits.STATE_LOCKED, str(fault))
    except LedgerLostError as fault:
        fail(exits.CONFIGURATION_AT_START, str(fault))  # no restart helps: a person restores a backup
    except LedgerFullError as fault:
        fail(exits.TEMPORARY, str(fault))
    except LedgerError as fault:
        fail(exits.FAILURE, str(fault))
