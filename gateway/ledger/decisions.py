"""A named person decides an exception, and what follows from it happens in the same transaction."""

from datetime import datetime

from gateway.domain.intake import UNKNOWN_ARTICLE
from gateway.domain.states import LineState
from gateway.errors import RefusedError
from gateway.ledger import ending, exceptions, files, letters, recovery_answers
from gateway.ledger.changing import change_line
from gateway.ledger.database import Tx, ring
from gateway.ledger.job_decisions import decide_job
from gateway.ledger.job_states import FELL_SHORT
from gateway.ledger.lines import BY_A_PERSON, cancel_line, close_line
from gateway.ledger.shortages import decide_shortage
from gateway.ledger.sql import change, row, rows
from gateway.ledger.stranded import send_elsewhere
from gateway.ledger.unplanning import take_back


def decide(
    tx: Tx, exception_id: int, *, action: str, who: str, note: str, now: datetime, good: int | None = None
) -> None:
    """Resolve an exception by one of its actions; raise `RefusedError` when that is not possible (any more).

    `good`: the pieces that a person has counted, where a job was made or aborted; without it all, or none.
    """
    asked, subject = exceptions.about(tx, exception_id)
    if good is not None and not (subject.startswith("job:") and action in {"made", "aborted"}):
        raise RefusedError(f"pieces are counted where a job was made or aborted, not for {action!r}")
    exceptions.resolve(tx, exception_id, action=action, who=who, note=note, at=now)
    kind, _, name = subject.partition(":")
    match kind, action:
        case "job", _:
            decide_job(tx, name, asked, action=action, who=who, note=note, good=good, now=now)
        case "sku" | "order", "retry":
            ring(tx, f"intake:{name.partition('/')[0]}")
        case "sku", "close":
            _close_article(tx, name, now=now)
        case "order", "close":
            _close_row(tx, name, now=now)
        case "order", "make_more" | "shelf":
            change_line(tx, name, exception_id, action=action, who=who, now=now)
        case "order", "withdraw" if change_line(tx, name, exception_id, action=action, who=who, now=now):
            pass  # it is given back, and then made as it is now
        case "order", "to_shelf" | "withdraw" | "abort":
            line_id = _cancel_after_release(tx, name, now=now)
            if action != "to_shelf":
                ending.end_jobs(tx, line_id, abort=action == "abort", who=who, now=now)
        case "order" | "offer" | "coupon", "replay":
            letters.replay(tx, subject, who=who, now=now)
        case "requirement", "retry":
            _allow_more_remakes(tx, int(name))
        case "run", "release_part" | "hold":
            decide_shortage(tx, int(name), exception_id, action=action, who=who, now=now)
        case "queue", "reroute":
            send_elsewhere(tx, name, exception_id, who=who, now=now)
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
