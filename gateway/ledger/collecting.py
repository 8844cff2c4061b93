"""Open runs in the ledger: requirements join as waiting jobs, and a release sends those that can start."""

from datetime import datetime

from gateway.domain.exceptions import Kind
from gateway.domain.runs import Collecting, Join, Member, OpenRun, Owed, Releasing
from gateway.domain.states import JobState, LineState, RunState
from gateway.ledger import facts
from gateway.ledger.database import Tx, ring
from gateway.ledger.exceptions import open_exception
from gateway.ledger.job_ids import new_job_id
from gateway.ledger.job_states import DISOWNED, FELL_SHORT, IN_WORK, UNDER_WAY
from gateway.ledger.lines import move_line
from gateway.ledger.moving import move_job
from gateway.ledger.runs import move_run
from gateway.ledger.sql import change, insert, row, rows
from gateway.ledger.telling import tell
from gateway.ledger.times import to_text, to_time

# Pieces of the step before that are good and that nobody has used: neither in a job that was released
# nor in one that ended. A step that takes all at once has none until that step has made all. What the first
# step needs is stock, see `shortages`. Nothing of a line is ready before each of its files was checked.
_READY = f"""
    CASE WHEN EXISTS (SELECT 1 FROM files f WHERE f.line_id = r.line_id AND f.state <> 'checked') THEN 0
    WHEN r.step = 1 THEN r.quantity
    WHEN r.batch IS NULL AND EXISTS (SELECT 1 FROM requirements p WHERE p.line_id = r.line_id
      AND p.component = r.component AND p.step = r.step - 1 AND p.good < p.quantity) THEN 0
    ELSE
      COALESCE((SELECT p.good FROM requirements p
                WHERE p.line_id = r.line_id AND p.component = r.component AND p.step = r.step - 1), 0)
      - COALESCE((SELECT SUM(a.quantity) FROM allocations a JOIN jobs j USING (job_id)
                  WHERE a.requirement_id = r.requirement_id AND j.state IN {UNDER_WAY}), 0)
      - COALESCE((SELECT SUM(s.produced) FROM allocations a JOIN results s USING (job_id)
                  WHERE a.requirement_id = r.requirement_id
                    AND s.result_id = (SELECT MAX(x.result_id) FROM results x WHERE x.job_id = s.job_id)), 0)
    END"""  # noqa: S608 - constants


def owed(tx: Tx) -> list[Owed]:
    """List every requirement that lacks pieces: lines that are due, understood, and not held."""
    found = rows(
        tx,
        f"""
        SELECT * FROM (
          SELECT r.requirement_id, r.family, r.setup_key, r.places, r.batch, COALESCE(l.promise_at, '') AS promise_at,
                 q.used, CASE q.used WHEN 'own_run' THEN q.line_id END AS own,
                 {_READY} - CASE WHEN r.step = 1 THEN 0 ELSE COALESCE((
                   SELECT SUM(a.quantity) FROM allocations a JOIN jobs j USING (job_id)
                   WHERE a.requirement_id = r.requirement_id AND j.state = 'waiting'), 0) END AS ready,
                 r.quantity - r.good - COALESCE((
                   SELECT SUM(a.quantity) FROM allocations a JOIN jobs j USING (job_id)
                   WHERE a.requirement_id = r.requirement_id AND {IN_WORK}), 0) AS lacking,
                 (SELECT COUNT(*) FROM allocations a JOIN jobs j USING (job_id)
                   WHERE a.requirement_id = r.requirement_id AND {FELL_SHORT})
                 - r.remade AS remakes
          FROM requirements r JOIN order_lines l USING (line_id) JOIN orders o USING (order_id)
          LEFT JOIN quotes q ON q.line_id = r.line_id AND q.family = r.family
          WHERE l.state IN ('received','planned','in_production')
            AND l.hold_reason IS NULL AND o.hold_reason IS NULL AND r.hold_reason IS NULL)
        WHERE lacking > 0""",  # noqa: S608 - constants
    )
    return [
        Owed(
            requirement_id=need["requirement_id"],
            family=need["family"],
            setup_key=need["setup_key"],
            quantity=need["lacking"],
            promise_at=need["promise_at"],
            remakes=need["remakes"],
            ready=max(0, need["ready"]),
            places=need["places"],
            batch=need["batch"],
            quoted=need["used"] is not None,
            own=need["own"],
        )
        for need in found
    ]


