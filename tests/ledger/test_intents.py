"""What was last sent of a job, for a machine that cannot be asked for it."""

from dataclasses import replace

import pytest
from sqlalchemy import Connection

from drivers.base import CommandKind
from gateway.domain.dispatch import Settlement
from gateway.ledger import jobs, views
from gateway.ledger.intents import told
from tests.ledger.work import NOW, WIRE, a_released_job, intend, settle

BASELINE = "idle, not done, good 7, scrap 1"
AT_REST = replace(WIRE, baseline=BASELINE)


def test_the_baseline_is_kept_with_the_intent_and_shown(tx: Connection) -> None:
    job_id = a_released_job(tx)
    assert intend(tx, job_id, wire=AT_REST).baseline == BASELINE
    view = views.show_job(tx, job_id)
    assert view is not None
    assert [command["baseline"] for command in view["commands"]] == [BASELINE]


def test_of_a_job_never_sent_nothing_is_told(tx: Connection) -> None:
    assert told(tx, a_released_job(tx)) is None


@pytest.mark.parametrize("kind", [CommandKind.LOAD, CommandKind.LOAD_START])
def test_an_intent_is_told_as_it_was_committed_and_begun_once_accepted(tx: Connection, kind: CommandKind) -> None:
    job_id = a_released_job(tx)
    intent = intend(tx, job_id, kind, wire=AT_REST)
    assert told(tx, job_id) == (intent, False)
    settle(tx, intent)
    assert told(tx, job_id) == (intent, True)


@pytest.mark.parametrize("settlement", [Settlement.ABSENT, Settlement.REFUSED, Settlement.PERSON])
def test_what_was_not_executed_is_not_told_and_the_next_attempt_has_its_own_baseline(
    tx: Connection, settlement: Settlement
) -> None:
    job_id = a_released_job(tx)
    settle(tx, intend(tx, job_id, wire=AT_REST), settlement)
    if settlement is Settlement.PERSON:
        jobs.release_again(tx, job_id, who="person:anna", now=NOW)
    assert told(tx, job_id) is None
    again = intend(tx, job_id, wire=replace(AT_REST, baseline="idle, done, good 9, scrap 1"))
    assert told(tx, job_id) == (again, False)
    assert again.baseline == "idle, done, good 9, scrap 1"


def test_other_commands_do_not_hide_the_load(tx: Connection) -> None:
    job_id = a_released_job(tx)
    intent = intend(tx, job_id, wire=AT_REST)
    settle(tx, intent)
    settle(tx, intend(tx, job_id, CommandKind.WITHDRAW))
    assert told(tx, job_id) == (intent, True)
