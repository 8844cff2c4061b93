"""First pieces in the ledger: one cycle first, nothing counted before approval, no piece lost or doubled."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from gateway.domain.machines import Level
from gateway.domain.products import Family, Setup
from gateway.domain.setups import Another
from gateway.domain.states import JobState, LineState
from gateway.errors import RefusedError
from gateway.ledger import first_pieces, jobs, machines, moving, setups
from gateway.ledger.collecting import owed
from gateway.ledger.lines import close_line
from gateway.ledger.runs import hold_run
from gateway.ledger.sql import change, rows
from gateway.stages.plan import Floor, plan_once
from tests.ledger.work import FAMILIES, NOW, conclude, intend, one, settle, state_of, take
from tests.shops.fake_shop import a_line

WHO = "person:karin"
ASKING: Mapping[str, Family] = {
    "white": replace(FAMILIES["white"], machines=("press-1",), setup=Setup(first_piece=True))
}


def _release(tx: Connection, families: Mapping[str, Family] = ASKING, *, confirmed: bool = True) -> list[str]:
    """Plan and release what is owed, confirm the set-up, and give the jobs of run 1 that were released."""
    machines.enrol(tx, "press-1")
    floor = Floor(families=families, machines=("press-1",), by_hand=frozenset({"press-1"}))
    plan_once(tx, floor, site="LUND", epoch=1, now=NOW)
    if confirmed:
        setups.confirm(tx, 1, families, code=None, who=WHO, now=NOW)
    return _jobs(tx, "released")


def _jobs(tx: Connection, state: str) -> list[str]:
    found = rows(tx, "SELECT job_id FROM jobs WHERE state = :state ORDER BY rowid", state=state)
    return [job["job_id"] for job in found]


def _first(tx: Connection) -> str:
    return str(one(tx, "SELECT job_id FROM jobs WHERE first_piece = 'due' AND state = 'released'"))


def _next(tx: Connection) -> str | None:
    work = machines.standing(tx, "press-1", configured=Level.START, silent_s=0.0, by_hand=True).work
    return None if work is None else work.job_id


def _make(tx: Connection, job_id: str, *, good: int, scrap: int = 0) -> None:
    assert _next(tx) == job_id
    settle(tx, intend(tx, job_id))
    moving.move_job(tx, job_id, seen=JobState.ACCEPTED, state=JobState.RUNNING, who="kvot", evidence="seen", now=NOW)
    conclude(tx, job_id, good=good)
    jobs.cleared(tx, job_id, now=NOW)


def _reject(tx: Connection) -> str | None:
    return first_pieces.reject(tx, 1, reason="short shot", who=WHO, site="LUND", epoch=1, now=NOW)


def _pieces(tx: Connection) -> int:
    """Count what is good and what is still to be made in this or another run."""
    made: int = one(tx, "SELECT COALESCE(SUM(good), 0) FROM requirements")
    to_make: int = one(
        tx, "SELECT COALESCE(SUM(quantity), 0) FROM jobs WHERE state IN ('waiting','released') OR first_piece = 'made'"
    )
    return made + to_make + sum(need.quantity for need in owed(tx))


def test_only_the_first_cycle_may_go_before_approval(tx: Connection) -> None:
    take(tx, a_line("1", quantity=10))
    families = {"white": replace(ASKING["white"], pieces_per_cycle=4)}
    _release(tx, families)
    first = _first(tx)
    assert [one["quantity"] for one in rows(tx, "SELECT quantity FROM jobs ORDER BY quantity")] == [4, 6]
    _make(tx, first, good=4)
    assert _next(tx) is None
    assert _pieces(tx) == 10


def test_before_the_setup_is_confirmed_nothing_may_go(tx: Connection) -> None:
    take(tx, a_line("1", quantity=2))
    _release(tx, confirmed=False)
    assert _next(tx) is None
    assert one(tx, "SELECT last_setup_key FROM machine_facts") is None


def test_what_a_first_piece_yields_counts_once_it_is_approved(tx: Connection) -> None:
    take(tx, a_line("1", quantity=1))
    _release(tx)
    _make(tx, _first(tx), good=1)
    assert one(tx, "SELECT good FROM requirements") == 0
    assert owed(tx) == []
    assert one(tx, "SELECT state FROM order_lines") == LineState.IN_PRODUCTION
    first_pieces.approve(tx, 1, who=WHO, now=NOW)
    assert one(tx, "SELECT state FROM order_lines") == LineState.MADE
    assert one(tx, "SELECT state FROM runs") == "finished"
    with pytest.raises(RefusedError, match="run 1 is finished"):
        first_pieces.approve(tx, 1, who=WHO, now=NOW)


def test_of_an_approved_cycle_what_is_not_good_is_lacking(tx: Connection) -> None:
    take(tx, a_line("1", quantity=10))
    _release(tx, {"white": replace(ASKING["white"], pieces_per_cycle=4)})
    _make(tx, _first(tx), good=3)
    first_pieces.approve(tx, 1, who=WHO, now=NOW)
    assert [need.quantity for need in owed(tx)] == [1]
    assert _pieces(tx) == 10


def test_a_piece_that_yielded_nothing_good_cannot_be_approved(tx: Connection) -> None:
    take(tx, a_line("1", quantity=2))
    _release(tx)
    _make(tx, _first(tx), good=0)
    with pytest.raises(RefusedError, match="nothing good"):
        first_pieces.approve(tx, 1, who=WHO, now=NOW)
    assert _reject(tx) == _first(tx)
    assert _pieces(tx) == 2


def test_rejected_again_and_again_no_piece_is_lost(tx: Connection) -> None:
    take(tx, a_line("1", quantity=3))
    _release(tx)
    for _ in range(6):
        _make(tx, _first(tx), good=1)
        assert _reject(tx) == _first(tx)
        assert _pieces(tx) == 3
    _make(tx, _first(tx), good=1)
    first_pieces.approve(tx, 1, who=WHO, now=NOW)
    assert _pieces(tx) == 3


def test_when_nobody_wants_a_rejected_piece_any_more_another_orders_piece_comes_first(tx: Connection) -> None:
    take(tx, a_line("1", quantity=1), number="1001")
    take(tx, a_line("2", quantity=5), number="1002", now=NOW + timedelta(hours=1))
    _release(tx)
    _make(tx, _first(tx), good=1)
    close_line(tx, 1, state=LineState.CANCELLED, reason="closed by a person", now=NOW)
    second = _reject(tx)
    assert second == _first(tx) == _next(tx)
    assert one(tx, "SELECT quantity FROM jobs WHERE job_id = :job", job=second) == 1
    assert len(_jobs(tx, "cancelled")) == 1  # what was released keeps its quantity: two jobs replace it
    assert _pieces(tx) == 5
    _make(tx, str(second), good=1)
    first_pieces.approve(tx, 1, who=WHO, now=NOW)
    (rest,) = _jobs(tx, "released")
    _make(tx, rest, good=4)
    assert one(tx, "SELECT state FROM runs") == "finished"
    assert owed(tx) == []


def test_a_run_of_which_nothing_is_wanted_any_more_ends_with_its_rejected_piece(tx: Connection) -> None:
    take(tx, a_line("1", quantity=1))
    _release(tx)
    _make(tx, _first(tx), good=1)
    close_line(tx, 1, state=LineState.CANCELLED, reason="closed by a person", now=NOW)
    assert _reject(tx) is None
    assert one(tx, "SELECT state FROM runs") == "finished"


def test_for_a_first_piece_that_was_never_made_another_is_appointed(tx: Connection) -> None:
    take(tx, a_line("1", quantity=3))
    _release(tx)
    first = _first(tx)
    moving.move_job(tx, first, seen=JobState.RELEASED, state=JobState.CANCELLED, who=WHO, evidence="not made", now=NOW)
    assert _next(tx) is None
    decided = setups.take_turn(tx, "press-1", ASKING, code=None, site="LUND", epoch=1, now=NOW)
    assert decided == Another(run_id=1)
    assert _next(tx) == _first(tx) != first
    assert state_of(tx, _first(tx)) == "released"
    assert _pieces(tx) == 3
    assert setups.turn(tx, "press-1", ASKING, code=None) is None


def test_a_first_piece_is_no_remake(tx: Connection) -> None:
    take(tx, a_line("1", quantity=3))
    families = {"white": replace(ASKING["white"], remake_limit=0)}
    _release(tx, families)
    _make(tx, _first(tx), good=1)
    first_pieces.approve(tx, 1, who=WHO, now=NOW)
    (rest,) = _jobs(tx, "released")
    _make(tx, rest, good=1)
    (need,) = owed(tx)
    assert (need.quantity, need.remakes) == (1, 1)


def test_a_held_run_lets_another_one_go_that_needs_no_setup(tx: Connection) -> None:
    plain = {"white": replace(ASKING["white"], setup=None)}
    take(tx, a_line("1"), number="1001")
    (first,) = _release(tx, plain, confirmed=False)
    take(tx, a_line("2"), number="1002", now=NOW + timedelta(hours=1))
    _release(tx, plain, confirmed=False)
    assert _next(tx) == first
    hold_run(tx, 1, reason="colour", who=WHO, now=NOW)
    second = _next(tx)
    assert second not in {None, first}
    hold_run(tx, 2, reason="colour", who=WHO, now=NOW)
    work = machines.standing(tx, "press-1", configured=Level.START, silent_s=0.0, by_hand=True).work
    assert work is not None
    assert work.held == "run 1: colour"


def test_approvals_end_with_the_setup_they_were_given_under(tx: Connection) -> None:
    take(tx, a_line("1", quantity=1))
    _release(tx)
    _make(tx, _first(tx), good=1)
    first_pieces.approve(tx, 1, who=WHO, now=NOW)
    assert setups.fitted(tx, "press-1").approved == {"tray@1"}
    change(tx, "UPDATE machine_facts SET last_setup_key = 'black'")
    take(tx, a_line("2", quantity=1), number="1002")
    _release(tx, confirmed=False)
    setups.confirm(tx, 2, ASKING, code=None, who=WHO, now=NOW)
    assert setups.fitted(tx, "press-1").approved == set()
    assert one(tx, "SELECT state FROM runs WHERE run_id = 2") == "first_piece"
