"""Watches a life as systemd watches a service: it hears its keep-alives, and kills what has become silent.

Judged is I11: a life whose loop is stuck sends no keep-alive and answers neither `/healthz` nor `/readyz`; one that is
alive does all of it.
"""

import os
import select
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.checker import UNEXPLAINED, Finding

PATIENCE_S = 2.0  # real seconds without a keep-alive after which a life is killed: WatchdogSec
LAST_S = 0.5  # a keep-alive may have been on its way when the loop got stuck
WITHIN_S = 10.0  # I11
ANSWER_S = 1.0
LOOK_S = 0.1
PATHS = ("/healthz", "/readyz")
KEEP_ALIVE = b"WATCHDOG=1"


@dataclass(kw_only=True)
class Watchdog:
    """The supervisor's end of `NOTIFY_SOCKET`. A life is over after `patience_s` in any case.

    `exact`: the loop is stuck from the moment that the strike is noted, not only some time after it.
    """

    directory: Path
    exact: bool
    patience_s: float
    _socket: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._path.unlink(missing_ok=True)
        self._socket.bind(str(self._path))

    @property
    def _path(self) -> Path:
        return self.directory / "notify.sock"

    def announce(self) -> None:
        """Tell this process whom to keep informed; call it in the child."""
        self._socket.close()
        os.environ["NOTIFY_SOCKET"] = str(self._path)
        os.environ["WATCHDOG_USEC"] = str(int(PATIENCE_S * 1_000_000))
        os.environ.pop("WATCHDOG_PID", None)

    def watch(self, pidfd: int, child: int, number: int) -> list[Finding]:
        """Follow a life to its end, or end it when it is silent; give what was untrue."""
        found: list[Finding] = []
        began = time.monotonic()
        heard: float | None = None  # when it kept alive last
        while True:
            ready, _, _ = select.select([pidfd, self._socket.fileno()], [], [], LOOK_S)
            if pidfd in ready:
                break
            now, stuck = time.monotonic(), self._stuck_s()
            if self._socket.fileno() in ready and self._socket.recv(4096).startswith(KEEP_ALIVE):
                if (
                    heard is None
                    and not all(map(self._says_yes, PATHS))
                    and self._stuck_s() is None
                    and not _is_over(pidfd)
                ):
                    found.append((UNEXPLAINED, "I11", f"life {number} runs, and does not say so"))
                heard = now
                if self.exact and stuck is not None and stuck > LAST_S:
                    found.append((UNEXPLAINED, "I11", f"life {number} was stuck for {stuck:.1f} s and kept alive"))
                    self._kill(child)
                    break
            silent = now - (heard if heard is not None else began)
            if (stuck is not None and min(stuck, silent) > PATIENCE_S) or now - began > self.patience_s:
                if any(map(self._says_yes, PATHS)):
                    found.append((UNEXPLAINED, "I11", f"life {number} is silent, and says that it is well"))
                if self.exact and stuck is not None and stuck > WITHIN_S:
                    found.append((UNEXPLAINED, "I11", f"life {number} was stuck for {stuck:.1f} s unnoticed"))
                self._kill(child)
                break
        self._socket.close()
        return found

    def _stuck_s(self) -> float | None:
        """Give since when the loop is stuck, by the note that it left as it got stuck."""
        with suppress(FileNotFoundError):
            return max(0.0, time.time() - (self.directory / "struck").stat().st_mtime)
        return None

    def _says_yes(self, path: str) -> bool:
        """Ask as a supervisor does."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(ANSWER_S)
            try:
                asking.connect(str(self.directory / "kvot.sock"))
                asking.sendall(f"GET {path} HTTP/1.1\r\nHost: kvot\r\nConnection: close\r\n\r\n".encode())
                return asking.recv(64).startswith(b"HTTP/1.1 200")
            except OSError:
                return False

    @staticmethod
    def _kill(child: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _is_over(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 0)[0])
