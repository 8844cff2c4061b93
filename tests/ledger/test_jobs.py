"""Jobs, commands and results: what the model forbids, the ledger refuses, whoever asks."""

import re
from sqlite3 import IntegrityError

import pytest
from sqlalchemy import Connection

from drivers.base import CommandKind, Finding, JobPhase
from gateway.domain.dispatch import REFUSALS, Settlement
from gateway.domain.exceptions import Kind
from gateway.domain.states import JobState
from gateway.errors import IllegalTransitionError, RefusedError
from gateway.ledger import decisions, events, exceptions, jobs, moving, sql
from gateway.ledger.jobs import Wire
from gateway.ledger.sql import rows
from tests.ledger.work import (
    NOW,
    WIRE,
    a_released_job,
    bring,
    conclude,
    intend,
    job_ids,
    one,
    open_questions,
    release,
    settle,
    state_of,
    take,
    values,
)
from tests.shops.fake_shop import a_line

ANNA = "person:anna"
LOADS = (CommandKind.LOAD, CommandKind.LOAD_START)


# Intents and settlements ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LOADS)
def test_the_intent_of_a_load_puts_its_job_in_doubt_in_the_same_transaction(tx: Connection, kind: CommandKind) -> None:
    job_id = a_released_job(tx)
    intent = intend(tx, job_id, kind)
    assert state_of(tx, job_id) == "in_doubt"
    assert one(tx, "SELECT settlement FROM commands WHERE command_id = :id", id=intent.command_id) is None
    assert (intent.quantity, intent.recipe, dict(intent.parameters)) == (2, "tray", {"width_mm": 60.0})
    assert intent.labels == {"order_numbers": ("1001",), "sku": "TRAY-12", "job_name": "Tray-12"}


@pytest.mark.parametrize("state", ["in_doubt", "accepted", "running", "interrupted", "completed", "aborted"])
def test_a_load_is_intended_for_a_released_job_only(tx: Connection, state: str) -> None:
    job_id = bring(tx, state)
    with pytest.raises((IllegalTransitionError, IntegrityError)):
        intend(tx, job_id)


def test_a_second_command_at_a_machine_is_refused_while_one_is_not_settled(tx: Connection) -> None:
    first, second = a_released_job(tx), a_released_job(tx, number="1002")
    intent = intend(tx, first)
    with pytest.raises(IntegrityError), tx.begin_nested():
        intend(tx, second)
    settle(tx, intent)
    intend(tx, second)


@pytest.mark.parametrize("kind", [CommandKind.START, CommandKind.WITHDRAW, CommandKind.CLEAR])
def test_any_open_command_blocks_the_machine(tx: Connection, kind: CommandKind) -> None:
    first, second = bring(tx, "accepted"), a_released_job(tx, number="1002")
    intend(tx, first, kind)
    with pytest.raises(IntegrityError), tx.begin_nested():
        intend(tx, second)


def test_machines_do_not_block_each_other(tx: Connection) -> None:
    first, second = a_released_job(tx), a_released_job(tx, number="1002")
    intend(tx, first)
    intend(tx, second, wire=Wire(machine="press-2", endpoint="", session="1-1", boot="boot-1"))
    assert one(tx, "SELECT COUNT(*) FROM commands WHERE settlement IS NULL") == 2


@pytest.mark.parametrize("first", Settlement)
@pytest.mark.parametrize("second", Settlement)
def test_a_command_is_settled_once(tx: Connection, first: Settlement, second: Settlement) -> None:
    intent = intend(tx, bring(tx, "accepted"), CommandKind.START)
    settle(tx, intent, first)
    with pytest.raises(IllegalTransitionError, match="settled already"):
        settle(tx, intent, second)


