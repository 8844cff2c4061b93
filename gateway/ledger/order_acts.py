"""What a named person does about a whole order: cancel it, or have what was set aside read again."""

from datetime import datetime

from gateway.errors import RefusedError
from gateway.ledger import events
from gateway.ledger.database import Tx, ring
from gateway.ledger.lines import BY_A_PERSON, withdraw_line
from gateway.ledger.sql import row, rows
from gateway.ledger.telling import tell

_ENDED = "('not_made','cancelled','shipped')"


def cancel_order(tx: Tx, order_id: int, *, who: str, now: datetime) -> str:
    """Cancel every line of an order as if its shop had, in a person's name; give what happened, in words.

    What no machine has is taken back. What is loaded is asked back. About the rest one question is opened a line.
    """
    shop = _shop(tx, order_id)
    lines = rows(
        tx,
        f"SELECT * FROM order_lines WHERE order_id = :id AND state NOT IN {_ENDED} ORDER BY position",  # noqa: S608
        id=order_id,
    )
    if not lines:
        raise RefusedError(f"order {order_id} has ended: nothing of it can be cancelled")
    events.record(tx, what="order.cancel_asked", who=who, subject=f"order:{order_id}", at=now)
    for line in lines:
        withdraw_line(tx, line, BY_A_PERSON, shop=shop["shop"], shop_order_id=shop["shop_order_id"], who=who, now=now)
    tell(tx, order_id, now=now)
    ring(tx, "plan")
    left = rows(
        tx,
        f"SELECT 1 FROM order_lines WHERE order_id = :id AND state NOT IN {_ENDED}",  # noqa: S608
        id=order_id,
    )
    if not left:
        return f"order {order_id} is cancelled"
    return f"{len(left)} lines of order {order_id} are in work or made: `kvot exceptions list` asks about each"


def read_order_again(tx: Tx, order_id: int, *, who: str, now: datetime) -> str:
    """Have the lines of an order that were not understood read again; others of the same shop come along."""
    shop = _shop(tx, order_id)["shop"]
    if row(tx, "SELECT 1 FROM order_lines WHERE order_id = :id AND state = 'quarantined'", id=order_id) is None:
        raise RefusedError(f"nothing of order {order_id} is set aside")
    events.record(tx, what="order.retried", who=who, subject=f"order:{order_id}", at=now)
    ring(tx, f"intake:{shop}")
    return f"what was set aside of order {order_id} is read again"


def _shop(tx: Tx, order_id: int) -> dict[str, str]:
    order = row(tx, "SELECT shop, shop_order_id FROM orders WHERE order_id = :id", id=order_id)
    if order is None:
        raise RefusedError(f"there is no order {order_id}: `kvot orders list` shows those there are")
    return {"shop": order["shop"], "shop_order_id": order["shop_order_id"]}
