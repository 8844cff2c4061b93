"""A run moves on with its jobs: running with the first that runs, finished when all have ended."""

from datetime import datetime

from gateway.domain.states import JobState, RunState
from gateway.errors import IllegalTransitionError, RefusedError
from gateway.ledger import events, facts
from gateway.ledger.database import Tx, ring
from gateway.ledger.sql import change, row, rows

_BEFORE_RUNNING = frozenset({RunState.SETUP, RunState.FIRST_PIECE})


def move_run(
    tx: Tx,
    run_id: int,
    seen: RunState,
    state: RunState,
    *,
    family: str,
    machine: str,
    now: datetime,
    who: str = "kvot",
) -> None:
    """Move a run and tell it; raise `IllegalTransitionError` when it is not in the state it was seen in."""
    moved = change(
        tx,
        "UPDATE runs SET prev_state = state, state = :state WHERE run_id = :run AND state = :seen",
        state=state,
        run=run_id,
        seen=seen,
    )
    if moved != 1:
        raise IllegalTransitionError(f"run {run_id} is not {seen}")
    events.record(
        tx,
        what=f"run.{state}",
        who=who,
        subject=f"run:{run_id}",
        at=now,
        before={"state": seen},
        after={"state": state},
    )
    facts.post(tx, f"run.{state}", at=now, run_id=run_id, family=family, machine=machine)


def tell_run(tx: Tx, run_id: int, what: str, *, who: str, now: datetime, **more: object) -> None:
    """Tell what happened to a run besides its moves; the world hears no names and no reasons."""
    run = row(tx, "SELECT family, machine FROM runs WHERE run_id = :run", run=run_id)
    assert run is not None
    events.record(tx, what=f"run.{what}", who=who, subject=f"run:{run_id}", at=now, after=more)
    told = {name: value for name, value in more.items() if name != "reason"}
    facts.post(tx, f"run.{what}", at=now, run_id=run_id, family=run["family"], machine=run["machine"], **told)


def hold_run(tx: Tx, run_id: int, *, reason: str, who: str, now: datetime) -> None:
    """Send nothing more of a run, and release it not, until a person lets it go; what a machine has goes on."""
    _held(tx, run_id)
    change(tx, "UPDATE runs SET hold_reason = :reason WHERE run_id = :run", reason=reason, run=run_id)
    tell_run(tx, run_id, "held", who=who, now=now, reason=reason)
    _wake(tx, run_id)


def let_run_go(tx: Tx, run_id: int, *, who: str, now: datetime) -> bool:
    """End a hold; say whether there was one."""
    if _held(tx, run_id) is None:
        return False
    change(tx, "UPDATE runs SET hold_reason = NULL WHERE run_id = :run", run=run_id)
    tell_run(tx, run_id, "let_go", who=who, now=now)
    _wake(tx, run_id)
    return True


def _held(tx: Tx, run_id: int) -> str | None:
    run = row(tx, "SELECT state, hold_reason FROM runs WHERE run_id = :run", run=run_id)
    if run is None:
        raise RefusedError(f"there is no run {run_id}: `kvot runs list` shows those there are")
    if run["state"] in {RunState.FINISHED, RunState.CANCELLED}:
        raise RefusedError(f"run {run_id} is {run['state']}")
    return None if run["hold_reason"] is None else str(run["hold_reason"])


def _wake(tx: Tx, run_id: int) -> None:
    run = row(tx, "SELECT machine FROM runs WHERE run_id = :run", run=run_id)
    assert run is not None
    for bell in ("plan", "price", f"machine:{run['machine']}"):
        ring(tx, bell)


def follow_run(tx: Tx, run_id: int, *, now: datetime) -> None:
    """Move a run on with its jobs: running with the first that runs, finished when all have ended."""
    run = row(tx, "SELECT state, family, machine FROM runs WHERE run_id = :run", run=run_id)
    assert run is not None
    seen = RunState(run["state"])
    jobs = rows(tx, "SELECT state, first_piece FROM jobs WHERE run_id = :run", run=run_id)
    states = {JobState(job["state"]) for job in jobs}
    moved = states - {JobState.WAITING, JobState.RELEASED, JobState.IN_DOUBT, JobState.CANCELLED}
    ended = states <= {JobState.COMPLETED, JobState.ABORTED, JobState.CANCELLED}
    undecided = any(job["first_piece"] == "made" for job in jobs)
    if (seen is RunState.RELEASING and moved) or (seen in _BEFORE_RUNNING and ended and not undecided):
        move_run(tx, run_id, seen, RunState.RUNNING, family=run["family"], machine=run["machine"], now=now)
        seen = RunState.RUNNING
    if ended and seen in {RunState.RUNNING, RunState.RELEASING}:
        last = RunState.FINISHED if seen is RunState.RUNNING else RunState.CANCELLED
        move_run(tx, run_id, seen, last, family=run["family"], machine=run["machine"], now=now)
