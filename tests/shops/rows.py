"""Order rows shaped as WooCommerce gives them, with the parts a test cares about replaced."""

from datetime import UTC, datetime
from typing import Any

PLACED = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


def gmt(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def a_row(order_id: int = 1001, *, modified: datetime = PLACED, **fields: Any) -> dict[str, Any]:
    row = {
        "id": order_id,
        "parent_id": 0,
        "status": "processing",
        "currency": "SEK",
        "number": str(order_id),
        "order_key": f"wc_order_{order_id}",
        "date_created": "2026-05-04T10:00:00",
        "date_created_gmt": gmt(PLACED),
        "date_modified": "2026-05-04T10:00:00",
        "date_modified_gmt": gmt(modified),
        "billing": {"first_name": "Åsa", "email": "asa@example.com", "phone": "040-1"},
        "shipping": {"city": "Lund"},
        "customer_ip_address": "192.0.2.7",
        "customer_note": "Ring på",
        "payment_method": "invoice",
        "line_items": [a_line_row()],
        "shipping_lines": [{"id": 8, "method_title": "Frakt", "total": "49.00"}],
        "fee_lines": [{"id": 9, "name": "Avgift", "total": "-10.005"}],
        "refunds": [],
        "meta_data": [{"id": 1, "key": "_secret", "value": "x"}],
    }
    return row | fields


def a_line_row(**fields: Any) -> dict[str, Any]:
    row = {
        "id": 7,
        "name": 'Bricka "Åsa" – blå',
        "product_id": 12,
        "variation_id": 13,
        "quantity": 3,
        "subtotal": "447.00",
        "total": "447.00",
        "sku": "TRAY-12",
        "price": 149,
        "meta_data": [
            {"id": 1, "key": "width_mm", "value": "60.5", "display_key": "Bredd", "display_value": "60,5"},
            {"id": 2, "key": "_reduced_stock", "value": "3"},
        ],
    }
    return row | fields


def meta(**values: Any) -> list[dict[str, Any]]:
    return [{"id": place, "key": key, "value": value} for place, (key, value) in enumerate(values.items())]


def a_refund(line_id: int | str | None = 7, quantity: Any = -1) -> dict[str, Any]:
    rows = [] if line_id is None else [{"key": "_refunded_item_id", "value": line_id}]
    return {"id": 50, "amount": "149.00", "line_items": [{"id": 70, "quantity": quantity, "meta_data": rows}]}
