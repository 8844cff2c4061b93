"""What a machine may want to show of a job: order numbers, article, a readable name, its files."""

from gateway.ledger import files
from gateway.ledger.database import Tx
from gateway.ledger.sql import rows


def labels(tx: Tx, job_id: str) -> dict[str, str | tuple[str, ...]]:
    """Give a job's labels; no personal facts are among them."""
    found = rows(
        tx,
        "SELECT o.number, l.product, l.name FROM allocations a JOIN requirements r USING (requirement_id) "
        "JOIN order_lines l USING (line_id) JOIN orders o USING (order_id) WHERE a.job_id = :job ORDER BY o.order_id",
        job=job_id,
    )
    if not found:
        return {}
    numbers = tuple(dict.fromkeys(one["number"] for one in found))
    shown = {"order_numbers": numbers, "sku": found[0]["product"] or "", "job_name": found[0]["name"]}
    return {**shown, "files": names} if (names := files.names(tx, job_id)) else shown
