"""A broker of our own for the demo, the tests and small sites: mosquitto when installed, else iotcore.

Both listen on loopback only. `python -m gateway.uplink.broker --port 1883 --directory DIR` runs one until
it is told to end, and prints one JSON line when it is ready.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.errors import UplinkError

READY_DEADLINE_S = 15.0
END_DEADLINE_S = 5.0
_POLL_S = 0.05
_ATTEMPTS = 3  # a free port may be taken by somebody else before the child listens
_LOOPBACK = "127.0.0.1"


class BrokerKind(StrEnum):
    """The programs that can be the broker."""

    MOSQUITTO = "mosquitto"
    IOTCORE = "iotcore"


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalBroker:
    """A broker that runs as our child. `url` speaks MQTT 5; messages go to `broker.log` in its directory."""

    url: str
    kind: BrokerKind
    pid: int


@asynccontextmanager
async def local_broker(directory: Path, *, port: int = 0) -> AsyncIterator[str]:
    """Run a broker on loopback and yield its address `mqtt://127.0.0.1:PORT`; 0 takes a free port.

    What it keeps is kept in `directory`. Raise `UplinkError` when it is not ready in time.
    """
    async with running_broker(directory, port=port) as broker:
        yield broker.url


@asynccontextmanager
async def running_broker(
    directory: Path, *, port: int = 0, kind: BrokerKind | None = None
) -> AsyncIterator[LocalBroker]:
    """Run a broker of that kind, or of the best kind found, and end it afterwards."""
    chosen = kind or (BrokerKind.MOSQUITTO if find_mosquitto() else BrokerKind.IOTCORE)
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - once, before anything runs
    for attempt in range(1, _ATTEMPTS + 1):
        ports = _free_ports(port)
        child = await _start(chosen, directory, ports)
        try:
            if await _ready(child, ports[0]):
                yield LocalBroker(url=f"mqtt://{_LOOPBACK}:{ports[0]}", kind=chosen, pid=child.pid)
                return
        finally:
            await _end(child)
        if attempt == _ATTEMPTS or port:
            raise UplinkError(f"{chosen} did not start on port {ports[0]}; see {directory / 'broker.log'}")


def find_mosquitto() -> str | None:
    """Find the mosquitto program, also where plain users have no search path to."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


async def _start(kind: BrokerKind, directory: Path, ports: tuple[int, int]) -> asyncio.subprocess.Process:
    match kind:
        case BrokerKind.MOSQUITTO:
            settings = directory / "mosquitto.conf"
            settings.write_text(_mosquitto_settings(directory, ports[0]), encoding="utf-8")
            command = [find_mosquitto() or "mosquitto", "-c", str(settings)]
        case BrokerKind.IOTCORE:
            settings = directory / "iotcore.toml"
            settings.write_text(_iotcore_settings(ports), encoding="utf-8")
            command = [sys.executable, "-m", "iotcore", "--config", str(settings), "--log-level", "CRITICAL"]
    with (directory / "broker.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


async def _ready(child: asyncio.subprocess.Process, port: int) -> bool:
    """Wait until the child listens; False when it ended or took too long."""
    deadline = asyncio.get_running_loop().time() + READY_DEADLINE_S
    while child.returncode is None and asyncio.get_running_loop().time() < deadline:
        try:
            _, writer = await asyncio.open_connection(_LOOPBACK, port)
        except OSError:
            await asyncio.sleep(_POLL_S)
            continue
        writer.close()
        await writer.wait_closed()
        return True
    return False


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    child.terminate()
    try:
        async with asyncio.timeout(END_DEADLINE_S):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()


def _free_ports(port: int) -> tuple[int, int]:
    """Give the port asked for, or a free one, and another free one; raise `UplinkError` if it is taken."""
    with closing(socket.socket()) as first, closing(socket.socket()) as second:
        # A broker that has just ended may leave its connections in TIME_WAIT: those do not count.
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            first.bind((_LOOPBACK, port))
        except OSError as fault:
            raise UplinkError(f"no broker can listen on port {port}: {fault.strerror}") from fault
        second.bind((_LOOPBACK, 0))
        return first.getsockname()[1], second.getsockname()[1]


def _mosquitto_settings(directory: Path, port: int) -> str:
    lines = [
        f"listener {port} {_LOOPBACK}",
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {directory.resolve()}/",
        "autosave_interval 30",
        "max_queued_messages 100000",  # a slow consumer must not lose what was acknowledged to us
        "log_dest stderr",
        "log_type error",
        "log_type warning",
    ]
    if os.geteuid() == 0:
        lines.append("user root")  # else it changes to a user that may not write the directory
    return "\n".join(lines) + "\n"


def _iotcore_settings(ports: tuple[int, int]) -> str:
    """Write rumqttd's settings: MQTT 5 on the first port, MQTT 3.1.1 on the second, nothing kept on disk."""
    listeners = "".join(
        f"""
[{version}.local]
name = "{version}-local"
listen = "{_LOOPBACK}:{port}"
next_connection_delay_ms = 1

[{version}.local.connections]
connection_timeout_ms = 10000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""
        for version, port in (("v5", ports[0]), ("v4", ports[1]))
    )
    return f"""id = 0

[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 10485760
max_segment_count = 10
{listeners}"""


async def _serve(directory: Path, port: int) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for told in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(told, ended.set)
    async with running_broker(directory, port=port) as broker:
        ready = {"ready": True, "url": broker.url, "kind": broker.kind, "pid": broker.pid}
        print(json.dumps(ready), flush=True)  # noqa: T201 - the line that whoever started us waits for
        await ended.wait()


def main() -> None:
    """Run a broker until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m gateway.uplink.broker", description="Run an MQTT broker.")
    parser.add_argument("--port", type=int, default=0, help="port on loopback; 0 takes a free one")
    parser.add_argument("--directory", type=Path, help="where it keeps its settings, log and retained messages")
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="kvot-broker-") as scratch:
        asyncio.run(_serve(arguments.directory or Path(scratch), arguments.port))


if __name__ == "__main__":
    main()
