"""Material and tools: people count the stock, results use it up, and released runs keep what they need."""

from collections.abc import Sequence
from datetime import datetime
from shlex import quote
from typing import Any, Final

import orjson

from gateway.domain.exceptions import Kind
from gateway.domain.needs import Supply, amount
from gateway.domain.products import Family
from gateway.ledger import events
from gateway.ledger.database import Tx, ring
from gateway.ledger.exceptions import open_exception, settle
from gateway.ledger.runs import let_run_go
from gateway.ledger.sql import Row, change, insert, row, rows

WAITS_FOR_STOCK: Final = "waits for material"  # the hold of a run that a person lets wait until some has come
MOST_LOTS: Final = 10  # of one item at a time; the oldest is taken to be used up

View = dict[str, Any]

_RESERVED = """
    SELECT n.item, SUM(n.per_piece * ((j.quantity + n.pieces_per_cycle - 1) / n.pieces_per_cycle)
                       * n.pieces_per_cycle) AS quantity
    FROM run_needs n JOIN jobs j USING (run_id)
    WHERE n.kind = 'material' AND j.state IN ('released','in_doubt','accepted','running','interrupted')
    GROUP BY n.item"""
_IN_USE = """
    SELECT n.item, r.run_id, r.family, r.machine FROM run_needs n JOIN runs r USING (run_id)
    WHERE n.kind = 'tool' AND r.state IN ('releasing','setup','first_piece','running') ORDER BY r.run_id"""


def set_stock(tx: Tx, item: str, quantity: float, *, lot: str | None, who: str, now: datetime) -> View:
    """Write down what a person has counted of an item, all of it of one lot where that is given."""
    return _count(tx, item, quantity, lots=[] if lot is None else [lot], what="set", who=who, now=now)


def add_stock(tx: Tx, item: str, quantity: float, *, lot: str | None, who: str, now: datetime) -> View:
    """Write down that more of an item has come."""
    known = _row(tx, item)
    lots = [] if known is None else _lots(known)
    if lot is not None:
        lots = [*(one for one in lots if one != lot), lot][-MOST_LOTS:]
    total = quantity if known is None else known["quantity"] + quantity
    return _count(tx, item, total, lots=lots, what="added", who=who, now=now)


def supply(tx: Tx) -> Supply:
    """Give what is there for the next run: stock less what released jobs will use, and the tools in use."""
    reserved = _reserved(tx)
    free = {
        one["item"]: amount(one["quantity"] - reserved.get(one["item"], 0.0))
        for one in rows(tx, "SELECT item, quantity FROM stock")
    }
    in_use = {one["item"]: f"run {one['run_id']} on {one['machine']}" for one in rows(tx, _IN_USE)}
    return Supply(free=free, in_use=in_use)


def keep_for_run(tx: Tx, run_id: int, family: Family) -> None:
    """Write down, at its release, what a run needs: its jobs reserve it, and use it up, by these figures."""
    for item, per_piece in family.needs.material.items():
        insert(
            tx,
            "run_needs",
            run_id=run_id,
            kind="material",
            item=item,
            per_piece=float(per_piece),
            pieces_per_cycle=family.pieces_per_cycle,
        )
    for tool in family.needs.tools:
        insert(tx, "run_needs", run_id=run_id, kind="tool", item=tool)


def use_up(tx: Tx, job_id: str, *, produced: int, now: datetime) -> list[View]:
    """Take what a job has used, for good pieces and scrap, and give it with its lots: item, quantity, lots.

    Stock never goes below nothing: what a job used beyond the count is asked about, since the count was wrong.
    """
    used: list[View] = []
    for need in rows(
        tx,
        "SELECT n.item, n.per_piece FROM run_needs n JOIN jobs j USING (run_id) "
        "WHERE j.job_id = :job AND n.kind = 'material' ORDER BY n.item",
        job=job_id,
    ):
        quantity = amount(produced * need["per_piece"])
        if quantity:
            lots = _take(tx, need["item"], quantity, job_id=job_id, now=now)
            used.append({"item": need["item"], "quantity": quantity, "lots": lots})
    return used


