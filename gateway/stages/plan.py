"""Ledger -> ledger: what is owed collects in runs, and runs that are due are released."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, NoReturn

from gateway.clock import Clock
from gateway.domain.machines import Level
from gateway.domain.pricing import FamilyRules
from gateway.domain.products import Family
from gateway.domain.runs import Candidate, Situation, collect, release
from gateway.ledger import collecting, quotes, recovery, setups, stranded
from gateway.ledger.database import Ledger, Tx, ring
from gateway.ledger.machines import arming
from gateway.ledger.offers import least_list_price
from gateway.ledger.serving import serve
from gateway.ledger.shortages import supplied
from gateway.stages.board import Board
from gateway.stages.shown import NOT_AVAILABLE

BY_THRESHOLD: Final = "release_threshold"
LOOK_AGAIN_S = 5.0  # a latest start comes without anybody ordering
LONG_OUT_S: Final = 600.0  # a machine that is out of use for less keeps its jobs without a word
PORTION: Final = 100  # joins of one event: other events wait no longer than these take


@dataclass(frozen=True, kw_only=True, slots=True)
class Floor:
    """What the planner knows of the factory floor: families, the rules of those that collect, machines.

    Machines `by_hand` are stations: a person works there, so they need no arming.
    """

    families: Mapping[str, Family]
    machines: tuple[str, ...]
    rules: Mapping[str, FamilyRules] = field(default_factory=dict)
    by_hand: frozenset[str] = frozenset()


@dataclass(kw_only=True, slots=True)
class Outages:
    """How long each machine is out of use, by the monotonic clock; a restart begins to count anew."""

    since_s: dict[str, float] = field(default_factory=dict)

    def long(self, out: Iterable[str], *, now_s: float) -> frozenset[str]:
        """Give those of the machines out of use now that are so for long."""
        self.since_s = {name: self.since_s.get(name, now_s) for name in out}
        return frozenset(name for name, since_s in self.since_s.items() if now_s - since_s >= LONG_OUT_S)


async def planning_stage(
    ledger: Ledger,
    floor: Floor,
    *,
    clock: Clock,
    log: Any,
    board: Board | None = None,
    outages: Outages | None = None,
) -> NoReturn:
    """Plan whenever something is owed, and every few seconds; ask about machines that keep jobs waiting for long."""
    outages = outages or Outages()
    while True:
        released = await ledger.write(
            lambda tx: plan_once(tx, floor, site=ledger.site, epoch=ledger.epoch, now=clock.now())
        )
        if released:
            log.info("jobs released", jobs=released)
            continue  # what did not fit into the run that was just released collects in the next one
        await _look_for_stranded(ledger, floor, _away(floor, board), outages, clock=clock)
        await ledger.changed("plan", timeout_s=LOOK_AGAIN_S)


async def _look_for_stranded(
    ledger: Ledger, floor: Floor, away: Mapping[str, str], outages: Outages, *, clock: Clock
) -> None:
    """Ask people about jobs whose machine is out of use for long, and take back what they need not decide any more."""

    def look(tx: Tx) -> tuple[dict[str, str], bool]:
        return stranded.out_of_use(tx, floor.machines, by_hand=floor.by_hand, away=away), stranded.is_asked(tx)

    out, asked = await ledger.read(look)
    long = outages.long(out, now_s=clock.monotonic())
    if long or asked:
        now = clock.now()
        await ledger.write(lambda tx: stranded.review(tx, floor.families, floor.machines, out=out, long=long, now=now))


def _away(floor: Floor, board: Board | None) -> dict[str, str]:
    """Give the machines that do not answer, with the last word about each."""
    shown = {} if board is None else {name: board.get(("state", name)) for name in floor.machines}
    return {name: str(value["why"]) for name, value in shown.items() if value.get("state") == NOT_AVAILABLE}


def plan_once(tx: Tx, floor: Floor, *, site: str, epoch: int, now: datetime) -> int:
    """Serve from the shelf, let what else is owed join its run, release what is due; give the jobs released.

    No more than a portion joins at once; the bell calls for the next one.
    """
    if recovery.pending(tx):
        return 0
    families = floor.families
    serve(tx, now=now)
    quotes.close_expired(tx, now=now)
    held = {family: places.open_units for family, places in quotes.living(tx, now=now).places.items()}
    joining = collect(collecting.owed(tx), collecting.open_runs(tx), families, reserved=held)
    if len(joining.joins) > PORTION:
        joining = replace(joining, joins=joining.joins[:PORTION])
        ring(tx, "plan")
    collecting.join(tx, joining, site=site, epoch=epoch, now=now)
    released = 0
    for run in collecting.open_runs(tx):
        if run.family not in families or collecting.close_empty(tx, run, now=now):
            continue
        family = families[run.family]
        scene = situation(tx, floor, now=now)
        due = release(run, family, scene)
        if due is not None and due.reason == BY_THRESHOLD:
            due = release(run, family, _by_list_price(tx, scene, family.name))
        decided = supplied(tx, run.run_id, due, family, now=now)
        if decided is not None:
            released += setups.release(tx, decided, families, site=site, epoch=epoch, now=now)
    return released


def _by_list_price(tx: Tx, scene: Situation, family: str) -> Situation:
    """Give the same situation at the list price that the shop shows: it decides whether so few units pay the set-up."""
    list_minor, rules = least_list_price(tx, family), scene.rules[family]
    if list_minor is None:
        return scene
    return replace(scene, rules={family: replace(rules, price=replace(rules.price, list_minor=list_minor))})


def situation(tx: Tx, floor: Floor, *, now: datetime) -> Situation:
    """Give what a release depends on besides the run itself."""
    load = collecting.loads(tx)
    candidates = {
        name: Candidate(
            machine=name,
            load=load.get(name, 0),
            usable=name in floor.by_hand or arming(tx, name).level is not Level.READ,
        )
        for name in floor.machines
    }
    rates = {
        machine: floor.rules[name].capacity.rate_h
        for name, family in floor.families.items()
        if name in floor.rules
        for machine in family.machines
    }
    living = quotes.living(tx, now=now)
    free_h = {machine: pieces / rates[machine] for machine, pieces in load.items() if machine in rates}
    free_h |= {machine: free_h.get(machine, 0.0) + hours for machine, hours in living.hours.items()}
    reserved = {family: places.open for family, places in living.places.items()}
    return Situation(candidates=candidates, rules=floor.rules, free_h=free_h, reserved=reserved, now=now)
