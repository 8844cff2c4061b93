"""A named person decides an exception, and what follows from it happens in the same transaction."""

from datetime import datetime

from drivers.base import Finding, JobPhase
from gateway.domain.intake import UNKNOWN_ARTICLE
from gateway.domain.states import JobState, LineState
from gateway.errors import RefusedError
from gateway.ledger import ending, exceptions, files, jobs, letters, recovery_answers
from gateway.ledger.database import Tx, ring
from gateway.ledger.job_states import FELL_SHORT
from gateway.ledger.lines import BY_A_PERSON, cancel_line, close_line
from gateway.ledger.shortages import decide_shortage
from gateway.ledger.sql import change, row, rows
from gateway.ledger.unplanning import take_back, withdraw

_UNFINISHED = frozenset(
    {JobState.RELEASED, JobState.IN_DOUBT, JobState.ACCEPTED, JobState.RUNNING, JobState.INTERRUPTED}
)


def decide(
    tx: Tx, exception_id: int, *, action: str, who: str, note: str, now: datetime, good: int | None = None
) -> None:
    """Resolve an exception by one of its actions; raise `RefusedError` when that is not possible (any more).

    `good`: the pieces that a person has counted, where a job was made or aborted; without it all, or none.
    """
    subject = exceptions.subject_of(tx, exception_id)
    if good is not None and not (subject.startswith("job:") and action in {"made", "aborted"}):
        raise RefusedError(f"pieces are counted where a job was made or aborted, not for {action!r}")
    exceptions.resolve(tx, exception_id, action=action, who=who, note=note, at=now)
    kind, _, name = subject.partition(":")
    match kind, action:
        case "job", "not_made":
            _not_made(tx, name, who=who, now=now)
        case "job", "made":
            _made(tx, name, who=who, note=note, good=good, now=now)
        case "job", "aborted":
            _aborted(tx, name, who=who, good=good or 0, now=now)
        case "job", "retry":
            jobs.hold_job(tx, name, reason=None)
        case "job", "remake":
            _let_requirements_go(tx, name)
        case "job", "close":
            _close_lines_of_job(tx, name, now=now)
        case "sku" | "order", "retry":
            ring(tx, f"intake:{name.partition('/')[0]}")
        case "sku", "close":
            _close_article(tx, name, now=now)
        case "order", "close":
            _close_row(tx, name, now=now)
        case "order", "to_shelf" | "withdraw" | "abort":
            line_id = _cancel_after_release(tx, name, now=now)
            if action != "to_shelf":
                ending.end_jobs(tx, line_id, abort=action == "abort", who=who, now=now)
        case "job", "abort":
            ending.abort_job(tx, name, who=who, now=now)
        case "order" | "offer", "replay":
            letters.replay(tx, subject, who=who, now=now)
        case "requirement", "retry":
            _allow_more_remakes(tx, int(name))
        case "run", "release_part" | "hold":
            decide_shortage(tx, int(name), exception_id, action=action, who=who, now=now)
        case "restore", _:
            recovery_answers.answer_all(tx, action=action, who=who, now=now)
        case "line", _:
            recovery_answers.answer_one(tx, int(name), action=action, who=who, now=now)
        case "requirement", "close":
            _close_requirement(tx, int(name), now=now)
        case "file", "retry":
            files.again(tx, int(name))
        case "file", "close":
            _close_line_of_file(tx, int(name), who=who, now=now)
        case "delivery", "retry":
            files.retry_delivery(tx, name)
        case _:
            pass  # closing it is all there is to do
    ring(tx, "plan")


def _not_made(tx: Tx, job_id: str, *, who: str, now: datetime) -> None:
    """A person looked: the job was never started. Its pieces are made anew, under another job id.

    The id that may still be at the machine, or on its way there, is never sent again (decision 0019).
    """
    match state := _state(tx, job_id):
        case JobState.IN_DOUBT:
            jobs.settle_open_command(tx, job_id, evidence=f"not made, says {who}", who=who, now=now)
            jobs.release_again(tx, job_id, who=who, now=now)
            withdraw(tx, job_id, who=who, evidence=f"not made, says {who}", now=now)
        case JobState.RELEASED:
            jobs.move_job(
                tx, job_id, seen=state, state=JobState.CANCELLED, who=who, evidence=f"not made, says {who}", now=now
            )
        case _:
            _conclude(tx, job_id, JobPhase.ABORTED, f"not made, says {who}", good=0, who=who, now=now)


def _aborted(tx: Tx, job_id: str, *, who: str, good: int, now: datetime) -> None:
    """A person looked: the job was started and did not finish. What lacks is made anew, under another job id."""
    _conclude(tx, job_id, JobPhase.ABORTED, f"started and not finished, says {who}", good=good, who=who, now=now)


def _made(tx: Tx, job_id: str, *, who: str, note: str, good: int | None, now: datetime) -> None:
    """A person looked: the whole job was made, or so many good pieces of it."""
    job = row(tx, "SELECT quantity FROM jobs WHERE job_id = :job", job=job_id)
    assert job is not None
    evidence = f"made, says {who}" + (f": {note}" if note else "")
    counted = job["quantity"] if good is None else good
    _conclude(tx, job_id, JobPhase.ENDED, evidence, good=counted, who=who, now=now)


