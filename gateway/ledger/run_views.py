"""What people ask of runs: all of them, one with its jobs and history, and what waits for somebody to act."""

from typing import Any, Final

from gateway.ledger import events
from gateway.ledger.database import Tx
from gateway.ledger.sql import Row, row, rows
from gateway.ledger.views import PAGE, View, list_jobs

_RUN: Final = """
SELECT r.run_id, r.family, r.setup_key, r.machine, r.state, r.hold_reason, r.opened_at, r.latest_start,
  r.released_at, r.release_reason, r.first_piece, r.waits_for, m.last_setup_key AS set_up_now,
  (SELECT COUNT(*) FROM jobs j WHERE j.run_id = r.run_id AND j.state <> 'cancelled') AS jobs,
  (SELECT COALESCE(SUM(j.quantity), 0) FROM jobs j WHERE j.run_id = r.run_id AND j.state <> 'cancelled') AS pieces,
  (SELECT COALESCE(SUM(a.good), 0) FROM jobs j JOIN allocations a USING (job_id) WHERE j.run_id = r.run_id) AS good,
  (SELECT MIN(j.promise_at) FROM jobs j WHERE j.run_id = r.run_id AND j.promise_at <> '') AS promise_at,
  (SELECT j.job_id FROM jobs j WHERE j.run_id = r.run_id AND j.first_piece = 'made') AS made,
  (SELECT MAX(e.at) FROM events e WHERE e.subject = 'run:' || r.run_id AND e.what LIKE 'run.%') AS since
FROM runs r LEFT JOIN machine_facts m ON m.machine = r.machine
"""


def list_runs(tx: Tx, *, state: str | None = None, after: int = 0, limit: int = PAGE) -> list[View]:
    """List runs by id, each with what it waits for; without a state those that have not ended."""
    chosen = "r.state NOT IN ('finished','cancelled')" if state is None else "r.state = :state"
    found = rows(
        tx,
        f"{_RUN} WHERE {chosen} AND r.run_id > :after ORDER BY r.run_id LIMIT :limit",
        state=state,
        after=after,
        limit=limit,
    )
    return [_shown(run) for run in found]


def show_run(tx: Tx, run_id: int) -> View | None:
    """Give one run with its jobs and history; None when there is none of that id."""
    run = row(tx, f"{_RUN} WHERE r.run_id = :run", run=run_id)
    if run is None:
        return None
    view = _shown(run)
    view["jobs"] = list_jobs(tx, run=run_id)
    view["history"] = events.history(tx, f"run:{run_id}", PAGE)
    return view


def to_do(tx: Tx) -> list[View]:
    """List the runs that wait for a person, the longest wait first: set up, or judge a first piece."""
    found = rows(tx, f"{_RUN} WHERE r.state IN ('setup','first_piece') AND r.hold_reason IS NULL ORDER BY since")
    shown = [_shown(run) for run in found]
    kept = ("run_id", "machine", "family", "setup_key", "set_up_now", "waits_for", "job_id", "since")
    return [{name: one[name] for name in kept} for one in shown if one["waits_for"] is not None]


def _shown(run: Row) -> dict[str, Any]:
    waits_for = run["waits_for"]  # before its release: material and tools
    if run["state"] == "setup":
        waits_for = "setup"
    elif run["state"] == "first_piece" and run["made"] is not None:
        waits_for = "approval"
    shown = dict(run)
    return {**shown, "job_id": shown.pop("made"), "waits_for": waits_for}