@pytest.mark.parametrize(
    ("settlement", "state"),
    [(Settlement.ACCEPTED, "accepted"), (Settlement.REFUSED, "released"), (Settlement.ABSENT, "released")],
)
def test_the_settlement_of_a_load_moves_its_job_out_of_doubt(
    tx: Connection, settlement: Settlement, state: str
) -> None:
    job_id = a_released_job(tx)
    settle(tx, intend(tx, job_id), settlement)
    assert state_of(tx, job_id) == state


@pytest.mark.parametrize("state", ["released", "accepted", "running", "interrupted", "completed", "aborted"])
def test_a_job_does_not_leave_doubt_while_its_load_is_not_settled(tx: Connection, state: str) -> None:
    job_id = bring(tx, "in_doubt")
    with pytest.raises(IntegrityError), tx.begin_nested():
        moving.move_job(
            tx, job_id, seen=JobState.IN_DOUBT, state=JobState(state), who="kvot", evidence="guessed", now=NOW
        )
    assert state_of(tx, job_id) == "in_doubt"


def test_a_job_the_machine_once_accepted_is_never_released_again(tx: Connection) -> None:
    job_id = bring(tx, "accepted")
    for state in ("released", "in_doubt", "waiting"):
        with pytest.raises(IntegrityError), tx.begin_nested():
            moving.move_job(
                tx, job_id, seen=JobState.ACCEPTED, state=JobState(state), who=ANNA, evidence="wished", now=NOW
            )


def test_a_job_is_moved_only_from_the_state_it_was_seen_in(tx: Connection) -> None:
    job_id = bring(tx, "running")
    with pytest.raises(IllegalTransitionError, match="is not accepted"):
        moving.move_job(
            tx, job_id, seen=JobState.ACCEPTED, state=JobState.RUNNING, who="kvot", evidence="seen", now=NOW
        )


def test_each_attempt_is_a_command_of_its_own_with_the_same_number_at_the_machine(tx: Connection) -> None:
    job_id = a_released_job(tx)
    numbers = set()
    for _ in range(3):
        intent = intend(tx, job_id)
        numbers.add(intent.job_no)
        settle(tx, intent, Settlement.ABSENT)
        jobs.hold_job(tx, job_id, reason=None)
    assert numbers == {1}
    assert [command["attempt"] for command in rows(tx, "SELECT attempt FROM commands ORDER BY command_id")] == [1, 2, 3]


def test_a_job_that_is_refused_too_often_is_held_and_asked_about_once(tx: Connection) -> None:
    job_id = a_released_job(tx)
    for attempt in range(1, REFUSALS + 1):
        settle(tx, intend(tx, job_id), Settlement.REFUSED)
        held = one(tx, "SELECT hold_reason FROM jobs")
        assert (held is not None) == (attempt == REFUSALS)
    assert [cause for _, _, cause in open_questions(tx)] == ["not accepted by the machine"]


def test_refusals_are_counted_since_the_last_accepted_command(tx: Connection) -> None:
    job_id = a_released_job(tx)
    settle(tx, intend(tx, job_id), Settlement.REFUSED)
    assert jobs.refusals(tx, job_id) == 1
    settle(tx, intend(tx, job_id))
    assert jobs.refusals(tx, job_id) == 0
    settle(tx, intend(tx, job_id, CommandKind.START), Settlement.ABSENT)
    assert jobs.refusals(tx, job_id) == 1


# Numbers and ids -----------------------------------------------------------------------------------


def test_a_job_has_one_number_per_machine_and_another_at_another_machine(tx: Connection) -> None:
    first, second = a_released_job(tx), a_released_job(tx, number="1002")
    settle(tx, intend(tx, first), Settlement.ABSENT)
    other = Wire(machine="press-2", endpoint="", session="1-1", boot="boot-1")
    assert intend(tx, second, wire=other).job_no == 1
    assert intend(tx, first).job_no == 1
    found = rows(tx, "SELECT machine, job_no, job_id FROM job_numbers ORDER BY machine")
    numbers = [(number["machine"], number["job_no"], number["job_id"]) for number in found]
    assert numbers == [("press-1", 1, first), ("press-2", 1, second)]