def _conclude(tx: Tx, job_id: str, phase: JobPhase, evidence: str, *, good: int, who: str, now: datetime) -> None:
    """End a job by a person's word; one that was never sent passes through the doubt that the machine has raised."""
    state = _state(tx, job_id)
    if state not in _UNFINISHED:
        raise RefusedError(f"job {job_id} is {state}: there is nothing to decide any more")
    if state is JobState.RELEASED:
        jobs.move_job(tx, job_id, seen=state, state=JobState.IN_DOUBT, who=who, evidence=evidence, now=now)
    jobs.settle_open_command(tx, job_id, evidence=evidence, who=who, now=now)
    finding = Finding(job_id=job_id, phase=phase, evidence=evidence, produced=good, good=good)
    last = JobState.COMPLETED if phase is JobPhase.ENDED else JobState.ABORTED
    jobs.conclude(tx, job_id, state=last, finding=finding, who=who, now=now)


def _state(tx: Tx, job_id: str) -> JobState:
    job = row(tx, "SELECT state FROM jobs WHERE job_id = :job", job=job_id)
    assert job is not None
    return JobState(job["state"])


def _let_requirements_go(tx: Tx, job_id: str) -> None:
    change(
        tx,
        "UPDATE requirements SET hold_reason = NULL WHERE requirement_id IN "
        "(SELECT requirement_id FROM allocations WHERE job_id = :job)",
        job=job_id,
    )


def _close_lines_of_job(tx: Tx, job_id: str, *, now: datetime) -> None:
    for line in rows(
        tx,
        "SELECT DISTINCT r.line_id FROM allocations a JOIN requirements r USING (requirement_id) WHERE a.job_id = :job",
        job=job_id,
    ):
        close_line(tx, line["line_id"], state=LineState.CANCELLED, reason=BY_A_PERSON, now=now)


def _close_article(tx: Tx, name: str, *, now: datetime) -> None:
    """Nobody makes this article here: its lines are not made."""
    shop, _, article = name.partition("/")
    for line in rows(
        tx,
        "SELECT l.line_id FROM order_lines l JOIN orders o USING (order_id) WHERE o.shop = :shop "
        "AND l.state = 'quarantined' AND l.reason LIKE :reason "
        "AND CASE l.skus WHEN '[]' THEN l.name ELSE json_extract(l.skus, '$[0]') END = :article",
        shop=shop,
        article=article,
        reason=f"{UNKNOWN_ARTICLE}:%",
    ):
        close_line(tx, line["line_id"], state=LineState.NOT_MADE, reason="not made here, says a person", now=now)


def _close_row(tx: Tx, name: str, *, now: datetime) -> None:
    """This one row is not made; a row that was changed after release has no more to close."""
    line = row(
        tx,
        "SELECT l.line_id FROM order_lines l JOIN orders o USING (order_id) "
        "WHERE o.shop || '/' || o.shop_order_id || '/' || l.shop_line_id = :name AND l.state = 'quarantined'",
        name=name,
    )
    if line is not None:
        close_line(tx, line["line_id"], state=LineState.CANCELLED, reason=BY_A_PERSON, now=now)


def _cancel_after_release(tx: Tx, name: str, *, now: datetime) -> int:
    """Nobody wants this line any more, though it was begun: what is made of it goes to the shelf. Give its id."""
    order_id, _, shop_line_id = name.partition("/")
    line = row(
        tx,
        "SELECT line_id FROM order_lines WHERE order_id = :order AND shop_line_id = :line",
        order=int(order_id),
        line=shop_line_id,
    )
    assert line is not None
    cancel_line(tx, line["line_id"], reason=BY_A_PERSON, now=now)
    return int(line["line_id"])


def _allow_more_remakes(tx: Tx, requirement_id: int) -> None:
    """Count remakes from here on."""
    change(
        tx,
        "UPDATE requirements SET hold_reason = NULL, remade = (SELECT COUNT(*) FROM allocations a "  # noqa: S608 - a constant
        "JOIN jobs j USING (job_id) "
        f"WHERE a.requirement_id = :id AND {FELL_SHORT}) WHERE requirement_id = :id",
        id=requirement_id,
    )


def _close_requirement(tx: Tx, requirement_id: int, *, now: datetime) -> None:
    need = row(tx, "SELECT line_id FROM requirements WHERE requirement_id = :id", id=requirement_id)
    assert need is not None
    close_line(tx, need["line_id"], state=LineState.CANCELLED, reason=BY_A_PERSON, now=now)


def _close_line_of_file(tx: Tx, file_id: int, *, who: str, now: datetime) -> None:
    """No usable file will come: the line is not made, nor is a job of it that waits for that file."""
    line_id = files.line_of(tx, file_id)
    if line_id is None:
        return
    take_back(tx, line_id, who=who, evidence=f"its file does not come, says {who}", now=now)
    close_line(tx, line_id, state=LineState.CANCELLED, reason=BY_A_PERSON, now=now)
