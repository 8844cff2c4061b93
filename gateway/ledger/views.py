"""What people and programs ask of the ledger: counts, lists, and the story of one order or job."""

from typing import Any

import orjson

from gateway.domain.standing import order_state
from gateway.domain.states import LineState
from gateway.ledger import events, files, outbox
from gateway.ledger.database import Tx
from gateway.ledger.offers import promises
from gateway.ledger.sql import Row, row, rows

PAGE = 200
View = dict[str, Any]

_ORDER = (
    "SELECT o.order_id, o.shop, o.shop_order_id, o.number, o.channel, o.kind, o.currency, o.status, o.due, "
    "o.placed_at, o.received_at, o.hold_reason, o.revision FROM orders o"
)
_JOB = (
    "SELECT j.job_id, j.run_id, j.machine, j.recipe, j.recipe_version, j.parameters, j.quantity, j.state, "
    "j.hold_reason, j.first_piece, j.end_asked, j.goes_to, "
    "j.remake_of, j.cleared_at, r.family, s.produced, s.good, s.scrap, s.started_at, s.ended_at, s.confirmed_by "
    "FROM jobs j JOIN runs r USING (run_id) LEFT JOIN results s ON s.result_id = "
    "(SELECT MAX(result_id) FROM results WHERE job_id = j.job_id)"
)


def counts(tx: Tx) -> View:
    """Count orders, lines, jobs and runs by state, what the world has yet to hear, and all it was ever told."""
    made, kept = promises(tx)
    return {
        "promises": {"made": made, "kept": kept},
        "orders": _orders_by_state(tx),
        "lines": _by_state(tx, "order_lines"),
        "jobs": _by_state(tx, "jobs"),
        "runs": _by_state(tx, "runs"),
        "outbox": [
            {"destination": name, "pending": pending, "dead": dead, "oldest": oldest}
            for name, pending, dead, oldest in outbox.counts(tx)
        ],
        "posted": {
            one["name"].removeprefix("outbox:"): one["value"]
            for one in rows(tx, "SELECT name, value FROM counters WHERE name LIKE 'outbox:%' ORDER BY name")
        },
    }


def ledger_facts(tx: Tx) -> View:
    """Give who the ledger is, its size, and the time of the oldest order and event in it."""
    facts = row(tx, "SELECT ledger_id, site, epoch, boot, schema, recovering FROM meta")
    size = row(tx, "SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()")
    oldest = row(tx, "SELECT (SELECT MIN(placed_at) FROM orders) AS orders, (SELECT MIN(at) FROM events) AS events")
    assert facts is not None
    assert size is not None
    assert oldest is not None
    return {**facts, "bytes": size["bytes"], "oldest_order": oldest["orders"], "oldest_event": oldest["events"]}


def list_orders(tx: Tx, *, state: str | None = None, after: int = 0, limit: int = PAGE) -> list[View]:
    """List orders by id, each with its derived state and lines; `after` is the last id of the page before."""
    found: list[View] = []
    while len(found) < limit:
        page = rows(
            tx, f"{_ORDER} WHERE o.order_id > :after ORDER BY o.order_id LIMIT :limit", after=after, limit=limit
        )
        if not page:
            break
        after = page[-1]["order_id"]
        views = [_order(tx, order) for order in page]
        found += [view for view in views if state is None or view["state"] == state]
    return found[:limit]


def show_order(tx: Tx, order_id: int) -> View | None:
    """Give one order with its lines, jobs, commands and history; None when there is none of that id."""
    order = row(tx, f"{_ORDER} WHERE o.order_id = :id", id=order_id)
    if order is None:
        return None
    view = _order(tx, order)
    for line in view["lines"]:
        line["files"] = files.of_line(tx, line["line_id"])
    jobs = [job["job_id"] for job in rows(tx, _JOBS_OF_ORDER, id=order_id)]
    view["jobs"] = [show_job(tx, job_id) for job_id in jobs]
    view["history"] = events.history(tx, f"order:{order_id}", PAGE)
    return view