def loads(tx: Tx) -> dict[str, int]:
    """Give the pieces each machine still has to make: those of released jobs, not of runs that collect."""
    found = rows(
        tx,
        f"SELECT machine, SUM(quantity) AS pieces FROM jobs WHERE state IN {UNDER_WAY} GROUP BY machine",  # noqa: S608
    )
    return {one["machine"]: one["pieces"] for one in found}


def open_runs(tx: Tx, family: str | None = None) -> list[OpenRun]:
    """Give the runs that collect, with their waiting jobs."""
    found = rows(
        tx,
        "SELECT run_id, family, setup_key, hold_reason, express FROM runs WHERE state IN ('collecting','committed') "
        "AND (:family IS NULL OR family = :family) ORDER BY run_id",
        family=family,
    )
    return [
        OpenRun(
            run_id=run["run_id"],
            family=run["family"],
            setup_key=run["setup_key"],
            held=run["hold_reason"],
            members=_members(tx, run["run_id"]),
            own=run["express"],
        )
        for run in found
    ]


def join(tx: Tx, decided: Collecting, *, site: str, epoch: int, now: datetime) -> int:
    """Write down what joins which run, and ask people about the rest; give the number of jobs."""
    for need in decided.too_often:
        _hold(tx, need, kind=Kind.REMADE, now=now)
    for need in decided.homeless:
        _hold(tx, need, kind=Kind.HOMELESS, now=now)
    for one in decided.joins:
        run_id = _open_run(tx, one.need, now=now)
        _insert_job(tx, run_id, one, site=site, epoch=epoch)
        _plan_line(tx, one.need.requirement_id, now=now)
    if decided.joins:
        ring(tx, "price")
    return len(decided.joins)


def release(tx: Tx, decided: Releasing, *, now: datetime, who: str = "kvot") -> int:
    """Release a run on its machine; what cannot start yet moves on to the next run. Give the number of jobs."""
    run = row(tx, "SELECT family, setup_key, state, express FROM runs WHERE run_id = :run", run=decided.run_id)
    assert run is not None
    change(
        tx,
        "UPDATE runs SET machine = :machine, released_at = :at, release_reason = :reason WHERE run_id = :run",
        machine=decided.machine,
        at=to_text(now),
        reason=decided.reason,
        run=decided.run_id,
    )
    move_run(
        tx,
        decided.run_id,
        RunState(run["state"]),
        RunState.RELEASING,
        family=run["family"],
        machine=decided.machine,
        now=now,
        who=who,
    )
    for member in decided.starting:
        change(tx, "UPDATE jobs SET machine = :machine WHERE job_id = :job", machine=decided.machine, job=member.job_id)
        move_job(
            tx,
            member.job_id,
            seen=JobState.WAITING,
            state=JobState.RELEASED,
            who=who,
            evidence=decided.reason,
            now=now,
        )
    if decided.waiting:
        next_run = _new_run(tx, run["family"], run["setup_key"], promised=True, own=run["express"], now=now)
        for member in decided.waiting:
            change(tx, "UPDATE jobs SET run_id = :run WHERE job_id = :job", run=next_run, job=member.job_id)
    ring(tx, f"machine:{decided.machine}")
    ring(tx, "price")
    return len(decided.starting)


def _members(tx: Tx, run_id: int) -> tuple[Member, ...]:
    """Give a run's waiting jobs; pieces that are ready go to the earliest promise first."""
    found = rows(
        tx,
        f"SELECT j.job_id, j.quantity, r.requirement_id, r.places, {_READY} AS ready, l.promise_at, o.placed_at, "  # noqa: S608
        "o.order_id FROM jobs j JOIN allocations a USING (job_id) JOIN requirements r USING (requirement_id) "
        "JOIN order_lines l USING (line_id) JOIN orders o USING (order_id) "
        "WHERE j.run_id = :run AND j.state = 'waiting' ORDER BY l.promise_at, l.line_id, j.rowid",
        run=run_id,
    )
    left: dict[int, int] = {}
    members: list[Member] = []
    for job in found:
        need = job["requirement_id"]
        ready = left.setdefault(need, max(0, job["ready"]))
        left[need] = max(0, ready - job["quantity"])
        members.append(
            Member(
                job_id=job["job_id"],
                order_id=job["order_id"],
                quantity=job["quantity"],
                places=job["places"],
                ready=ready,
                promise_at=None if job["promise_at"] is None else to_time(job["promise_at"]),
                placed_at=to_time(job["placed_at"]),
            )
        )
    return tuple(members)


