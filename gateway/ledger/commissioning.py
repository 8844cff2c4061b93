"""Commissioning in the ledger: who has a machine in hand, and each value written by hand, with before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from drivers.base import Answer, Receipt, Scalar
from gateway.domain.commissioning import LASTS, Commissioning, Outcome
from gateway.domain.exceptions import Kind
from gateway.errors import RefusedError
from gateway.ledger import events, machines, probes, recovery
from gateway.ledger.database import Tx, ring
from gateway.ledger.exceptions import open_exception
from gateway.ledger.sql import Row, change, insert, row
from gateway.ledger.times import to_text, to_time

View = dict[str, Any]
_TOO_LATE = "the machine did not answer in time"


@dataclass(frozen=True, kw_only=True, slots=True)
class HandWrite:
    """A value that a person wants written and that has not ended.

    `until_s`: a reading of the monotonic clock of the gateway's life `gateway_boot`; after it nothing is sent.
    """

    write_id: int
    machine: str
    who: str
    tag: str
    value: Scalar
    gateway_boot: int
    until_s: float
    sent: bool
    before: Scalar | None
    answer: Receipt | None


def in_force(tx: Tx, machine: str, *, now: datetime) -> Commissioning | None:
    """Give who has a machine in commissioning now, or None."""
    known = _last(tx, machine)
    return known if known is not None and now < known.until else None


def view(tx: Tx, machine: str, *, now: datetime) -> View | None:
    """Give who has a machine in commissioning and until when, as people see it; None outside it."""
    there = in_force(tx, machine, now=now)
    return None if there is None else {"by": there.who, "until": to_text(there.until)}


def begin(tx: Tx, machine: str, *, who: str, now: datetime) -> Commissioning:
    """Take a machine out of production in a person's name, for an hour; the same person may do so again.

    Its level drops to read. Raise `RefusedError` where something of ours is at work there, or somebody else is.
    """
    probes.refuse_while_open(tx, machine)
    there = in_force(tx, machine, now=now)
    if there is not None and there.who != who:
        raise RefusedError(
            f"{machine} is in commissioning by {there.who} until {to_text(there.until)}: "
            f"`kvot machines commission {machine} --end` ends that"
        )
    if recovery.pending(tx):
        raise RefusedError(f"{machine} cannot be commissioned: a backup was restored, and not all was asked again yet")
    if (busy := machines.at_work(tx, machine)) is not None:
        raise RefusedError(f"{machine} cannot be commissioned now: {busy}")
    level = machines.arming(tx, machine).level
    given = Commissioning(who=who, until=now + LASTS)
    change(
        tx,
        "UPDATE machine_facts SET level = 'read', commissioned_by = :who, commissioned_until = :until "
        "WHERE machine = :machine",
        who=who,
        until=to_text(given.until),
        machine=machine,
    )
    machines.tell(tx, machine, "commissioned", who=who, now=now, before={"level": level}, until=to_text(given.until))
    return given


def end(tx: Tx, machine: str, *, who: str, now: datetime) -> None:
    """End it in a person's name, whoever that is; the machine is then armed anew. Raise `RefusedError` outside it."""
    if in_force(tx, machine, now=now) is None:
        raise RefusedError(f"{machine} is not in commissioning")
    _forget(tx, machine)
    machines.tell(tx, machine, "commissioning_ended", who=who, now=now)


def is_over(tx: Tx, machine: str, *, now: datetime) -> bool:
    """Say whether the time of a commissioning is over and nobody has written that down yet."""
    known = _last(tx, machine)
    return known is not None and now >= known.until


def state(tx: Tx, machine: str, *, now: datetime) -> tuple[str | None, bool]:
    """Give the commissioning in force in words, and whether anything about it or a write is to be attended to."""
    known = row(
        tx,
        "SELECT commissioned_by, EXISTS (SELECT 1 FROM hand_writes w WHERE w.machine = m.machine AND outcome IS NULL) "
        "AS writing FROM machine_facts m WHERE machine = :machine",
        machine=machine,
    )
    if known is None or (known["commissioned_by"] is None and not known["writing"]):
        return None, False
    there = in_force(tx, machine, now=now)
    return (None if there is None else there.text), True


def lapse(tx: Tx, machine: str, *, now: datetime) -> bool:
    """Write down that the time of a commissioning is over; say whether it is."""
    if not is_over(tx, machine, now=now):
        return False
    _forget(tx, machine)
    machines.tell(tx, machine, "commissioning_lapsed", who="kvot", now=now)
    return True


def refuse_while_open(tx: Tx, machine: str, *, now: datetime) -> None:
    """Raise `RefusedError` while a machine is in commissioning, or it is not known what became of a hand write."""
    if in_force(tx, machine, now=now) is not None:
        raise RefusedError(
            f"{machine} is in commissioning: `kvot machines commission {machine} --end` first; it lapses by itself"
        )
    write = open_write(tx, machine)
    if write is not None and write.sent:
        raise RefusedError(f"it is being read what became of the value written to {write.tag}: try again in a moment")


