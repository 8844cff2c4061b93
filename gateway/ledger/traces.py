"""Traces: from an order to the lots that served it, and from a lot to its orders and to the lots before and after.

Nobody is named here: that a person confirmed something is said, who it was stands in the audit trail alone.
"""

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from gateway.domain.standing import order_state
from gateway.domain.states import LineState
from gateway.ledger.database import Tx
from gateway.ledger.lots import read_material, read_used
from gateway.ledger.shelf import entries_of, taken_by
from gateway.ledger.sql import Row, row, rows

View = dict[str, Any]
MOST_LOTS = 500  # in one direction of a trace

_JOB = (
    "SELECT j.job_id, j.lot, j.run_id, j.machine, j.recipe, j.recipe_version, j.parameters, j.state, j.quantity, "
    "j.remake_of, l.material_lots, l.approver, s.produced, s.good, s.scrap, s.reason, s.started_at, s.ended_at, "
    "s.confirmed_by FROM jobs j LEFT JOIN lots l ON l.lot = j.lot LEFT JOIN results s ON s.result_id = "
    "(SELECT MAX(result_id) FROM results WHERE job_id = j.job_id)"
)


def trace_order(tx: Tx, order_id: int) -> View | None:
    """Give an order's lines, their steps, and for each step the jobs and lots that served it; None for no order.

    `from_shelf` are the pieces of a line that had been made for another one, by lot.
    """
    order = row(
        tx, "SELECT order_id, shop, number, kind, placed_at, received_at FROM orders WHERE order_id = :id", id=order_id
    )
    if order is None:
        return None
    lines = rows(
        tx,
        "SELECT line_id, product, name, quantity, state FROM order_lines WHERE order_id = :id ORDER BY position",
        id=order_id,
    )
    state = order_state(LineState(line["state"]) for line in lines).value
    return {**order, "state": state, "lines": [_line(tx, line) for line in lines]}


def trace_lot(tx: Tx, lot: str) -> View | None:
    """Give a lot, the order lines it served, and every lot upstream and downstream of it; None for no such lot.

    The nearest lots come first; the material of each names the lots it was made of, `used` those of stock, and
    `shelf` what of it lay there. A lot of stock has the lots downstream that may have used it.
    """
    job = row(tx, f"{_JOB} WHERE j.lot = :lot", lot=lot)
    if job is None:
        return _stock_lot(tx, lot)
    return {
        **_lot(tx, job),
        "shelf": list(entries_of(tx, lot)),
        "orders": [dict(line) for line in rows(tx, _LINES, job=job["job_id"])],
        "upstream": _walk(tx, lot, _before),
        "downstream": _walk(tx, lot, _after),
    }


def _stock_lot(tx: Tx, lot: str) -> View | None:
    """Give the lots that may have used material of a lot of stock, and the order lines they served."""
    users = rows(
        tx,
        "SELECT DISTINCT l.lot FROM lots l, json_each(l.material_lots) m, json_each(m.value, '$.lots') s "
        "WHERE s.value = :lot ORDER BY l.lot LIMIT :limit",
        lot=lot,
        limit=MOST_LOTS,
    )
    jobs = [job for one in users if (job := row(tx, f"{_JOB} WHERE j.lot = :lot", lot=one["lot"])) is not None]
    if not jobs:
        return None
    orders = [dict(line) for job in jobs for line in rows(tx, _LINES, job=job["job_id"])]
    return {"lot": lot, "orders": orders, "upstream": [], "downstream": [_lot(tx, job) for job in jobs]}


def _line(tx: Tx, line: Row) -> View:
    taken = [{"lot": one["lot"], "pieces": one["pieces"]} for one in taken_by(tx, line["line_id"])]
    return {**line, "from_shelf": taken, "steps": _steps(tx, line["line_id"])}


def _steps(tx: Tx, line_id: int) -> list[View]:
    steps = rows(
        tx,
        "SELECT requirement_id, component, step, operation, family, quantity, good FROM requirements "
        "WHERE line_id = :line ORDER BY component, step",
        line=line_id,
    )
    return [
        {**{name: step[name] for name in step if name != "requirement_id"}, "jobs": _jobs(tx, step["requirement_id"])}
        for step in steps
    ]


