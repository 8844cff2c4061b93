"""Orders enter the ledger once, change while they can, and are told outward when they look different."""

from datetime import datetime
from enum import StrEnum

from gateway.domain.intake import content_hash
from gateway.domain.states import LineState
from gateway.errors import RefusedError
from gateway.ledger import events, facts
from gateway.ledger.database import Tx, ring
from gateway.ledger.lines import Reading, insert_line, reread_line, revise_line, withdraw_line
from gateway.ledger.sql import Row, change, insert, row, rows
from gateway.ledger.telling import tell
from gateway.ledger.times import to_text


class Taken(StrEnum):
    """What an order was to the ledger."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"


def bind_shop(tx: Tx, *, shop: str, site: str, at: datetime) -> None:
    """Bind a shop to its site address on first sight; raise `RefusedError` when another site answers."""
    known = row(tx, "SELECT site FROM shops WHERE shop = :shop", shop=shop)
    if known is None:
        insert(tx, "shops", shop=shop, site=site, bound_at=to_text(at))
        events.record(tx, what="shop.bound", who="kvot", subject=f"shop:{shop}", at=at, after={"site": site})
    elif known["site"] != site:
        raise RefusedError(
            f"shop {shop} is bound to {known['site']}, but {site} answers: a copy of a shop must not be produced for. "
            f"If the shop has really moved, give it a new name under shops:"
        )


def take(tx: Tx, reading: Reading, *, now: datetime) -> Taken:
    """Store an order with all that follows from it, or what changed in it; the same content again is nothing."""
    digest = content_hash(reading.order)
    known = row(
        tx,
        "SELECT order_id, content_hash, revision, placed_at FROM orders WHERE shop = :shop AND shop_order_id = :id",
        shop=reading.shop,
        id=reading.order.shop_order_id,
    )
    if known is None:
        order_id = _insert(tx, reading, digest, now=now)
        taken = Taken.NEW
    elif known["content_hash"] == digest:
        return Taken.SAME
    else:
        order_id = known["order_id"]
        _revise(tx, reading, digest, known=known, now=now)
        taken = Taken.CHANGED
    tell(tx, order_id, now=now)
    ring(tx, "plan")
    return taken


def let_in_of(tx: Tx, shop: str, shop_order_id: str) -> str | None:
    """Give the reason not to make an order yet that a person has overruled; None where nobody has."""
    known = row(tx, "SELECT let_in FROM orders WHERE shop = :shop AND shop_order_id = :id", shop=shop, id=shop_order_id)
    return None if known is None else known["let_in"]


def reread_set_aside(tx: Tx, order_id: int, reading: Reading, *, now: datetime) -> bool:
    """Read lines of an order that were set aside, or let in by a person, again; say whether any may be made now."""
    better = False
    for plan in reading.plans:
        line = row(
            tx,
            "SELECT * FROM order_lines WHERE order_id = :id AND shop_line_id = :line "
            "AND state IN ('quarantined','not_due')",
            id=order_id,
            line=plan.line.shop_line_id,
        )
        if line is not None:
            reread_line(tx, line, plan, reading, now=now)
            better = better or plan.state not in {LineState.QUARANTINED, LineState.NOT_DUE}
    return better


def _insert(tx: Tx, reading: Reading, digest: str, *, now: datetime) -> int:
    order = reading.order
    order_id = insert(
        tx,
        "orders",
        shop=reading.shop,
        shop_order_id=order.shop_order_id,
        number=order.number,
        channel=order.channel,
        kind=order.kind,
        currency=order.currency,
        status=order.status,
        payment=order.payment,
        placed_at=to_text(order.placed_at),
        received_at=to_text(now),
        due=int(reading.due),
        shop_hold=order.hold,
        revision=1,
        content_hash=digest,
    )
    events.record(
        tx,
        what="order.received",
        who=f"shop:{reading.shop}",
        subject=f"order:{order_id}",
        at=now,
        after={"number": order.number, "lines": len(order.lines)},
    )
    facts.post(
        tx,
        "order.received",
        at=now,
        order_id=order_id,
        shop=reading.shop,
        number=order.number,
        lines=len(order.lines),
    )
    _keep_personal(tx, order_id, reading, now=now)
    for plan in reading.plans:
        insert_line(tx, order_id, plan, reading, counted_from=order.placed_at, now=now)
    return order_id


def _keep_personal(tx: Tx, order_id: int, reading: Reading, *, now: datetime) -> None:
    change(tx, "DELETE FROM personal WHERE subject = :subject", subject=f"order:{order_id}")
    for field, value in reading.order.personal.items():
        insert(
            tx,
            "personal",
            subject=f"order:{order_id}",
            field=field,
            value=value,
            erase_after=to_text(now + reading.erase_after),
        )


def _revise(tx: Tx, reading: Reading, digest: str, *, known: Row, now: datetime) -> None:
    """Bring a changed order into the ledger: freely while nothing was released, as an exception afterwards.

    An order that was placed at another time is another one under the same number, as a shop makes them that went
    back to a backup: what was begun for the first one counts for nothing of the second.
    """
    order, order_id, revision = reading.order, known["order_id"], known["revision"] + 1
    placed_at = known["placed_at"] if order.fault else to_text(order.placed_at)
    change(
        tx,
        "UPDATE orders SET content_hash = :digest, revision = :revision, status = :status, "
        "payment = :payment, due = :due, shop_hold = :shop_hold, placed_at = :placed "
        "WHERE order_id = :id",
        digest=digest,
        revision=revision,
        status=order.status,
        payment=order.payment,
        due=int(reading.due),
        shop_hold=order.hold,
        placed=placed_at,
        id=order_id,
    )
    events.record(
        tx,
        what="order.changed",
        who=f"shop:{reading.shop}",
        subject=f"order:{order_id}",
        at=now,
        after={"revision": revision, "status": order.status},
    )
    _keep_personal(tx, order_id, reading, now=now)
    lines = {
        line["shop_line_id"]: line for line in rows(tx, "SELECT * FROM order_lines WHERE order_id = :id", id=order_id)
    }
    for plan in reading.plans:
        line = lines.pop(plan.line.shop_line_id, None)
        if line is None:
            insert_line(tx, order_id, plan, reading, counted_from=now, now=now)
        else:
            revise_line(tx, line, plan, reading, another=placed_at != known["placed_at"], now=now)
    for line in lines.values():  # a row that is gone from the order is no longer wanted
        where = {"shop": reading.shop, "shop_order_id": order.shop_order_id}
        withdraw_line(tx, line, "removed from the order", **where, now=now)