def _open_run(tx: Tx, need: Owed, *, now: datetime) -> int:
    """Give the open run of a family and set-up key, or the line's own; the first promise in it commits it."""
    known = row(
        tx,
        "SELECT run_id, state FROM runs WHERE family = :family AND setup_key = :key "
        "AND state IN ('collecting','committed') AND express IS :own",
        family=need.family,
        key=need.setup_key,
        own=need.own,
    )
    if known is None:
        return _new_run(tx, need.family, need.setup_key, promised=bool(need.promise_at), own=need.own, now=now)
    if known["state"] == RunState.COLLECTING and need.promise_at:
        _commit(tx, known["run_id"], need.family, now=now)
    return int(known["run_id"])


def close_empty(tx: Tx, run: OpenRun, *, now: datetime) -> bool:
    """Cancel a run for one customer that has nothing left to make; others go on collecting. Say whether it was."""
    if run.own is None or run.members:
        return False
    found = row(tx, "SELECT state FROM runs WHERE run_id = :run", run=run.run_id)
    assert found is not None
    state = RunState(found["state"])
    move_run(tx, run.run_id, state, RunState.CANCELLED, family=run.family, machine="", now=now)
    return True


def _new_run(tx: Tx, family: str, setup_key: str, *, promised: bool, own: int | None, now: datetime) -> int:
    run_id = insert(
        tx,
        "runs",
        family=family,
        setup_key=setup_key,
        state=RunState.COLLECTING,
        opened_at=to_text(now),
        express=own,
    )
    facts.post(tx, "run.collecting", at=now, run_id=run_id, family=family)
    if promised:
        _commit(tx, run_id, family, now=now)
    return run_id


def _commit(tx: Tx, run_id: int, family: str, *, now: datetime) -> None:
    move_run(tx, run_id, RunState.COLLECTING, RunState.COMMITTED, family=family, machine="", now=now)


def _hold(tx: Tx, need: Owed, *, kind: Kind, now: datetime) -> None:
    """Leave a requirement to a person."""
    change(
        tx,
        "UPDATE requirements SET hold_reason = :cause WHERE requirement_id = :id",
        cause=kind.cause,
        id=need.requirement_id,
    )
    open_exception(
        tx,
        kind,
        subject=f"requirement:{need.requirement_id}",
        evidence={"family": need.family, "remakes": need.remakes, "lacking": need.quantity},
        at=now,
    )


def _plan_line(tx: Tx, requirement_id: int, *, now: datetime) -> None:
    line = row(
        tx,
        "SELECT l.line_id, l.order_id, l.state FROM requirements r JOIN order_lines l USING (line_id) "
        "WHERE r.requirement_id = :id",
        id=requirement_id,
    )
    assert line is not None
    if line["state"] == LineState.RECEIVED:
        move_line(tx, line["line_id"], seen=LineState.RECEIVED, state=LineState.PLANNED)
        tell(tx, line["order_id"], now=now)


def _insert_job(tx: Tx, run_id: int, one: Join, *, site: str, epoch: int) -> str:
    """Make one waiting job for pieces of a requirement, a remake of the last that fell short or was said not made."""
    job_id = new_job_id(tx, site=site, epoch=epoch)
    before = row(
        tx,
        "SELECT j.job_id FROM allocations a JOIN jobs j USING (job_id) "  # noqa: S608 - a constant
        f"WHERE a.requirement_id = :id AND ({FELL_SHORT} OR {DISOWNED}) ORDER BY j.rowid DESC LIMIT 1",
        id=one.need.requirement_id,
    )
    change(
        tx,
        "INSERT INTO jobs (job_id, run_id, machine, recipe, recipe_version, parameters, parameters_hash, "
        "quantity, state, remake_of, promise_at) "
        "SELECT :job, :run, NULL, recipe, recipe_version, parameters, parameters_hash, :quantity, :state, "
        ":before, :promise FROM requirements WHERE requirement_id = :need",
        job=job_id,
        run=run_id,
        quantity=one.quantity,
        state=JobState.WAITING,
        before=None if before is None else before["job_id"],
        promise=one.need.promise_at,
        need=one.need.requirement_id,
    )
    insert(tx, "allocations", job_id=job_id, requirement_id=one.need.requirement_id, quantity=one.quantity, good=0)
    return job_id
