"""Orders in the ledger: once each, told when they look different, one question per cause."""

from datetime import timedelta
from sqlite3 import IntegrityError
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from gateway.domain.states import LineState
from gateway.errors import IllegalTransitionError, RefusedError
from gateway.ledger import decisions, lines, orders, outbox, sql
from gateway.ledger.orders import Taken
from gateway.ledger.sql import rows
from gateway.ledger.telling import tell
from tests.ledger.work import NOW, SHOP, bare, bring, conclude, one, open_questions, release, take, take_order, values
from tests.shops.fake_shop import a_line, an_order

ANNA = "person:anna"


def _told(tx: Connection) -> list[dict[str, str]]:
    """Give what the shop is to be told, in order."""
    return [fact.body["values"] for fact in outbox.pending(tx, f"shop:{SHOP}", limit=100, now=NOW)]


def _facts(tx: Connection) -> list[dict[str, Any]]:
    return [fact.body for fact in outbox.pending(tx, "mqtt", limit=1000, now=NOW)]


# Once ----------------------------------------------------------------------------------------------


def test_the_same_order_again_is_nothing(tx: Connection) -> None:
    assert [take(tx), take(tx), take(tx)] == [Taken.NEW, Taken.SAME, Taken.SAME]
    assert one(tx, "SELECT COUNT(*) FROM orders") == 1
    assert one(tx, "SELECT COUNT(*) FROM order_lines") == 1
    assert len(_told(tx)) == 1


def test_a_changed_order_is_another_revision_of_the_same_order(tx: Connection) -> None:
    take(tx)
    assert take(tx, a_line(quantity=3)) is Taken.CHANGED
    assert values(tx, "SELECT revision, number FROM orders") == (2, "1001")
    assert one(tx, "SELECT quantity FROM requirements") == 3


def test_an_order_that_changes_back_is_changed_again(tx: Connection) -> None:
    assert [take(tx), take(tx, a_line(quantity=3)), take(tx)] == [Taken.NEW, Taken.CHANGED, Taken.CHANGED]
    assert one(tx, "SELECT quantity FROM requirements") == 1


def test_the_database_keeps_one_order_per_shop_and_id_and_one_line_per_row(tx: Connection) -> None:
    take(tx)
    with pytest.raises(IntegrityError), tx.begin_nested():
        sql.insert(tx, "orders", shop="webshop", shop_order_id="1001", placed_at="x")
    with pytest.raises(IntegrityError), tx.begin_nested():
        sql.insert(tx, "order_lines", order_id=1, shop_line_id="1", quantity=1, state="received")


def test_an_order_without_rows_is_kept_and_said_to_be_not_made(tx: Connection) -> None:
    take_order(tx, an_order(lines=()))
    assert _told(tx) == [{"_kvot_state": "not_made", "_kvot_progress": "100"}]


def test_personal_fields_stand_apart_are_replaced_and_know_when_they_are_erased(tx: Connection) -> None:
    take(tx, personal={"billing.city": "Lund", "billing.phone": "1"})
    take(tx, personal={"billing.city": "Malmö"})
    assert one(tx, "SELECT COUNT(*) FROM personal") == 1
    found = values(tx, "SELECT subject, field, value, erase_after FROM personal")
    assert found == ("order:1", "billing.city", "Malmö", "2026-08-02T08:00:00.000000Z")
    kept = "".join(str(dict(event)) for event in rows(tx, "SELECT * FROM events"))
    posted = "".join(str(dict(fact)) for fact in rows(tx, "SELECT * FROM outbox"))
    assert "Malmö" not in kept + posted
    assert "Lund" not in kept + posted


# Binding -------------------------------------------------------------------------------------------


def test_a_shop_is_bound_once_and_another_site_is_refused(tx: Connection) -> None:
    for _ in range(2):
        orders.bind_shop(tx, shop=SHOP, site="shop.example", at=NOW)
    with pytest.raises(RefusedError, match=r"bound to shop\.example"):
        orders.bind_shop(tx, shop=SHOP, site="staging.example", at=NOW)
    assert one(tx, "SELECT COUNT(*) FROM events WHERE what = 'shop.bound'") == 1


