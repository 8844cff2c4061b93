"""Facts for the world: one row in the outbox, in the transaction of the event it tells."""

from datetime import datetime
from hashlib import sha256

from gateway.ledger import outbox
from gateway.ledger.database import Tx

MQTT = "mqtt"


def post(tx: Tx, type_: str, *, at: datetime, **fields: object) -> int:
    """Post a fact of this type (`order.received`, `job.completed`); `t` is business time in ms; give its number.

    Fields without a value are left out. The subject groups facts that must stay in order.
    """
    area = type_.partition(".")[0]
    subject = f"{area}:{fields.get(f'{area}_id', fields.get(area, ''))}"
    body = {name: value for name, value in fields.items() if value is not None}
    return outbox.post(
        tx, destination=MQTT, subject=subject, body={"type": type_, "t": milliseconds(at), **body}, at=at
    )


def milliseconds(at: datetime) -> int:
    """Give a time as milliseconds since 1970 in UTC."""
    return round(at.timestamp() * 1000)


def fingerprint(text: str) -> str:
    """Give a short hash of a text, to compare parameters without reading them."""
    return sha256(text.encode()).hexdigest()[:16]
