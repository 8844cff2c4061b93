"""Whether a run that is due can be made: its material, its tools, and the part that can be made now."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.domain.products import Family
from gateway.domain.runs import Member, Releasing, cycles

_ALMOST: Final = 1e-6  # amounts of material are decimal fractions: a tenth three times is no more than 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Supply:
    """What is there now.

    `free` is the stock of each item less what released jobs will still use of it; an item that nobody has
    counted is absent. `in_use` names, for each tool on a machine, the run that has it.
    """

    free: Mapping[str, float] = field(default_factory=dict)
    in_use: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lack:
    """Material of which there is too little. `free` is None where nobody has counted it: that is none."""

    item: str
    needed: float
    free: float | None

    @property
    def missing(self) -> float:
        """Give how much more there must be."""
        return amount(self.needed - (self.free or 0.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Shortage:
    """Why a run that is due does not start: material, and tools that another run has.

    `pieces` of the run are due, and the material is enough for `possible` of them, by promise.
    """

    lacks: tuple[Lack, ...]
    tools: Mapping[str, str]
    pieces: int
    possible: int


def find_shortage(due: Releasing, family: Family, supply: Supply) -> Shortage | None:
    """Find what a due run lacks; None when it has everything."""
    needed = needed_by(due.starting, family)
    lacks = tuple(
        Lack(item=item, needed=quantity, free=supply.free.get(item))
        for item, quantity in sorted(needed.items())
        if quantity > supply.free.get(item, 0.0) + _ALMOST
    )
    tools = {tool: supply.in_use[tool] for tool in family.needs.tools if tool in supply.in_use}
    if not lacks and not tools:
        return None
    return Shortage(
        lacks=lacks,
        tools=tools,
        pieces=sum(member.quantity for member in due.starting),
        possible=sum(member.quantity for member in part_of(due, family, supply).starting),
    )


def needed_by(members: Sequence[Member], family: Family) -> dict[str, float]:
    """Give the material that jobs will use: whole cycles of it, good pieces or scrap."""
    pieces = sum(_made(member.quantity, family) for member in members)
    return {item: amount(pieces * each) for item, each in family.needs.material.items()}


def part_of(due: Releasing, family: Family, supply: Supply) -> Releasing:
    """Give the part of a due run that its material is enough for, in order of promise; the last job may be cut."""
    left = min(
        (supply.free.get(item, 0.0) / each for item, each in family.needs.material.items()),
        default=math.inf,
    )
    starting: list[Member] = []
    waiting: list[Member] = []
    for member in due.starting:
        takes = _made(member.quantity, family)
        if waiting or takes > left + _ALMOST:
            whole = 0 if waiting else math.floor((left + _ALMOST) / family.pieces_per_cycle) * family.pieces_per_cycle
            if whole:
                starting.append(replace(member, quantity=whole))
            else:
                waiting.append(member)
            left = 0.0
        else:
            starting.append(member)
            left -= takes
    return replace(due, starting=tuple(starting), waiting=(*waiting, *due.waiting))


def amount(quantity: float) -> float:
    """Give an amount of material as it is kept: six decimals, never below nothing."""
    return max(0.0, round(quantity, 6))


def _made(quantity: int, family: Family) -> int:
    return cycles(quantity, family.pieces_per_cycle) * family.pieces_per_cycle
