"""Tells systemd that the daemon is ready, alive or stopping (the protocol of sd_notify(3), without a library)."""

import os
import socket
from collections.abc import Mapping

_SEND_TIMEOUT_S = 1.0


def notify_ready(status: str = "") -> bool:
    """Say that start-up is complete; `status` is one line for `systemctl status`.

    Return False, here and below, when nobody asked to be told or the message could not be handed over:
    a service must not end because its supervisor does not listen.
    """
    return _notify("READY=1", _status(status))


def notify_watchdog() -> bool:
    """Say that progress was made; systemd restarts the daemon when this stays out for `WatchdogSec`."""
    return _notify("WATCHDOG=1")


def notify_stopping() -> bool:
    """Say that the daemon is going down on purpose."""
    return _notify("STOPPING=1")


def watchdog_interval_s(environment: Mapping[str, str] = os.environ) -> float | None:
    """Give how often to call `notify_watchdog`: half the time systemd waits, or None where it does not watch.

    As sd_watchdog_enabled(3) says, a `WATCHDOG_PID` of another process means that the watch is not for us.
    """
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        patience_us = int(environment.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return patience_us / 2_000_000 if patience_us > 0 else None


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())}" if text else ""


def _notify(*assignments: str) -> bool:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # the abstract namespace of Linux
        address = f"\0{address[1:]}"
    message = "\n".join(filter(None, assignments)).encode()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as outgoing:
            outgoing.settimeout(_SEND_TIMEOUT_S)
            outgoing.connect(address)
            outgoing.sendall(message)
    except OSError:
        return False
    return True
