"""The press's persistent memory: one file with its jobs, replaced as a whole and synced."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from simulators.press.jobs import Job


def keep(path: Path, jobs: Iterable[Job]) -> None:
    """Write all jobs; they are on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump([job.as_json() for job in jobs], file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def recall(path: Path, *, started: Iterable[str]) -> list[Job]:
    """Read the jobs kept last; `started` are the ids whose start the journal holds."""
    if not path.exists():
        return []
    jobs = [Job.from_json(kept) for kept in json.loads(path.read_text(encoding="utf-8"))]
    known = frozenset(started)
    for job in jobs:
        job.journalled = job.journalled or job.job_id in known
    return jobs
