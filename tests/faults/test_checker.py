"""The judge sees each breach in records made by hand; where nothing is wrong it says nothing."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.faults.checker import DOUBLED, LOST, UNEXPLAINED, Records, check, judge, read_journal

_TABLES = """
CREATE TABLE orders (order_id INTEGER PRIMARY KEY, shop_order_id TEXT);
CREATE TABLE order_lines (line_id INTEGER PRIMARY KEY, order_id INT, shop_line_id TEXT, state TEXT, quantity INT);
CREATE TABLE requirements (requirement_id INTEGER PRIMARY KEY, line_id INT, good INT);
CREATE TABLE jobs (job_id TEXT PRIMARY KEY, state TEXT);
CREATE TABLE allocations (job_id TEXT, requirement_id INT, quantity INT);
CREATE TABLE commands (command_id INTEGER PRIMARY KEY, job_id TEXT, kind TEXT, settlement TEXT);
CREATE TABLE results (job_id TEXT, good INT, confirmed_by TEXT);
CREATE TABLE counters (name TEXT, value INT);
CREATE TABLE events (subject TEXT, what TEXT, before TEXT, after TEXT);
CREATE TABLE job_moves (prev_state TEXT, state TEXT);
CREATE TABLE exceptions (subject TEXT, cause TEXT);
INSERT INTO orders VALUES (1, '1001');
INSERT INTO order_lines VALUES (1, 1, '1001-1', 'made', 2);
INSERT INTO requirements VALUES (1, 1, 2);
INSERT INTO jobs VALUES ('J-1', 'completed');
INSERT INTO allocations VALUES ('J-1', 1, 2);
INSERT INTO commands (job_id, kind, settlement) VALUES ('J-1', 'load_start', 'accepted'), ('J-1', 'clear', 'accepted');
INSERT INTO results VALUES ('J-1', 2, NULL);
INSERT INTO counters VALUES ('outbox:mqtt', 2);
INSERT INTO job_moves VALUES ('released', 'in_doubt'), ('in_doubt', 'accepted');
INSERT INTO events VALUES ('job:J-1', 'job.in_doubt', '{"state": "released"}', '{"state": "in_doubt"}');
"""


class Point:
    """The records of one order that was made as it should be, to be spoilt by a test."""

    def __init__(self, path: Path) -> None:
        self.path = path / "ledger.db"
        self.press: list[dict[str, Any]] = [
            {"event": "received", "kind": "load_start", "job": "J-1"},
            {"event": "start", "job": "J-1"},
            {"event": "end", "job": "J-1", "good": 2},
            {"event": "received", "kind": "clear", "job": "J-1"},
        ]
        self.shop: list[dict[str, Any]] = [
            {"event": "order", "order": "1001", "lines": {"1001-1": 2}, "cancelled": False},
            {"event": "told", "order": "1001", "values": {"_kvot_state": "in_production"}},
            {"event": "told", "order": "1001", "values": {"_kvot_state": "made"}},
        ]
        self.broker: list[dict[str, Any]] = [
            {"seq": 1, "id": "LUND-1-1", "type": "order.state"},
            {"seq": 2, "id": "LUND-1-2", "type": "job.completed"},
        ]
        self.sql(_TABLES)

    def sql(self, script: str) -> None:
        ledger = sqlite3.connect(self.path)
        ledger.executescript(script)
        ledger.close()

    def judged(self) -> set[tuple[str, str]]:
        records = Records(press=self.press, shop=self.shop, broker=self.broker, ledger=self.path)
        return {(kind, invariant) for kind, invariant, _ in judge(records)}


@pytest.fixture
def point(state_dir: Path) -> Point:
    return Point(state_dir)


def test_where_nothing_is_wrong_nothing_is_found(point: Point) -> None:
    assert point.judged() == set()


def test_a_second_start_is_found(point: Point) -> None:
    point.press.insert(2, {"event": "start", "job": "J-1"})
    assert (DOUBLED, "I2") in point.judged()


def test_a_load_without_an_intent_is_found(point: Point) -> None:
    point.press.insert(0, {"event": "received", "kind": "load", "job": "J-1"})
    assert (UNEXPLAINED, "I3") in point.judged()


def test_a_start_of_a_job_that_the_ledger_does_not_know_is_found(point: Point) -> None:
    point.press.append({"event": "start", "job": "J-9"})
    assert (UNEXPLAINED, "I3") in point.judged()


def test_a_further_attempt_without_proof_is_found(point: Point) -> None:
    point.sql("INSERT INTO commands (job_id, kind, settlement) VALUES ('J-1', 'load_start', 'accepted')")
    assert (UNEXPLAINED, "I4") in point.judged()


@pytest.mark.parametrize("proof", ["absent", "refused", "person"])
def test_a_further_attempt_with_proof_is_none(point: Point, proof: str) -> None:
    point.sql(
        f"UPDATE commands SET settlement = '{proof}' WHERE kind = 'load_start';"
        "INSERT INTO commands (job_id, kind, settlement) VALUES ('J-1', 'load_start', 'accepted')"
    )
    assert point.judged() == set()


def test_a_result_that_was_cleared_before_it_was_stored_is_found(point: Point) -> None:
    point.sql("UPDATE results SET confirmed_by = 'person:anna'")
    assert (LOST, "R9") in point.judged()


def test_a_result_that_is_not_what_the_machine_made_is_found(point: Point) -> None:
    point.sql("UPDATE results SET good = 1")
    assert (LOST, "R9") in point.judged()


def test_a_row_that_never_came_into_the_ledger_is_found(point: Point) -> None:
    point.shop[0]["lines"]["1001-2"] = 1
    assert (LOST, "I1") in point.judged()


@pytest.mark.parametrize("state", ["planned", "in_production"])
def test_a_row_that_never_came_to_its_end_is_found(point: Point, state: str) -> None:
    point.sql(f"UPDATE order_lines SET state = '{state}'")
    assert (LOST, "I1") in point.judged()


def test_a_row_that_is_called_made_with_too_few_pieces_is_found(point: Point) -> None:
    point.sql("UPDATE requirements SET good = 1")
    assert (LOST, "I1") in point.judged()


def test_a_row_that_is_held_before_everybodys_eyes_is_not_lost(point: Point) -> None:
    point.sql("UPDATE order_lines SET state = 'quarantined'")
    assert point.judged() == set()


def test_an_order_that_was_taken_twice_is_found(point: Point) -> None:
    point.sql("INSERT INTO orders VALUES (2, '1001'); INSERT INTO order_lines VALUES (2, 2, '1001-1', 'made', 2)")
    assert (DOUBLED, "I1") in point.judged()


def test_pieces_made_again_under_another_job_are_found(point: Point) -> None:
    point.sql(
        "INSERT INTO jobs VALUES ('J-2', 'completed'); INSERT INTO allocations VALUES ('J-2', 1, 2);"
        "INSERT INTO commands (job_id, kind, settlement) VALUES ('J-2', 'load', 'accepted')"
    )
    point.press += [{"event": "start", "job": "J-2"}, {"event": "end", "job": "J-2", "good": 2}]
    assert (DOUBLED, "I2") in point.judged()


def test_an_end_that_the_shop_was_never_told_is_found(point: Point) -> None:
    point.shop.pop()
    assert (LOST, "I6") in point.judged()


def test_an_end_that_the_shop_was_told_twice_is_found(point: Point) -> None:
    point.shop += [
        {"event": "told", "order": "1001", "values": {"_kvot_state": state}} for state in ("in_production", "made")
    ]
    assert (DOUBLED, "I6") in point.judged()


def test_a_fact_that_the_broker_never_heard_is_found(point: Point) -> None:
    del point.broker[0]
    assert (LOST, "I6") in point.judged()


def test_a_fact_that_came_again_under_its_own_name_is_none(point: Point) -> None:
    point.broker.append(point.broker[0])
    assert point.judged() == set()


def test_a_number_that_was_used_for_two_facts_is_found(point: Point) -> None:
    point.broker.append({"seq": 1, "id": "LUND-1-1", "type": "job.released"})
    assert (DOUBLED, "I6") in point.judged()


def test_facts_out_of_order_are_found(point: Point) -> None:
    point.broker.reverse()
    assert (UNEXPLAINED, "I6") in point.judged()


def test_a_job_that_went_back_is_found(point: Point) -> None:
    point.sql(
        "INSERT INTO events VALUES ('job:J-1', 'job.released', '{\"state\": \"accepted\"}', '{\"state\": \"released\"}')"
    )
    assert (UNEXPLAINED, "I9") in point.judged()


def test_a_damaged_ledger_is_found(point: Point) -> None:
    octets = bytearray(point.path.read_bytes())
    octets[4096 : 4096 + 16] = b"\xff" * 16
    point.path.write_bytes(octets)
    assert (UNEXPLAINED, "I9") in point.judged()


def test_the_journals_of_a_point_are_read_from_its_directory(point: Point) -> None:
    for name in ("press", "shop", "broker"):
        lines = "".join(json.dumps(entry) + "\n" for entry in getattr(point, name))
        (point.path.parent / f"{name}.journal").write_text(lines)
    with (point.path.parent / "press.journal").open("a") as journal:
        journal.write('{"event": "start", "job": "J-1"}\n{"event": "sta')
    assert len(read_journal(point.path.parent / "press.journal")) == 5
    assert [found[:2] for found in check(point.path.parent, point.path)] == [(DOUBLED, "I2")]


def test_an_odd_row_that_was_not_shown_to_a_person_is_found(point: Point) -> None:
    point.shop.append({"event": "odd", "order": "1001", "line": "1001-1"})
    assert (LOST, "I1") in point.judged()
    point.sql("INSERT INTO exceptions VALUES ('order:webshop/1001/1001-1', 'not understood')")
    assert point.judged() == set()


def test_a_row_that_is_set_aside_because_another_one_is_odd_is_found(point: Point) -> None:
    point.shop.append({"event": "odd", "order": "1002", "line": "1002-1"})
    point.sql("UPDATE order_lines SET state = 'quarantined'")
    assert (LOST, "I1") in point.judged()


def test_another_order_under_the_same_number_is_made_or_asked_about(point: Point) -> None:
    point.shop.append({**point.shop[0], "begun": True})
    assert (LOST, "I1") in point.judged()
    point.sql("INSERT INTO exceptions VALUES ('order:1/1001-1', 'another order under the same number')")
    assert point.judged() == set()


def test_what_needs_not_be_made_has_its_end_at_once(point: Point) -> None:
    point.sql("UPDATE order_lines SET state = 'not_made'")
    assert (LOST, "I1") in point.judged()
    point.shop[0]["make"] = False
    assert point.judged() == set()


def test_a_request_that_followed_a_redirect_is_found(point: Point) -> None:
    point.shop.append({"event": "strayed", "request": "GET /"})
    assert (UNEXPLAINED, "I10") in point.judged()
