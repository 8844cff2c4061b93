"""Lines that were not understood, or that a person lets in, read again from what the ledger kept of them."""

from datetime import datetime

import orjson

from gateway.domain.orders import LineKind, ShopLine, ShopOrder
from gateway.ledger.database import Tx, ring
from gateway.ledger.lines import Reading
from gateway.ledger.orders import reread_set_aside
from gateway.ledger.sql import Row, row, rows
from gateway.ledger.telling import tell
from gateway.ledger.times import to_time

_AGAIN = "(l.state = 'quarantined' OR (l.state = 'not_due' AND l.reason = o.let_in))"


def orders(tx: Tx, shop: str) -> list[ShopOrder]:
    """Rebuild the orders of a shop that have lines set aside or let in, with those lines alone.

    Rows the shop sent in an unreadable form are not kept and cannot be read again from here.
    """
    found = rows(
        tx,
        "SELECT DISTINCT o.* FROM orders o JOIN order_lines l USING (order_id) "  # noqa: S608 - a constant
        f"WHERE o.shop = :shop AND {_AGAIN} ORDER BY o.order_id",
        shop=shop,
    )
    return [_order(tx, order) for order in found]


def reread(tx: Tx, reading: Reading, *, now: datetime) -> None:
    """Bring lines that are understood now back into production; the others stay set aside, without new noise."""
    order = row(
        tx,
        "SELECT order_id FROM orders WHERE shop = :shop AND shop_order_id = :id",
        shop=reading.shop,
        id=reading.order.shop_order_id,
    )
    assert order is not None
    if reread_set_aside(tx, order["order_id"], reading, now=now):
        tell(tx, order["order_id"], now=now)
        ring(tx, "plan")


def _order(tx: Tx, order: Row) -> ShopOrder:
    lines = rows(
        tx,
        "SELECT l.* FROM order_lines l JOIN orders o USING (order_id) "  # noqa: S608 - a constant
        f"WHERE order_id = :id AND {_AGAIN} AND l.reason NOT LIKE 'not understood%' ORDER BY l.position",
        id=order["order_id"],
    )
    return ShopOrder(
        shop_order_id=order["shop_order_id"],
        number=order["number"],
        channel=order["channel"],
        currency=order["currency"],
        placed_at=to_time(order["placed_at"]),
        status=order["status"],
        payment=order["payment"],
        cancelled=False,
        hold=order["shop_hold"],
        lines=tuple(
            ShopLine(
                shop_line_id=line["shop_line_id"],
                kind=LineKind.ARTICLE,
                skus=tuple(orjson.loads(line["skus"])),
                name=line["name"],
                quantity=line["quantity"],
                unit_price_minor=line["unit_price_minor"],
                options=orjson.loads(line["options"]),
                parent_line_id=line["parent_line_id"],
            )
            for line in lines
        ),
    )
