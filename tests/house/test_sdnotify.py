"""What systemd hears from the daemon, over a real datagram socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.sdnotify import notify_ready, notify_stopping, notify_watchdog, watchdog_interval_s


@pytest.fixture(params=["path", "abstract"])
def supervisor(
    request: pytest.FixtureRequest, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A socket that hears what systemd would hear."""
    address = str(state_dir / "notify") if request.param == "path" else f"@kvot-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address if request.param == "path" else f"\0{address[1:]}")
        ear.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield ear


def test_systemd_hears_that_the_daemon_is_ready_alive_and_stopping(supervisor: socket.socket) -> None:
    assert notify_ready()
    assert supervisor.recv(100) == b"READY=1"
    assert notify_watchdog()
    assert supervisor.recv(100) == b"WATCHDOG=1"
    assert notify_stopping()
    assert supervisor.recv(100) == b"STOPPING=1"


def test_a_status_is_one_line_whatever_it_holds(supervisor: socket.socket) -> None:
    assert notify_ready("4 stages\nMAINPID=1")
    assert supervisor.recv(100) == b"READY=1\nSTATUS=4 stages MAINPID=1"


@pytest.mark.parametrize("address", [None, "", "relative/path", "/nowhere/at/all"])
def test_a_daemon_without_a_listening_supervisor_goes_on(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if address is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not notify_ready()
    assert not notify_watchdog()


def test_the_watchdog_is_fed_twice_as_often_as_systemd_wants() -> None:
    assert watchdog_interval_s({"WATCHDOG_USEC": "30000000"}) == 15.0
    assert watchdog_interval_s({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}) == 15.0


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "often"}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}],
)
def test_no_watchdog_is_fed_where_systemd_does_not_watch_this_process(environment: dict[str, str]) -> None:
    assert watchdog_interval_s(environment) is None
