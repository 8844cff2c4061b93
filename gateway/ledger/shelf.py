"""Finished goods that are nobody's: what was made beyond an order, or for one that was cancelled, lot by lot."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson

from gateway.errors import RefusedError
from gateway.ledger import events
from gateway.ledger.database import Tx
from gateway.ledger.facts import fingerprint
from gateway.ledger.sql import change, insert, row, rows
from gateway.ledger.times import to_text

View = dict[str, Any]

_SIGNED = "SUM(CASE WHEN s.kind IN ('put','back') THEN s.pieces ELSE -s.pieces END)"
# What lies there, a row for each lot and good; `first_put` is when that began, and `line_id` whose it was then.
LYING = f"""
    SELECT s.lot, s.fingerprint, {_SIGNED} AS pieces, MIN(s.entry_id) AS first_put,
           MIN(CASE WHEN s.kind = 'put' THEN s.line_id END) AS line_id
    FROM shelf s GROUP BY s.lot, s.fingerprint HAVING {_SIGNED} > 0"""  # noqa: S608 - a constant


def put_surplus(tx: Tx, job_id: str, pieces: int, *, now: datetime) -> None:
    """Put what a job made good beyond its order on the shelf; only what came out of a last step is a finished good."""
    if pieces < 1:
        return
    line = row(
        tx,
        "SELECT r.line_id FROM allocations a JOIN requirements r USING (requirement_id) WHERE a.job_id = :job "  # noqa: S608 - a constant
        f"AND {_IS_LAST} ORDER BY r.line_id DESC LIMIT 1",
        job=job_id,
    )
    mark = None if line is None else mark_of(tx, line["line_id"])
    if line is not None and mark is not None:
        _enter(tx, "put", lot=job_id, mark=mark, line_id=line["line_id"], pieces=pieces, now=now)


def give_up(tx: Tx, line_id: int, *, now: datetime) -> None:
    """Take from a line that was cancelled the finished goods it has: they lie on the shelf from here on."""
    give_back(tx, line_id, now=now)
    mark = mark_of(tx, line_id)
    if mark is None:
        return
    _put_shares(tx, line_id, mark, None, now=now)


def give_surplus(tx: Tx, line_id: int, *, now: datetime) -> None:
    """Put on the shelf what a line has beyond what it wants (any more), of what its own jobs made."""
    surplus = row(
        tx,
        f"SELECT r.good - r.quantity AS pieces FROM requirements r WHERE r.line_id = :line AND {_IS_LAST}",  # noqa: S608
        line=line_id,
    )
    mark = mark_of(tx, line_id)
    if surplus is not None and mark is not None and surplus["pieces"] > 0:
        _put_shares(tx, line_id, mark, surplus["pieces"], now=now)


def give_back(tx: Tx, line_id: int, *, now: datetime) -> None:
    """Put back what a line had taken from the shelf."""
    for held in taken_by(tx, line_id):
        _lower(tx, line_id, held["pieces"])
        _enter(
            tx,
            "back",
            lot=held["lot"],
            mark=held["fingerprint"],
            line_id=line_id,
            pieces=held["pieces"],
            now=now,
        )


def take(tx: Tx, line_id: int, mark: str, pieces: int, *, now: datetime) -> None:
    """Give a line so many pieces of its good, the oldest lot first; they must lie there."""
    for lying in _lots_of(tx, mark):
        taken = min(pieces, lying["pieces"])
        if taken:
            _enter(tx, "take", lot=lying["lot"], mark=mark, line_id=line_id, pieces=taken, now=now)
            pieces -= taken
    assert pieces == 0


def discard(tx: Tx, lot: str, pieces: int, *, who: str, now: datetime) -> View:
    """Write down that pieces of a lot are not on the shelf (any more); raise `RefusedError` where so many are not."""
    lying = next((one for one in rows(tx, LYING) if one["lot"] == lot), None)
    there = 0 if lying is None else lying["pieces"]
    if lying is None or pieces > there:
        raise RefusedError(f"{there} pieces of lot {lot!r} are on the shelf: `kvot stock list` shows what lies there")
    _enter(tx, "discard", lot=lot, mark=lying["fingerprint"], line_id=None, pieces=pieces, now=now, who=who)
    return {"lot": lot, "pieces": there - pieces}


def lying_of(tx: Tx, mark: str) -> int:
    """Give the pieces of a good that lie on the shelf."""
    return sum(one["pieces"] for one in _lots_of(tx, mark))


def mark_of(tx: Tx, line_id: int) -> str | None:
    """Give the fingerprint of a line's finished good: article, options, files, and each step with its parameters.

    Whatever the customer chose is in it, so that goods made for one go only to who ordered the very same.
    None for a line of which nothing is made, that has several components, or a file nobody has seen yet.
    """
    line = row(tx, "SELECT product, skus, name, options FROM order_lines WHERE line_id = :line", line=line_id)
    steps = rows(
        tx,
        "SELECT component, step, operation, family, setup_key, recipe, recipe_version, parameters FROM requirements "
        "WHERE line_id = :line ORDER BY component, step",
        line=line_id,
    )
    files = rows(tx, "SELECT step, sha256 FROM files WHERE line_id = :line ORDER BY step, sha256", line=line_id)
    if line is None or not steps or any(step["component"] != 1 for step in steps):
        return None
    if any(file["sha256"] is None for file in files):
        return None
    article = line["skus"] if line["skus"] != "[]" else line["name"]
    content = [line["product"], article, line["options"], [list(one.values()) for one in (*files, *steps)]]
    return fingerprint(orjson.dumps(content).decode())


def taken_by(tx: Tx, line_id: int) -> list[View]:
    """Give what a line has from the shelf: lot, fingerprint, pieces."""
    found = rows(
        tx,
        f"SELECT s.lot, s.fingerprint, -{_SIGNED} AS pieces FROM shelf s "  # noqa: S608 - a constant
        "WHERE s.line_id = :line AND s.kind IN ('take','back') GROUP BY s.lot, s.fingerprint ORDER BY MIN(s.entry_id)",
        line=line_id,
    )
    return [dict(one) for one in found if one["pieces"]]


def list_shelf(tx: Tx) -> list[View]:
    """Give what lies there, the oldest first: lot, article, options, pieces, since when."""
    found = rows(
        tx,
        f"SELECT y.lot, l.product, l.name, l.options, y.pieces, s.at AS since FROM ({LYING}) y "  # noqa: S608
        "JOIN order_lines l USING (line_id) JOIN shelf s ON s.entry_id = y.first_put ORDER BY y.first_put",
    )
    return [{**one, "options": orjson.loads(one["options"])} for one in found]


def entries_of(tx: Tx, lot: str) -> Iterator[View]:
    """Give what came to and went from the shelf of a lot, in order, with the orders it was for."""
    for one in rows(
        tx,
        "SELECT s.at, s.kind, s.pieces, o.order_id, o.number, s.line_id FROM shelf s "
        "LEFT JOIN order_lines l USING (line_id) LEFT JOIN orders o USING (order_id) "
        "WHERE s.lot = :lot ORDER BY s.entry_id",
        lot=lot,
    ):
        yield dict(one)


_IS_LAST = "r.step = (SELECT MAX(x.step) FROM requirements x WHERE x.line_id = r.line_id)"


def _lots_of(tx: Tx, mark: str) -> list[View]:
    found = rows(
        tx,
        f"SELECT * FROM ({LYING}) y WHERE y.fingerprint = :mark ORDER BY y.first_put",  # noqa: S608 - a constant
        mark=mark,
    )
    return [dict(one) for one in found]


def _put_shares(tx: Tx, line_id: int, mark: str, pieces: int | None, *, now: datetime) -> None:
    """Put so many of the pieces that a line's own jobs made for it on the shelf, or all of them."""
    for share in rows(
        tx,
        "SELECT a.job_id, a.requirement_id, a.good FROM allocations a JOIN requirements r USING (requirement_id) "  # noqa: S608 - a constant
        f"WHERE r.line_id = :line AND a.good > 0 AND {_IS_LAST} ORDER BY a.job_id",
        line=line_id,
    ):
        put = share["good"] if pieces is None else min(pieces, share["good"])
        if not put:
            return
        change(
            tx,
            "UPDATE allocations SET good = good - :put WHERE job_id = :job AND requirement_id = :need",
            put=put,
            job=share["job_id"],
            need=share["requirement_id"],
        )
        _lower(tx, line_id, put)
        _enter(tx, "put", lot=share["job_id"], mark=mark, line_id=line_id, pieces=put, now=now)
        pieces = None if pieces is None else pieces - put


def _lower(tx: Tx, line_id: int, pieces: int) -> None:
    """Take good pieces from a line's last step."""
    change(
        tx,
        f"UPDATE requirements AS r SET good = good - :pieces WHERE r.line_id = :line AND {_IS_LAST}",  # noqa: S608
        pieces=pieces,
        line=line_id,
    )


def _enter(
    tx: Tx, kind: str, *, lot: str, mark: str, line_id: int | None, pieces: int, now: datetime, who: str = "kvot"
) -> None:
    insert(tx, "shelf", kind=kind, lot=lot, fingerprint=mark, line_id=line_id, pieces=pieces, at=to_text(now))
    events.record(
        tx,
        what=f"shelf.{kind}",
        who=who,
        subject=f"lot:{lot}",
        at=now,
        after={"pieces": pieces, "line_id": line_id},
    )