def list_stock(tx: Tx) -> View:
    """Give the material, the tools in use, and the due runs that wait for either."""
    reserved = _reserved(tx)
    counted = {one["item"]: one for one in rows(tx, "SELECT item, quantity, lots FROM stock")}
    material = [
        {
            "item": item,
            "quantity": counted[item]["quantity"] if item in counted else None,
            "reserved": reserved.get(item, 0.0),
            "free": amount((counted[item]["quantity"] if item in counted else 0.0) - reserved.get(item, 0.0)),
            "lots": _lots(counted[item]) if item in counted else [],
        }
        for item in sorted(counted.keys() | reserved.keys())
    ]
    tools = [
        {"tool": one["item"], "run_id": one["run_id"], "family": one["family"], "machine": one["machine"]}
        for one in rows(tx, _IN_USE)
    ]
    waiting = rows(
        tx,
        "SELECT run_id, family, waits_for, hold_reason FROM runs "
        "WHERE waits_for IS NOT NULL AND state IN ('collecting','committed') ORDER BY run_id",
    )
    return {"material": material, "tools": tools, "waiting": [dict(one) for one in waiting]}


def _count(tx: Tx, item: str, quantity: float, *, lots: Sequence[str], what: str, who: str, now: datetime) -> View:
    known = _row(tx, item)
    _store(tx, item, amount(quantity), lots)
    events.record(
        tx,
        what=f"stock.{what}",
        who=who,
        subject=f"stock:{item}",
        at=now,
        before=None if known is None else {"quantity": known["quantity"], "lots": _lots(known)},
        after={"quantity": amount(quantity), "lots": list(lots)},
    )
    settle(tx, subject=f"stock:{item}", cause=Kind.MORE_USED.cause, at=now)
    for run in rows(tx, "SELECT run_id FROM runs WHERE hold_reason = :held", held=WAITS_FOR_STOCK):
        let_run_go(tx, run["run_id"], who=who, now=now)
    ring(tx, "plan")
    return {"item": item, "quantity": amount(quantity), "lots": list(lots)}


def _take(tx: Tx, item: str, quantity: float, *, job_id: str, now: datetime) -> list[str]:
    """Lower the stock of an item; give the lots it may have been of."""
    known = _row(tx, item)
    there, lots = (0.0, list[str]()) if known is None else (known["quantity"], _lots(known))
    left = amount(there - quantity)
    if known is not None:
        _store(tx, item, left, lots if left else [])
    events.record(
        tx,
        what="stock.used",
        who="kvot",
        subject=f"stock:{item}",
        at=now,
        before={"quantity": there},
        after={"quantity": left, "used": quantity, "job_id": job_id},
    )
    if amount(quantity - there):
        cure = f"count it: kvot stock set {quote(item)} QTY"
        text = f"{job_id} used {quantity:g}, and {there:g} was counted, so that it is 0 now; {cure}"
        open_exception(
            tx,
            Kind.MORE_USED,
            subject=f"stock:{item}",
            evidence={"text": text, "job_id": job_id, "used": quantity, "counted": there},
            at=now,
        )
    return lots


def _store(tx: Tx, item: str, quantity: float, lots: Sequence[str]) -> None:
    change(
        tx,
        "INSERT INTO stock (item, quantity, lots) VALUES (:item, :quantity, :lots) "
        "ON CONFLICT (item) DO UPDATE SET quantity = excluded.quantity, lots = excluded.lots",
        item=item,
        quantity=quantity,
        lots=orjson.dumps(list(lots)).decode(),
    )


def _reserved(tx: Tx) -> dict[str, float]:
    return {one["item"]: amount(one["quantity"]) for one in rows(tx, _RESERVED)}


def _row(tx: Tx, item: str) -> Row | None:
    return row(tx, "SELECT item, quantity, lots FROM stock WHERE item = :item", item=item)


def _lots(known: Row) -> list[str]:
    lots: list[str] = orjson.loads(known["lots"])
    return lots
