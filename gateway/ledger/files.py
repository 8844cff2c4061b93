"""Files of order lines: wanted with the line, checked or refused, delivered for each job before it is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.domain.exceptions import Kind
from gateway.domain.files import WantedFile
from gateway.errors import IllegalTransitionError
from gateway.ledger import events, recovery
from gateway.ledger.database import Tx, ring
from gateway.ledger.exceptions import open_exception, settle
from gateway.ledger.sql import Row, change, insert, row, rows
from gateway.ledger.times import to_text

NOT_DELIVERED: Final = Kind.NOT_DELIVERED.cause
FOLDER: Final = "files"  # below the state directory

_LIVE = "('received','planned','in_production')"
_OF_JOB = (
    "FROM allocations a JOIN requirements r USING (requirement_id) "
    "JOIN files f ON f.line_id = r.line_id AND f.step = r.step"
)
_LACKING = (
    "(f.state <> 'checked' OR NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.job_id = a.job_id "
    "AND d.file_id = f.file_id AND d.sha256 = f.sha256))"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Errand:
    """A file to fetch: for which article, where from, and how large it is to be."""

    file_id: int
    product: str
    wanted: WantedFile


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """A checked file that is to lie in a machine's folder before the job is sent; `name` is that in the folder."""

    job_id: str
    file_id: int
    sha256: str
    name: str


def want(
    tx: Tx, line_id: int, wanted: Sequence[WantedFile], *, shop: str, erase_after: datetime, now: datetime
) -> None:
    """Bring a line's files up to date: one that is wanted as before stays as it is, every other is fetched anew."""
    kept = {_content(one): one["file_id"] for one in _of_line(tx, line_id)}
    for file in wanted:
        if kept.pop((file.step, file.name, file.url, file.width_mm, file.height_mm), None) is not None:
            continue
        insert(
            tx,
            "files",
            line_id=line_id,
            step=file.step,
            name=file.name,
            url=file.url,
            width_mm=file.width_mm,
            height_mm=file.height_mm,
            state="wanted",
            erase_after=to_text(erase_after),
        )
    for file_id in kept.values():
        settle(tx, subject=f"file:{file_id}", at=now)
        change(tx, "DELETE FROM files WHERE file_id = :id", id=file_id)
    if wanted:
        ring(tx, bell(shop))


def bell(shop: str) -> str:
    """Name the bell that rings when a shop's lines want files."""
    return f"fetch:{shop}"


def delivery_bell(machine: str) -> str:
    """Name the bell that rings when a job was released that may need files."""
    return f"deliver:{machine}"


def pending(tx: Tx, shop: str) -> list[Errand]:
    """List the files to fetch for a shop's lines that are to be made, the earliest promise first."""
    found = rows(
        tx,
        "SELECT f.*, l.product FROM files f JOIN order_lines l USING (line_id) JOIN orders o USING (order_id) "  # noqa: S608
        f"WHERE f.state = 'wanted' AND o.shop = :shop AND l.state IN {_LIVE} "
        "ORDER BY l.promise_at, f.file_id LIMIT 1000",
        shop=shop,
    )
    return [
        Errand(
            file_id=one["file_id"],
            product=one["product"],
            wanted=WantedFile(
                step=one["step"],
                name=one["name"],
                url=one["url"],
                width_mm=one["width_mm"],
                height_mm=one["height_mm"],
            ),
        )
        for one in found
    ]


def checked(tx: Tx, errand: Errand, *, sha256: str, size: int, kind: str, now: datetime) -> None:
    """Write down that a file lies on our disk and fits; a file that is not wanted any more is left alone."""
    moved = change(
        tx,
        "UPDATE files SET state = 'checked', reason = NULL, sha256 = :sha256, bytes = :bytes, type = :type, "
        "path = :path WHERE file_id = :id AND state = 'wanted'",
        sha256=sha256,
        bytes=size,
        type=kind,
        path=f"{FOLDER}/{sha256}",
        id=errand.file_id,
    )
    if moved:
        settle(tx, subject=_subject(errand), at=now)
        after = {"sha256": sha256, "bytes": size, "type": kind}
        events.record(tx, what="file.checked", who="kvot", subject=_subject(errand), at=now, after=after)
        ring(tx, "plan")


def refused(tx: Tx, errand: Errand, *, reason: str, now: datetime) -> None:
    """Hold a file's line until a person decides, with what is wrong with the file."""
    moved = change(
        tx,
        "UPDATE files SET state = 'refused', reason = :reason WHERE file_id = :id AND state = 'wanted'",
        reason=reason,
        id=errand.file_id,
    )
    if moved:
        settle(tx, subject=_subject(errand), at=now)
        after = {"reason": reason}
        events.record(tx, what="file.refused", who="kvot", subject=_subject(errand), at=now, after=after)
        _ask(tx, errand, Kind.FILE_REFUSED, reason=reason, now=now)


