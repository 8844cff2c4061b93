"""A job as the press keeps it, with the states and answers of ISA-95 Job Control (OPC 10031-4)."""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any, Self


class JobState(IntEnum):
    """The six top states and their numbers."""

    NOT_ALLOWED_TO_START = 1
    ALLOWED_TO_START = 2
    RUNNING = 3
    INTERRUPTED = 4
    ENDED = 5
    ABORTED = 6


STATE_TEXTS = {
    JobState.NOT_ALLOWED_TO_START: "NotAllowedToStart",
    JobState.ALLOWED_TO_START: "AllowedToStart",
    JobState.RUNNING: "Running",
    JobState.INTERRUPTED: "Interrupted",
    JobState.ENDED: "Ended",
    JobState.ABORTED: "Aborted",
}

WAITING = frozenset({JobState.NOT_ALLOWED_TO_START, JobState.ALLOWED_TO_START})
MOVED = frozenset({JobState.RUNNING, JobState.INTERRUPTED})
FINAL = frozenset({JobState.ENDED, JobState.ABORTED})


class Status(IntEnum):
    """The ReturnStatus of a method, one bit each (OPC 10031-4 Table 95)."""

    OK = 1
    UNKNOWN_JOB = 2
    INVALID_JOB_STATUS = 8
    UNABLE_TO_ACCEPT = 16
    INVALID_REQUEST = 1 << 32


class Result(IntEnum):
    """The JobResult of OPC 40001-3."""

    UNKNOWN = 0
    SUCCESSFUL = 1
    UNSUCCESSFUL = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOrder:
    """What was ordered. `document` is the order as it came over the wire, to be shown unchanged."""

    job_id: str
    cycles: int
    priority: int = 0
    work_master: str = ""
    document: bytes = b""


@dataclass(kw_only=True, slots=True)
class Job:
    """One entry of the list. Counts are pieces; times are business time."""

    order: JobOrder
    state: JobState
    arrival: int
    cycles_done: int = 0
    produced: int = 0
    good: int = 0
    left_s: float = 0.0  # business seconds left of the cycle an interruption stopped
    cycle_ends: datetime | None = None  # while running
    started_at: datetime | None = None
    ended_at: datetime | None = None
    result: Result = Result.UNKNOWN
    reason: str = ""  # why the state was left last, in words
    journalled: bool = False  # the journal holds its start

    @property
    def job_id(self) -> str:
        """Give the id the job was ordered under."""
        return self.order.job_id

    @property
    def scrap(self) -> int:
        """Give the pieces that were not good."""
        return self.produced - self.good

    def as_json(self) -> dict[str, Any]:
        """Give the job as plain JSON values; a running one as interrupted, which is how it comes back."""
        state = JobState.INTERRUPTED if self.state is JobState.RUNNING else self.state
        return {
            "job_id": self.order.job_id,
            "cycles": self.order.cycles,
            "priority": self.order.priority,
            "work_master": self.order.work_master,
            "document": b64encode(self.order.document).decode(),
            "state": int(state),
            "arrival": self.arrival,
            "cycles_done": self.cycles_done,
            "produced": self.produced,
            "good": self.good,
            "left_s": self.left_s,
            "started_at": self.started_at and self.started_at.isoformat(),
            "ended_at": self.ended_at and self.ended_at.isoformat(),
            "result": int(self.result),
            "reason": self.reason,
            "journalled": self.journalled,
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """Make the job that `as_json` described."""
        order = JobOrder(
            job_id=kept["job_id"],
            cycles=kept["cycles"],
            priority=kept["priority"],
            work_master=kept["work_master"],
            document=b64decode(kept["document"]),
        )
        return cls(
            order=order,
            state=JobState(kept["state"]),
            arrival=kept["arrival"],
            cycles_done=kept["cycles_done"],
            produced=kept["produced"],
            good=kept["good"],
            left_s=kept["left_s"],
            started_at=_time(kept["started_at"]),
            ended_at=_time(kept["ended_at"]),
            result=Result(kept["result"]),
            reason=kept["reason"],
            journalled=kept["journalled"],
        )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
