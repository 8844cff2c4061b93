"""The end of a recovery: what is certainly not begun goes on, and a person is asked about the rest in one question."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.domain.exceptions import Kind
from gateway.domain.recovery import QUESTION, Suspect, is_free
from gateway.domain.states import JobState, LineState
from gateway.ledger import events, recovery
from gateway.ledger.database import Tx, ring
from gateway.ledger.exceptions import open_exception
from gateway.ledger.lines import move_line
from gateway.ledger.moving import move_job
from gateway.ledger.sql import Row, change, row, rows
from gateway.ledger.unplanning import cancel_waiting

LISTED = 500  # lines shown in the question; the count is of all

_UNPLANNED = "('received','not_due','quarantined')"
_AT_MACHINE = "('in_doubt','accepted','running','interrupted')"
# A line of which everything is done or at a machine yields no further job, so it cannot be made twice.
_SUSPECTS = f"""
    SELECT l.line_id, l.state, l.quantity, l.name, l.product, o.order_id, o.number, o.shop, o.shop_order_id
    FROM order_lines l JOIN orders o USING (order_id)
    WHERE l.state IN {_UNPLANNED} OR (l.state IN ('planned','in_production') AND EXISTS (
      SELECT 1 FROM requirements r WHERE r.line_id = l.line_id AND r.quantity - r.good > COALESCE((
        SELECT SUM(a.quantity) FROM allocations a JOIN jobs j USING (job_id)
        WHERE a.requirement_id = r.requirement_id AND j.state IN {_AT_MACHINE}), 0)))
    ORDER BY o.order_id, l.position"""  # noqa: S608 - constants


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovered:
    """What a recovery came to: lines that go on, lines that a person is asked about, jobs that are nobody's."""

    free: int
    asked: int
    strangers: int


def finish(tx: Tx, *, site: str, telling: Collection[str], now: datetime) -> Recovered:
    """End the recovery: judge every line that may have been made, and let dispatch go on.

    `telling` are the shops that are told what becomes of their orders: of the others nobody knows.
    """
    found = recovery.asked(tx)
    named = {subject.partition(":")[2]: one for subject, one in found.items() if subject.startswith("machine:")}
    for machine, seen in named.items():
        _adopt(tx, machine, seen, now=now)
    strangers = _ask_about_strangers(tx, site, named, now=now)
    held: list[dict[str, Any]] = []
    free = 0
    for line in rows(tx, _SUSPECTS):
        suspect = _suspect(tx, line, found, named, telling)
        if is_free(suspect, strangers=strangers):
            free += 1
        else:
            _hold(tx, line, now=now)
            held.append(_shown(line, suspect))
    if held:
        _ask(tx, held, named, now=now)
    change(tx, "UPDATE meta SET recovering = NULL")
    change(tx, "DELETE FROM recovery WHERE substr(subject, 1, 6) <> 'order:'")
    if not held:
        recovery.forget(tx)
    after = {"free": free, "asked": len(held), "strangers": strangers}
    events.record(tx, what="ledger.recovered", who="kvot", subject="ledger", at=now, after=after)
    for bell in ("plan", "price", *(f"machine:{machine}" for machine in named)):
        ring(tx, bell)
    return Recovered(free=free, asked=len(held), strangers=strangers)


def _adopt(tx: Tx, machine: str, seen: Mapping[str, Any], *, now: datetime) -> None:
    """Follow a job again that the backup was about to send: the machine names it, so it was sent.

    Where the machine knows it by a number, that number must be known, or it could never be cleared there.
    """
    for job_id, phase in seen["jobs"].items():
        job = row(
            tx,
            "SELECT j.job_id, n.job_no FROM jobs j LEFT JOIN job_numbers n ON n.job_id = j.job_id "
            "AND n.machine = j.machine WHERE j.job_id = :job AND j.machine = :machine AND j.state = 'released'",
            job=job_id,
            machine=machine,
        )
        if job is None or (seen["mark"] is not None and job["job_no"] is None):
            continue
        evidence = f"{machine} names it as {phase}: it was sent after the backup"
        for state, following in (
            (JobState.RELEASED, JobState.IN_DOUBT),
            (JobState.IN_DOUBT, JobState.ACCEPTED),
        ):
            move_job(tx, job_id, seen=state, state=following, who="kvot", evidence=evidence, now=now)


def _ask_about_strangers(tx: Tx, site: str, named: Mapping[str, Mapping[str, Any]], *, now: datetime) -> int:
    """Ask about each job of ours that a machine names and this ledger never sent.

    Give the number of those of which nobody can say for which order they are.
    """
    count = 0
    for machine, seen in named.items():
        for job_id, phase in seen["jobs"].items():
            if not job_id.startswith(f"{site}-"):
                continue  # the machine's own work
            known = row(tx, "SELECT state FROM jobs WHERE job_id = :job", job=job_id)
            if known is not None and known["state"] not in {JobState.WAITING, JobState.RELEASED, JobState.CANCELLED}:
                continue
            count += known is None and seen["orders"][job_id] is None
            evidence = {
                "text": f"{machine} names {job_id} as {phase}; the backup is from before it was sent",
                "machine": machine,
                "phase": phase,
                "orders": seen["orders"][job_id],
            }
            open_exception(tx, Kind.UNKNOWN_JOB, subject=f"job:{job_id}", evidence=evidence, at=now)
    return count


