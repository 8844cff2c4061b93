"""How each kind of exception comes about: the place in the gateway that opens it, brought to open it."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from drivers.base import CommandKind, Finding, JobPhase, Look, Permits
from drivers.profile import Effect, Limit, Memory, Recipe
from gateway.clock import Clock
from gateway.domain import dispatch
from gateway.domain.commissioning import Outcome
from gateway.domain.dispatch import Ability, Doubt, Settlement
from gateway.domain.exceptions import Kind
from gateway.domain.files import WantedFile
from gateway.domain.intake import read_order
from gateway.domain.machines import Lapse, Level
from gateway.domain.pricing.inputs import Source
from gateway.domain.products import Family
from gateway.domain.states import JobState
from gateway.ledger import (
    commissioning,
    decisions,
    ending,
    exceptions,
    files,
    jobs,
    machines,
    offers,
    orders,
    outbox,
    probes,
    recovering,
    recovery,
    stock,
    stranded,
)
from gateway.ledger.files import Errand, Parcel
from gateway.ledger.lines import Reading
from gateway.ledger.list_prices import set_list_price
from gateway.ledger.probes import Origin, Subject
from gateway.ledger.renewing import renew
from gateway.ledger.rerouting import reroute
from gateway.ledger.sql import change, insert, rows
from gateway.stages import backup, price, report, retain
from gateway.stages.intake import _another_site
from gateway.stages.noting import write_down
from tests.ledger.shop_floor import ShopFloor, a_family
from tests.ledger.test_offers import a_publication
from tests.ledger.work import FAMILIES, NOW, RULE, SHOP, a_released_job, bring, conclude, intend, one, settle, take
from tests.shops.fake_shop import a_line, an_order
from tests.stages.factory import RANGE, RECIPE, TestClock

MACHINE = "press-1"
WHO = "person:who-begins"
CLOCK: Clock = TestClock(business=NOW)
Visit = Callable[[], object]
Scene = Callable[[Connection], Visit]  # brings a ledger so far that the visit, again and again, opens the exception
ABILITY = Ability(kinds=frozenset(CommandKind), persistent=False, clears_by_itself=False, settle_s=2.0)


# What dispatch cannot decide ----------------------------------------------------------------------------


def _doubt(state: str, phase: JobPhase | None, *, boot: str = "boot-1", **found: Any) -> Scene:
    """A job in a state at the gateway, of which its machine says this."""

    def scene(tx: Connection) -> Visit:
        job_id = bring(tx, state)
        machines.saw(tx, MACHINE, boot="boot-1", mark=None)
        finding = Finding(job_id=job_id, phase=phase, evidence="as told", **found)
        return lambda: _decide(tx, finding, boot=boot)

    return scene


def _decide(tx: Connection, finding: Finding, *, boot: str = "boot-1", named: bool = False) -> None:
    permits = Permits(remote=True, ready=True, handed_over=True)
    look = Look(boot=boot, permits=permits, jobs=(finding,) if named else ())
    standing = machines.standing(tx, MACHINE, configured=Level.START, silent_s=9.0)
    step = dispatch.decide(standing, look, finding if dispatch.subject(standing) else None, ABILITY)
    if isinstance(step, Doubt):
        write_down(tx, MACHINE, step, now=NOW)


def _there_after_all(tx: Connection) -> Visit:
    job_id = bring(tx, "in_doubt")
    jobs.raise_doubt(tx, job_id, Kind.UNCLEAR_WHETHER_MADE, evidence="", now=NOW)
    _answer(tx, "not_made")
    finding = Finding(job_id=job_id, phase=JobPhase.RUNNING, evidence="in the list")
    return lambda: _decide(tx, finding, named=True)


def _answer(tx: Connection, action: str) -> None:
    (asked,) = (one for one in exceptions.list_exceptions(tx) if one["state"] != "resolved")
    decisions.decide(tx, asked["exception_id"], action=action, who=WHO, note="", now=NOW)


def _refused_thrice(tx: Connection) -> Visit:
    job_id = a_released_job(tx)

    def visit() -> None:
        while one(tx, "SELECT hold_reason FROM jobs") is None:
            settle(tx, intend(tx, job_id), Settlement.REFUSED)

    return visit


def _aborted(tx: Connection) -> Visit:
    job_id = bring(tx, "running")
    return lambda: conclude(tx, job_id, state=JobState.ABORTED, good=1)


def _not_ended(tx: Connection) -> Visit:
    job_id = bring(tx, "running")

    def visit() -> None:
        ending.abort_job(tx, job_id, who=WHO, now=NOW)
        settle(tx, intend(tx, job_id, CommandKind.ABORT), Settlement.REFUSED)

    return visit


def _not_given_back(tx: Connection) -> Visit:
    job_id = bring(tx, "accepted")

    def visit() -> None:
        reroute(tx, job_id, "press-2", FAMILIES, who=WHO, now=NOW)
        settle(tx, intend(tx, job_id, CommandKind.CANCEL), Settlement.REFUSED)

    return visit


def _stranded(tx: Connection) -> Visit:
    a_released_job(tx)
    out = {MACHINE: "it is not armed"}
    return lambda: stranded.review(tx, FAMILIES, (MACHINE, "press-2"), out=out, long=out, now=NOW)


# Machines -----------------------------------------------------------------------------------------------


def _enrolled(visit: Callable[[Connection], object]) -> Scene:
    def scene(tx: Connection) -> Visit:
        machines.enrol(tx, MACHINE)
        return lambda: visit(tx)

    return scene


def _probe_left(tx: Connection) -> Visit:
    machines.enrol(tx, MACHINE)
    fields: dict[str, Any] = {"identity": "1", "profile": "p", "recipe": "tray", "recipe_version": "1"}
    subject = Subject(
        machine=MACHINE,
        effect=Effect.REMEMBERED,
        memory=Memory.VOLATILE,
        parameters={},
        power_cycle=False,
        **fields,
    )
    probes.begin(tx, subject, Origin(site="LUND", epoch=1, boot=1, who=WHO, now=NOW))
    probe = probes.current(tx, MACHINE)
    assert probe is not None
    return lambda: probes.call_people(tx, MACHINE, probe, "its job is still there", now=NOW)


def _hand_write(tx: Connection) -> Visit:
    machines.enrol(tx, MACHINE)
    commissioning.begin(tx, MACHINE, who=WHO, now=NOW)

    def visit() -> None:
        commissioning.ask(tx, MACHINE, "standby_c", 60, who=WHO, gateway_boot=1, until_s=9.0, now=NOW)
        write = commissioning.open_write(tx, MACHINE)
        assert write is not None
        assert commissioning.intend(tx, write, before=22, now=NOW)
        commissioning.end_write(tx, write, Outcome.UNKNOWN, shown=22, text="the answer was lost", now=NOW)

    return visit


# Orders -------------------------------------------------------------------------------------------------


def _read(tx: Connection, order: Any) -> None:
    """Take an order with articles whose width can be wrong."""
    catalogue = orders_catalogue()
    reading = Reading(
        shop=SHOP,
        due=True,
        order=order,
        plans=read_order(order, shop=SHOP, rule=RULE, catalogue=catalogue),
        families=RANGE.families,
        erase_after=timedelta(days=90),
    )
    orders.take(tx, reading, now=NOW)


def orders_catalogue() -> Any:
    from gateway.domain.intake import Catalogue

    return Catalogue(range=RANGE, recipe=lambda _machine, _recipe: RECIPE)


def _set_aside(**line: Any) -> Scene:
    def scene(tx: Connection) -> Visit:
        numbers = iter(range(2, 9))

        def visit() -> None:
            quantity = next(numbers)  # another version of the same row
            _read(tx, an_order("1001", lines=(a_line("1001-1", quantity=quantity, **line),)))

        return visit

    return scene


def _cancelled_late(state: str) -> Scene:
    def scene(tx: Connection) -> Visit:
        bring(tx, state)
        versions = iter(range(9))

        def visit() -> None:
            status = f"cancelled {next(versions)}"
            take(tx, a_line("1001-1", quantity=2), number="1001", status=status, cancelled=True)

        return visit

    return scene


def _changed_late(*quantities: int) -> Scene:
    """A row of five pieces in work that wants each of these quantities, one after the other."""

    def scene(tx: Connection) -> Visit:
        bring(tx, "running", quantity=5)
        wanted = iter(quantities)
        return lambda: take(tx, a_line("1001-1", quantity=next(wanted)))

    return scene


def _wanted_again(tx: Connection, *, placed_later: bool = False) -> Visit:
    take(tx, a_line("1001-1"))
    take(tx, a_line("1001-1"), cancelled=True, status="cancelled")
    versions = iter(range(2, 9))
    later: dict[str, Any] = {"placed_at": NOW + timedelta(days=1)} if placed_later else {}
    return lambda: take(tx, a_line("1001-1", quantity=next(versions)), **later)


def _not_kept(tx: Connection) -> Visit:
    """The shop shows another price than ours, and was told before."""
    set_list_price(tx, SHOP, "TRAY-12", "SEK", 10_000, now=NOW)
    offers.publish(tx, a_publication(None), now=NOW)

    def visit() -> None:
        offers.forget_waiting(tx, SHOP, "TRAY-12")  # the shop took it
        offers.write_again(tx, SHOP, "TRAY-12", "12", now=NOW)

    visit()
    return visit


def _not_told(subject: str) -> Scene:
    def scene(tx: Connection) -> Visit:
        take(tx, a_line("1001-1"))
        destination = f"shop:{SHOP}"

        def visit() -> None:
            outbox.post(tx, destination=destination, subject=subject, body={"sku": "TRAY-12"}, at=NOW)
            fact = outbox.pending(tx, destination, limit=9, now=NOW, kind=subject)[-1]
            report._bury(tx, fact=fact, error="400: unknown product", named={}, clock=CLOCK)

        return visit

    return scene


# What is owed -------------------------------------------------------------------------------------------


def _remade(tx: Connection) -> Visit:
    floor = ShopFloor(tx=tx, families={"white": a_family(remake_limit=1)})
    floor.order(1)
    for _ in range(2):
        (job,) = floor.plan()
        floor.make(job, good=0, scrap=1)
    return floor.plan


def _homeless(tx: Connection) -> Visit:
    floor = ShopFloor(tx=tx)
    floor.order(1)
    floor.families = {}
    return floor.plan


def _outside(tx: Connection) -> Visit:
    job_id = a_released_job(tx)
    newer = {"tray": Recipe(version="2", parameters={"width_mm": Limit(min=1, max=2)})}
    return lambda: renew(tx, job_id, newer, now=NOW)


def _material(tx: Connection) -> Visit:
    floor = ShopFloor(tx=tx, families={"white": a_family(material={"BLANK-12": 1.0})})
    stock.set_stock(tx, "BLANK-12", 1, lot=None, who=WHO, now=NOW)
    floor.order(1)
    floor.order(1)
    return floor.plan


def _more_used(tx: Connection) -> Visit:
    families: Mapping[str, Family] = {"white": a_family(material={"BLANK-12": 1.0})}
    floor = ShopFloor(tx=tx, families=families)
    stock.set_stock(tx, "BLANK-12", 1, lot=None, who=WHO, now=NOW)
    floor.order(1)
    (job,) = floor.plan()
    return lambda: stock.use_up(tx, job, produced=5, now=NOW)


# Files --------------------------------------------------------------------------------------------------


def _errand(tx: Connection) -> Errand:
    a_released_job(tx)
    wanted = WantedFile(step=1, name="print", url="https://files.example/1.pdf")
    files.want(tx, 1, (wanted,), shop=SHOP, erase_after=NOW, now=NOW)
    return Errand(file_id=one(tx, "SELECT file_id FROM files"), product="TRAY-12", wanted=wanted)


def _file_refused(tx: Connection) -> Visit:
    errand = _errand(tx)
    return lambda: files.refused(tx, errand, reason="it has 2 pages", now=NOW)


def _file_away(tx: Connection) -> Visit:
    errand = _errand(tx)
    return lambda: files.away(tx, errand, reason="404", now=NOW)


def _not_delivered(tx: Connection) -> Visit:
    errand = _errand(tx)
    (job,) = rows(tx, "SELECT job_id FROM jobs")
    parcel = Parcel(job_id=job["job_id"], file_id=errand.file_id, sha256="0", name="LUND-1-1-print.pdf")
    return lambda: files.undeliverable(tx, parcel, machine=MACHINE, reason="no such folder", now=NOW)


# After a restore ----------------------------------------------------------------------------------------


def _restored(tx: Connection) -> Visit:
    """One line that was about to be sent when the backup was made, and a machine that says nothing of it."""
    _life_before(tx)
    a_released_job(tx)
    change(tx, "UPDATE meta SET recovering = '2026-05-04T07:00:00.000000Z'")
    return lambda: _finish(tx)


def _stranger(tx: Connection) -> Visit:
    _life_before(tx)
    machines.enrol(tx, MACHINE)
    change(tx, "UPDATE meta SET recovering = '2026-05-04T07:00:00.000000Z'")
    finding = Finding(job_id="LUND-1-77", phase=JobPhase.ENDED, evidence="in the list")
    permits = Permits(remote=True, ready=True, handed_over=True)

    def visit() -> None:
        recovery.saw_machine(tx, MACHINE, Look(boot="boot-1", permits=permits, jobs=(finding,)), now=NOW)
        _finish(tx)

    return visit


def _made_before(tx: Connection) -> Visit:
    visit = _restored(tx)
    visit()

    def one_by_one() -> None:
        if any(one["subject"] == "restore" and one["state"] != "resolved" for one in exceptions.list_exceptions(tx)):
            _answer(tx, "one_by_one")

    return one_by_one


def _life_before(tx: Connection) -> None:
    if not rows(tx, "SELECT 1 FROM meta"):
        insert(tx, "meta", ledger_id="one", site="LUND", epoch=2, boot=1, schema=1)


def _finish(tx: Connection) -> None:
    recovering.finish(tx, site="LUND", telling=(), now=NOW)


SCENES: Mapping[Kind, Scene] = {
    Kind.UNCLEAR_WHETHER_MADE: _doubt("in_doubt", None, boot="boot-2"),
    Kind.UNCLEAR_WHAT_BECAME: _doubt("running", None, unproven="the counters went back"),
    Kind.FORGOTTEN: _doubt("running", None),
    Kind.NEVER_SENT: _doubt("released", JobPhase.RUNNING),
    Kind.NO_COUNT: _doubt("running", JobPhase.ENDED),
    Kind.BEGIN_FORGOTTEN: _doubt("running", JobPhase.NOT_ALLOWED_TO_START),
    Kind.THERE_AFTER_ALL: _there_after_all,
    Kind.NOT_ACCEPTED: _refused_thrice,
    Kind.ABORTED: _aborted,
    Kind.NOT_ENDED: _not_ended,
    Kind.NOT_GIVEN_BACK: _not_given_back,
    Kind.STRANDED: _stranded,
    Kind.UNKNOWN_JOB: _stranger,
    Kind.PROBE_LEFT: _probe_left,
    Kind.LAPSED: _enrolled(
        lambda tx: machines.lapse(tx, MACHINE, Lapse(left=Level.READ, reason="another machine"), now=NOW)
    ),
    Kind.HELD: _enrolled(lambda tx: machines.hold(tx, MACHINE, reason="it fell", who="kvot", now=NOW, asks=True)),
    Kind.HAND_WRITE: _hand_write,
    Kind.NOT_UNDERSTOOD: _set_aside(fault="quantity: not a number"),
    Kind.BAD_PARAMETER: _set_aside(options={"width_mm": "wide"}),
    Kind.UNKNOWN_ARTICLE: _set_aside(sku="NEW-1"),
    Kind.CHANGED_LATE: _cancelled_late("running"),
    Kind.WANTED_AGAIN: _wanted_again,
    Kind.ANOTHER_ORDER: lambda tx: _wanted_again(tx, placed_later=True),
    Kind.NOT_TOLD: _not_told("order:1"),
    Kind.NOT_KEPT: _not_kept,
    Kind.ANOTHER_SITE: lambda tx: lambda: _another_site(tx, shop=SHOP, text="a copy answers", clock=CLOCK),
    Kind.REMADE: _remade,
    Kind.HOMELESS: _homeless,
    Kind.OUTSIDE: _outside,
    Kind.MATERIAL: _material,
    Kind.FILE_REFUSED: _file_refused,
    Kind.FILE_AWAY: _file_away,
    Kind.NOT_DELIVERED: _not_delivered,
    Kind.MORE_USED: _more_used,
    Kind.STALE: lambda tx: (
        lambda: price._alarm(tx, family="white", sources=(Source(name="sales", age_s=9, period_s=1),), now=NOW)
    ),
    Kind.RESTORED: _restored,
    Kind.MADE_BEFORE: _made_before,
    Kind.BACKUP: lambda tx: lambda: backup._call(tx, error="no space", newest=NOW, at=NOW),
    Kind.DAMAGED: lambda tx: lambda: backup._tell_damage(tx, ["page 3: a pointer leads nowhere"], at=NOW),
    Kind.ARCHIVE: lambda tx: lambda: retain._call(tx, text="no space", at=NOW),
}
# Where an answer is offered in another situation only, or the same is asked about something else.
OTHERWISE: Mapping[tuple[Kind, str], Scene] = {
    (Kind.CHANGED_LATE, "make_more"): _changed_late(7, 8),
    (Kind.CHANGED_LATE, "shelf"): _changed_late(4, 3),
    (Kind.CHANGED_LATE, "withdraw"): _cancelled_late("in_doubt"),
    (Kind.NOT_TOLD, "replay"): _not_told("offer:webshop/TRAY-12"),
}
