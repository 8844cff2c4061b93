"""The press's persistent memory: one file with its jobs, replaced as a whole and synced."""

import json
from collections.abc import Iterable
from pathlib import Path

from simulators import keeping
from simulators.press.jobs import Job


def keep(path: Path, jobs: Iterable[Job]) -> None:
    """Write all jobs; they are on the disk when this returns."""
    keeping.keep(path, json.dumps([job.as_json() for job in jobs]))


def recall(path: Path, *, started: Iterable[str]) -> list[Job]:
    """Read the jobs kept last; `started` are the ids whose start the journal holds."""
    if not path.exists():
        return []
    jobs = [Job.from_json(kept) for kept in json.loads(path.read_text(encoding="utf-8"))]
    known = frozenset(started)
    for job in jobs:
        job.journalled = job.journalled or job.job_id in known
    return jobs
