"""The first schema: made whole by `schema.create`, so no existing ledger ever needs this step."""

from sqlalchemy import Connection

from gateway.ledger.schema import create


def upgrade(tx: Connection) -> None:
    """Create everything in an empty database."""
    create(tx)
