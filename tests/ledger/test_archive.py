"""Finished orders leave for an archive of their year: copied, then deleted; whatever fails, nothing is lost."""

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from sqlite3 import IntegrityError
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, create_engine

from gateway.domain.exceptions import Kind
from gateway.domain.states import JobState, LineState
from gateway.ledger import archive, engine, exceptions, jobs, lines, moving, traces
from gateway.ledger.archive import ArchiveError
from gateway.ledger.database import Tx, open_ledger
from gateway.ledger.sql import change, insert, row, rows
from gateway.ledger.times import to_text
from gateway.stages.retain import retain, tidy
from tests.ledger import work
from tests.stages.factory import LOG, TestClock

LONG_AFTER = work.NOW + timedelta(days=500)
TABLES = ("orders", "order_lines", "requirements", "jobs", "allocations", "commands", "results", "lots", "job_numbers")


def _made(tx: Tx, number: str = "1001") -> str:
    """Take an order, make it, and tell the world."""
    job_id = work.a_released_job(tx, number=number)
    intent = work.intend(tx, job_id)
    work.settle(tx, intent)
    moving.move_job(
        tx,
        job_id,
        seen=JobState.ACCEPTED,
        state=JobState.RUNNING,
        who="kvot",
        evidence="seen",
        now=work.NOW,
    )
    work.conclude(tx, job_id, good=2)
    jobs.cleared(tx, job_id, now=work.NOW)
    change(tx, "DELETE FROM outbox")
    return job_id


def _count(tx: Tx) -> dict[str, int]:
    return {name: work.one(tx, f"SELECT COUNT(*) FROM {name}") for name in TABLES}


def _archived(state_dir: Path, sql: str, year: int = 2026) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(state_dir / "archive" / f"{year}.db")) as raw:
        return raw.execute(sql).fetchall()


def _move(tx: Tx, state_dir: Path, *, before: datetime = LONG_AFTER) -> int:
    moved = archive.move_orders(tx, state_dir, before=before)
    engine.commit(tx)
    return moved


def test_a_finished_order_leaves_with_all_that_hangs_on_it(tx: Connection, state_dir: Path) -> None:
    job_id = _made(tx)
    before = _count(tx)

    assert _move(tx, state_dir) == 1
    assert archive.move_runs(tx, state_dir, before=LONG_AFTER) == 1

    assert set(_count(tx).values()) == {0}
    assert {name: _archived(state_dir, f"SELECT COUNT(*) FROM {name}")[0][0] for name in TABLES} == before
    assert _archived(state_dir, "SELECT job_id, good FROM results") == [(job_id, 2)]
    assert _archived(state_dir, "SELECT state FROM runs") == [("finished",)]
    assert _archived(state_dir, "PRAGMA integrity_check") == [("ok",)]
    assert (state_dir / "archive" / "2026.db").stat().st_mode & 0o777 == 0o600
    assert _move(tx, state_dir) == 0


def _quote(tx: Tx, quote_id: str, *, line: int | None) -> None:
    insert(
        tx,
        "quotes",
        quote_id=quote_id,
        shop="webshop",
        sku="TRAY-12",
        family="white",
        quantity=2,
        asked_by="person:a",
        request_hash="h",
        created_at=to_text(work.NOW),
        valid_until=to_text(work.NOW),
        held_until=to_text(work.NOW),
        units=2,
        after_run=0,
        line_id=line,
        used=None if line is None else "own_run",
    )


