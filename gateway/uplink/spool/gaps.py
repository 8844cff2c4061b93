"""What the spool had to drop, merged into few ranges and kept until the broker knows it."""

import os
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson

from gateway.uplink.spool.records import Gap

GAPS_MAX = 64  # of one machine
_VERSION = 1


def merged(gaps: tuple[Gap, ...], more: Iterable[Gap]) -> tuple[Gap, ...]:
    """Add gaps to others: neighbours of one boot and reason become one, and so does what is too many to keep.

    A gap that was widened beyond its neighbours says with `count` how many of its range are missing.
    """
    kept = list(gaps)
    for gap in more:
        place = _partner(kept, gap)
        if place is None:
            kept.append(gap)
        else:
            kept[place] = _joined(kept[place], gap)
    return tuple(sorted(kept, key=lambda gap: (gap.machine, gap.boot, gap.first)))


def without(gaps: tuple[Gap, ...], told: Gap) -> tuple[Gap, ...]:
    """Leave out a gap that was told; one that grew meanwhile stays, and is told again as a whole."""
    return tuple(gap for gap in gaps if gap != told)


def load_gaps(path: Path) -> tuple[Gap, ...]:
    """Read the gaps that were kept; a file that is not whole is one that was never kept."""
    try:
        kept = orjson.loads(path.read_bytes())
        return tuple(Gap(**_checked(fields)) for fields in kept["gaps"]) if kept["v"] == _VERSION else ()
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ()


def keep_gaps(path: Path, gaps: tuple[Gap, ...]) -> None:
    """Write the gaps so that they are on the disk when this returns, and whole; raise `OSError` where they cannot."""
    replace_file(path, orjson.dumps({"v": _VERSION, "gaps": [asdict(gap) for gap in gaps]}))


def replace_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Put a whole new file in the place of an old one."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fdatasync(file.fileno())
    fresh.replace(path)
    if durable:
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on the disk when this returns."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _partner(kept: list[Gap], gap: Gap) -> int | None:
    alike = [
        place
        for place, other in enumerate(kept)
        if (other.machine, other.boot, other.reason) == (gap.machine, gap.boot, gap.reason)
    ]
    for place in alike:
        if kept[place].first - 1 <= gap.last and gap.first <= kept[place].last + 1:
            return place
    crowded = sum(other.machine == gap.machine for other in kept) >= GAPS_MAX
    return alike[-1] if crowded and alike else None


def _joined(one: Gap, other: Gap) -> Gap:
    return replace(
        one,
        first=min(one.first, other.first),
        last=max(one.last, other.last),
        count=one.count + other.count,
        values=one.values + other.values,
    )


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    texts, numbers = {"machine", "reason"}, {"boot", "first", "last", "count", "values"}
    if not all(isinstance(fields[name], str) for name in texts) or not all(
        isinstance(fields[name], int) for name in numbers
    ):
        raise ValueError("not a gap")
    return fields
