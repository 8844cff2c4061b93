"""A broker of our own starts on loopback only, is ready when told, and never outlives its owner."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from gateway.errors import UplinkError
from gateway.uplink import broker as brokers
from gateway.uplink.base import BrokerAccess, Will
from gateway.uplink.broker import BrokerKind, find_mosquitto, local_broker, running_broker
from gateway.uplink.mqtt import connect
from tests.eventually import eventually

WILL = Will(topic="a/availability", payload=b"{}")
KINDS = [
    pytest.param(
        BrokerKind.MOSQUITTO, marks=pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
    ),
    pytest.param(BrokerKind.IOTCORE),
]


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def listening_addresses(pid: int) -> set[str]:
    """The local addresses of all listening TCP sockets of a process, as the kernel writes them."""
    inodes = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()}
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]
    ]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}


@pytest.mark.parametrize("kind", KINDS)
async def test_it_speaks_mqtt_5_as_soon_as_it_is_there_and_ends_with_its_owner(
    kind: BrokerKind, tmp_path: Path
) -> None:
    async with running_broker(tmp_path, kind=kind) as broker:
        assert broker.kind is kind
        access = BrokerAccess(url=broker.url, client_id="g1")
        async with connect(access, will=WILL, monotonic=time.monotonic) as uplink:
            await uplink.publish("a/b", b"{}")
        assert lives(broker.pid)
    assert not lives(broker.pid)


@pytest.mark.parametrize("kind", KINDS)
async def test_it_listens_on_loopback_only(kind: BrokerKind, tmp_path: Path) -> None:
    async with running_broker(tmp_path, kind=kind) as broker:
        assert listening_addresses(broker.pid) == {"0100007F"}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_port_that_is_taken_is_an_error_and_leaves_no_child(kind: BrokerKind, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UplinkError, match=f"port {port}: Address already in use"):
            async with running_broker(tmp_path, port=port, kind=kind):
                pass


async def test_a_program_that_never_listens_is_an_error_within_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = tmp_path / "mosquitto"
    stuck.write_text("#!/bin/sh\nexec sleep 30\n")
    stuck.chmod(0o755)
    monkeypatch.setattr(brokers, "find_mosquitto", lambda: str(stuck))
    monkeypatch.setattr(brokers, "READY_DEADLINE_S", 0.2)
    with pytest.raises(UplinkError, match="did not start"):
        async with running_broker(tmp_path / "kept", kind=BrokerKind.MOSQUITTO):
            pass


@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
async def test_a_frozen_broker_is_ended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "END_DEADLINE_S", 0.2)
    async with running_broker(tmp_path, kind=BrokerKind.MOSQUITTO) as broker:
        os.kill(broker.pid, signal.SIGSTOP)
    assert not lives(broker.pid)


async def test_an_error_of_its_user_is_not_taken_for_its_own(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with local_broker(tmp_path):
            raise ZeroDivisionError


async def test_without_mosquitto_the_other_broker_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "find_mosquitto", lambda: None)
    async with running_broker(tmp_path) as broker:
        assert broker.kind is BrokerKind.IOTCORE


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
async def test_as_a_program_it_says_when_it_is_ready_and_ends_when_told(told: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gateway.uplink.broker", "--port", "0", "--directory", str(tmp_path)]
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    async with asyncio.timeout(20):
        ready = json.loads(await child.stdout.readline())
        assert ready["ready"] is True
        with socket.create_connection(("127.0.0.1", port_of(ready["url"])), timeout=5):
            pass
        child.send_signal(told)
        assert await child.wait() == 0
    await eventually(lambda: not lives(ready["pid"]))