def list_jobs(
    tx: Tx,
    *,
    state: str | None = None,
    machine: str | None = None,
    run: int | None = None,
    after: str = "",
    limit: int = PAGE,
) -> list[View]:
    """List jobs in the order they were made, with their results."""
    found = rows(
        tx,
        f"{_JOB} WHERE (:state IS NULL OR j.state = :state) AND (:machine IS NULL OR j.machine = :machine) "  # noqa: S608
        "AND (:run IS NULL OR j.run_id = :run) "
        "AND (:after = '' OR j.rowid > (SELECT rowid FROM jobs WHERE job_id = :after)) ORDER BY j.rowid LIMIT :limit",
        state=state,
        machine=machine,
        run=run,
        after=after,
        limit=limit,
    )
    return [_job(job) for job in found]


def show_job(tx: Tx, job_id: str) -> View | None:
    """Give one job with its commands, the lines it serves and its history; None when there is none of that id."""
    job = row(tx, f"{_JOB} WHERE j.job_id = :job", job=job_id)
    if job is None:
        return None
    view = _job(job)
    view["commands"] = [
        dict(command)
        for command in rows(
            tx,
            "SELECT kind, attempt, machine, endpoint, job_no, session, machine_boot, baseline, intended_at, "
            "settlement, settled_at, evidence "
            "FROM commands WHERE job_id = :job ORDER BY command_id",
            job=job_id,
        )
    ]
    view["serves"] = [dict(line) for line in rows(tx, _LINES_OF_JOB, job=job_id)]
    view["history"] = events.history(tx, f"job:{job_id}", PAGE)
    return view


def machine_facts(tx: Tx) -> dict[str, View]:
    """Give what the ledger knows of each machine, and the pieces it still has to make."""
    found = rows(
        tx,
        "SELECT m.machine, m.level, m.armed_by, m.armed_at, m.identity, m.hold_reason, "
        "m.effect_proven, m.memory_proven, m.proven_by, m.proven_at, "
        "(SELECT COUNT(*) FROM jobs j WHERE j.machine = m.machine "
        "AND j.state NOT IN ('completed','aborted','cancelled')) AS open_jobs "
        "FROM machine_facts m ORDER BY m.machine",
    )
    return {one["machine"]: dict(one) for one in found}


_JOBS_OF_ORDER = (
    "SELECT DISTINCT a.job_id FROM allocations a JOIN requirements r USING (requirement_id) "
    "JOIN order_lines l USING (line_id) JOIN jobs j USING (job_id) WHERE l.order_id = :id ORDER BY j.rowid"
)
_LINES_OF_JOB = (
    "SELECT l.order_id, o.number, l.line_id, l.product, l.name, a.quantity, a.good FROM allocations a "
    "JOIN requirements r USING (requirement_id) JOIN order_lines l USING (line_id) JOIN orders o USING (order_id) "
    "WHERE a.job_id = :job ORDER BY l.line_id"
)


def _order(tx: Tx, order: Row) -> View:
    lines = [
        {**line, "options": orjson.loads(line["options"])}
        for line in rows(
            tx,
            "SELECT l.line_id, l.shop_line_id, l.position, l.product, l.name, l.options, l.quantity, l.state, "
            "l.reason, l.hold_reason, "
            "l.promise_at, l.promise_source, l.expected_at, "
            "COALESCE((SELECT r.good FROM requirements r "
            "WHERE r.line_id = l.line_id ORDER BY r.step DESC LIMIT 1), 0) AS good "
            "FROM order_lines l WHERE l.order_id = :id ORDER BY l.position",
            id=order["order_id"],
        )
    ]
    return {
        **order,
        "due": bool(order["due"]),
        "state": order_state(LineState(line["state"]) for line in lines).value,
        "lines": lines,
    }


def _job(job: Row) -> View:
    return {**job, "parameters": orjson.loads(job["parameters"])}


def _by_state(tx: Tx, table: str) -> dict[str, int]:
    found = rows(tx, f"SELECT state, COUNT(*) AS n FROM {table} GROUP BY state")  # noqa: S608
    return {one["state"]: one["n"] for one in found}


def _orders_by_state(tx: Tx) -> dict[str, int]:
    """Count orders by their derived state, in one pass over the distinct sets of line states."""
    found = rows(
        tx,
        "SELECT states, COUNT(*) AS n FROM (SELECT GROUP_CONCAT(DISTINCT state) AS states "
        "FROM order_lines GROUP BY order_id) "
        "GROUP BY states",
    )
    totals: dict[str, int] = {}
    for one in found:
        state = order_state(LineState(name) for name in one["states"].split(",")).value
        totals[state] = totals.get(state, 0) + one["n"]
    return totals
