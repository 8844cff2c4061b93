"""What is owed becomes jobs in runs, released together."""

from datetime import datetime

from gateway.domain.plan import Owed, Plan, PlannedRun
from gateway.domain.states import JobState, LineState, RunState
from gateway.ledger.counters import next_number
from gateway.ledger.database import Tx, ring
from gateway.ledger.exceptions import open_exception
from gateway.ledger.jobs import move_job
from gateway.ledger.lines import move_line
from gateway.ledger.runs import move_run
from gateway.ledger.sql import change, insert, row, rows
from gateway.ledger.telling import tell
from gateway.ledger.times import to_text

UNFINISHED = "('waiting','released','in_doubt','accepted','running','interrupted')"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def owed(tx: Tx) -> list[Owed]:
    """List every requirement that lacks pieces: lines that are due, understood, and not held."""
    found = rows(
        tx,
        f"""
        SELECT * FROM (
          SELECT r.requirement_id, r.family, r.setup_key, COALESCE(l.promise_at, '') AS promise_at,
                 r.quantity - r.good - COALESCE((
                   SELECT SUM(a.quantity) FROM allocations a JOIN jobs j USING (job_id)
                   WHERE a.requirement_id = r.requirement_id AND j.state IN {UNFINISHED}), 0) AS lacking,
                 (SELECT COUNT(*) FROM allocations a JOIN jobs j USING (job_id)
                   WHERE a.requirement_id = r.requirement_id AND j.state IN ('completed','aborted'))
                 - r.remade AS remakes
          FROM requirements r JOIN order_lines l USING (line_id) JOIN orders o USING (order_id)
          WHERE l.state IN ('received','planned','in_production')
            AND l.hold_reason IS NULL AND o.hold_reason IS NULL AND r.hold_reason IS NULL)
        WHERE lacking > 0""",  # noqa: S608
    )
    return [
        Owed(
            requirement_id=need["requirement_id"],
            family=need["family"],
            setup_key=need["setup_key"],
            quantity=need["lacking"],
            promise_at=need["promise_at"],
            remakes=need["remakes"],
        )
        for need in found
    ]


def loads(tx: Tx) -> dict[str, int]:
    """Give the pieces each machine still has to make."""
    found = rows(tx, f"SELECT machine, SUM(quantity) AS pieces FROM jobs WHERE state IN {UNFINISHED} GROUP BY machine")  # noqa: S608
    return {one["machine"]: one["pieces"] for one in found}


def release(tx: Tx, plan: Plan, *, site: str, epoch: int, now: datetime) -> int:
    """Write down a plan: runs with their jobs, released; give the number of jobs."""
    for need in plan.too_often:
        _hold(tx, need, cause="remade too often", now=now)
    for need in plan.homeless:
        _hold(tx, need, cause="its family is not configured", now=now)
    return sum(_release_run(tx, run, site=site, epoch=epoch, now=now) for run in plan.runs)


def _hold(tx: Tx, need: Owed, *, cause: str, now: datetime) -> None:
    """Leave a requirement to a person."""
    change(
        tx,
        "UPDATE requirements SET hold_reason = :cause WHERE requirement_id = :id",
        cause=cause,
        id=need.requirement_id,
    )
    open_exception(
        tx,
        subject=f"requirement:{need.requirement_id}",
        cause=cause,
        evidence={"family": need.family, "remakes": need.remakes, "lacking": need.quantity},
        actions=("retry", "close"),
        at=now,
    )


def _release_run(tx: Tx, run: PlannedRun, *, site: str, epoch: int, now: datetime) -> int:
    run_id = insert(
        tx,
        "runs",
        family=run.family,
        setup_key=run.setup_key,
        machine=run.machine,
        state=RunState.COLLECTING,
        opened_at=to_text(now),
        released_at=to_text(now),
        release_reason="at_once",
    )
    jobs = [_insert_job(tx, run_id, run.machine, need, site=site, epoch=epoch) for need in run.owed]
    seen = RunState.COLLECTING
    for state in (RunState.COMMITTED, RunState.RELEASING):
        move_run(tx, run_id, seen, state, family=run.family, machine=run.machine, now=now)
        seen = state
    for job_id in jobs:
        move_job(tx, job_id, seen=JobState.WAITING, state=JobState.RELEASED, who="kvot", evidence="at_once", now=now)
    _plan_lines(tx, run, now=now)
    ring(tx, f"machine:{run.machine}")
    return len(jobs)


def _plan_lines(tx: Tx, run: PlannedRun, *, now: datetime) -> None:
    orders: set[int] = set()
    for need in run.owed:
        line = row(
            tx,
            "SELECT l.line_id, l.order_id, l.state FROM requirements r JOIN order_lines l USING (line_id) "
            "WHERE r.requirement_id = :id",
            id=need.requirement_id,
        )
        assert line is not None
        if line["state"] == LineState.RECEIVED:
            move_line(tx, line["line_id"], seen=LineState.RECEIVED, state=LineState.PLANNED)
        orders.add(line["order_id"])
    for order_id in sorted(orders):
        tell(tx, order_id, now=now)


def _insert_job(tx: Tx, run_id: int, machine: str, need: Owed, *, site: str, epoch: int) -> str:
    """Make one job for one requirement; a job after the first is a remake of the one before."""
    job_id = f"{site}-{_base36(epoch)}-{_base36(next_number(tx, 'job'))}"
    before = row(
        tx,
        "SELECT j.job_id FROM allocations a JOIN jobs j USING (job_id) WHERE a.requirement_id = :id "
        "ORDER BY j.rowid DESC LIMIT 1",
        id=need.requirement_id,
    )
    change(
        tx,
        "INSERT INTO jobs (job_id, run_id, machine, recipe, recipe_version, parameters, parameters_hash, "
        "quantity, state, remake_of, promise_at) "
        "SELECT :job, :run, :machine, recipe, recipe_version, parameters, parameters_hash, :quantity, :state, "
        ":before, :promise "
        "FROM requirements WHERE requirement_id = :need",
        job=job_id,
        run=run_id,
        machine=machine,
        quantity=need.quantity,
        state=JobState.WAITING,
        before=None if before is None else before["job_id"],
        promise=need.promise_at,
        need=need.requirement_id,
    )
    insert(tx, "allocations", job_id=job_id, requirement_id=need.requirement_id, quantity=need.quantity, good=0)
    return job_id


def _base36(number: int) -> str:
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if number == 0:
            return digits
