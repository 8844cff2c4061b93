"""The control socket: HTTP over a Unix socket that only root, the daemon's user and its group can open."""

import asyncio
import contextlib
import grp
import os
import pwd
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.errors import SettingsError

MODE = 0o660
GROUP = "kvot"
BACKLOG = 64
LONGEST_PATH = 100  # bytes; the kernel's limit is 108


class PeerProtocol(H11Protocol):
    """HTTP/1.1 where the client's address is the name of the user at the other end of the socket."""

    def connection_made(self, transport: Any) -> None:
        """Ask the kernel who connected."""
        super().connection_made(transport)
        self.client = (peer_name(transport.get_extra_info("socket")), 0)


class ControlServer(uvicorn.Server):
    """uvicorn without its own signal handling: the daemon has one."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def peer_name(peer: socket.socket) -> str:
    """Give the name of the user who opened the other end of a Unix socket (SO_PEERCRED)."""
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", raw)
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"


@contextlib.contextmanager
def control_socket(path: Path) -> Iterator[socket.socket]:
    """Bind the control socket, mode 0660, group `kvot` where it exists; remove it afterwards.

    The state lock is held by then, so a socket left behind belongs to nobody. Who connects before `serve`
    runs waits for it, and is not refused.
    """
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise SettingsError(
            (f"{path}: a socket's path may be {LONGEST_PATH} bytes long; set api.socket to a shorter one",)
        )
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o117)
        try:
            bound.bind(str(path))
        finally:
            os.umask(before)
        with contextlib.suppress(KeyError, PermissionError):
            os.chown(path, -1, grp.getgrnam(GROUP).gr_gid)
        path.chmod(MODE)
        bound.listen(BACKLOG)
        bound.setblocking(False)
        yield bound
    finally:
        bound.close()
        path.unlink(missing_ok=True)


async def serve(app: FastAPI, bound: socket.socket) -> NoReturn:
    """Serve the application on a bound socket until cancelled."""
    config = uvicorn.Config(
        app,
        http=PeerProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=64,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
    )
    server = ControlServer(config)
    try:
        await server.serve(sockets=[bound])
    except asyncio.CancelledError:
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await server.shutdown(sockets=[bound])
        raise
    raise RuntimeError("the control API ended by itself")
