"""Lots: what one job made, the lots of the step before that went into it, the oldest first, and material."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from gateway.ledger.database import Tx
from gateway.ledger.sql import change, rows

Material = dict[str, Any]  # lot, requirement_id of the step before, pieces; or of stock: item, quantity, lots


def open_lot(tx: Tx, job_id: str, *, produced: int, used: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write down the lot of a job that ended, with the material of all the pieces it produced, good or scrap.

    `used` is what it used of the stock: item, quantity, and the lots in force that this may have been of.
    """
    material = [*(share for share in _material(tx, job_id, produced) if share["pieces"]), *map(dict, used)]
    change(
        tx,
        "INSERT INTO lots (lot, job_id, material_lots, recipe_version) "
        "SELECT job_id, job_id, :material, recipe_version FROM jobs WHERE job_id = :job",
        material=orjson.dumps(material).decode(),
        job=job_id,
    )
    change(tx, "UPDATE jobs SET lot = :job WHERE job_id = :job", job=job_id)


def read_material(text: str) -> list[Material]:
    """Read what the column `material_lots` says of pieces of the step before: lot, requirement_id and pieces."""
    return [share for share in orjson.loads(text) if "item" not in share]


def read_used(text: str) -> list[Material]:
    """Read what the column `material_lots` says of material from stock: item, quantity and lots."""
    return [share for share in orjson.loads(text) if "item" in share]


def _material(tx: Tx, job_id: str, produced: int) -> Iterator[Material]:
    """Give what each line of a job took from its step before; the last line takes what was made beyond the order."""
    shares = rows(
        tx,
        "SELECT a.requirement_id, a.quantity, p.requirement_id AS before FROM allocations a "
        "JOIN requirements r USING (requirement_id) JOIN order_lines l USING (line_id) "
        "LEFT JOIN requirements p ON p.line_id = r.line_id AND p.component = r.component AND p.step = r.step - 1 "
        "WHERE a.job_id = :job ORDER BY l.promise_at, l.line_id",
        job=job_id,
    )
    for share in shares:
        pieces = produced if share is shares[-1] else min(produced, share["quantity"])
        produced -= pieces
        if share["before"] is None:
            continue
        for lot, unused in _unused(tx, share["before"], share["requirement_id"]):
            taken = min(pieces, unused)
            pieces -= taken
            yield {"lot": lot, "requirement_id": share["before"], "pieces": taken}


def _unused(tx: Tx, before: int, requirement_id: int) -> list[tuple[str, int]]:
    """Give the lots of the step before with their good pieces that no lot of this step has used, the oldest first."""
    used: dict[str, int] = {}
    for later in rows(tx, _LOTS_OF, need=requirement_id):
        for share in read_material(later["material_lots"]):
            if share["requirement_id"] == before:
                used[share["lot"]] = used.get(share["lot"], 0) + share["pieces"]
    made = rows(tx, _LOTS_OF, need=before)
    return [(lot["lot"], max(0, lot["good"] - used.get(lot["lot"], 0))) for lot in made]


_LOTS_OF = (
    "SELECT l.lot, l.material_lots, a.good FROM allocations a JOIN lots l USING (job_id) "
    "WHERE a.requirement_id = :need ORDER BY (SELECT MIN(result_id) FROM results s WHERE s.job_id = l.job_id)"
)
