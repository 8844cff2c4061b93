"""A person releases a run now, or a part of it, or lets a held one go on."""

from dataclasses import dataclass
from datetime import datetime

from gateway.domain.by_person import divided, release_by_person
from gateway.domain.runs import OpenRun
from gateway.errors import RefusedError
from gateway.ledger import collecting, quotes, recovery, setups
from gateway.ledger.database import Tx
from gateway.ledger.job_ids import split_waiting
from gateway.ledger.runs import let_run_go, tell_run
from gateway.ledger.shortages import require_supplied
from gateway.stages.plan import Floor, situation


@dataclass(frozen=True, kw_only=True, slots=True)
class Act:
    """Who acts when, and the two parts of a job id."""

    who: str
    now: datetime
    site: str
    epoch: int


def release_run(tx: Tx, floor: Floor, run_id: int, act: Act) -> str:
    """Let a held run go on; release one that collects and is not held. Give what happened, in words.

    Raise `RefusedError` where the run has been released, or nothing of it can be made yet, also for want of
    material or a tool. What quotes hold of it is held of the next run from then on, and the answer says so.
    """
    if let_run_go(tx, run_id, who=act.who, now=act.now):
        return f"run {run_id} goes on"
    run = _open_run(tx, run_id)
    held = quotes.living(tx, now=act.now).of(run.family).open_units if run.own is None else 0
    jobs = _release(tx, floor, run_id, act, keep=None)
    left = f"; quotes held {held} places of it, and have them in the next run now" if held else ""
    return f"run {run_id} is released with {jobs} jobs{left}"


def split_run(tx: Tx, floor: Floor, run_id: int, *, keep: int, act: Act) -> str:
    """Release the first `keep` pieces of a run that collects, by promise; the others collect in the next run.

    Raise `RefusedError` as `release_run`, and where it has no more pieces than those.
    """
    pieces = sum(member.quantity for member in _open_run(tx, run_id).members)
    if keep >= pieces:
        raise RefusedError(f"run {run_id} has {pieces} pieces: nothing would be left of it; release it whole")
    jobs = _release(tx, floor, run_id, act, keep=keep)
    return f"run {run_id} is released with {jobs} jobs; the others collect in the next run"


def _release(tx: Tx, floor: Floor, run_id: int, act: Act, *, keep: int | None) -> int:
    if recovery.pending(tx):
        raise RefusedError("a backup was restored: nothing is released before every machine and shop was asked")
    run = _open_run(tx, run_id)
    if run.held is not None:
        raise RefusedError(f"run {run_id} is held: {run.held}")
    if run.family not in floor.families:
        raise RefusedError(f"no family is called {run.family!r} in the configuration any more")
    candidates = situation(tx, floor, now=act.now).candidates
    decided, cut = release_by_person(run, floor.families[run.family], candidates, keep=keep)
    if not decided.starting:
        raise RefusedError(f"nothing of run {run_id} can be made yet: the step before has not made its pieces")
    if cut is not None:
        later = cut.member.quantity - cut.quantity
        rest = split_waiting(tx, cut.member.job_id, later, site=act.site, epoch=act.epoch)
        decided = divided(decided, cut, rest=rest)
    require_supplied(tx, decided, floor.families[run.family], now=act.now)
    if keep is not None:
        tell_run(tx, run_id, "split", who=act.who, now=act.now, kept=sum(one.quantity for one in decided.starting))
    return setups.release(tx, decided, floor.families, site=act.site, epoch=act.epoch, now=act.now, who=act.who)


def _open_run(tx: Tx, run_id: int) -> OpenRun:
    found = next((run for run in collecting.open_runs(tx) if run.run_id == run_id), None)
    if found is None:
        raise RefusedError(f"run {run_id} does not collect: it was released, or there is no such run")
    return found
