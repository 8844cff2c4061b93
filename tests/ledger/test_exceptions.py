"""Exceptions: one question per subject and cause, decided once by a named person."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from gateway.domain.exceptions import Kind
from gateway.errors import RefusedError
from gateway.ledger import events, outbox
from gateway.ledger.exceptions import (
    acknowledge,
    count_open,
    list_exceptions,
    open_exception,
    resolve,
    settle,
)

NOW = datetime(2026, 5, 4, 10, 15, tzinfo=UTC)
THEN = NOW + timedelta(minutes=5)
AT, LATER = "2026-05-04T10:15:00.000000Z", "2026-05-04T10:20:00.000000Z"


def ask(tx: Connection, subject: str = "sku:web/X", kind: Kind = Kind.UNKNOWN_ARTICLE, **more: Any) -> int:
    values: dict[str, Any] = {"evidence": {"text": "X"}, "at": NOW, **more}
    return open_exception(tx, kind, subject=subject, **values)


def told(tx: Connection) -> list[tuple[str, Any]]:
    facts = outbox.pending(tx, "mqtt", limit=100, now=NOW)
    return [(fact.subject, fact.body["type"]) for fact in facts]


def test_an_exception_shows_what_is_asked_and_what_may_be_answered(tx: Connection) -> None:
    exception_id = ask(tx)

    assert list_exceptions(tx) == [
        {
            "exception_id": exception_id,
            "subject": "sku:web/X",
            "cause": "unknown article",
            "evidence": {"text": "X"},
            "actions": ["retry", "close"],
            "severity": "warning",
            "count": 1,
            "owner": None,
            "resolution": None,
            "state": "open",
            "opened_at": AT,
            "acked_at": None,
            "resolved_at": None,
            "resolved_by": None,
        }
    ]


def test_the_same_cause_again_only_counts_up_and_is_told_once(tx: Connection) -> None:
    first = ask(tx)
    again = [ask(tx, at=THEN, evidence={"text": "Y"}) for _ in range(3)]

    assert set(again) == {first}
    (found,) = list_exceptions(tx)
    assert (found["count"], found["opened_at"], found["evidence"]) == (4, AT, {"text": "X"})
    assert told(tx) == [(f"exception:{first}", "exception.opened")]


def test_another_cause_or_subject_is_another_exception(tx: Connection) -> None:
    assert len({ask(tx), ask(tx, detail="twice"), ask(tx, subject="sku:web/Y")}) == 3
    assert count_open(tx) == 3


def test_the_fact_carries_what_people_need_to_see(tx: Connection) -> None:
    exception_id = ask(tx)

    (fact,) = outbox.pending(tx, "mqtt", limit=10, now=NOW)
    assert fact.body == {
        "type": "exception.opened",
        "t": round(NOW.timestamp() * 1000),
        "exception_id": exception_id,
        "subject": "sku:web/X",
        "cause": "unknown article",
        "severity": "warning",
        "actions": ["retry", "close"],
    }


def test_an_acknowledged_exception_has_an_owner_and_still_waits(tx: Connection) -> None:
    exception_id = ask(tx)

    acknowledge(tx, exception_id, who="person:anna", at=THEN)

    (found,) = list_exceptions(tx, state="acked")
    assert (found["owner"], found["acked_at"]) == ("person:anna", LATER)
    assert count_open(tx) == 1
    assert ask(tx) == exception_id


def test_a_person_resolves_it_by_one_of_its_actions(tx: Connection) -> None:
    exception_id = ask(tx)

    resolve(tx, exception_id, action="retry", who="person:anna", note="mapped", at=THEN)

    (found,) = list_exceptions(tx, state="resolved")
    assert (found["resolution"], found["resolved_by"], found["resolved_at"]) == ("retry", "person:anna", LATER)
    assert count_open(tx) == 0
    assert told(tx)[-1] == (f"exception:{exception_id}", "exception.resolved")


def test_who_decided_is_recorded_here_and_told_nobody_outside(tx: Connection) -> None:
    exception_id = ask(tx)
    acknowledge(tx, exception_id, who="person:anna", at=THEN)
    resolve(tx, exception_id, action="retry", who="person:anna", note="mapped", at=THEN)

    story = events.history(tx, f"exception:{exception_id}", 10)
    assert [(event["what"], event["who"]) for event in story] == [
        ("exception.opened", "kvot"),
        ("exception.acknowledged", "person:anna"),
        ("exception.resolved", "person:anna"),
    ]
    assert story[-1]["after"] == {"resolution": "retry", "note": "mapped"}
    assert "anna" not in str(outbox.pending(tx, "mqtt", limit=10, now=THEN))


def test_an_answer_that_was_not_offered_is_refused_with_those_that_were(tx: Connection) -> None:
    exception_id = ask(tx)

    with pytest.raises(RefusedError, match="retry, close"):
        resolve(tx, exception_id, action="explode", who="person:anna", note="", at=THEN)

    assert count_open(tx) == 1


@pytest.mark.parametrize("known", [False, True])
def test_what_is_unknown_or_resolved_already_is_refused(tx: Connection, known: bool) -> None:
    exception_id = ask(tx) if known else 99
    if known:
        resolve(tx, exception_id, action="close", who="person:anna", note="", at=NOW)
    text = "already resolved" if known else "no exception 99"

    with pytest.raises(RefusedError, match=text):
        resolve(tx, exception_id, action="close", who="person:bo", note="", at=THEN)
    with pytest.raises(RefusedError, match=text):
        acknowledge(tx, exception_id, who="person:bo", at=THEN)


def test_the_facts_themselves_settle_one_cause(tx: Connection) -> None:
    exception_id, other = ask(tx), ask(tx, detail="twice")

    settle(tx, subject="sku:web/X", cause="unknown article", at=THEN)
    settle(tx, subject="sku:web/X", cause="unknown article", at=THEN)
    settle(tx, subject="sku:web/unseen", cause="unknown article", at=THEN)

    (found,) = list_exceptions(tx, state="resolved")
    assert (found["exception_id"], found["resolved_by"]) == (exception_id, "kvot")
    assert [waiting["exception_id"] for waiting in list_exceptions(tx, state="open")] == [other]


def test_the_facts_themselves_settle_every_cause_of_a_subject(tx: Connection) -> None:
    ask(tx)
    ask(tx, detail="twice")
    other = ask(tx, subject="sku:web/Y")

    settle(tx, subject="sku:web/X", at=THEN)

    assert [waiting["exception_id"] for waiting in list_exceptions(tx, state="open")] == [other]


def test_a_resolved_cause_that_comes_again_is_asked_again(tx: Connection) -> None:
    first = ask(tx)
    resolve(tx, first, action="close", who="person:anna", note="", at=NOW)

    second = ask(tx, at=THEN)

    assert second != first
    assert [(found["exception_id"], found["count"]) for found in list_exceptions(tx, state="open")] == [(second, 1)]
