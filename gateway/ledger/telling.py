"""What an order looks like from outside is posted, to its shop and to MQTT, whenever that has changed."""

from datetime import datetime

import orjson

from gateway.domain.standing import LineStanding, told
from gateway.domain.states import LineState
from gateway.ledger import facts, outbox
from gateway.ledger.database import Tx
from gateway.ledger.sql import change, row, rows


def tell(tx: Tx, order_id: int, *, now: datetime) -> None:
    """Post what an order looks like from outside, to the shop and to MQTT, if that has changed."""
    order = row(tx, "SELECT shop, shop_order_id, number, told FROM orders WHERE order_id = :id", id=order_id)
    assert order is not None
    values = told(_standings(tx, order_id))
    text = orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()
    if text == order["told"]:
        return
    change(tx, "UPDATE orders SET told = :told WHERE order_id = :id", told=text, id=order_id)
    outbox.post(
        tx,
        destination=f"shop:{order['shop']}",
        subject=f"order:{order_id}",
        body={"shop_order_id": order["shop_order_id"], "values": values},
        at=now,
    )
    facts.post(
        tx,
        "order.state",
        at=now,
        order_id=order_id,
        shop=order["shop"],
        number=order["number"],
        state=values["_kvot_state"],
        progress=int(values["_kvot_progress"]),
        promise_at=values.get("_kvot_promise"),
        expected_at=values.get("_kvot_expected"),
    )


def _standings(tx: Tx, order_id: int) -> list[LineStanding]:
    found = rows(
        tx,
        "SELECT l.state, l.quantity, l.promise_at, l.expected_at, "
        "COALESCE((SELECT r.good FROM requirements r "
        "WHERE r.line_id = l.line_id ORDER BY r.step DESC LIMIT 1), 0) AS good "
        "FROM order_lines l WHERE l.order_id = :id",
        id=order_id,
    )
    return [
        LineStanding(
            state=LineState(line["state"]),
            quantity=line["quantity"],
            good=line["good"],
            promise_at=line["promise_at"],
            expected_at=line["expected_at"],
        )
        for line in found
    ]
