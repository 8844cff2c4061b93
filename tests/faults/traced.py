"""Kills a life at the n-th time that it makes one system call, by strace: below Python, SQLite and the recorded disk."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CALLS = {"disk write": "pwrite64", "disk sync": "fdatasync", "round": "sendto"}  # the call behind a point
WITHIN_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """The n-th time (of one thread) that a system call is made."""

    name: str
    nth: int


def kill_at(child: int, call: Call, *, said: Path) -> "subprocess.Popen[bytes]":
    """Let strace follow a process and all its threads; it is killed as it enters the call, which is not made."""
    command = ["strace", "-f", "-p", str(child), "-e", f"trace={call.name}", "-e", "signal=none", "-o", os.devnull]
    with said.open("wb") as out:
        inject = f"inject={call.name}:signal=KILL:when={call.nth}"
        return subprocess.Popen([*command, "-e", inject], stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def wait_for_tracer() -> None:
    """Wait in a process until it is being traced; one that nobody traces goes on after a while."""
    deadline = time.monotonic() + WITHIN_S
    while not _is_traced("self") and time.monotonic() < deadline:
        time.sleep(0.002)


def missing() -> str:
    """Say why nothing can be traced here; empty where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    with tempfile.TemporaryDirectory(prefix="kvot-faults-") as place:
        child = os.fork()
        if child == 0:
            wait_for_tracer()
            os.sync()
            os._exit(0)
        said = Path(place) / "said"
        tracer = kill_at(child, Call(name="sync", nth=1), said=said)
        tracer.wait()
        told = said.read_text().strip().splitlines()
        _, ended = os.waitpid(child, 0)
        killed = os.waitstatus_to_exitcode(ended) == -signal.SIGKILL
        return "" if killed else f"strace: {(told or ['it kills nothing'])[-1]}"


def _is_traced(process: str) -> bool:
    return "TracerPid:\t0\n" not in Path(f"/proc/{process}/status").read_text()
