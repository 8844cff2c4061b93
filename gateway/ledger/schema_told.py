"""The tables of what people are asked and what the world is told: exceptions, outbox, cursors, events."""

from sqlalchemy import Column, Index, Integer, Text, text

from gateway.ledger.columns import among, count, maybe, table, words

exceptions = table(
    "exceptions",
    Column("exception_id", Integer, primary_key=True),
    words("subject"),
    words("cause"),
    words("evidence", "{}"),
    words("actions", "[]"),
    words("severity", "warning"),
    count("count", 1),  # how many times it was seen while open
    maybe("owner"),
    maybe("resolution"),
    words("state", "open"),
    words("opened_at"),
    maybe("acked_at"),
    maybe("resolved_at"),
    maybe("resolved_by"),
    among("state", ("open", "acked", "resolved")),
    sqlite_autoincrement=True,
)
Index(
    "one_open_exception",
    exceptions.c.subject,
    exceptions.c.cause,
    unique=True,
    sqlite_where=exceptions.c.state != "resolved",
    postgresql_where=exceptions.c.state != "resolved",
)

cursors = table("cursors", Column("name", Text, primary_key=True), words("value"), words("stored_at"))

outbox = table(
    "outbox",
    Column("destination", Text, primary_key=True),
    Column("seq", Integer, primary_key=True),
    words("subject"),
    words("body"),
    words("created_at"),
    maybe("not_before"),
    count("attempts", 0),
    maybe("dead_at"),
    maybe("last_error"),
)
Index(
    "outbox_postponed",
    outbox.c.destination,
    outbox.c.subject,
    outbox.c.not_before,
    sqlite_where=outbox.c.not_before.is_not(None),
    postgresql_where=outbox.c.not_before.is_not(None),
)

events = table(
    "events",
    Column("event_id", Integer, primary_key=True),
    words("at"),
    words("what"),
    words("who"),
    words("subject"),
    maybe("before"),
    maybe("after"),
    sqlite_autoincrement=True,
)
Index("events_by_subject", events.c.subject, events.c.event_id)
Index("events_by_person", events.c.at, sqlite_where=text("substr(who, 1, 7) = 'person:'"))

# An event is never changed, and leaves only when an archive has it (`archive.py` says up to which).
ARCHIVED = "events:archived"
_REFUSE = "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"
_UNARCHIVED = f"OLD.event_id > COALESCE((SELECT value FROM counters WHERE name = '{ARCHIVED}'), 0)"  # noqa: S608
TRIGGERS = (
    f"CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events {_REFUSE}",
    f"CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events WHEN {_UNARCHIVED} {_REFUSE}",
)
