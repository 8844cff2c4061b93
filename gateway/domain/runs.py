"""Requirements collect in open runs, and runs are released: what to make together, when, and on which machine."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby

from gateway.domain.pricing import (
    About,
    FamilyRules,
    OpenOrder,
    Release,
    ReleaseKind,
    Reservation,
    RunInputs,
    RunPlan,
    Seen,
    plan,
)
from gateway.domain.products import Family

AT_ONCE = "at_once"
EXPRESS = "express"


@dataclass(frozen=True, kw_only=True, slots=True)
class Owed:
    """What one requirement still lacks: pieces that are neither good nor in an unfinished job.

    `ready` are the pieces that the step before has made good and nobody has used yet; `places` what
    one piece takes of a run. `quoted`: places were held for it. `own`: the order line whose own run makes it.
    """

    requirement_id: int
    family: str
    setup_key: str
    quantity: int
    promise_at: str  # ISO 8601 in UTC, so that texts order like times
    remakes: int  # jobs already made for it beyond the first
    ready: int
    places: float = 1.0
    batch: int | None = None  # pieces that come from the step before together; None: all at once
    quoted: bool = False
    own: int | None = None

    @property
    def startable(self) -> int:
        """Give the pieces that can be made now: whole batches, and the rest once all of it is there."""
        if self.batch is None or self.ready >= self.quantity:
            return min(self.quantity, self.ready)
        return self.ready - self.ready % self.batch


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A machine as the planner sees it: pieces it still has to make, and whether it may be given work."""

    machine: str
    load: int
    usable: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A waiting job in an open run: what it takes of the run, and how many of its pieces can be made now."""

    job_id: str
    order_id: int
    quantity: int
    places: float
    ready: int
    promise_at: datetime | None
    placed_at: datetime

    @property
    def can_start(self) -> bool:
        """Say whether the step before has made all its pieces."""
        return self.ready >= self.quantity


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenRun:
    """A run that collects, with its waiting jobs; `own`: the order line it is made for alone."""

    run_id: int
    family: str
    setup_key: str
    held: str | None
    members: tuple[Member, ...]
    own: int | None = None

    @property
    def fill(self) -> float:
        """Give the places taken."""
        return sum(member.quantity * member.places for member in self.members)


@dataclass(frozen=True, kw_only=True, slots=True)
class Join:
    """Put so many pieces of a requirement into the open run of its family and set-up key, opening one if need be.

    What has a run of its own goes there.
    """

    need: Owed
    quantity: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Collecting:
    """What joins, and what a person decides about: remade too often, or of a family that is gone."""

    joins: tuple[Join, ...]
    too_often: tuple[Owed, ...]
    homeless: tuple[Owed, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Releasing:
    """Release a run: the jobs that can start now go to this machine, the others collect on in the next run."""

    run_id: int
    machine: str
    reason: str
    starting: tuple[Member, ...]
    waiting: tuple[Member, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """What else a release depends on: machines, families' rules, hours before a machine is free, quotes by family."""

    candidates: Mapping[str, Candidate]
    rules: Mapping[str, FamilyRules] = field(default_factory=dict)  # of the families whose runs collect
    free_h: Mapping[str, float] = field(default_factory=dict)
    reserved: Mapping[str, tuple[Reservation, ...]] = field(default_factory=dict)
    now: datetime


def collect(
    owed: Iterable[Owed],
    open_runs: Iterable[OpenRun],
    families: Mapping[str, Family],
    *,
    reserved: Mapping[str, float] | None = None,
) -> Collecting:
    """Decide what joins which open run, the earliest promise first, never more than a run's places.

    Places `reserved` by quotes, by family, are left free; what was ordered by a quote goes first, into those it
    held. A family that is released at once collects only what can be made now; what does not fit into a run
    waits for the next one, so that a large line splits over runs by itself.
    """
    ordered = sorted(
        owed, key=lambda one: (one.family, one.setup_key, not one.quoted, one.promise_at, one.requirement_id)
    )
    homeless = tuple(one for one in ordered if one.family not in families)
    known = [one for one in ordered if one.family in families]
    too_often = tuple(one for one in known if one.remakes > families[one.family].remake_limit)
    fills = {(run.family, run.setup_key): run.fill for run in open_runs if run.own is None}
    held = reserved or {}
    makeable = [one for one in known if one not in too_often]
    alone = [one for one in makeable if one.own is not None]
    joins = [Join(need=one, quantity=pieces) for one in alone for pieces in _batches(one.quantity, one.batch)]
    shared = [one for one in makeable if one.own is None]
    for key, group in groupby(shared, key=lambda one: (one.family, one.setup_key)):
        taken = fills.get(key, 0.0) + held.get(key[0], 0.0)
        joins += _fill_up(tuple(group), fill=taken, family=families[key[0]])
    return Collecting(joins=tuple(joins), too_often=too_often, homeless=homeless)


