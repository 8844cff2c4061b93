"""Released jobs wait for a machine that takes none for long: people are asked once, and may send them elsewhere."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import orjson

from gateway.domain.exceptions import Kind
from gateway.domain.machines import Level
from gateway.domain.products import Family
from gateway.ledger.collecting import loads
from gateway.ledger.database import Tx
from gateway.ledger.exceptions import keep_open, settle
from gateway.ledger.rerouting import go_elsewhere
from gateway.ledger.sql import Row, row, rows


def out_of_use(tx: Tx, machines: Iterable[str], *, by_hand: frozenset[str], away: Mapping[str, str]) -> dict[str, str]:
    """Give the machines to which nothing is sent now, and why: away, held, or not armed."""
    known = {one["machine"]: one for one in rows(tx, "SELECT machine, level, hold_reason FROM machine_facts")}
    found: dict[str, str] = {}
    for name in machines:
        facts = known.get(name)
        if name in away:
            found[name] = f"it does not answer: {away[name]}"
        elif facts is not None and facts["hold_reason"] is not None:
            found[name] = f"it is held: {facts['hold_reason']}"
        elif name not in by_hand and (facts is None or facts["level"] == Level.READ):
            found[name] = "it is not armed"
    return found


def is_asked(tx: Tx) -> bool:
    """Say whether people are asked about any machine's jobs."""
    return (
        row(tx, "SELECT 1 FROM exceptions WHERE cause = :c AND state <> 'resolved' LIMIT 1", c=Kind.STRANDED.cause)
        is not None
    )


def review(
    tx: Tx, families: Mapping[str, Family], machines: Iterable[str], *, out: Mapping[str, str], long: Iterable[str],
    now: datetime,
) -> None:  # fmt: skip
    """Ask about each machine that is `out` of use for `long` and has jobs that another could make; take back the rest.

    Nothing goes elsewhere by itself.
    """
    for machine in machines:
        able = {
            name: others
            for name, family in families.items()
            if machine in family.machines
            and family.setup is None
            and (others := [one for one in family.machines if one not in out])
        }
        waiting = [job["job_id"] for job in _waiting(tx, machine) if job["family"] in able]
        if machine not in long or not waiting:
            settle(tx, subject=_subject(machine), cause=Kind.STRANDED.cause, at=now)
            continue
        keep_open(
            tx,
            Kind.STRANDED,
            subject=_subject(machine),
            evidence={
                "text": f"{out[machine]}; released jobs that others could make: {len(waiting)}",
                "jobs": waiting[:20],
                "able": able,
            },
            actions=Kind.STRANDED.actions,
            at=now,
        )


def send_elsewhere(tx: Tx, machine: str, exception_id: int, *, who: str, now: datetime) -> None:
    """Give each job that waits for a machine to the able one with the least to do, in a named person's name."""
    asked = row(tx, "SELECT evidence FROM exceptions WHERE exception_id = :id", id=exception_id)
    assert asked is not None
    able: dict[str, list[str]] = orjson.loads(asked["evidence"])["able"]
    for job in _waiting(tx, machine):
        if others := able.get(job["family"]):
            load = loads(tx)
            there = min(others, key=lambda name: (load.get(name, 0), name))
            go_elsewhere(tx, job["job_id"], machine, there, job["run_id"], who=who, now=now)


def _waiting(tx: Tx, machine: str) -> list[Row]:
    found = rows(
        tx,
        "SELECT j.job_id, j.run_id, r.family FROM jobs j JOIN runs r USING (run_id) "
        "WHERE j.machine = :machine AND j.state = 'released' ORDER BY j.promise_at, j.rowid",
        machine=machine,
    )
    return list(found)


def _subject(machine: str) -> str:
    return f"queue:{machine}"
