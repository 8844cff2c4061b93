"""One request to the running gateway over its control socket."""

import os
import socket as unix_socket
from collections.abc import Mapping
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from json import dumps, loads
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlencode

import typer

from gateway.cli import exits
from gateway.places import socket_path


class AskError(Exception):
    """The gateway could not be asked, or refused; `code` is the exit code that fits."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def get(path: str, *, socket: Path | None, state: Path | None, query: Mapping[str, object] | None = None) -> Any:
    """Ask the gateway; end the command with a readable line when it cannot be asked or refuses."""
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return _or_fail("GET", path, socket=socket, state=state, params=given)


def get_all(
    path: str, *, socket: Path | None, state: Path | None, query: Mapping[str, object] | None = None
) -> list[dict[str, object]]:
    """Give the items of every page of a list; otherwise as `get`."""
    items: list[dict[str, object]] = []
    page = get(path, query=query, socket=socket, state=state)
    items += page["items"]
    while page["next"] is not None:
        page = get(path, query={**(query or {}), "cursor": page["next"]}, socket=socket, state=state)
        items += page["items"]
    return items


def post(path: str, body: object, *, socket: Path | None, state: Path | None) -> Any:
    """Have the gateway do something in the caller's name."""
    return _or_fail("POST", path, socket=socket, state=state, json=body)


def ask(
    method: str,
    path: str,
    *,
    socket: Path,
    params: Mapping[str, object] | None = None,
    json: object = None,
    timeout_s: float = 10.0,
) -> Any:
    """Make one request over the control socket and give its answer; raise `AskError`."""
    target = f"{path}?{urlencode(params)}" if params else path
    body = None if json is None else dumps(json).encode()
    try:
        with closing(_ControlConnection(socket, timeout_s)) as connection:
            connection.request(method, target, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text, is_json = answer.read(), "json" in (answer.getheader("Content-Type") or "")
    except (ConnectionError, FileNotFoundError) as fault:
        raise AskError(
            exits.UNREACHABLE, f"no gateway answers at {socket}: {fault}. Is it running? (`kvot run`, or --socket PATH)"
        ) from fault
    except (OSError, HTTPException) as fault:
        raise AskError(exits.UNREACHABLE, f"the gateway at {socket} did not answer: {fault or 'too late'}") from fault
    content = loads(text) if text and is_json else None
    if answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return content
    detail = content.get("detail") if isinstance(content, dict) else None
    code = _CODES.get(answer.status, exits.FAILURE)
    raise AskError(code, detail or f"the gateway answered {answer.status}")


class _ControlConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("kvot", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path instead of a host."""
        self.sock = unix_socket.socket(unix_socket.AF_UNIX, unix_socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


_CODES: Mapping[int, int] = {
    HTTPStatus.CONFLICT: exits.REFUSED,
    HTTPStatus.UNPROCESSABLE_ENTITY: exits.USAGE,
    HTTPStatus.SERVICE_UNAVAILABLE: exits.TEMPORARY,
}


def _or_fail(method: str, path: str, *, socket: Path | None, state: Path | None, **more: Any) -> Any:
    try:
        return ask(method, path, socket=socket_path(socket, state), **more)
    except AskError as fault:
        fail(fault.code, str(fault))


def fail(code: int, text: str) -> NoReturn:
    """End the command with this exit code, and a line on stderr."""
    typer.echo(f"kvot: {text}", err=True)
    raise typer.Exit(code)