def away(tx: Tx, errand: Errand, *, reason: str, now: datetime) -> None:
    """Tell people that a file has not come for a while; it is tried again all the same."""
    if row(tx, "SELECT 1 FROM files WHERE file_id = :id AND state = 'wanted'", id=errand.file_id) is not None:
        _ask(tx, errand, Kind.FILE_AWAY, reason=reason, now=now)


def again(tx: Tx, file_id: int) -> None:
    """Fetch a file once more: the customer has put another in its place, or our copy of it is lost."""
    change(
        tx,
        "UPDATE files SET state = 'wanted', reason = NULL, path = NULL WHERE file_id = :id AND state <> 'erased'",
        id=file_id,
    )
    shop = row(
        tx,
        "SELECT o.shop FROM files JOIN order_lines USING (line_id) JOIN orders o USING (order_id) WHERE file_id = :id",
        id=file_id,
    )
    if shop is not None:
        ring(tx, bell(shop["shop"]))


def line_of(tx: Tx, file_id: int) -> int | None:
    """Give the line that a file belongs to, None where it is not wanted any more."""
    found = row(tx, "SELECT line_id FROM files WHERE file_id = :id", id=file_id)
    return None if found is None else int(found["line_id"])


def settle_line(tx: Tx, line_id: int, *, now: datetime) -> None:
    """Close what was asked about the files of a line that is not made any more."""
    for one in _of_line(tx, line_id):
        settle(tx, subject=f"file:{one['file_id']}", at=now)


def of_line(tx: Tx, line_id: int) -> list[dict[str, Any]]:
    """Show the files of a line; where they came from is nobody's business."""
    shown = ("file_id", "step", "name", "state", "reason", "type", "bytes", "sha256")
    return [{key: one[key] for key in shown} for one in _of_line(tx, line_id)]


def lacking(tx: Tx, job_id: str) -> int:
    """Count the files of a job that are not delivered: while there is one, the job is not sent."""
    found = row(tx, f"SELECT COUNT(*) AS n {_OF_JOB} WHERE a.job_id = :job AND {_LACKING}", job=job_id)
    return 0 if found is None else int(found["n"])


def parcels(tx: Tx, machine: str) -> list[Parcel]:
    """List what is to be laid into a machine's folder for its released jobs, the earliest promise first.

    Nothing while a restored ledger is recovering: some machines start by a file.
    """
    if recovery.pending(tx):
        return []
    found = rows(
        tx,
        "SELECT a.job_id, f.file_id, f.sha256, f.name, f.type, f.line_id, "  # noqa: S608 - constants
        "(SELECT COUNT(*) FROM allocations x WHERE x.job_id = a.job_id) AS lines "
        f"{_OF_JOB} JOIN jobs j USING (job_id) WHERE j.machine = :machine AND j.state = 'released' "
        f"AND f.state = 'checked' AND {_LACKING} ORDER BY j.promise_at, j.rowid, f.file_id LIMIT 1000",
        machine=machine,
    )
    return [
        Parcel(job_id=one["job_id"], file_id=one["file_id"], sha256=one["sha256"], name=_name(one)) for one in found
    ]


def delivered(tx: Tx, parcel: Parcel, *, machine: str, now: datetime) -> None:
    """Write down that a file lies in the machine's folder."""
    change(
        tx,
        "INSERT INTO deliveries (job_id, file_id, machine, sha256, name, delivered_at) "
        "VALUES (:job, :file, :machine, :sha256, :name, :at) "
        "ON CONFLICT (job_id, file_id) DO UPDATE SET machine = excluded.machine, sha256 = excluded.sha256, "
        "name = excluded.name, delivered_at = excluded.delivered_at",
        job=parcel.job_id,
        file=parcel.file_id,
        machine=machine,
        sha256=parcel.sha256,
        name=parcel.name,
        at=to_text(now),
    )
    events.record(
        tx,
        what="file.delivered",
        who="kvot",
        subject=f"job:{parcel.job_id}",
        at=now,
        after={"machine": machine, "name": parcel.name, "sha256": parcel.sha256},
    )
    if lacking(tx, parcel.job_id) == 0:
        settle(tx, subject=f"delivery:{parcel.job_id}", at=now)
        change(
            tx,
            "UPDATE jobs SET hold_reason = NULL WHERE job_id = :job AND hold_reason = :reason",
            job=parcel.job_id,
            reason=NOT_DELIVERED,
        )
    ring(tx, f"machine:{machine}")