def test_job_numbers_rise_and_are_never_used_again(tx: Connection) -> None:
    numbers = []
    for index in range(5):
        job_id = a_released_job(tx, number=f"10{index}")
        intent = intend(tx, job_id)
        numbers.append(intent.job_no)
        settle(tx, intent)
        conclude(tx, job_id, good=2)
    assert numbers == [1, 2, 3, 4, 5]


def test_a_number_that_is_taken_is_refused_by_the_database(tx: Connection) -> None:
    first, second = a_released_job(tx), a_released_job(tx, number="1002")
    sql.insert(tx, "job_numbers", machine="press-1", job_no=7, job_id=first)
    for number, job_id in ((7, second), (8, first), (0, second), (2**32, second)):
        with pytest.raises(IntegrityError), tx.begin_nested():
            sql.insert(tx, "job_numbers", machine="press-1", job_no=number, job_id=job_id)


def test_job_ids_carry_site_and_epoch_and_count_in_base_36_without_ever_repeating(tx: Connection) -> None:
    take(tx, *(a_line(str(n)) for n in range(1, 41)))
    assert release(tx, epoch=37) == 40
    ids = job_ids(tx)
    assert len(set(ids)) == 40
    assert all(re.fullmatch(r"LUND-11-[0-9A-Z]+", job_id) for job_id in ids)
    assert [int(job_id.rpartition("-")[2], 36) for job_id in ids] == list(range(1, 41))
    assert ids[9] == "LUND-11-A"
    assert ids[35] == "LUND-11-10"
    assert max(map(len, ids)) <= 32


def test_a_release_that_is_rolled_back_uses_no_id_and_a_job_that_is_gone_gives_none_back(tx: Connection) -> None:
    take(tx, a_line("1"))
    part = tx.begin_nested()
    release(tx)
    part.rollback()
    release(tx)
    assert job_ids(tx) == ["LUND-1-1"]
    moving.move_job(
        tx, "LUND-1-1", seen=JobState.RELEASED, state=JobState.CANCELLED, who=ANNA, evidence="withdrawn", now=NOW
    )
    release(tx)
    assert job_ids(tx) == ["LUND-1-1", "LUND-1-2"]


# Planning ------------------------------------------------------------------------------------------


def test_what_is_planned_is_not_planned_again_whatever_state_its_job_is_in(tx: Connection) -> None:
    for state in ("released", "in_doubt", "accepted", "running", "interrupted", "completed"):
        part = tx.begin_nested()
        bring(tx, state)
        assert release(tx) == 0, state
        part.rollback()


def test_what_is_lacking_is_planned_as_a_remake_of_the_job_before(tx: Connection) -> None:
    job_id = bring(tx, "running", quantity=5)
    conclude(tx, job_id, good=3)
    assert release(tx) == 1
    assert values(tx, "SELECT quantity, remake_of FROM jobs ORDER BY rowid DESC LIMIT 1") == (
        2,
        job_id,
    )


def test_after_the_remake_limit_a_person_decides_and_may_allow_as_many_again(tx: Connection) -> None:
    take(tx, a_line(quantity=1))
    for _ in range(3):  # the first and two remakes
        assert release(tx) == 1
        job_id = job_ids(tx)[-1]
        settle(tx, intend(tx, job_id))
        conclude(tx, job_id, good=0)
    assert release(tx) == 0
    ((question, subject, cause),) = open_questions(tx)
    assert (subject, cause) == ("requirement:1", "remade too often")
    assert release(tx) == 0
    decisions.decide(tx, question, action="retry", who=ANNA, note="", now=NOW)
    assert release(tx) == 1


def test_a_held_line_or_order_is_not_planned(tx: Connection) -> None:
    take(tx, a_line("1"))
    for table in ("order_lines", "orders", "requirements"):
        tx.exec_driver_sql(f"UPDATE {table} SET hold_reason = 'look'")
        assert release(tx) == 0
        tx.exec_driver_sql(f"UPDATE {table} SET hold_reason = NULL")
    assert release(tx) == 1