def test_a_used_quote_and_an_own_run_leave_with_their_order_and_an_unused_quote_by_its_age(
    tx: Connection, state_dir: Path
) -> None:
    _made(tx)
    change(tx, "UPDATE runs SET express = 1")
    _quote(tx, "Q1-1", line=1)
    _quote(tx, "Q1-2", line=None)
    proposal = insert(
        tx,
        "proposals",
        kind="express",
        subject="quote:Q1-1",
        state="approved",
        created_at=to_text(work.NOW),
        expires_at=to_text(work.NOW),
        decided_at=to_text(work.NOW),
    )
    change(tx, "UPDATE quotes SET proposal_id = :id WHERE quote_id = 'Q1-1'", id=proposal)

    assert archive.move_settled(tx, state_dir, before=work.NOW) == 0
    assert archive.move_settled(tx, state_dir, before=LONG_AFTER) == 1  # the proposal stays as long as its quote
    assert _move(tx, state_dir) == 1
    assert archive.move_settled(tx, state_dir, before=LONG_AFTER) == 1
    assert _archived(state_dir, "SELECT quote_id FROM quotes ORDER BY 1") == [("Q1-1",), ("Q1-2",)]
    assert _archived(state_dir, "SELECT express FROM runs") == [(1,)]
    assert rows(tx, "SELECT * FROM quotes") == []
    assert rows(tx, "SELECT * FROM runs") == []


def test_what_is_young_or_open_in_any_way_stays(tx: Connection, state_dir: Path) -> None:
    _made(tx, "1001")
    work.take(tx, number="1002")  # received
    assert _move(tx, state_dir, before=work.NOW - timedelta(days=1)) == 0
    for obstacle, away in (
        (
            "INSERT INTO outbox (destination, seq, subject, body, created_at) VALUES ('s', 1, 'order:1', '{}', '')",
            "DELETE FROM outbox",
        ),
        ("INSERT INTO personal VALUES ('order:1', 'billing.email', 'a@b', '2026')", "DELETE FROM personal"),
        (
            "INSERT INTO shelf (lot, fingerprint, line_id, kind, pieces, at) SELECT lot, 'f', 1, 'put', 1, '' FROM lots",
            "DELETE FROM shelf",
        ),
        ("UPDATE jobs SET cleared_at = NULL", "UPDATE jobs SET cleared_at = '2026'"),
        ("UPDATE order_lines SET hold_reason = 'why' WHERE line_id = 1", "UPDATE order_lines SET hold_reason = NULL"),
    ):
        change(tx, obstacle)
        assert _move(tx, state_dir) == 0, obstacle
        change(tx, away)
    question = exceptions.open_exception(tx, Kind.WANTED_AGAIN, subject="order:1/1", evidence={}, at=work.NOW)
    assert _move(tx, state_dir) == 0
    exceptions.resolve(tx, question, action="close", who="person:a", note="", at=work.NOW)

    assert _move(tx, state_dir) == 1
    assert [order["number"] for order in rows(tx, "SELECT number FROM orders")] == ["1002"]


def _give(tx: Tx, kind: str, lot: str, line: int | None, pieces: int, *, at: datetime = work.NOW) -> None:
    insert(tx, "shelf", kind=kind, lot=lot, fingerprint="f", line_id=line, pieces=pieces, at=to_text(at))


def _move_shelf(tx: Tx, state_dir: Path) -> int:
    moved = archive.move_shelf(tx, state_dir, before=LONG_AFTER)
    engine.commit(tx)
    return moved


