"""The judge of a machine in whose place another one answered: nothing was started there, and people were told why."""

from collections.abc import Iterator
from pathlib import Path

from tests.faults.checker import UNEXPLAINED, Finding, read_journal

_SHOWN = "compare it with the one shown at the machine"  # the cure, as people read it


def check(directory: Path) -> Iterator[Finding]:
    """Judge by the files of a point; nothing where no stranger was there."""
    reigns = _reigns(directory)
    for entry in read_journal(directory / "press.journal"):
        if entry["event"] == "start" and any(begin <= entry["t"] <= end for begin, end in reigns):
            yield UNEXPLAINED, "I3", f"job {entry['job']} was started at a machine that is not the trusted one"
    notes = directory / "refused-sessions.txt"
    if reigns and (not notes.exists() or _SHOWN not in notes.read_text()):
        yield UNEXPLAINED, "I11", "another certificate was shown, and nobody was told"


def _reigns(directory: Path) -> list[tuple[float, float]]:
    """Give from when to when a stranger was there."""
    reigns: list[tuple[float, float]] = []
    begin: float | None = None
    for entry in read_journal(directory / "strangers.journal"):
        if entry["event"] == "gone" and begin is not None:
            reigns.append((begin, entry["t"]))
            begin = None
        elif entry["event"] == "there":
            begin = begin or entry["t"]
    return reigns if begin is None else [*reigns, (begin, float("inf"))]
