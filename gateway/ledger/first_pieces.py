"""First pieces: one machine cycle is made before the rest of a run, and counts once a named person approves it."""

from dataclasses import replace
from datetime import datetime

import orjson

from gateway.domain.runs import Releasing
from gateway.domain.states import JobState, RunState
from gateway.errors import RefusedError
from gateway.ledger.collecting import owed
from gateway.ledger.database import Tx, ring
from gateway.ledger.job_ids import copy_job, split_waiting
from gateway.ledger.moving import move_job, tell_orders
from gateway.ledger.runs import follow_run, move_run, tell_run
from gateway.ledger.sql import Row, change, insert, row
from gateway.ledger.yields import allocate


def cut_first_piece(tx: Tx, decided: Releasing, *, cycle: int, site: str, epoch: int) -> Releasing:
    """Make the first cycle of a run about to be released a job of its own; give the release with it."""
    first = decided.starting[0]
    if first.quantity <= cycle:
        _appoint(tx, first.job_id)
        return decided
    piece = split_waiting(tx, first.job_id, cycle, site=site, epoch=epoch)
    _appoint(tx, piece)
    parts = (
        replace(first, job_id=piece, quantity=cycle),
        replace(first, quantity=first.quantity - cycle),
    )
    return replace(decided, starting=(*parts, *decided.starting[1:]))


def approve(tx: Tx, run_id: int, *, who: str, now: datetime) -> None:
    """Let a run go on: its first piece is good, says a named person; what it yields counts from now on.

    Raise `RefusedError` where none waits for approval, or nothing good came of it.
    """
    job_id = _made(tx, run_id)
    good = _result(tx, job_id)["good"]
    if good < 1:
        raise RefusedError(f"nothing good came of {job_id}: reject it, and another first piece is made")
    _decide(tx, job_id, "approved")
    change(tx, "UPDATE lots SET approver = :who WHERE job_id = :job", who=who, job=job_id)
    change(tx, "UPDATE runs SET first_piece = :job WHERE run_id = :run", job=job_id, run=run_id)
    _remember(tx, run_id)
    allocate(tx, job_id, good, now=now)
    tell_run(tx, run_id, "approved", who=who, now=now, job_id=job_id)
    run = row(tx, "SELECT family, machine FROM runs WHERE run_id = :run", run=run_id)
    assert run is not None
    move_run(tx, run_id, RunState.FIRST_PIECE, RunState.RUNNING, **run, now=now, who=who)
    follow_run(tx, run_id, now=now)
    _tell(tx, job_id, run["machine"], now=now)


def reject(tx: Tx, run_id: int, *, reason: str, who: str, site: str, epoch: int, now: datetime) -> str | None:
    """Turn a first piece into scrap by a named correction, and have another one made; give its job.

    What it should have yielded is lacking again. Raise `RefusedError` where none waits for approval.
    """
    job_id = _made(tx, run_id)
    result = _result(tx, job_id)
    if result["good"]:
        insert(
            tx,
            "results",
            job_id=job_id,
            produced=result["produced"],
            good=0,
            scrap=result["produced"],
            reason=reason,
            started_at=result["started_at"],
            ended_at=result["ended_at"],
            evidence="first piece rejected",
            confirmed_by=who,
        )
    _decide(tx, job_id, "rejected")
    allocate(tx, job_id, 0, now=now)
    tell_run(tx, run_id, "rejected", who=who, now=now, job_id=job_id, reason=reason)
    following = another(tx, run_id, who=who, site=site, epoch=epoch, now=now)
    machine = row(tx, "SELECT machine FROM jobs WHERE job_id = :job", job=job_id)
    assert machine is not None
    _tell(tx, job_id, machine["machine"], now=now)
    return following


def another(tx: Tx, run_id: int, *, who: str, site: str, epoch: int, now: datetime) -> str | None:
    """Appoint another first piece: what the last one lacks, else the first cycle of the rest; None without any."""
    last = row(
        tx,
        "SELECT job_id, quantity FROM jobs WHERE run_id = :run AND first_piece IS NOT NULL ORDER BY rowid DESC LIMIT 1",
        run=run_id,
    )
    assert last is not None
    piece = _again(tx, last["job_id"], last["quantity"], site=site, epoch=epoch)
    piece = piece or _from_the_rest(tx, run_id, last["quantity"], who=who, site=site, epoch=epoch, now=now)
    if piece is None:
        follow_run(tx, run_id, now=now)
        return None
    _appoint(tx, piece)
    _release(tx, piece, who=who, now=now)
    return piece