def test_what_touched_the_shelf_leaves_once_everybody_who_did_is_old(tx: Connection, state_dir: Path) -> None:
    first, second, _ = (_made(tx, number) for number in ("1001", "1002", "1003"))
    change(tx, "UPDATE orders SET placed_at = '2025' || substr(placed_at, 5) WHERE order_id = 1")
    change(tx, "UPDATE orders SET placed_at = :at WHERE order_id = 3", at=to_text(LONG_AFTER + timedelta(days=1)))
    _give(tx, "put", first, 1, 2)
    _give(tx, "take", first, 2, 1)
    assert (_move_shelf(tx, state_dir), _move(tx, state_dir)) == (0, 0), "one piece still lies there"

    _give(tx, "discard", first, None, 1, at=LONG_AFTER)
    assert _move_shelf(tx, state_dir) == 0, "its last entry is young"
    change(tx, "UPDATE shelf SET at = :at", at=to_text(work.NOW))
    _give(tx, "put", second, 2, 1)
    _give(tx, "take", second, 3, 1)
    assert _move_shelf(tx, state_dir) == 1
    assert [one["lot"] for one in rows(tx, "SELECT DISTINCT lot FROM shelf")] == [second], "1003 is young"
    assert _move(tx, state_dir) == 1

    assert [one["number"] for one in rows(tx, "SELECT number FROM orders")] == ["1002", "1003"]
    for year in (2025, 2026):  # each of the two orders has all entries in its archive
        assert _archived(state_dir, "SELECT kind FROM shelf ORDER BY entry_id", year) == [
            ("put",),
            ("take",),
            ("discard",),
        ]
    change(tx, "UPDATE orders SET placed_at = (SELECT placed_at FROM orders WHERE order_id = 2)")
    assert (_move_shelf(tx, state_dir), _move(tx, state_dir)) == (1, 2)
    assert set(_count(tx).values()) == {0}


def test_a_trace_of_an_order_from_the_shelf_is_in_its_archive(tx: Connection, state_dir: Path) -> None:
    first, _ = (_made(tx, number) for number in ("1001", "1002"))
    _give(tx, "put", first, 1, 1)
    _give(tx, "take", first, 2, 1)
    there = traces.trace_order(tx, 2)
    assert (_move_shelf(tx, state_dir), _move(tx, state_dir)) == (1, 2)
    assert archive.move_events(tx, state_dir, before=LONG_AFTER) > 0
    engine.commit(tx)

    archived = create_engine(f"sqlite+pysqlite:///{state_dir / 'archive' / '2026.db'}")
    with archived.connect() as connection:
        assert traces.trace_order(connection, 2) == there
        lot = traces.trace_lot(connection, first)
    archived.dispose()
    assert lot is not None
    assert [(one["kind"], one["number"]) for one in lot["shelf"]] == [("put", "1001"), ("take", "1002")]


def test_a_crash_between_copy_and_deletion_loses_nothing_and_leaves_no_second(tx: Connection, state_dir: Path) -> None:
    _made(tx)
    engine.commit(tx)
    archive.move_orders(tx, state_dir, before=LONG_AFTER)
    engine.abandon(tx)  # the gateway ended before its own commit

    assert _count(tx)["orders"] == 1
    assert _move(tx, state_dir) == 1
    assert len(_archived(state_dir, "SELECT * FROM orders")) == 1


def test_an_archive_that_cannot_be_written_deletes_nothing(tx: Connection, state_dir: Path) -> None:
    _made(tx)
    engine.commit(tx)
    (state_dir / "archive").mkdir()
    (state_dir / "archive" / "2026.db").write_bytes(b"no database at all" * 100)

    with pytest.raises(ArchiveError):
        archive.move_orders(tx, state_dir, before=LONG_AFTER)

    engine.abandon(tx)
    assert _count(tx)["orders"] == 1


def test_an_archive_of_an_older_program_gets_the_columns_it_lacks(tx: Connection, state_dir: Path) -> None:
    (state_dir / "archive").mkdir()
    with closing(sqlite3.connect(state_dir / "archive" / "2026.db")) as raw:
        raw.execute("CREATE TABLE orders (order_id INTEGER PRIMARY KEY, shop TEXT, shop_order_id TEXT) STRICT")
    _made(tx)

    assert _move(tx, state_dir) == 1
    assert _archived(state_dir, "SELECT shop, number FROM orders") == [("webshop", "1001")]