def _jobs(tx: Tx, requirement_id: int) -> list[View]:
    """Give the jobs of a step in the order they were made, with what each gave to this line."""
    shares = rows(
        tx,
        "SELECT a.job_id, a.quantity, a.good FROM allocations a JOIN jobs j USING (job_id) "
        "WHERE a.requirement_id = :need ORDER BY j.rowid",
        need=requirement_id,
    )
    found: list[View] = []
    for share in shares:
        job = row(tx, f"{_JOB} WHERE j.job_id = :job", job=share["job_id"])
        assert job is not None
        found.append({**_lot(tx, job), "for_line": {"quantity": share["quantity"], "good": share["good"]}})
    return found


def _lot(tx: Tx, job: Row) -> View:
    hidden = {"material_lots", "approver", "confirmed_by", "parameters"}
    counted = None if job["produced"] is None else "person" if job["confirmed_by"] else "machine"
    return {
        **{name: job[name] for name in job if name not in hidden},
        "parameters": orjson.loads(job["parameters"]),
        "counted_by": counted,
        "approved": job["approver"] is not None,
        "material": [{"lot": share["lot"], "pieces": share["pieces"]} for share in read_material(_material(job))],
        "used": read_used(_material(job)),
        "confirmations": _confirmations(tx, job["job_id"]),
    }


def _material(job: Row) -> str:
    return job["material_lots"] or "[]"


def _confirmations(tx: Tx, job_id: str) -> list[View]:
    """Give what people said of a job, without their names: what and when, and the counts of a ticket."""
    told = rows(
        tx,
        "SELECT at, what, after FROM events WHERE subject = :subject AND substr(who, 1, 7) = 'person:' "
        "ORDER BY event_id",
        subject=f"job:{job_id}",
    )
    return [{"at": one["at"], "what": one["what"], **_counts(one)} for one in told]


def _counts(event: Row) -> View:
    if not event["what"].startswith("ticket.") or event["after"] is None:
        return {}
    said = orjson.loads(event["after"])
    return {name: said[name] for name in ("good", "scrap", "reason") if name in said}


def _walk(tx: Tx, lot: str, neighbours: Callable[[Tx, str], Iterable[str]]) -> list[View]:
    """Give every lot that can be reached, each once, the nearest first."""
    seen, waiting, found = {lot}, [lot], list[View]()
    while waiting and len(found) < MOST_LOTS:
        for name in neighbours(tx, waiting.pop(0)):
            if name in seen:
                continue
            seen.add(name)
            waiting.append(name)
            job = row(tx, f"{_JOB} WHERE j.lot = :lot", lot=name)
            if job is not None:
                found.append(_lot(tx, job))
    return found


def _before(tx: Tx, lot: str) -> list[str]:
    found = row(tx, "SELECT material_lots FROM lots WHERE lot = :lot", lot=lot)
    return [] if found is None else [share["lot"] for share in read_material(_material(found))]


def _after(tx: Tx, lot: str) -> list[str]:
    """Give the lots of the next step of the same lines that were made of this one."""
    later = rows(tx, _LATER, lot=lot)
    return [one["lot"] for one in later if lot in {share["lot"] for share in read_material(_material(one))}]


_LINES = (
    "SELECT o.order_id, o.shop, o.number, l.line_id, l.product, r.step, a.quantity, a.good FROM allocations a "
    "JOIN requirements r USING (requirement_id) JOIN order_lines l USING (line_id) JOIN orders o USING (order_id) "
    "WHERE a.job_id = :job ORDER BY l.line_id"
)
_LATER = (
    "SELECT DISTINCT l.lot, l.material_lots FROM lots f JOIN allocations a ON a.job_id = f.job_id "
    "JOIN requirements r ON r.requirement_id = a.requirement_id "
    "JOIN requirements n ON n.line_id = r.line_id AND n.component = r.component AND n.step = r.step + 1 "
    "JOIN allocations b ON b.requirement_id = n.requirement_id JOIN lots l ON l.job_id = b.job_id "
    "WHERE f.lot = :lot ORDER BY l.lot"
)
