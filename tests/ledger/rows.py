"""Rows that a test needs but is not about."""

from sqlalchemy import Connection, text

PLACED = "2026-05-04T10:15:00.000000Z"


def an_order(tx: Connection, shop_order_id: str = "1") -> int:
    return _id(
        tx,
        "INSERT INTO orders (shop, shop_order_id, placed_at) VALUES ('web', :id, :at) RETURNING order_id",
        id=shop_order_id,
        at=PLACED,
    )


def a_line(tx: Connection, state: str = "received", *, shop_line_id: str = "1") -> int:
    order = tx.execute(text("SELECT max(order_id) FROM orders")).scalar() or an_order(tx)
    return _id(
        tx,
        "INSERT INTO order_lines (order_id, shop_line_id, quantity, state) "
        "VALUES (:order, :line, 1, :state) RETURNING line_id",
        order=order,
        line=shop_line_id,
        state=state,
    )


def a_run(tx: Connection, setup_key: str = "white", state: str = "collecting") -> int:
    return _id(
        tx,
        "INSERT INTO runs (family, setup_key, state, opened_at) VALUES ('pla', :key, :state, :at) RETURNING run_id",
        key=setup_key,
        state=state,
        at=PLACED,
    )


def a_job(tx: Connection, job_id: str = "LUND-1-1", state: str = "waiting") -> str:
    run = tx.execute(text("SELECT max(run_id) FROM runs")).scalar() or a_run(tx)
    tx.execute(
        text(
            "INSERT INTO jobs (job_id, run_id, machine, recipe, quantity, state) VALUES (:job, :run, 'p', 'r', 1, :state)"
        ),
        {"job": job_id, "run": run, "state": state},
    )
    return job_id


def a_command(
    tx: Connection, job_id: str, *, kind: str = "load_start", machine: str = "press-1", attempt: int = 1
) -> int:
    return _id(
        tx,
        "INSERT INTO commands (job_id, attempt, kind, machine, job_no, intended_at) "
        "VALUES (:job, :attempt, :kind, :machine, 1, :at) RETURNING command_id",
        job=job_id,
        attempt=attempt,
        kind=kind,
        machine=machine,
        at=PLACED,
    )


def settle_command(tx: Connection, command_id: int, settlement: str) -> None:
    tx.execute(
        text("UPDATE commands SET settlement = :settlement, settled_at = :at WHERE command_id = :id"),
        {"settlement": settlement, "at": PLACED, "id": command_id},
    )


def move(tx: Connection, table: str, key: str, id_: object, state: str) -> None:
    """The one statement that moves something."""
    tx.execute(
        text(f"UPDATE {table} SET prev_state = state, state = :state WHERE {key} = :id"), {"state": state, "id": id_}
    )


def move_job(tx: Connection, job_id: str, *states: str) -> None:
    for state in states:
        move(tx, "jobs", "job_id", job_id, state)


def _id(tx: Connection, sql: str, **values: object) -> int:
    return int(tx.execute(text(sql), values).scalar_one())