def undeliverable(tx: Tx, parcel: Parcel, *, machine: str, reason: str, now: datetime) -> None:
    """Hold a job whose files do not get to its machine, so that others go on; it is tried again all the same."""
    change(
        tx,
        "UPDATE jobs SET hold_reason = :reason WHERE job_id = :job AND state = 'released' AND hold_reason IS NULL",
        reason=NOT_DELIVERED,
        job=parcel.job_id,
    )
    evidence = {"text": reason, "machine": machine, "file": parcel.name}
    subject = f"delivery:{parcel.job_id}"
    if _is_open(tx, subject, NOT_DELIVERED):
        return
    open_exception(tx, Kind.NOT_DELIVERED, subject=subject, evidence=evidence, at=now)
    ring(tx, f"machine:{machine}")


def names(tx: Tx, job_id: str) -> tuple[str, ...]:
    """Give the names under which a job's files were delivered."""
    found = rows(
        tx,
        f"SELECT d.name {_OF_JOB} JOIN deliveries d ON d.job_id = a.job_id AND d.file_id = f.file_id "
        "WHERE a.job_id = :job ORDER BY f.file_id",
        job=job_id,
    )
    return tuple(one["name"] for one in found)


def retry_delivery(tx: Tx, job_id: str) -> None:
    """Try at once to deliver a job's files."""
    job = row(tx, "SELECT machine FROM jobs WHERE job_id = :job", job=job_id)
    if job is not None and job["machine"] is not None:
        ring(tx, delivery_bell(job["machine"]))


def refuse_undelivered(tx: Tx, job_id: str) -> None:
    """Raise `IllegalTransitionError` where a job would be sent before its files."""
    if (number := lacking(tx, job_id)) > 0:
        raise IllegalTransitionError(f"job {job_id} lacks {number} files")


def erase(tx: Tx, *, now: datetime) -> None:
    """Forget where the files of ended lines came from, and let go of them, once their time has come."""
    change(
        tx,
        "UPDATE files SET state = 'erased', url = NULL, reason = NULL, path = NULL "
        "WHERE state <> 'erased' AND erase_after < :now AND line_id IN "
        "(SELECT line_id FROM order_lines WHERE state IN ('made','shipped','cancelled','not_made'))",
        now=to_text(now),
    )


def known(tx: Tx) -> frozenset[str]:
    """Give the names of all files that have their place in the folder: those checked, and those coming in."""
    kept = rows(tx, "SELECT DISTINCT sha256 AS name FROM files WHERE state = 'checked'")
    coming = rows(tx, "SELECT file_id || '.part' AS name FROM files WHERE state = 'wanted'")
    return frozenset(one["name"] for one in (*kept, *coming))


def _of_line(tx: Tx, line_id: int) -> Sequence[Row]:
    return rows(tx, "SELECT * FROM files WHERE line_id = :line ORDER BY step, file_id", line=line_id)


def _content(file: Row) -> tuple[object, ...]:
    return file["step"], file["name"], file["url"], file["width_mm"], file["height_mm"]


def _name(one: Row) -> str:
    """Name a file for the machine: by its job, and by its line too where a job serves several."""
    line = f"-{one['line_id']}" if one["lines"] > 1 else ""
    return f"{one['job_id']}{line}-{one['name']}.{_ENDINGS.get(one['type'], one['type'])}"


_ENDINGS: Final = {"jpeg": "jpg", "step": "stp"}


def _subject(errand: Errand) -> str:
    return f"file:{errand.file_id}"


def _ask(tx: Tx, errand: Errand, kind: Kind, *, reason: str, now: datetime) -> None:
    if _is_open(tx, _subject(errand), kind.cause):
        return
    line = row(
        tx,
        "SELECT o.order_id, o.number, o.shop, l.name FROM files JOIN order_lines l USING (line_id) "
        "JOIN orders o USING (order_id) WHERE file_id = :id",
        id=errand.file_id,
    )
    assert line is not None
    evidence = {
        "text": reason,
        "file": errand.wanted.name,
        "article": line["name"],
        "order": line["order_id"],
        "number": line["number"],
        "shop": line["shop"],
    }
    open_exception(tx, kind, subject=_subject(errand), evidence=evidence, at=now)


def _is_open(tx: Tx, subject: str, cause: str) -> bool:
    found = row(
        tx,
        "SELECT 1 FROM exceptions WHERE subject = :subject AND cause = :cause AND state <> 'resolved'",
        subject=subject,
        cause=cause,
    )
    return found is not None