# Results -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["completed", "aborted"])
@pytest.mark.parametrize("again", [JobState.COMPLETED, JobState.ABORTED])
def test_a_job_is_concluded_once(tx: Connection, state: str, again: JobState) -> None:
    job_id = bring(tx, state)
    good = one(tx, "SELECT SUM(good) FROM requirements")
    for who in ("kvot", ANNA):
        with pytest.raises(IntegrityError), tx.begin_nested():
            conclude(tx, job_id, state=again, good=2, who=who)
    assert one(tx, "SELECT SUM(good) FROM requirements") == good
    assert one(tx, "SELECT COUNT(*) FROM results") == 1


@pytest.mark.parametrize("state", ["released", "in_doubt"])
def test_a_job_that_was_not_accepted_has_no_result(tx: Connection, state: str) -> None:
    job_id = bring(tx, state)
    with pytest.raises(IntegrityError), tx.begin_nested():
        conclude(tx, job_id, good=2)


def test_a_line_is_made_when_its_pieces_are_and_surplus_makes_no_other_line(tx: Connection) -> None:
    first = bring(tx, "running", quantity=2)
    other = a_released_job(tx, quantity=2, number="1002")
    conclude(tx, first, good=9)
    assert [line["state"] for line in rows(tx, "SELECT state FROM order_lines ORDER BY line_id")] == ["made", "planned"]
    assert one(tx, "SELECT good FROM allocations WHERE job_id = :job", job=first) == 2
    assert state_of(tx, other) == "released"


def test_a_result_without_a_count_counts_as_nothing(tx: Connection) -> None:
    job_id = bring(tx, "running")
    finding = Finding(job_id=job_id, phase=JobPhase.ABORTED, evidence="response")
    jobs.conclude(tx, job_id, state=JobState.ABORTED, finding=finding, who="kvot", now=NOW)
    assert values(tx, "SELECT produced, good, scrap FROM results") == (0, 0, 0)


def test_after_an_abort_at_the_machine_nothing_is_made_again_before_a_person_says_so(tx: Connection) -> None:
    bring(tx, "aborted")
    assert release(tx) == 0
    ((question, _, cause),) = open_questions(tx)
    assert cause == "aborted at the machine with fewer good pieces: 0 of 2"
    decisions.decide(tx, question, action="remake", who=ANNA, note="", now=NOW)
    assert release(tx) == 1


def test_after_an_abort_a_person_may_end_the_lines_instead(tx: Connection) -> None:
    bring(tx, "aborted")
    ((question, _, _),) = open_questions(tx)
    decisions.decide(tx, question, action="close", who=ANNA, note="", now=NOW)
    assert one(tx, "SELECT state FROM order_lines") == "cancelled"
    assert release(tx) == 0


def test_an_abort_that_lacks_nothing_asks_nobody(tx: Connection) -> None:
    job_id = bring(tx, "running")
    conclude(tx, job_id, state=JobState.ABORTED, good=2)
    assert open_questions(tx) == []
    assert one(tx, "SELECT state FROM order_lines") == "made"


# What a named person decides about a job -----------------------------------------------------------

DECIDED = {
    ("released", "not_made"): ("cancelled", 1, "planned"),
    ("released", "made"): ("completed", 0, "made"),
    ("released", "aborted"): ("aborted", 1, "in_production"),
    ("in_doubt", "not_made"): ("cancelled", 1, "planned"),
    ("in_doubt", "made"): ("completed", 0, "made"),
    ("in_doubt", "aborted"): ("aborted", 1, "in_production"),
    ("accepted", "not_made"): ("aborted", 1, "in_production"),
    ("accepted", "made"): ("completed", 0, "made"),
    ("accepted", "aborted"): ("aborted", 1, "in_production"),
    ("running", "not_made"): ("aborted", 1, "in_production"),
    ("running", "made"): ("completed", 0, "made"),
    ("running", "aborted"): ("aborted", 1, "in_production"),
    ("interrupted", "not_made"): ("aborted", 1, "in_production"),
    ("interrupted", "made"): ("completed", 0, "made"),
    ("interrupted", "aborted"): ("aborted", 1, "in_production"),
}


