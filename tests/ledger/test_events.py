"""Events, cursors and counters: who did what when, only added to; and numbers without a hole."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from gateway.ledger import cursors, events
from gateway.ledger.counters import next_number

NOW = datetime(2026, 5, 4, 10, 15, tzinfo=UTC)


def test_a_history_is_told_oldest_first_and_shortened_at_its_beginning(tx: Connection) -> None:
    for number in range(4):
        events.record(tx, what=f"step.{number}", who="kvot", subject="job:1", at=NOW)
    events.record(tx, what="other", who="kvot", subject="job:2", at=NOW)

    assert [event["what"] for event in events.history(tx, "job:1", 3)] == ["step.1", "step.2", "step.3"]


def test_an_event_keeps_who_when_and_what_changed(tx: Connection) -> None:
    events.record(
        tx,
        what="machine.armed",
        who="person:anna",
        subject="machine:p",
        at=NOW,
        before={"level": "read"},
        after={"level": "start"},
    )

    assert events.history(tx, "machine:p", 10) == [
        {
            "event_id": 1,
            "at": "2026-05-04T10:15:00.000000Z",
            "what": "machine.armed",
            "who": "person:anna",
            "subject": "machine:p",
            "before": {"level": "read"},
            "after": {"level": "start"},
        }
    ]


def test_an_event_without_before_and_after_has_none(tx: Connection) -> None:
    events.record(tx, what="gateway.started", who="kvot", subject="gateway", at=NOW)

    assert [(event["before"], event["after"]) for event in events.history(tx, "gateway", 1)] == [(None, None)]


def test_only_acts_of_named_persons_count_as_presence(tx: Connection) -> None:
    assert events.last_act_of_a_person(tx) is None
    events.record(tx, what="x", who="kvot", subject="x", at=NOW)
    events.record(tx, what="x", who="shop:person:anna", subject="x", at=NOW)
    assert events.last_act_of_a_person(tx) is None

    events.record(tx, what="x", who="person:anna", subject="x", at=NOW)
    events.record(tx, what="x", who="person:bo", subject="x", at=NOW - timedelta(hours=1))
    events.record(tx, what="x", who="kvot", subject="x", at=NOW + timedelta(hours=1))

    assert events.last_act_of_a_person(tx) == NOW

    for what in ("proposal.approved", "pricing.frozen"):  # from wherever he is
        events.record(tx, what=what, who="person:anna", subject="x", at=NOW + timedelta(hours=2))
    assert events.last_act_of_a_person(tx) == NOW


def test_an_event_without_a_zone_in_its_time_is_refused(tx: Connection) -> None:
    with pytest.raises(ValueError, match="time zone"):
        events.record(tx, what="x", who="kvot", subject="x", at=datetime(2026, 5, 4))  # noqa: DTZ001


def test_a_cursor_is_the_last_value_put(tx: Connection) -> None:
    assert cursors.get(tx, "shop:web") is None
    cursors.put(tx, "shop:web", "a", NOW)
    cursors.put(tx, "shop:web", "b", NOW)
    cursors.put(tx, "shop:other", "c", NOW)

    assert cursors.get(tx, "shop:web") == "b"


def test_numbers_of_a_series_are_dense(tx: Connection) -> None:
    assert [next_number(tx, "job"), next_number(tx, "job"), next_number(tx, "other")] == [1, 2, 1]
    undone = tx.begin_nested()
    assert next_number(tx, "job") == 3
    undone.rollback()

    assert next_number(tx, "job") == 3
