"""The first schema: made whole by `schema.create`, so no existing ledger ever needs this step.

Whoever writes the second step writes down here what `schema.create` made until then.
"""

from sqlalchemy import Connection

from gateway.ledger.schema import create


def upgrade(tx: Connection) -> None:
    """Create everything in an empty database."""
    create(tx)
