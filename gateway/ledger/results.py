"""What came out of jobs, row by row, for whoever keeps figures of the machines."""

from dataclasses import dataclass
from datetime import datetime

from gateway.ledger.database import Tx
from gateway.ledger.sql import row, rows
from gateway.ledger.times import to_text, to_time

PAGE = 500

_AFTER = """
SELECT s.result_id, s.job_id, s.produced, s.good, s.started_at, s.ended_at, j.machine, j.recipe, r.family,
  p.result_id AS earlier, p.produced AS produced_before, p.good AS good_before
FROM results s JOIN jobs j USING (job_id) JOIN runs r USING (run_id)
LEFT JOIN results p ON p.result_id =
  (SELECT MAX(result_id) FROM results WHERE job_id = s.job_id AND result_id < s.result_id)
WHERE s.result_id > :after ORDER BY s.result_id LIMIT :limit
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One result; `produced` and `good` are what it adds to an earlier result of the same job."""

    result_id: int
    job_id: str
    machine: str
    recipe: str
    family: str
    produced: int
    good: int
    started_at: datetime | None
    ended_at: datetime | None
    is_first: bool

    @property
    def busy_s(self) -> float | None:
        """Give the seconds from start to end, None where the machine did not tell them."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.started_at).total_seconds())


def last_before(tx: Tx, at: datetime) -> int:
    """Give the number of the last result of a job that ended before a time; 0 when there is none."""
    found = row(tx, "SELECT MAX(result_id) AS last FROM results WHERE ended_at < :at", at=to_text(at))
    return int(found["last"] or 0) if found is not None else 0


def results_after(tx: Tx, after: int, *, limit: int = PAGE) -> list[Outcome]:
    """Give the results behind a number, in their order."""
    return [
        Outcome(
            result_id=one["result_id"],
            job_id=one["job_id"],
            machine=one["machine"],
            recipe=one["recipe"],
            family=one["family"],
            produced=(one["produced"] or 0) - (one["produced_before"] or 0),
            good=(one["good"] or 0) - (one["good_before"] or 0),
            started_at=_time(one["started_at"]),
            ended_at=_time(one["ended_at"]),
            is_first=one["earlier"] is None,
        )
        for one in rows(tx, _AFTER, after=after, limit=limit)
    ]


def _time(text: str | None) -> datetime | None:
    return None if text is None else to_time(text)