def said_by_ticket(tx: Tx, job_id: str, *, who: str, reason: str | None, site: str, epoch: int, now: datetime) -> None:
    """Take a station's ticket for the decision about a first piece: good approves it, scrap alone rejects it."""
    job = row(tx, "SELECT run_id, first_piece FROM jobs WHERE job_id = :job", job=job_id)
    if job is None or job["first_piece"] != "made":
        return
    if _result(tx, job_id)["good"]:
        approve(tx, job["run_id"], who=who, now=now)
    else:
        reject(tx, job["run_id"], reason=reason or "nothing good", who=who, site=site, epoch=epoch, now=now)


def _again(tx: Tx, job_id: str, cycle: int, *, site: str, epoch: int) -> str | None:
    """Make what a first piece lacks in its own run, where its line still wants it and the material is there."""
    served = row(tx, "SELECT requirement_id FROM allocations WHERE job_id = :job", job=job_id)
    assert served is not None
    need = next((one for one in owed(tx) if one.requirement_id == served["requirement_id"]), None)
    quantity = 0 if need is None else min(cycle, need.quantity, need.ready)
    return copy_job(tx, job_id, quantity, site=site, epoch=epoch, remake_of=job_id) if quantity else None


def _from_the_rest(tx: Tx, run_id: int, cycle: int, *, who: str, site: str, epoch: int, now: datetime) -> str | None:
    """Take the first cycle of a job that was never sent; what was released keeps its quantity, so two replace it."""
    job = row(
        tx,
        "SELECT job_id, quantity FROM jobs WHERE run_id = :run AND state = 'released' AND first_piece IS NULL "
        "ORDER BY promise_at, rowid LIMIT 1",
        run=run_id,
    )
    if job is None or job["quantity"] <= cycle:
        return None if job is None else str(job["job_id"])
    piece = copy_job(tx, job["job_id"], cycle, site=site, epoch=epoch)
    rest = copy_job(tx, job["job_id"], job["quantity"] - cycle, site=site, epoch=epoch)
    _release(tx, rest, who=who, now=now)
    move_job(
        tx,
        job["job_id"],
        seen=JobState.RELEASED,
        state=JobState.CANCELLED,
        who=who,
        evidence=f"divided into {piece} and {rest} for another first piece",
        now=now,
    )
    return piece


def _release(tx: Tx, job_id: str, *, who: str, now: datetime) -> None:
    job = row(tx, "SELECT state FROM jobs WHERE job_id = :job", job=job_id)
    if job is not None and job["state"] == JobState.WAITING:
        move_job(
            tx, job_id, seen=JobState.WAITING, state=JobState.RELEASED, who=who, evidence="another first piece", now=now
        )


def _appoint(tx: Tx, job_id: str) -> None:
    change(tx, "UPDATE jobs SET first_piece = 'due' WHERE job_id = :job", job=job_id)


def _decide(tx: Tx, job_id: str, decision: str) -> None:
    change(tx, "UPDATE jobs SET first_piece = :decision WHERE job_id = :job", decision=decision, job=job_id)


def _made(tx: Tx, run_id: int) -> str:
    run = row(tx, "SELECT state FROM runs WHERE run_id = :run", run=run_id)
    if run is None:
        raise RefusedError(f"there is no run {run_id}: `kvot runs list` shows those there are")
    if run["state"] != RunState.FIRST_PIECE:
        raise RefusedError(f"run {run_id} is {run['state']}: no first piece of it waits for approval")
    job = row(tx, "SELECT job_id FROM jobs WHERE run_id = :run AND first_piece = 'made'", run=run_id)
    if job is None:
        raise RefusedError(f"the first piece of run {run_id} is not made yet")
    return str(job["job_id"])


def _result(tx: Tx, job_id: str) -> Row:
    found = row(
        tx,
        "SELECT produced, COALESCE(good, 0) AS good, started_at, ended_at FROM results WHERE job_id = :job "
        "ORDER BY result_id DESC LIMIT 1",
        job=job_id,
    )
    assert found is not None
    return found


def _remember(tx: Tx, run_id: int) -> None:
    """Write down at the machine which recipes were approved under the set-up that it has now."""
    known = row(
        tx,
        "SELECT m.machine, m.approved, (SELECT json_group_array(DISTINCT j.recipe || '@' || j.recipe_version) "
        "FROM jobs j WHERE j.run_id = r.run_id) AS versions "
        "FROM runs r JOIN machine_facts m USING (machine) WHERE r.run_id = :run",
        run=run_id,
    )
    assert known is not None
    approved = sorted({*orjson.loads(known["approved"]), *orjson.loads(known["versions"])})
    change(
        tx,
        "UPDATE machine_facts SET approved = :approved WHERE machine = :machine",
        approved=orjson.dumps(approved).decode(),
        machine=known["machine"],
    )


def _tell(tx: Tx, job_id: str, machine: str, *, now: datetime) -> None:
    tell_orders(tx, job_id, now=now)
    ring(tx, "plan")
    ring(tx, f"machine:{machine}")
