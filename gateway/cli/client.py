"""One request to the running gateway over its control socket."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

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


def post(path: str, body: object, *, socket: Path | None, state: Path | None) -> Any:
    """Have the gateway do something in the caller's name."""
    return _or_fail("POST", path, socket=socket, state=state, json=body)


def ask(method: str, path: str, *, socket: Path, timeout_s: float = 10.0, **more: Any) -> Any:
    """Make one request over the control socket and give its answer; raise `AskError`."""
    import httpx  # noqa: PLC0415 - `--help` must not pay for it

    try:
        transport = httpx.HTTPTransport(uds=os.fspath(socket))
        with httpx.Client(transport=transport, base_url="http://kvot", timeout=timeout_s) as client:
            answer = client.request(method, path, **more)
    except httpx.ConnectError as fault:
        text = f"no gateway answers at {socket}: {fault}. Is it running? (`kvot run`, or --socket PATH)"
        raise AskError(exits.UNREACHABLE, text) from fault
    except httpx.HTTPError as fault:
        raise AskError(
            exits.UNREACHABLE, f"the gateway at {socket} did not answer: {type(fault).__name__} {fault}"
        ) from fault
    if answer.is_success:
        return answer.json() if answer.content and "json" in answer.headers.get("content-type", "") else None
    problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    code = _CODES.get(answer.status_code, exits.FAILURE)
    raise AskError(code, problem.get("detail") or f"the gateway answered {answer.status_code}")


_CODES = {409: exits.REFUSED, 422: exits.USAGE, 503: exits.TEMPORARY}


def _or_fail(method: str, path: str, *, socket: Path | None, state: Path | None, **more: Any) -> Any:
    try:
        return ask(method, path, socket=socket_path(socket, state), **more)
    except AskError as fault:
        fail(fault.code, str(fault))


def fail(code: int, text: str) -> NoReturn:
    """End the command with this exit code, and a line on stderr."""
    typer.echo(f"kvot: {text}", err=True)
    raise typer.Exit(code)
