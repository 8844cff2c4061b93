"""Set-ups in the ledger: runs wait for their turn at a machine, and for who confirms that it is set up."""

from collections.abc import Mapping
from datetime import datetime

import orjson

from gateway.domain import setups
from gateway.domain.products import Family
from gateway.domain.runs import Releasing
from gateway.domain.setups import Another, Begin, Fitted, Queued, Turn
from gateway.domain.states import RunState
from gateway.errors import RefusedError
from gateway.ledger import collecting, first_pieces
from gateway.ledger.database import Tx, ring
from gateway.ledger.runs import move_run, tell_run
from gateway.ledger.sql import change, row, rows
from gateway.ledger.stock import keep_for_run

_QUEUED = """
SELECT r.run_id, r.family, r.setup_key, r.state, r.hold_reason, r.machine,
  COALESCE((SELECT MIN(j.promise_at) FROM jobs j WHERE j.run_id = r.run_id), '') AS promise_at,
  (SELECT json_group_array(DISTINCT j.recipe || '@' || j.recipe_version) FROM jobs j WHERE j.run_id = r.run_id)
    AS versions,
  (SELECT j.job_id FROM jobs j WHERE j.run_id = r.run_id AND j.first_piece = 'made') AS made,
  EXISTS (SELECT 1 FROM jobs j WHERE j.run_id = r.run_id AND j.first_piece = 'due' AND j.state <> 'cancelled')
    AS making
FROM runs r
"""


def release(
    tx: Tx,
    decided: Releasing,
    families: Mapping[str, Family],
    *,
    site: str,
    epoch: int,
    now: datetime,
    who: str = "kvot",
) -> int:
    """Release a run; where its family asks for a set-up or a first piece it waits. Give the number of jobs."""
    (run,) = _queued(tx, "r.run_id = :run", run=decided.run_id)
    family = families[run.family]
    others = [one for one in queue(tx, decided.machine) if one.run_id != decided.run_id]
    state = setups.first_state(run, others, fitted(tx, decided.machine), families)
    if state is not RunState.RELEASING and family.setup is not None and family.setup.first_piece:
        decided = first_pieces.cut_first_piece(tx, decided, cycle=family.pieces_per_cycle, site=site, epoch=epoch)
    keep_for_run(tx, decided.run_id, family)
    released = collecting.release(tx, decided, now=now, who=who)
    if state is not RunState.RELEASING:
        _move(tx, decided.run_id, RunState.RELEASING, state, machine=decided.machine, who="kvot", now=now)
    return released


def queue(tx: Tx, machine: str) -> list[Queued]:
    """Give the runs that were released on a machine and have not ended."""
    states = "('releasing','setup','first_piece','running')"
    return _queued(tx, f"r.machine = :machine AND r.state IN {states} ORDER BY r.run_id", machine=machine)


def fitted(tx: Tx, machine: str, *, code: str | None = None) -> Fitted:
    """Give what a machine is set up for; `code` is the tool it names now."""
    known = row(tx, "SELECT last_setup_key, approved FROM machine_facts WHERE machine = :machine", machine=machine)
    if known is None:
        return Fitted(setup_key=None, code=code)
    return Fitted(setup_key=known["last_setup_key"], approved=frozenset(orjson.loads(known["approved"])), code=code)


def turn(tx: Tx, machine: str, families: Mapping[str, Family], *, code: str | None) -> Turn | None:
    """Say what happens to the run whose turn it is at a machine."""
    return setups.turn(queue(tx, machine), fitted(tx, machine, code=code), families)


def take_turn(
    tx: Tx, machine: str, families: Mapping[str, Family], *, code: str | None, site: str, epoch: int, now: datetime
) -> Turn | None:
    """Write down what `turn` says, where nobody has to be waited for; give it."""
    decided = turn(tx, machine, families, code=code)
    match decided:
        case Begin(run_id=run_id, state=state, tool=tool):
            who = "kvot" if tool is None else f"machine:{machine}"
            _set_up(tx, run_id, state, machine=machine, who=who, now=now)
        case Another(run_id=run_id):
            first_pieces.another(tx, run_id, who="kvot", site=site, epoch=epoch, now=now)
    return decided


def confirm(tx: Tx, run_id: int, families: Mapping[str, Family], *, code: str | None, who: str, now: datetime) -> None:
    """Take a named person's word that a run's machine is set up; raise `RefusedError` where that does not fit."""
    machine = machine_of(tx, run_id)
    (run,) = _queued(tx, "r.run_id = :run", run=run_id)
    seen = fitted(tx, machine, code=code)
    if (why := setups.why_not_set_up(run, queue(tx, machine), seen, families)) is not None:
        raise RefusedError(why)
    family = families.get(run.family)
    state = RunState.RUNNING if family is None else setups.after_setup(run, family, seen)
    _set_up(tx, run_id, state, machine=machine, who=who, now=now)


def machine_of(tx: Tx, run_id: int) -> str:
    """Give the machine a run was released on; raise `RefusedError` where there is none yet."""
    run = row(tx, "SELECT machine, state FROM runs WHERE run_id = :run", run=run_id)
    if run is None:
        raise RefusedError(f"there is no run {run_id}: `kvot runs list` shows those there are")
    if run["machine"] is None:
        raise RefusedError(f"run {run_id} is {run['state']}: it was not released yet")
    return str(run["machine"])


def _set_up(tx: Tx, run_id: int, state: RunState, *, machine: str, who: str, now: datetime) -> None:
    """Write down which set-up a machine has; approvals belong to the set-up they were given under."""
    change(
        tx,
        "UPDATE machine_facts SET approved = '[]', last_setup_key = (SELECT setup_key FROM runs WHERE run_id = :run) "
        "WHERE machine = :machine AND last_setup_key IS NOT (SELECT setup_key FROM runs WHERE run_id = :run)",
        run=run_id,
        machine=machine,
    )
    tell_run(tx, run_id, "setup_done", who=who, now=now)
    _move(tx, run_id, RunState.SETUP, state, machine=machine, who=who, now=now)


def _move(tx: Tx, run_id: int, seen: RunState, state: RunState, *, machine: str, who: str, now: datetime) -> None:
    run = row(tx, "SELECT family FROM runs WHERE run_id = :run", run=run_id)
    assert run is not None
    move_run(tx, run_id, seen, state, family=run["family"], machine=machine, now=now, who=who)
    ring(tx, f"machine:{machine}")


def _queued(tx: Tx, condition: str, **values: object) -> list[Queued]:
    return [
        Queued(
            run_id=run["run_id"],
            family=run["family"],
            setup_key=run["setup_key"],
            state=RunState(run["state"]),
            held=run["hold_reason"],
            promise_at=run["promise_at"],
            versions=frozenset(orjson.loads(run["versions"])),
            made=run["made"],
            making=bool(run["making"]),
        )
        for run in rows(tx, f"{_QUEUED} WHERE {condition}", **values)
    ]
