"""Recovering after a restore: what was asked again so far, of machines and shops."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from drivers.base import Look
from gateway.domain.orders import ShopOrder
from gateway.ledger.database import Tx, ring
from gateway.ledger.sql import change, row, rows
from gateway.ledger.times import to_text

BELL = "recovery"


def pending(tx: Tx) -> bool:
    """Say whether a backup was restored and not everything was asked again yet: nothing is released or sent."""
    return since(tx) is not None


def since(tx: Tx) -> str | None:
    """Give when the backup was made that is being recovered from, None in ordinary times."""
    found = row(tx, "SELECT recovering FROM meta")
    return None if found is None else found["recovering"]


def epoch(tx: Tx) -> int:
    """Give the life of the ledger: each restore begins another."""
    found = row(tx, "SELECT epoch FROM meta")
    return 0 if found is None else int(found["epoch"])


def saw_machine(tx: Tx, machine: str, look: Look, *, now: datetime) -> None:
    """Keep which jobs a machine names, with which orders, and its mark."""
    jobs = {job.job_id: job.phase.name.lower() for job in look.jobs if job.phase is not None}
    orders = {job.job_id: job.orders for job in look.jobs if job.phase is not None}
    _keep(tx, f"machine:{machine}", {"jobs": jobs, "orders": orders, "mark": look.mark}, now=now)


def saw_orders(tx: Tx, shop: str, orders: Iterable[ShopOrder], *, now: datetime) -> None:
    """Keep what a shop was told of each order in the life that is lost: what it says first counts."""
    for order in orders:
        known = row(
            tx,
            "SELECT order_id FROM orders WHERE shop = :shop AND shop_order_id = :id",
            shop=shop,
            id=order.shop_order_id,
        )
        if known is not None:
            _keep(tx, f"order:{known['order_id']}", {"told": order.told}, now=now, first=True)


def read_shop(tx: Tx, *, shop: str, now: datetime) -> None:
    """Note that everything was read that changed in a shop since the backup."""
    _keep(tx, f"shop:{shop}", {}, now=now, first=True)


def asked(tx: Tx) -> dict[str, Mapping[str, Any]]:
    """Give what was found, by subject: `machine:<name>`, `shop:<name>`, `order:<id>`."""
    return {one["subject"]: orjson.loads(one["found"]) for one in rows(tx, "SELECT subject, found FROM recovery")}


def forget(tx: Tx) -> None:
    """Drop what was found, once nobody needs it any more."""
    change(tx, "DELETE FROM recovery")


def _keep(tx: Tx, subject: str, found: Mapping[str, object], *, now: datetime, first: bool = False) -> None:
    then = "NOTHING" if first else "UPDATE SET found = excluded.found, at = excluded.at"
    change(
        tx,
        "INSERT INTO recovery (subject, found, at) VALUES (:subject, :found, :at) "  # noqa: S608 - constants
        f"ON CONFLICT (subject) DO {then}",
        subject=subject,
        found=orjson.dumps(found).decode(),
        at=to_text(now),
    )
    ring(tx, BELL)
