"""After a restore: who must be asked before anything is sent, and which lines may be made without asking a person."""

from collections.abc import Collection
from dataclasses import dataclass, field

QUESTION = "made before the restore?"
_MADE = frozenset({"made", "shipped"})
_NOT_STARTED = frozenset({"", "not_due", "quarantined", "received", "planned"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """A line that may have been made in the life that the backup does not know.

    `told` is the shop's `_kvot_state` of its order; None where the shop was not asked, or is never told.
    `named` are the jobs of this line or its order that a machine names; `released` says that the backup was about
    to send one.
    """

    line_id: int
    order_id: int
    told: str | None
    named: tuple[str, ...] = field(default=())
    released: bool = False


def waits_for(machines: Collection[str], shops: Collection[str], asked: Collection[str]) -> tuple[str, ...]:
    """Name the machines that were not read and the shops that were not pulled since the restore."""
    wanted = [f"machine:{name}" for name in sorted(machines)] + [f"shop:{name}" for name in sorted(shops)]
    return tuple(name for name in wanted if name not in asked)


def is_free(suspect: Suspect, *, strangers: int) -> bool:
    """Say whether a line was certainly not begun: the shop was never told of its order, and no machine names it.

    `strangers` counts the jobs of ours at machines that show no order with it: each may be any line's.
    """
    return suspect.told == "" and not suspect.named and not suspect.released and strangers == 0


def as_the_shop_says(told: str | None) -> bool | None:
    """Say what a shop's word means for a line: made, not begun, or (None) it does not tell."""
    if told in _MADE:
        return True
    return False if told in _NOT_STARTED else None
