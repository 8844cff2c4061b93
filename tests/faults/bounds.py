"""The judge of what no life may do whatever happens: show a secret (I10), or grow without bound (I7)."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

from tests.faults.checker import UNEXPLAINED, Finding

# Key and secret of the shop, and what every customer's address ends with: nothing the gateway writes may hold them.
SECRETS = (b"ck_canary", b"cs_canary", b"@example.com")
FILES_MAX, TASKS_MAX = 8, 4  # more files than at its start, and tasks, when all is closed
GROWN_KB_MAX = 100_000  # beyond what the process began with; an answer of a shop may be 20 MB
LOG_BYTES_MAX = 500_000
LIMITS = {"files": FILES_MAX, "tasks": TASKS_MAX, "grown_kb": GROWN_KB_MAX}


def check(directory: Path) -> list[Finding]:
    """Judge a point by everything that lies in its directory: state, logs, journals, notes, tracebacks."""
    return [*_secrets(directory), *_growth(directory)]


def _secrets(directory: Path) -> Iterator[Finding]:
    for path in sorted(directory.rglob("*")):
        if not stat.S_ISREG(path.lstat().st_mode) or path.name in ("point.txt", "image"):
            continue
        octets = path.read_bytes()
        for secret in SECRETS:
            if (at := octets.find(secret)) >= 0:
                around = octets[max(0, at - 60) : at].decode(errors="replace").splitlines()[-1:]
                yield UNEXPLAINED, "I10", f"{path.relative_to(directory)} shows {secret.decode()} after {around}"


def _growth(directory: Path) -> Iterator[Finding]:
    for path in sorted(directory.glob("*-held.json")):
        held = json.loads(path.read_text())
        for name, most in LIMITS.items():
            if held[name] > most:
                yield UNEXPLAINED, "I7", f"life {path.name.partition('-')[0]} held {held[name]} {name}, {most} at most"
    for path in sorted(directory.glob("*-log.txt")):
        if (size := path.stat().st_size) > LOG_BYTES_MAX:
            yield UNEXPLAINED, "I7", f"{path.name} has {size} bytes, {LOG_BYTES_MAX} at most"
