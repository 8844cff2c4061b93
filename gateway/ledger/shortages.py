"""A run that is due and lacks material or a tool waits; people are asked once, and it goes on by itself."""

from datetime import datetime
from shlex import quote
from typing import Final

import orjson

from gateway.domain.exceptions import Kind
from gateway.domain.needs import Lack, Shortage, find_shortage, part_of
from gateway.domain.products import Family
from gateway.domain.runs import Releasing
from gateway.errors import RefusedError
from gateway.ledger.database import Tx
from gateway.ledger.exceptions import keep_open, settle
from gateway.ledger.runs import hold_run
from gateway.ledger.sql import change, row
from gateway.ledger.stock import WAITS_FOR_STOCK, supply
from gateway.ledger.unplanning import cut_waiting

PART: Final = "release_part"
HOLD: Final = "hold"


def supplied(tx: Tx, run_id: int, due: Releasing | None, family: Family, *, now: datetime) -> Releasing | None:
    """Give what of a due run can start with the material and the tools there are; None while it waits for them.

    Missing material is one exception of the run, closed when the run is no longer due or lacks nothing; a
    tool that another run has is only waited for, since nobody has to decide that.
    """
    there = supply(tx)
    short = None if due is None else find_shortage(due, family, there)
    part = short is not None and 0 < _allowed_part(tx, run_id) <= short.possible
    if short is None or part or not short.lacks:
        settle(tx, subject=_name(run_id), cause=Kind.MATERIAL.cause, at=now)
    else:
        _ask(tx, run_id, family, short, now=now)
    if short is not None and (short.tools or not part):
        _note(tx, run_id, _waits_for(short))
        return None
    _note(tx, run_id, "")
    return _cut(tx, part_of(due, family, there)) if part and due is not None else due


def require_supplied(tx: Tx, due: Releasing, family: Family, *, now: datetime) -> None:
    """Close what was asked about a run that a person releases; raise `RefusedError` where it lacks something."""
    short = find_shortage(due, family, supply(tx))
    if short is None:
        settle(tx, subject=_name(due.run_id), cause=Kind.MATERIAL.cause, at=now)
        _note(tx, due.run_id, "")
        return
    text = f"run {due.run_id} waits for {_waits_for(short)}"
    if short.lacks and short.possible and not short.tools:
        text += f"; `kvot runs split {due.run_id} --keep {short.possible}` releases what can be made"
    raise RefusedError(text)


def decide_shortage(tx: Tx, run_id: int, exception_id: int, *, action: str, who: str, now: datetime) -> None:
    """Do what a person has decided about a run that lacks material.

    `release_part`: start with the pieces that were possible when it was asked, or more. `hold`: let the run
    wait, without asking again, until somebody writes down that stock has come.
    """
    if action == HOLD:
        hold_run(tx, run_id, reason=WAITS_FOR_STOCK, who=who, now=now)
        return
    asked = row(tx, "SELECT evidence FROM exceptions WHERE exception_id = :id", id=exception_id)
    assert asked is not None
    possible = orjson.loads(asked["evidence"])["possible"]
    change(tx, "UPDATE runs SET in_part = :pieces WHERE run_id = :run", pieces=possible, run=run_id)


def _ask(tx: Tx, run_id: int, family: Family, short: Shortage, *, now: datetime) -> None:
    """Ask once, with what is missing as it is now; a part that was allowed before is not possible any more."""
    texts = "; ".join(_lack_text(lack) for lack in short.lacks)
    keep_open(
        tx,
        Kind.MATERIAL,
        subject=_name(run_id),
        evidence={
            "text": f"{texts}. Of {short.pieces} pieces {short.possible} can be made now",
            "family": family.name,
            "missing": {lack.item: lack.missing for lack in short.lacks},
            "pieces": short.pieces,
            "possible": short.possible,
            "cure": "; ".join(_cure(lack) for lack in short.lacks),
        },
        actions=(PART, HOLD) if short.possible else (HOLD,),
        at=now,
    )
    change(tx, "UPDATE runs SET in_part = NULL WHERE run_id = :run AND in_part IS NOT NULL", run=run_id)


def _cut(tx: Tx, part: Releasing) -> Releasing:
    """Cut the job that its material is too little for; what it loses is owed again and joins the next run."""
    for member in part.starting:
        cut_waiting(tx, member.job_id, member.quantity)
    return part


def _note(tx: Tx, run_id: int, text: str) -> None:
    """Write down what a run waits for, where that has changed; nothing is an empty text."""
    change(
        tx,
        "UPDATE runs SET waits_for = NULLIF(:text, '') WHERE run_id = :run AND COALESCE(waits_for, '') <> :text",
        text=text,
        run=run_id,
    )


def _waits_for(short: Shortage) -> str:
    tools = [f"tool {tool}: {user} has it" for tool, user in short.tools.items()]
    return "; ".join([*(_lack_text(lack) for lack in short.lacks), *tools])


def _allowed_part(tx: Tx, run_id: int) -> int:
    """Give the pieces from which a person has allowed a part of the run, 0 where nobody has."""
    found = row(tx, "SELECT COALESCE(in_part, 0) AS pieces FROM runs WHERE run_id = :run", run=run_id)
    assert found is not None
    return int(found["pieces"])


def _lack_text(lack: Lack) -> str:
    if lack.free is None:
        return f"{lack.item}: {lack.needed:g} needed, and nobody has counted it"
    return f"{lack.item}: {lack.needed:g} needed, {lack.free:g} free"


def _cure(lack: Lack) -> str:
    if lack.free is None:
        return f"kvot stock set {quote(lack.item)} QTY"
    return f"kvot stock add {quote(lack.item)} {lack.missing:g}"


def _name(run_id: int) -> str:
    return f"run:{run_id}"