def ask(
    tx: Tx, machine: str, tag: str, value: Scalar, *, who: str, gateway_boot: int, until_s: float, now: datetime
) -> int:
    """Put down what is to be written; the machine's own task sends it, once, before `until_s`.

    Raise `RefusedError` for anybody but the person who has the machine in commissioning.
    """
    there = in_force(tx, machine, now=now)
    if there is None:
        raise RefusedError(f"{machine} is not in commissioning: `kvot machines commission {machine}` first")
    if there.who != who:
        raise RefusedError(f"{machine} is in commissioning by {there.who}: only who commissions it writes to it")
    before = open_write(tx, machine)
    if before is not None and before.sent:
        raise RefusedError(f"it is not known yet what became of the value written to {before.tag}: wait for the answer")
    if before is not None:
        end_write(tx, before, Outcome.NOT_SENT, shown=None, text=_TOO_LATE, now=now)
    write_id = insert(
        tx,
        "hand_writes",
        machine=machine,
        who=who,
        tag=tag,
        value=orjson.dumps(value).decode(),
        gateway_boot=gateway_boot,
        until_s=until_s,
        asked_at=to_text(now),
    )
    ring(tx, f"machine:{machine}")
    return write_id


def open_write(tx: Tx, machine: str) -> HandWrite | None:
    """Give the write of a machine that has not ended."""
    known = row(tx, "SELECT * FROM hand_writes WHERE machine = :machine AND outcome IS NULL", machine=machine)
    if known is None:
        return None
    answered = known["answer"] is not None
    return HandWrite(
        write_id=known["write_id"],
        machine=machine,
        who=known["who"],
        tag=known["tag"],
        value=orjson.loads(known["value"]),
        gateway_boot=known["gateway_boot"],
        until_s=known["until_s"],
        sent=known["sent_at"] is not None,
        before=_read(known["before"]),
        answer=Receipt(answer=Answer(known["answer"]), evidence=known["evidence"]) if answered else None,
    )


def intend(tx: Tx, write: HandWrite, *, before: Scalar | None, now: datetime) -> bool:
    """Commit that it is sent now, with the value before (R1); say whether it still may be."""
    there = in_force(tx, write.machine, now=now)
    if there is None or there.who != write.who:
        return False
    sent = change(
        tx,
        "UPDATE hand_writes SET before = :before, sent_at = :at "
        "WHERE write_id = :id AND sent_at IS NULL AND outcome IS NULL",
        before=orjson.dumps(before).decode(),
        at=to_text(now),
        id=write.write_id,
    )
    if sent:
        _record(tx, write, "write_sent", before=before, after={write.tag: write.value}, now=now)
    return bool(sent)


def answered(tx: Tx, write: HandWrite, receipt: Receipt) -> None:
    """Keep the machine's own answer."""
    change(
        tx,
        "UPDATE hand_writes SET answer = :answer, evidence = :evidence WHERE write_id = :id AND answer IS NULL",
        answer=receipt.answer,
        evidence=receipt.evidence,
        id=write.write_id,
    )


def end_write(
    tx: Tx, write: HandWrite, outcome: Outcome, *, shown: Scalar | None, text: str, agrees: bool = False, now: datetime
) -> None:
    """Write down what became of it and what the machine shows; an unknown outcome is one question to people."""
    change(
        tx,
        "UPDATE hand_writes SET outcome = :outcome, shown = :shown, agrees = :agrees, text = :text, ended_at = :at "
        "WHERE write_id = :id AND outcome IS NULL",
        outcome=outcome,
        shown=orjson.dumps(shown).decode(),
        agrees=int(agrees),
        text=text,
        at=to_text(now),
        id=write.write_id,
    )
    after = {write.tag: shown, "wanted": write.value, "outcome": outcome}
    _record(tx, write, "written", before=write.before, after=after, now=now)
    if outcome is Outcome.UNKNOWN:
        open_exception(
            tx,
            Kind.HAND_WRITE,
            subject=f"machine:{write.machine}",
            evidence={"text": text, "tag": write.tag, "wanted": write.value, "shown": shown},
            at=now,
        )


def newest(tx: Tx, machine: str, *, gateway_boot: int, monotonic_s: float) -> View | None:
    """Give the newest write of a machine, as people see it; one that was not sent in time is sent no more."""
    known = row(
        tx,
        "SELECT write_id, machine, who, tag, value, before, shown, outcome, agrees, text, evidence, asked_at, sent_at, "
        "ended_at, gateway_boot, until_s FROM hand_writes WHERE machine = :machine ORDER BY write_id DESC LIMIT 1",
        machine=machine,
    )
    if known is None:
        return None
    values = {name: _read(known[name]) for name in ("value", "before", "shown")}
    seen: View = {**known, **values, "agrees": bool(known["agrees"])}
    in_time = (seen.pop("gateway_boot"), True) == (gateway_boot, monotonic_s < seen.pop("until_s"))
    if seen["outcome"] is None and seen["sent_at"] is None and not in_time:
        seen |= {"outcome": Outcome.NOT_SENT, "text": f"nothing was sent for {seen['tag']}: {_TOO_LATE}"}
    return seen


def _last(tx: Tx, machine: str) -> Commissioning | None:
    known: Row | None = row(
        tx, "SELECT commissioned_by, commissioned_until FROM machine_facts WHERE machine = :machine", machine=machine
    )
    if known is None or known["commissioned_by"] is None:
        return None
    return Commissioning(who=known["commissioned_by"], until=to_time(known["commissioned_until"]))


def _forget(tx: Tx, machine: str) -> None:
    change(
        tx,
        "UPDATE machine_facts SET commissioned_by = NULL, commissioned_until = NULL WHERE machine = :machine",
        machine=machine,
    )


def _record(
    tx: Tx, write: HandWrite, what: str, *, before: Scalar | None, after: Mapping[str, object], now: datetime
) -> None:
    events.record(
        tx,
        what=f"machine.{what}",
        who=write.who,
        subject=f"machine:{write.machine}",
        at=now,
        before={write.tag: before},
        after=after,
    )


def _read(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
