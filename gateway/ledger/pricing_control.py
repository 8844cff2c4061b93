"""Named acts about prices: modes and freezes, of one family or of all, kept until somebody takes them back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.domain.pricing import Mode, Said
from gateway.errors import RefusedError
from gateway.ledger import events
from gateway.ledger.database import Tx, ring
from gateway.ledger.sql import Row, change, row, rows
from gateway.ledger.times import to_text, to_time

BELL: Final = "price"  # rings when prices have to be looked at again
_ALL: Final = ""
_COLUMNS: Final = "family, mode, mode_by, mode_at, frozen, frozen_by, frozen_at, frozen_why, priced_since"


@dataclass(frozen=True, kw_only=True, slots=True)
class Acts:
    """What was said of all families, of each, and since when each is priced."""

    said: tuple[Said, ...]
    priced_since: Mapping[str, datetime]

    def about(self, family: str) -> tuple[Said, ...]:
        """Give what concerns a family."""
        return tuple(one for one in self.said if one.family in {None, family})


def acts(tx: Tx) -> Acts:
    """Read everything that was said."""
    found = rows(tx, f"SELECT {_COLUMNS} FROM pricing_control ORDER BY family")  # noqa: S608 - a constant
    since = {one["family"]: to_time(one["priced_since"]) for one in found if one["priced_since"] is not None}
    return Acts(said=tuple(said for one in found for said in _voices(one)), priced_since=since)


def set_mode(tx: Tx, family: str | None, mode: Mode, *, who: str, now: datetime, command: str | None = None) -> None:
    """Say how far the prices of a family (None: of all) go; the strictest of all that was said holds."""
    before = _row(tx, family)
    change(
        tx,
        "UPDATE pricing_control SET mode = :mode, mode_by = :who, mode_at = :at WHERE family = :family",
        mode=mode.value,
        who=who,
        at=to_text(now),
        family=family or _ALL,
    )
    after = {"mode": mode.value, **_named(command)}
    _record(tx, "pricing.mode", family, before={"mode": before["mode"]}, after=after, who=who, now=now)


def freeze(
    tx: Tx,
    family: str | None,
    *,
    who: str,
    now: datetime,
    reason: str = "",
    at_list: bool = False,
    command: str | None = None,
) -> None:
    """Let prices stand where they are, or at the list price, until somebody unfreezes them.

    A freeze at the list price is not undone by one that lets stand what there is.
    """
    before = _row(tx, family)
    where = "at_list" if at_list or before["frozen"] == "at_list" else "here"
    change(
        tx,
        "UPDATE pricing_control SET frozen = :where, frozen_by = :who, frozen_at = :at, frozen_why = :why "
        "WHERE family = :family",
        where=where,
        who=who,
        at=to_text(now),
        why=reason,
        family=family or _ALL,
    )
    after = {"frozen": where, "reason": reason, **_named(command)}
    _record(tx, "pricing.frozen", family, before={"frozen": before["frozen"]}, after=after, who=who, now=now)


def unfreeze(tx: Tx, family: str | None, *, who: str, now: datetime) -> None:
    """Take back the freeze of a family, or the one of all; raise `RefusedError` where there is none."""
    before = _row(tx, family)
    if before["frozen"] is None:
        raise RefusedError(f"prices of {family or 'all families'} are not frozen as such: `kvot pricing show` says why")
    change(
        tx,
        "UPDATE pricing_control SET frozen = NULL, frozen_by = NULL, frozen_at = NULL, frozen_why = NULL "
        "WHERE family = :family",
        family=family or _ALL,
    )
    _record(tx, "pricing.unfrozen", family, before={"frozen": before["frozen"]}, after=None, who=who, now=now)


def begin(tx: Tx, family: str, *, now: datetime) -> None:
    """Note that a family is priced from now on, where it was not before."""
    _row(tx, family)
    change(
        tx,
        "UPDATE pricing_control SET priced_since = :at WHERE family = :family AND priced_since IS NULL",
        at=to_text(now),
        family=family,
    )


def heard(tx: Tx, family: str | None, command: str) -> bool:
    """Say whether a command of this id was followed before."""
    known = row(
        tx,
        "SELECT 1 FROM events WHERE subject = :subject AND json_extract(after, '$.command') = :command LIMIT 1",
        subject=_subject(family),
        command=command,
    )
    return known is not None


def _row(tx: Tx, family: str | None) -> Row:
    change(tx, "INSERT OR IGNORE INTO pricing_control (family) VALUES (:family)", family=family or _ALL)
    found = row(tx, f"SELECT {_COLUMNS} FROM pricing_control WHERE family = :family", family=family or _ALL)  # noqa: S608
    assert found is not None
    return found


def _voices(one: Row) -> list[Said]:
    family, said = one["family"] or None, []
    if one["mode"] is not None:
        said.append(Said(who=one["mode_by"], family=family, mode=Mode(one["mode"]), since=to_time(one["mode_at"])))
    if one["frozen"] is not None:
        said.append(
            Said(
                who=one["frozen_by"],
                family=family,
                frozen=True,
                at_list=one["frozen"] == "at_list",
                since=to_time(one["frozen_at"]),
                why=one["frozen_why"] or "",
            )
        )
    return said


def _record(
    tx: Tx,
    what: str,
    family: str | None,
    *,
    before: Mapping[str, object],
    after: Mapping[str, object] | None,
    who: str,
    now: datetime,
) -> None:
    events.record(tx, what=what, who=who, subject=_subject(family), at=now, before=before, after=after)
    ring(tx, BELL)


def _named(command: str | None) -> dict[str, str]:
    return {} if command is None else {"command": command}


def _subject(family: str | None) -> str:
    return f"pricing:{family or 'all'}"