def test_an_event_leaves_only_with_its_archive(tx: Connection, state_dir: Path) -> None:
    _made(tx)
    engine.commit(tx)
    told = work.one(tx, "SELECT COUNT(*) FROM events")
    with pytest.raises(IntegrityError, match="append-only"):
        change(tx, "DELETE FROM events")
    engine.abandon(tx)

    assert archive.move_events(tx, state_dir, before=work.NOW) == 0
    assert archive.move_events(tx, state_dir, before=LONG_AFTER) == told
    engine.commit(tx)

    assert _archived(state_dir, "SELECT COUNT(*) FROM events") == [(told,)]
    work.take(tx, number="1002")
    assert work.one(tx, "SELECT MIN(event_id) FROM events") == told + 1
    with pytest.raises(IntegrityError, match="append-only"):
        change(tx, "DELETE FROM events")
    engine.abandon(tx)


def test_personal_fields_are_erased_when_their_time_is_over_and_the_order_is_finished(tx: Connection) -> None:
    _made(tx, "1001")
    work.take(tx, number="1002")
    for order in (1, 2):
        change(
            tx,
            "INSERT INTO personal VALUES (:subject, 'billing.email', 'a@b', :at)",
            subject=f"order:{order}",
            at=to_text(work.NOW),
        )

    assert archive.erase_personal(tx, now=work.NOW - timedelta(seconds=1)) == 0
    assert archive.erase_personal(tx, now=work.NOW) == 1
    assert [one["subject"] for one in rows(tx, "SELECT subject FROM personal")] == ["order:2"]
    lines.close_line(tx, 2, state=LineState.CANCELLED, reason="gone", now=work.NOW)
    assert archive.erase_personal(tx, now=work.NOW) == 1


async def test_a_night_tidies_everything_in_batches(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "BATCH", 1)
    clock = TestClock(business=LONG_AFTER)
    async with open_ledger(state_dir, site="LUND", commit_interval_s=0.001) as ledger:
        for number in range(3):
            await ledger.write(lambda tx, number=number: _made(tx, str(1001 + number)))  # type: ignore[misc]
        done = await tidy(ledger, state_dir, keep=timedelta(days=400), clock=clock)
        left = await ledger.read(_count)
        again = await tidy(ledger, state_dir, keep=timedelta(days=400), clock=clock)

    assert done["orders"] == 3
    assert done["events"] > 0
    assert set(left.values()) == {0}
    assert set(again.values()) == {0}
    assert len(_archived(state_dir, "SELECT * FROM orders")) == 3


async def test_events_are_kept_for_a_year_however_short_orders_are(state_dir: Path) -> None:
    clock = TestClock(business=work.NOW + timedelta(days=200))
    async with open_ledger(state_dir, site="LUND", commit_interval_s=0.001) as ledger:
        await ledger.write(_made)
        done = await tidy(ledger, state_dir, keep=timedelta(days=30), clock=clock)

    assert (done["orders"], done["events"]) == (1, 0)


class NightOverError(Exception):
    """The test has seen enough."""


class Nights(TestClock):
    """Ends after so many looks at the clock."""

    left = 3

    async def sleep(self, seconds: float) -> None:
        self.advance(max(seconds, 3600))
        self.left -= 1
        if self.left == 0:
            raise NightOverError


async def test_a_broken_archive_is_one_question_and_the_ledger_goes_on(state_dir: Path) -> None:
    clock = Nights(business=LONG_AFTER)
    async with open_ledger(state_dir, site="LUND", commit_interval_s=0.001) as ledger:
        await ledger.write(_made)
        (state_dir / "archive").mkdir()
        (state_dir / "archive" / "2026.db").write_bytes(b"no database at all" * 100)
        with pytest.raises(NightOverError):
            await retain(ledger, state_dir, keep=timedelta(days=400), zone=ZoneInfo("UTC"), clock=clock, log=LOG)
        (asked,) = await ledger.read(lambda tx: exceptions.list_exceptions(tx, state="open"))
        assert asked["cause"] == "the archive cannot be written"
        assert asked["count"] == 1
        assert await ledger.read(lambda tx: row(tx, "SELECT value FROM cursors WHERE name = 'retention'")) is not None
