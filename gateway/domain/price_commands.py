"""Commands about prices that come from outside: they may only restrict, and only while they are new."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

ADVISE: Final = "advise"
FREEZE: Final = "freeze"
_KEYS: Final = frozenset({"v", "id", "action", "family", "expires_at", "reason"})
_LONGEST_ID: Final = 64
_LONGEST_REASON: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """Restrict prices of a family, or of all (None), in the name of a system that chose the id."""

    command_id: str
    action: str
    family: str | None
    reason: str


def read_command(tree: object, *, families: Collection[str], now: datetime) -> Command:
    """Read `{"id", "action": "advise" | "freeze", "expires_at", "family"?, "reason"?}`; raise `ValueError` in words."""
    if not isinstance(tree, Mapping):
        raise ValueError("a command is a JSON object")  # noqa: TRY004 - all that is wrong with it is one kind
    unknown = sorted(str(key) for key in set(tree) - _KEYS)
    if unknown:
        raise ValueError(f"unknown {', '.join(unknown)[:60]}")
    command_id, action, family = tree.get("id"), tree.get("action"), tree.get("family")
    if not isinstance(command_id, str) or not 0 < len(command_id) <= _LONGEST_ID:
        raise ValueError(f"id: a text of at most {_LONGEST_ID} signs")
    if action not in {ADVISE, FREEZE}:
        raise ValueError(f"action: {ADVISE} or {FREEZE}; anything that loosens prices is a person's (`kvot pricing`)")
    if family is not None and family not in families:
        raise ValueError(f"family: none of that name is priced; there is {', '.join(families) or 'none'}")
    if _time(tree.get("expires_at")) <= now:
        raise ValueError("expires_at: that is over")
    reason = tree.get("reason", "")
    if not isinstance(reason, str) or len(reason) > _LONGEST_REASON:
        raise ValueError(f"reason: a text of at most {_LONGEST_REASON} signs")
    return Command(command_id=command_id, action=str(action), family=family, reason=reason)


def _time(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError("expires_at: an ISO 8601 time with its zone, such as 2026-05-04T08:00:00Z")
    return moment