# Telling -------------------------------------------------------------------------------------------


def test_only_what_looks_different_is_told(tx: Connection) -> None:
    job_id = bring(tx, "running", quantity=4)
    tell(tx, 1, now=NOW)
    tell(tx, 1, now=NOW)
    conclude(tx, job_id, good=2)
    release(tx)
    tell(tx, 1, now=NOW)
    steps = [(said["_kvot_state"], said["_kvot_progress"]) for said in _told(tx)]
    assert steps == [("received", "0"), ("planned", "0"), ("in_production", "0"), ("in_production", "50")]


def test_shop_and_broker_are_told_the_same_in_the_same_transaction(tx: Connection) -> None:
    bring(tx, "completed")
    told = [said["_kvot_state"] for said in _told(tx)]
    posted = [fact["state"] for fact in _facts(tx) if fact["type"] == "order.state"]
    assert told == posted == ["received", "planned", "in_production", "made"]
    assert one(tx, "SELECT told FROM orders") == orjson.dumps(_told(tx)[-1], option=orjson.OPT_SORT_KEYS).decode()


def test_facts_are_numbered_densely_and_each_move_is_one_fact(tx: Connection) -> None:
    bring(tx, "completed")
    numbers = [fact.seq for fact in outbox.pending(tx, "mqtt", limit=1000, now=NOW)]
    assert numbers == list(range(1, len(numbers) + 1))
    moves = [fact["type"] for fact in _facts(tx) if fact["type"].startswith(("job.", "run."))]
    assert len(moves) == len(set(moves))
    assert moves[-2:] == ["job.completed", "run.finished"]


def test_a_rolled_back_event_leaves_no_hole_in_the_numbers(tx: Connection) -> None:
    part = tx.begin_nested()
    take(tx)
    part.rollback()
    take(tx)
    assert outbox.pending(tx, "mqtt", limit=10, now=NOW)[0].seq == 1


def test_the_promise_is_told_and_stays_when_the_line_changes_before_release(tx: Connection) -> None:
    take(tx)
    take(tx, a_line(quantity=5), now=NOW + timedelta(days=2))
    assert {said["_kvot_promise"] for said in _told(tx)} == {"2026-05-09T08:00:00.000000Z"}


# Moving lines --------------------------------------------------------------------------------------


def test_a_line_is_moved_only_from_the_state_it_was_seen_in_and_only_where_the_model_allows(tx: Connection) -> None:
    take(tx)
    with pytest.raises(IllegalTransitionError):
        lines.move_line(tx, 1, seen=LineState.PLANNED, state=LineState.IN_PRODUCTION)
    with pytest.raises(IntegrityError), tx.begin_nested():
        lines.move_line(tx, 1, seen=LineState.RECEIVED, state=LineState.MADE)


@pytest.mark.parametrize("state", ["released", "in_doubt", "running"])
def test_a_person_may_end_a_line_that_is_in_work(tx: Connection, state: str) -> None:
    bring(tx, state)
    lines.close_line(tx, 1, state=LineState.CANCELLED, reason=lines.BY_A_PERSON, now=NOW)
    assert one(tx, "SELECT state FROM order_lines") == "cancelled"
    assert _told(tx)[-1]["_kvot_state"] == "cancelled"


def test_a_made_line_stays_made(tx: Connection) -> None:
    bring(tx, "completed")
    lines.close_line(tx, 1, state=LineState.CANCELLED, reason=lines.BY_A_PERSON, now=NOW)
    assert one(tx, "SELECT state FROM order_lines") == "made"


# Questions -----------------------------------------------------------------------------------------


def test_one_unknown_article_is_one_question_however_many_orders_name_it(tx: Connection) -> None:
    for number in range(5):
        take(tx, a_line(sku="NEW-1"), a_line("2", sku="NEW-1"), number=str(number))
    assert [(subject, cause) for _, subject, cause in open_questions(tx)] == [("sku:webshop/NEW-1", "unknown article")]
    assert one(tx, "SELECT count FROM exceptions") == 10


