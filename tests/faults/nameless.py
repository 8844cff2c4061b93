"""A shop whose name stops to resolve: the process asks this module in place of its computer's resolver."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

AWAY = "name that does not resolve"
HOST = "shop.invalid"  # RFC 6761: it never resolves anywhere
NOWHERE = "http://nowhere.invalid"
_FLAG = "nameless"


def take_away(directory: Path, *, times: int) -> None:
    """Let the name not resolve the next times that it is asked for."""
    (directory / _FLAG).write_text("x" * times)


def is_away(directory: Path) -> bool:
    """Say whether the name does not resolve this time."""
    try:
        left = len((directory / _FLAG).read_text())
    except FileNotFoundError:
        return False
    (directory / _FLAG).write_text("x" * max(0, left - 1))
    return left > 0


def install(directory: Path) -> None:
    """Resolve names of this process here: no question leaves this computer."""
    usual: Callable[..., Any] = socket.getaddrinfo

    def asked(host: Any, *values: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name == HOST and not is_away(directory):
            return usual("127.0.0.1", *values, **more)
        if name is not None and name.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return usual(host, *values, **more)

    socket.getaddrinfo = asked
