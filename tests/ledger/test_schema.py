"""The schema: what the model forbids, the database refuses by itself."""

from typing import Any

import pytest
from sqlalchemy import CheckConstraint, Connection, inspect, text
from sqlalchemy.exc import IntegrityError

from gateway.ledger import schema
from tests.ledger import rows
from tests.ledger.rows import PLACED, a_command, a_job, a_line, a_run, an_order, move_job, settle_command


def _in_doubt(tx: Connection, job_id: str = "LUND-1-1", *, machine: str = "press-1") -> tuple[str, int]:
    """A job with a committed intent."""
    job = a_job(tx, job_id)
    move_job(tx, job, "released", "in_doubt")
    return job, a_command(tx, job, machine=machine)


def test_every_table_of_the_model_exists(tx: Connection) -> None:
    wanted = [
        "orders",
        "order_lines",
        "personal",
        "files",
        "deliveries",
        "requirements",
        "runs",
        "jobs",
        "allocations",
        "commands",
        "job_numbers",
        "probes",
        "probe_commands",
        "hand_writes",
        "results",
        "lots",
        "machine_facts",
        "stock",
        "run_needs",
        "shelf",
        "calendar_closed",
        "offers",
        "list_prices",
        "price_log",
        "quotes",
        "proposals",
        "pricing_control",
        "reductions",
        "exceptions",
        "cursors",
        "outbox",
        "events",
        "recovery",
        "meta",
        "counters",
        "line_moves",
        "job_moves",
        "run_moves",
        "shops",
    ]

    assert sorted(inspect(tx).get_table_names()) == sorted(wanted)


def test_every_table_is_strict(tx: Connection) -> None:
    loose = tx.execute(
        text("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT strict")
    )

    assert {name for (name,) in loose if not name.startswith("sqlite_")} == set()


def test_every_foreign_key_has_an_index_on_its_own_side(tx: Connection) -> None:
    inspector = inspect(tx)
    bare = []
    for table in schema.META.tables:
        led: list[list[str | None]] = [[*inspector.get_pk_constraint(table)["constrained_columns"]]]
        led += [index["column_names"] for index in inspector.get_indexes(table)]
        led += [[*unique["column_names"]] for unique in inspector.get_unique_constraints(table)]
        for key in inspector.get_foreign_keys(table):
            columns = key["constrained_columns"]
            if "moves" not in key["referred_table"] and not any(index[: len(columns)] == columns for index in led):
                bare.append((table, columns))

    # Parents of these are never deleted and their keys never change.
    assert sorted(bare) == [("job_numbers", ["job_id"]), ("jobs", ["remake_of"])]


def test_a_text_in_a_number_column_is_refused(tx: Connection) -> None:
    with pytest.raises(IntegrityError):
        tx.execute(text("INSERT INTO stock (item, quantity) VALUES ('sheet', 'many')"))


@pytest.mark.parametrize(
    ("table", "column"),
    [
        (table.name, column.name)
        for table in schema.META.tables.values()
        for column in table.columns
        if column.name in {"quantity", "good", "produced", "scrap", "bytes", "remade", "attempts", "count"}
    ],
)
def test_no_quantity_is_ever_negative(tx: Connection, table: str, column: str) -> None:
    rules = " ".join(
        str(rule.sqltext)
        for rule in schema.META.tables[table].c[column].constraints
        if isinstance(rule, CheckConstraint)
    )

    assert f"{column} >= 0" in rules


def test_a_negative_quantity_is_refused(tx: Connection) -> None:
    with pytest.raises(IntegrityError):
        tx.execute(text("INSERT INTO stock (item, quantity) VALUES ('sheet', -1)"))


def test_a_flag_is_zero_or_one(tx: Connection) -> None:
    an_order(tx)

    with pytest.raises(IntegrityError):
        tx.execute(text("UPDATE orders SET due = 2"))


def test_an_order_of_a_shop_is_stored_once(tx: Connection) -> None:
    an_order(tx, "77")

    with pytest.raises(IntegrityError):
        an_order(tx, "77")


def test_a_line_needs_its_order(tx: Connection) -> None:
    with pytest.raises(IntegrityError):
        tx.execute(
            text("INSERT INTO order_lines (order_id, shop_line_id, quantity, state) VALUES (99, '1', 1, 'received')")
        )


def test_the_number_of_a_deleted_row_is_not_given_again(tx: Connection) -> None:
    first = an_order(tx, "1")
    tx.execute(text("DELETE FROM orders"))

    assert an_order(tx, "2") == first + 1


def test_a_job_id_fits_the_machines(tx: Connection) -> None:
    a_job(tx, "L" * 32)

    with pytest.raises(IntegrityError):
        a_job(tx, "L" * 33)


def test_a_family_has_one_open_run_per_setup(tx: Connection) -> None:
    first = a_run(tx, "white")
    a_run(tx, "black")
    with pytest.raises(IntegrityError), tx.begin_nested():
        a_run(tx, "white")
    rows.move(tx, "runs", "run_id", first, "committed")
    with pytest.raises(IntegrityError), tx.begin_nested():
        a_run(tx, "white")

    rows.move(tx, "runs", "run_id", first, "releasing")

    a_run(tx, "white")


def test_a_machine_has_one_unsettled_command(tx: Connection) -> None:
    _, command = _in_doubt(tx, "A")
    with pytest.raises(IntegrityError), tx.begin_nested():
        _in_doubt(tx, "B")
    _in_doubt(tx, "C", machine="press-2")

    settle_command(tx, command, "accepted")

    _in_doubt(tx, "D")


def test_an_attempt_is_written_once(tx: Connection) -> None:
    job, command = _in_doubt(tx)
    settle_command(tx, command, "absent")

    with pytest.raises(IntegrityError):
        a_command(tx, job)