@pytest.mark.parametrize(("state", "action"), list(DECIDED))
def test_a_persons_word_about_a_doubtful_job_is_carried_out_at_once(tx: Connection, state: str, action: str) -> None:
    job_id = bring(tx, state)
    jobs.raise_doubt(tx, job_id, Kind.UNCLEAR_WHETHER_MADE, evidence="", now=NOW)
    ((question, _, _),) = open_questions(tx)
    decisions.decide(tx, question, action=action, who=ANNA, note="I looked", now=NOW)
    after, remade, line = DECIDED[state, action]
    assert state_of(tx, job_id) == after
    assert open_questions(tx) == []
    assert one(tx, "SELECT COUNT(*) FROM commands WHERE settlement IS NULL") == 0
    assert release(tx) == remade
    assert one(tx, "SELECT state FROM order_lines") == line
    assert one(tx, "SELECT confirmed_by FROM results") == (ANNA if after in {"completed", "aborted"} else None)


@pytest.mark.parametrize("state", ["completed", "aborted"])
@pytest.mark.parametrize("action", ["not_made", "made", "aborted"])
def test_about_a_job_that_has_ended_there_is_nothing_to_decide(tx: Connection, state: str, action: str) -> None:
    job_id = bring(tx, state)
    jobs.raise_doubt(tx, job_id, Kind.UNCLEAR_WHETHER_MADE, detail="late", evidence="", now=NOW)
    question = open_questions(tx)[-1][0]
    with pytest.raises(RefusedError, match="nothing to decide"), tx.begin_nested():
        decisions.decide(tx, question, action=action, who=ANNA, note="", now=NOW)
    assert state_of(tx, job_id) == state


@pytest.mark.parametrize("state", ["accepted", "running", "in_doubt"])
def test_a_persons_word_settles_an_open_command_too(tx: Connection, state: str) -> None:
    job_id = bring(tx, state)
    if state != "in_doubt":
        intend(tx, job_id, CommandKind.START)
    jobs.raise_doubt(tx, job_id, Kind.UNCLEAR_WHETHER_MADE, evidence="", now=NOW)
    decisions.decide(tx, open_questions(tx)[0][0], action="made", who=ANNA, note="", now=NOW)
    assert one(tx, "SELECT settlement FROM commands ORDER BY command_id DESC LIMIT 1") == "person"
    assert state_of(tx, job_id) == "completed"


def test_an_action_that_was_not_offered_is_refused_and_changes_nothing(tx: Connection) -> None:
    job_id = bring(tx, "in_doubt")
    jobs.raise_doubt(tx, job_id, Kind.UNCLEAR_WHETHER_MADE, evidence="", now=NOW)
    with pytest.raises(RefusedError, match="has no action"), tx.begin_nested():
        decisions.decide(tx, open_questions(tx)[0][0], action="remake", who=ANNA, note="", now=NOW)
    assert state_of(tx, job_id) == "in_doubt"
    assert len(open_questions(tx)) == 1


def test_a_question_is_decided_once(tx: Connection) -> None:
    job_id = bring(tx, "in_doubt")
    jobs.raise_doubt(tx, job_id, Kind.UNCLEAR_WHETHER_MADE, evidence="", now=NOW)
    question = open_questions(tx)[0][0]
    decisions.decide(tx, question, action="not_made", who=ANNA, note="", now=NOW)
    with pytest.raises(RefusedError, match="already resolved"):
        decisions.decide(tx, question, action="not_made", who=ANNA, note="", now=NOW)


