"""Where things lie: state directory and control socket, for the service, for a plain user, and by option."""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

SERVICE_STATE = Path("/var/lib/kvot")
SERVICE_SOCKET = Path("/run/kvot/kvot.sock")


def state_dir(option: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Give the state directory: the option, systemd's, the user's XDG directory."""
    if option is not None:
        return option
    if given := environment.get("STATE_DIRECTORY"):
        return Path(given.partition(":")[0])
    base = environment.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "kvot"


def socket_path(option: Path | None, state: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Give the control socket: the option, beside a given state directory, systemd's, else the user's own."""
    if option is not None:
        return option
    if state is not None:
        return state / "kvot.sock"
    if given := environment.get("RUNTIME_DIRECTORY"):
        return Path(given.partition(":")[0]) / "kvot.sock"
    if SERVICE_SOCKET.exists():
        return SERVICE_SOCKET
    return state_dir(None, environment) / "kvot.sock"


def person() -> str:
    """Name the user who runs this process, as the audit trail does."""
    try:
        return f"person:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"person:uid-{os.getuid()}"