def test_an_article_number_with_a_slash_is_closed_like_any_other(tx: Connection) -> None:
    take(tx, a_line(sku="NEW/1/B"))
    decisions.decide(tx, open_questions(tx)[0][0], action="close", who=ANNA, note="", now=NOW)
    assert one(tx, "SELECT state FROM order_lines") == "not_made"
    assert _told(tx)[-1]["_kvot_state"] == "not_made"


def test_an_article_without_a_number_is_closed_by_its_name(tx: Connection) -> None:
    take(tx, a_line(skus=(), name="Vase"), a_line("2", skus=(), name="Bowl"))
    question = next(number for number, subject, _ in open_questions(tx) if subject.endswith("Vase"))
    decisions.decide(tx, question, action="close", who=ANNA, note="", now=NOW)
    assert [line["state"] for line in rows(tx, "SELECT state FROM order_lines ORDER BY line_id")] == [
        "not_made",
        "quarantined",
    ]


def test_closing_an_article_leaves_lines_that_wait_for_something_else(tx: Connection) -> None:
    take(tx, a_line(sku="NEW-1"), a_line("2", sku="NEW-1", fault="quantity: is a text"))
    question = next(number for number, subject, _ in open_questions(tx) if subject.startswith("sku:"))
    decisions.decide(tx, question, action="close", who=ANNA, note="", now=NOW)
    assert [line["state"] for line in rows(tx, "SELECT state FROM order_lines ORDER BY line_id")] == [
        "not_made",
        "quarantined",
    ]
    assert [subject for _, subject, _ in open_questions(tx)] == ["order:webshop/1001/2"]


def test_a_question_about_the_shop_itself_is_only_closed(tx: Connection) -> None:
    tx.exec_driver_sql(
        "INSERT INTO exceptions (subject, cause, actions, opened_at) VALUES ('shop:webshop', 'x', '[\"close\"]', 'now')"
    )
    decisions.decide(tx, 1, action="close", who=ANNA, note="seen", now=NOW)
    assert values(tx, "SELECT state, resolved_by FROM exceptions") == ("resolved", ANNA)


# Whatever a shop does in whatever order ------------------------------------------------------------

EDITS = st.lists(
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(["processing", "pending"]),
            "cancelled": st.booleans(),
            "lines": st.lists(
                st.builds(
                    a_line,
                    st.sampled_from(["1", "2", "3"]),
                    sku=st.sampled_from(["TRAY-12", "NEW-1", "GIFT-1"]),
                    quantity=st.integers(0, 3),
                    fault=st.sampled_from([None, None, None, "sku: is a list"]),
                ),
                max_size=3,
                unique_by=lambda line: line.shop_line_id,
            ).map(tuple),
            "released": st.booleans(),
        }
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=60)
@given(EDITS)
def test_whatever_a_shop_says_in_whatever_order_every_line_is_in_a_state_that_people_can_see(
    edits: list[dict[str, Any]],
) -> None:
    with bare() as tx:
        for edit in edits:
            released = edit["released"]
            take_order(tx, an_order(**{name: value for name, value in edit.items() if name != "released"}))
            if released:
                release(tx)
            _every_line_is_accounted_for(tx)


def _every_line_is_accounted_for(tx: Connection) -> None:
    asked = {subject for _, subject, _ in open_questions(tx)}
    for line in rows(tx, "SELECT l.*, o.shop_order_id FROM order_lines l JOIN orders o USING (order_id)"):
        needed = one(tx, "SELECT SUM(quantity) FROM requirements WHERE line_id = :id", id=line["line_id"])
        about = {
            f"sku:{SHOP}/{orjson.loads(line['skus'])[0]}",
            f"order:{SHOP}/{line['shop_order_id']}/{line['shop_line_id']}",
        }
        match line["state"]:
            case "received" | "planned":
                assert needed == line["quantity"] > 0
            case "quarantined":
                assert about & asked, line["reason"]
            case "not_due" | "not_made":
                assert line["reason"]
                assert not needed
    for subject in asked:
        if subject.startswith("sku:"):
            assert rows(tx, "SELECT 1 FROM order_lines WHERE state = 'quarantined' AND reason LIKE 'unknown%' LIMIT 1")