def _suspect(
    tx: Tx,
    line: Row,
    found: Mapping[str, Mapping[str, Any]],
    named: Mapping[str, Mapping[str, Any]],
    telling: Collection[str],
) -> Suspect:
    jobs = rows(tx, _UNSENT, line=line["line_id"])
    at_machines = {job_id: seen["orders"][job_id] or () for seen in named.values() for job_id in seen["jobs"]}
    mine = [job["job_id"] for job in jobs if job["job_id"] in at_machines]
    mine += [job_id for job_id, orders in at_machines.items() if line["number"] in orders and not _is_known(tx, job_id)]
    order = found.get(f"order:{line['order_id']}")
    return Suspect(
        line_id=line["line_id"],
        order_id=line["order_id"],
        told=order["told"] if order is not None and line["shop"] in telling else None,
        named=tuple(dict.fromkeys(mine)),
        released=any(job["state"] == JobState.RELEASED for job in jobs),
    )


def _is_known(tx: Tx, job_id: str) -> bool:
    return row(tx, "SELECT 1 FROM jobs WHERE job_id = :job", job=job_id) is not None


def _hold(tx: Tx, line: Row, *, now: datetime) -> None:
    """Take a line out of its runs and hold it; the shop is told nothing of it before a person has decided."""
    for job in rows(tx, _UNSENT, line=line["line_id"]):
        if job["state"] == JobState.RELEASED:
            seen, state = JobState.RELEASED, JobState.CANCELLED
            move_job(tx, job["job_id"], seen=seen, state=state, who="kvot", evidence=QUESTION, now=now)
    cancel_waiting(tx, line["line_id"], now=now)
    if line["state"] == LineState.PLANNED and not _has_begun(tx, line["line_id"]):
        move_line(tx, line["line_id"], seen=LineState.PLANNED, state=LineState.RECEIVED)
    change(tx, "UPDATE order_lines SET hold_reason = :why WHERE line_id = :line", why=QUESTION, line=line["line_id"])
    change(
        tx,
        "DELETE FROM outbox WHERE destination = :shop AND subject = :order",
        shop=f"shop:{line['shop']}",
        order=f"order:{line['order_id']}",
    )
    change(tx, "UPDATE orders SET told = NULL WHERE order_id = :order", order=line["order_id"])


def _has_begun(tx: Tx, line_id: int) -> bool:
    """Say whether a job of a line is at a machine or was."""
    found = row(
        tx,
        "SELECT 1 FROM allocations a JOIN jobs j USING (job_id) JOIN requirements r USING (requirement_id) "
        "WHERE r.line_id = :line AND j.state NOT IN ('waiting','released','cancelled') LIMIT 1",
        line=line_id,
    )
    return found is not None


def _ask(tx: Tx, held: Sequence[Mapping[str, Any]], named: Mapping[str, Mapping[str, Any]], *, now: datetime) -> None:
    text = (
        f"the backup is of {recovery.since(tx)}; these {len(held)} lines may have been made since. "
        "by_shop: as the shop's own _kvot_state says; one_by_one: ask about each; or decide for all"
    )
    open_exception(
        tx,
        Kind.RESTORED,
        subject="restore",
        evidence={"text": text, "since_then": _accepted_since(tx, named), "lines": list(held[:LISTED])},
        at=now,
    )


def _accepted_since(tx: Tx, named: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Count, where a machine keeps a mark, the jobs that it accepted and this ledger has never numbered."""
    counted: dict[str, int] = {}
    for machine, seen in named.items():
        known = row(tx, "SELECT MAX(job_no) AS job_no FROM job_numbers WHERE machine = :machine", machine=machine)
        since = (seen["mark"] or 0) - ((known["job_no"] or 0) if known is not None else 0)
        if since > 0:
            counted[machine] = since
    return counted


def _shown(line: Row, suspect: Suspect) -> dict[str, Any]:
    return {
        "line": line["line_id"],
        "order": line["order_id"],
        "number": line["number"],
        "article": line["product"] or line["name"],
        "quantity": line["quantity"],
        "shop_says": suspect.told,
        "named": list(suspect.named),
    }


_UNSENT = (
    "SELECT DISTINCT j.job_id, j.state FROM allocations a JOIN jobs j USING (job_id) "
    "JOIN requirements r USING (requirement_id) WHERE r.line_id = :line AND j.state IN ('waiting','released')"
)
