"""Requirements become jobs in runs, and runs are released: what to make together, and on which machine."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from gateway.domain.products import Family


@dataclass(frozen=True, kw_only=True, slots=True)
class Owed:
    """What one requirement still lacks: pieces that are neither good nor in an unfinished job."""

    requirement_id: int
    family: str
    setup_key: str
    quantity: int
    promise_at: str  # ISO 8601 in UTC, so that texts order like times
    remakes: int  # jobs already made for it beyond the first


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A machine as the planner sees it: pieces it still has to make, and whether it may be given work."""

    machine: str
    load: int
    usable: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRun:
    """One set-up of one machine for one family, with the requirements it serves, the earliest promise first."""

    family: str
    setup_key: str
    machine: str
    owed: tuple[Owed, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Runs to release now, and what a person decides about: remade too often, or of a family that is gone."""

    runs: tuple[PlannedRun, ...]
    too_often: tuple[Owed, ...]
    homeless: tuple[Owed, ...]


def plan(owed: Iterable[Owed], families: Mapping[str, Family], candidates: Mapping[str, Candidate]) -> Plan:
    """Collect what is owed into one run per family and set-up key and release it at once.

    A run goes to the family's usable machine with the least to do; where none is usable it goes to
    the least loaded one and waits there. What was remade more than `remake_limit` times is left out,
    and so is what was taken for a family that the configuration no longer has.
    """
    ordered = sorted(owed, key=lambda one: (one.family, one.setup_key, one.promise_at, one.requirement_id))
    homeless = tuple(one for one in ordered if one.family not in families)
    everything = [one for one in ordered if one.family in families]
    too_often = tuple(one for one in everything if one.remakes > families[one.family].remake_limit)
    load = {name: candidate.load for name, candidate in candidates.items()}
    runs: list[PlannedRun] = []
    makeable = (one for one in everything if one not in too_often)
    for (family, setup_key), group in groupby(makeable, key=lambda one: (one.family, one.setup_key)):
        members = tuple(group)
        machine = min(
            families[family].machines,
            key=lambda name: (not candidates[name].usable, load[name], name),
        )
        load[machine] += sum(one.quantity for one in members)
        runs.append(PlannedRun(family=family, setup_key=setup_key, machine=machine, owed=members))
    return Plan(runs=tuple(runs), too_often=too_often, homeless=homeless)


def cycles(pieces: int, pieces_per_cycle: int) -> int:
    """Give the machine cycles that yield at least so many pieces."""
    return -(-pieces // pieces_per_cycle)