@pytest.mark.parametrize(
    "change", ["settlement = 'perhaps', settled_at = 'x'", "settlement = 'absent'", "settled_at = 'x'", "kind = 'jump'"]
)
def test_a_half_settled_or_unknown_command_is_refused(tx: Connection, change: str) -> None:
    _in_doubt(tx)

    with pytest.raises(IntegrityError):
        tx.execute(text(f"UPDATE commands SET {change}"))


def test_a_doubtful_job_is_not_released_while_its_command_is_unsettled(tx: Connection) -> None:
    job, _ = _in_doubt(tx)

    with pytest.raises(IntegrityError):
        move_job(tx, job, "released")


@pytest.mark.parametrize("state", ["accepted", "running", "interrupted", "completed", "aborted"])
def test_doubt_is_left_only_with_a_settled_command(tx: Connection, state: str) -> None:
    job, command = _in_doubt(tx)
    with pytest.raises(IntegrityError), tx.begin_nested():
        move_job(tx, job, state)

    settle_command(tx, command, "accepted")

    move_job(tx, job, state)


@pytest.mark.parametrize("settlement", ["absent", "refused", "person"])
@pytest.mark.parametrize("kind", ["load", "load_start"])
def test_a_job_is_released_again_after_proof_or_a_persons_word(tx: Connection, settlement: str, kind: str) -> None:
    job = a_job(tx)
    move_job(tx, job, "released", "in_doubt")
    command = a_command(tx, job, kind=kind)
    settle_command(tx, command, settlement)

    move_job(tx, job, "released", "in_doubt")

    a_command(tx, job, kind=kind, attempt=2)


def test_a_job_that_a_machine_accepted_is_never_released_again(tx: Connection) -> None:
    job, command = _in_doubt(tx)
    settle_command(tx, command, "accepted")

    with pytest.raises(IntegrityError):
        move_job(tx, job, "released")


@pytest.mark.parametrize("way", [[], ["released"], ["cancelled"]])
def test_a_load_is_intended_only_for_a_job_in_doubt(tx: Connection, way: list[str]) -> None:
    job = a_job(tx)
    move_job(tx, job, *way)

    with pytest.raises(IntegrityError):
        a_command(tx, job, kind="load")


def test_a_settled_load_cannot_be_opened_again_behind_a_job_that_moved_on(tx: Connection) -> None:
    job, command = _in_doubt(tx)
    settle_command(tx, command, "accepted")
    move_job(tx, job, "accepted")

    with pytest.raises(IntegrityError):
        tx.execute(text("UPDATE commands SET settlement = NULL, settled_at = NULL"))


@pytest.mark.parametrize("kind", ["start", "withdraw", "cancel", "stop", "abort", "clear"])
def test_the_other_commands_do_not_bind_the_jobs_state(tx: Connection, kind: str) -> None:
    job, command = _in_doubt(tx)
    settle_command(tx, command, "accepted")
    move_job(tx, job, "accepted")
    a_command(tx, job, kind=kind)

    move_job(tx, job, "running", "completed")


def test_a_job_has_one_number_per_machine_and_a_number_one_job(tx: Connection) -> None:
    number = text("INSERT INTO job_numbers (machine, job_no, job_id) VALUES (:machine, :no, :job)")
    one, other = a_job(tx, "A"), a_job(tx, "B")
    tx.execute(number, {"machine": "p", "no": 1, "job": one})
    tx.execute(number, {"machine": "q", "no": 1, "job": one})

    for values in (
        {"no": 1, "job": other},
        {"no": 2, "job": one},
        {"no": 0, "job": other},
        {"no": 2**32, "job": other},
    ):
        with pytest.raises(IntegrityError), tx.begin_nested():
            tx.execute(number, {"machine": "p", **values})


def test_a_machine_counts_a_job_once_and_people_may_correct_it(tx: Connection) -> None:
    job = a_job(tx)
    result = text("INSERT INTO results (job_id, good, confirmed_by) VALUES (:job, :good, :by)")
    tx.execute(result, {"job": job, "good": 5, "by": None})
    tx.execute(result, {"job": job, "good": 4, "by": "person:anna"})
    tx.execute(result, {"job": job, "good": 3, "by": "person:anna"})

    with pytest.raises(IntegrityError):
        tx.execute(result, {"job": job, "good": 5, "by": None})


@pytest.mark.parametrize(
    "deed",
    [
        "UPDATE events SET who = 'nobody'",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events (event_id, at, what, who, subject) VALUES (1, 'x', 'x', 'x', 'x')",
    ],
)
def test_an_event_can_neither_be_changed_nor_removed(tx: Connection, deed: str) -> None:
    event: dict[str, Any] = {"at": PLACED, "what": "order.received", "who": "kvot", "subject": "order:1"}
    tx.execute(schema.events.insert(), event)

    with pytest.raises(IntegrityError, match="append-only"), tx.begin_nested():
        tx.execute(text(deed))

    assert tx.execute(text("SELECT who FROM events")).scalars().all() == ["kvot"]


def test_there_is_one_line_about_the_ledger_itself(tx: Connection) -> None:
    line = text("INSERT INTO meta (one, ledger_id, site, epoch, boot, schema) VALUES (:one, 'x', 'L', 1, 1, 1)")
    tx.execute(line, {"one": 1})

    with pytest.raises(IntegrityError):
        tx.execute(line, {"one": 2})


def test_a_line_is_stored_once_per_order(tx: Connection) -> None:
    an_order(tx)
    a_line(tx, shop_line_id="5")

    with pytest.raises(IntegrityError):
        a_line(tx, shop_line_id="5")