def test_letting_a_refused_job_try_again_ends_its_hold(tx: Connection) -> None:
    job_id = a_released_job(tx)
    for _ in range(REFUSALS):
        settle(tx, intend(tx, job_id), Settlement.REFUSED)
    decisions.decide(tx, open_questions(tx)[0][0], action="retry", who=ANNA, note="", now=NOW)
    assert one(tx, "SELECT hold_reason FROM jobs") is None
    settle(tx, intend(tx, job_id))
    assert open_questions(tx) == []


@pytest.mark.parametrize("action", ["retry", "close"])
def test_a_requirement_that_was_remade_too_often_can_be_allowed_or_ended(tx: Connection, action: str) -> None:
    take(tx, a_line(quantity=1))
    for _ in range(3):
        release(tx)
        settle(tx, intend(tx, job_ids(tx)[-1]))
        conclude(tx, job_ids(tx)[-1], good=0)
    release(tx)
    decisions.decide(tx, open_questions(tx)[0][0], action=action, who=ANNA, note="", now=NOW)
    assert one(tx, "SELECT state FROM order_lines") == ("in_production" if action == "retry" else "cancelled")
    assert release(tx) == (1 if action == "retry" else 0)


# The audit trail -----------------------------------------------------------------------------------


def test_every_step_of_a_job_is_written_down_with_who_and_from_where_to_where(tx: Connection) -> None:
    job_id = bring(tx, "in_doubt")
    jobs.raise_doubt(tx, job_id, Kind.UNCLEAR_WHETHER_MADE, evidence="", now=NOW)
    decisions.decide(tx, open_questions(tx)[0][0], action="made", who=ANNA, note="", now=NOW)
    story = events.history(tx, f"job:{job_id}", 50)
    assert [(event["what"], event["who"]) for event in story] == [
        ("job.released", "kvot"),
        ("job.in_doubt", "kvot"),
        ("command.load_start", "kvot"),
        ("command.settled", ANNA),
        ("job.completed", ANNA),
    ]
    moves = [(event["before"]["state"], event["after"]["state"]) for event in story if event["before"]]
    assert moves == [("waiting", "released"), ("released", "in_doubt"), ("in_doubt", "completed")]


def test_every_event_names_who_did_it(tx: Connection) -> None:
    bring(tx, "aborted")
    decisions.decide(tx, open_questions(tx)[0][0], action="remake", who=ANNA, note="", now=NOW)
    who = {event["who"] for event in rows(tx, "SELECT DISTINCT who FROM events")}
    assert who == {"kvot", "shop:webshop", ANNA}


def test_a_question_counts_up_instead_of_being_asked_twice(tx: Connection) -> None:
    job_id = bring(tx, "in_doubt")
    for _ in range(4):
        jobs.raise_doubt(tx, job_id, Kind.UNCLEAR_WHETHER_MADE, evidence="", now=NOW)
    assert [question["count"] for question in exceptions.list_exceptions(tx)] == [4]


def test_any_news_of_a_job_closes_what_was_asked_about_it(tx: Connection) -> None:
    job_id = bring(tx, "accepted")
    jobs.raise_doubt(tx, job_id, Kind.UNCLEAR_WHETHER_MADE, evidence="", now=NOW)
    assert jobs.doubts(tx, job_id) == {Kind.UNCLEAR_WHETHER_MADE.cause}
    moving.move_job(tx, job_id, seen=JobState.ACCEPTED, state=JobState.RUNNING, who="kvot", evidence="seen", now=NOW)
    assert jobs.doubts(tx, job_id) == frozenset()
    assert open_questions(tx) == []


def test_a_wire_names_where_a_command_went(tx: Connection) -> None:
    intend(tx, a_released_job(tx))
    found = values(tx, "SELECT machine, endpoint, session, machine_boot FROM commands")
    assert found == (WIRE.machine, WIRE.endpoint, WIRE.session, WIRE.boot)