def release(run: OpenRun, family: Family, situation: Situation) -> Releasing | None:
    """Decide whether a run starts now, and where; None while it collects on.

    The decision is the pricing plan's, but for families that are released at once and runs for one customer alone.
    Jobs whose pieces are not there yet never start; a run none of whose jobs can start waits.
    """
    starting = tuple(member for member in run.members if member.can_start)
    if not starting or run.held is not None:
        return None
    machine = choose_machine(family, situation.candidates)
    reason = AT_ONCE if run.own is None else EXPRESS
    if run.own is None and family.run.release is not Release.AT_ONCE:
        decided = foresee(
            run,
            situation.rules[family.name],
            free_h=situation.free_h.get(machine, 0.0),
            now=situation.now,
            seen=Seen(reserved=situation.reserved.get(family.name, ())),
        )
        if decided.release.kind is not ReleaseKind.NOW:
            return None
        reason = next((one.code for one in decided.reasons if one.about is About.RELEASE), AT_ONCE)
    waiting = tuple(member for member in run.members if not member.can_start)
    return Releasing(run_id=run.run_id, machine=machine, reason=reason, starting=starting, waiting=waiting)


def foresee(
    run: OpenRun | None, rules: FamilyRules, *, free_h: float, now: datetime, seen: Seen | None = None
) -> RunPlan:
    """Give the plan of a family's open run, or of an empty one; `seen` carries what else is known of the family."""
    return plan(foresight(run, rules, free_h=free_h, seen=seen), now)


def foresight(run: OpenRun | None, rules: FamilyRules, *, free_h: float, seen: Seen | None = None) -> RunInputs:
    """Give what such a plan is decided from."""
    members: Sequence[Member] = run.members if run is not None else ()
    known = seen or Seen()
    orders = tuple(
        OpenOrder(
            units=max(1, math.ceil(member.quantity * member.places)),
            promise=member.promise_at,
            placed=member.placed_at,
            order_id=str(member.order_id),
        )
        for member in members
    )
    situation = replace(known, orders=orders, free_h=free_h, held=run.held if run is not None else None)
    return RunInputs(rules=rules, seen=situation)


def choose_machine(family: Family, candidates: Mapping[str, Candidate]) -> str:
    """Give the family's usable machine with the least to do; where none is usable, the least loaded one."""
    return min(family.machines, key=lambda name: (not candidates[name].usable, candidates[name].load, name))


def cycles(pieces: int, pieces_per_cycle: int) -> int:
    """Give the machine cycles that yield at least so many pieces."""
    return -(-pieces // pieces_per_cycle)


def upstream(quantity: int, expected_yields: Sequence[float]) -> int:
    """Give the pieces a step must make so that, after what follows loses its share, so many are left."""
    return math.ceil(round(quantity / math.prod(expected_yields), 9))


def _fill_up(needs: Sequence[Owed], *, fill: float, family: Family) -> list[Join]:
    at_once = family.run.release is Release.AT_ONCE
    joins: list[Join] = []
    for need in needs:
        wanted = need.startable if at_once else need.quantity
        fits = min(wanted, math.floor((family.run.places - fill) / need.places + 1e-9))
        if fits < 1 and fill == 0 and wanted >= 1:
            fits = 1  # one piece larger than a whole run is a run of its own
        if fits < 1:
            continue
        joins += [Join(need=need, quantity=pieces) for pieces in _batches(fits, need.batch)]
        fill += fits * need.places
    return joins


def _batches(pieces: int, batch: int | None) -> Iterator[int]:
    """Give the jobs that pieces join in: one, or as many as there are batches, the last of them the rest."""
    size = batch or pieces
    while pieces > 0:
        yield min(size, pieces)
        pieces -= size
