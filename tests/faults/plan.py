"""Which points are run: drawn from a seed, so that the same seed gives the same points."""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from tests.drivers.fake_machine import Fault
from tests.faults import weakened
from tests.faults.answers import PAGES, REDIRECTS, REFUSALS
from tests.faults.oddities import MISTYPED
from tests.faults.ovenside import DEAD_UNIT
from tests.faults.rows import PROCESS, SAMPLED, TO_1970_S, Row
from tests.faults.scenes import Act, Between, Order, Outcome, Point, Scene
from tests.faults.traced import CALLS
from tests.faults.wireworld import RESTORED
from tests.faults.world import CROWD_BATCH

SCENES = 9  # rehearsed once each
LOOPS = 6  # lives of a crash loop that are killed
AGAIN = 0.25  # how often the second life is struck too
_AGAIN_AT = (
    "round",
    "look: sent",
    "intent: statement",
    "receipt: before commit",
    "outbox: statement",
    "boot: disk write",
)
Touched = Mapping[Scene, Mapping[str, int]]


def scenes(seed: int) -> tuple[Scene, ...]:
    """Give the scenes of a seed: each another mix of orders, machine, faults and what happens while nobody lives."""
    chance = random.Random(f"scenes {seed}")
    found = [_scene(chance, number) for number in range(SCENES)]
    upgrade = replace(_scene(chance, 1), name="upgrade", upgrade=True, faults=(), shop_faults=())
    late = (*upgrade.orders, Order(round=8, quantities=(1,)))  # so that the first life does not come to rest
    return (*found, replace(upgrade, orders=late))


def _scene(chance: random.Random, number: int) -> Scene:
    orders = tuple(
        Order(
            round=1 + chance.randrange(3) + 2 * n,
            quantities=tuple(chance.randint(1, 3) for _ in range(chance.randint(1, 2))),
            then=chance.choice(("", "", "", "more", "cancel")),
            after=chance.randint(1, 3),
        )
        for n in range(chance.randint(1, 2))
    )
    faults = (Fault.LOSE_ANSWER, Fault.LATE, Fault.LOSE_COMMAND, Fault.REFUSE, Fault.BUSY, Fault.RESTART)
    befall = ((chance.randint(1, 4), chance.choice(faults)),) if number % 3 == 2 else ()
    return Scene(
        name=f"scene {number}",
        orders=orders,
        quick=number % 2 == 1,
        faults=befall,
        shop_faults=((chance.choice(("pull", "write_status", "write_done")), chance.randint(1, 4)),)
        if number % 4 == 3
        else (),
        broker_faults=(chance.randint(1, 6),) if number % 4 == 1 else (),
        between=list(Between)[number % len(Between)],
        early_checkpoints=number % 2 == 0,
    )


def shares(rows: Iterable[Row], points: int) -> dict[str, int]:
    """Divide a number of points among rows by weight; each row gets one while there are enough."""
    exercised = [row for row in rows if not row.why]
    total = sum(row.weight for row in exercised)
    given = {row.name: points * row.weight // total for row in exercised}
    for row in sorted(exercised, key=lambda row: (given[row.name], -row.weight)):
        if sum(given.values()) < points:
            given[row.name] += 1
    return given


def process_points(seed: int, points: int, touched: Touched, *, rows: tuple[Row, ...] = PROCESS) -> list[Point]:
    """Draw the points of the process and disk rows from what the rehearsals came to."""
    chance = random.Random(f"points {seed}")
    drawn = []
    for name, number in shares(rows, points).items():
        row = next(one for one in rows if one.name == name)
        drawn += [_point(chance, row, touched) for _ in range(number)]
    chance.shuffle(drawn)
    return [replace(point, index=number) for number, point in enumerate(drawn)]


def wire_points(seed: int, points: int, where: str, *, rows: tuple[Row, ...]) -> list[Point]:
    """Draw the points of the rows in which a machine or the shop is reached over a wire."""
    chance = random.Random(f"{where} {seed}")
    drawn = []
    for name, number in shares(rows, points).items():
        row = next(one for one in rows if one.name == name)
        for n in range(number):
            wire = row.wire[n % len(row.wire)] if row.wire else ""
            scene = _wired(chance, where, wire) if wire else _of_deed(chance, row.deed, points)
            acts = _wire_acts(chance, row, scene, points)
            drawn.append(Point(index=0, row=name, scene=scene, acts=acts, seed=chance.randrange(2**31)))
    return drawn


def _wire_acts(chance: random.Random, row: Row, scene: Scene, points: int) -> tuple[Act, ...]:
    match row.deed:
        case "crowd":  # killed while it takes them
            batches = scene.crowd // CROWD_BATCH
            return (Act(deed="kill", point="intake: before commit", nth=chance.randint(2, batches)),)
        case "reconnect":
            return (Act(deed="reconnect", point="round", nth=3, amount=min(10_000, 100 * points)),)
        case "guest":
            return (Act(deed="kill", point="round", nth=chance.randint(4, 40)),)
        case "kill" if row.points:
            return (Act(deed="kill", point="round", nth=chance.randint(3, 16)),)
        case _:
            return ()


def _wired(chance: random.Random, where: str, wire: str) -> Scene:
    orders: tuple[Order, ...] = (
        Order(round=1, quantities=(chance.randint(1, 3), chance.randint(1, 2))),
        Order(round=chance.randint(4, 8), quantities=(chance.randint(1, 3),)),
        Order(round=chance.randint(9, 14), quantities=(1,)),
    )
    if wire in PAGES:  # several pages of one second
        orders = (*(replace(one, round=2) for one in orders), *(Order(round=2, quantities=(1,)) for _ in range(3)))
    elif wire == RESTORED:
        orders = (Order(round=1, quantities=(1,)), Order(round=2, quantities=(chance.randint(1, 3),)))
    scene = Scene(name=f"{where}: {wire}", orders=orders, wire=wire, wire_seed=chance.randrange(2**31))
    if where == "http":
        return replace(scene, shop="http")
    if wire == DEAD_UNIT:
        each = tuple(Order(round=number, quantities=(1,)) for number in range(1, 13))
        scene = replace(scene, neighbour=True, orders=each)
    return replace(scene, machine=where, sampled=wire in SAMPLED)


def _of_deed(chance: random.Random, deed: str, points: int) -> Scene:
    match deed:
        case "crowd":
            return _crowded(points)
        case "guest":
            scene = _wired(chance, "opcua", "nothing")
            return replace(scene, name="guest", guest=True)
        case _:
            return _edited(chance)


def _crowded(points: int) -> Scene:
    """As many customers at once as there is time for: 10,000 where a thousand points are run."""
    return Scene(name="crowd", orders=(Order(round=1, quantities=(2,)),), crowd=min(10_000, max(600, 100 * points)))


def _edited(chance: random.Random) -> Scene:
    """A customer changes or cancels an order some time after placing it."""
    orders = tuple(
        Order(
            round=1 + n,
            quantities=(chance.randint(1, 3),) * chance.randint(1, 2),
            then=chance.choice(("more", "cancel")),
            after=chance.randint(1, 6),
        )
        for n in range(2)
    )
    return Scene(name="edited", orders=orders, quick=chance.random() < 0.5)


def control_points(seed: int, each: int, touched: Touched) -> list[Point]:
    """Draw the points of the control run: for each protection taken out, where that must be seen."""
    chance = random.Random(f"control {seed}")
    drawn: list[Point] = []
    sent = Row(name="control", points=("machine: sent", "machine: answered"))
    where = {
        weakened.NO_INTENT: (sent, 1),
        weakened.NO_SYNC: (replace(sent, deed="cut", points=(*sent.points, "result: after commit")), 0),
        weakened.RESEND: (replace(sent, deed="none"), 0),
        weakened.CLEAR_FIRST: (sent, 2),  # the first command loads, the second clears
    }
    for weakness, (row, nth) in where.items():
        for number in range(each):
            point = _point(chance, row, touched, again=False)
            acts = tuple(replace(act, nth=nth or act.nth) for act in point.acts)
            scene = replace(point.scene, quick=number % 2 == 0, between=Between.WORKS, faults=())
            if weakness == weakened.RESEND:
                lost = (Fault.LOSE_ANSWER, Fault.LATE)[number % 2]
                scene = replace(scene, faults=((1, lost),), between=Between.NOTHING)
            drawn.append(replace(point, scene=scene, acts=acts, weakness=weakness))
    drawn += [point for _ in range(max(1, each // 5)) for point in _more_control_points(chance, touched)]
    return [replace(point, index=number) for number, point in enumerate(drawn)]


def _more_control_points(chance: random.Random, touched: Touched) -> Iterator[Point]:
    """Give one point for each protection that is not about the machine."""
    wires = {
        weakened.REDIRECTED: chance.choice(REDIRECTS),
        weakened.GUESSED: chance.choice(MISTYPED),
        weakened.TALKATIVE: chance.choice(REFUSALS),
    }
    for weakness, wire in wires.items():
        yield Point(index=0, row="control", scene=_wired(chance, "http", wire), weakness=weakness)
    stuck = _point(chance, Row(name="control", deed="stuck", points=("round",), amounts=(60.0,)), touched)
    yield replace(stuck, weakness=weakened.FED)


def wire_controls(seed: int, each: int, *, slow: bool) -> list[Point]:
    """Draw the control points of the protections that only a real wire shows; `slow`: also those that take long."""
    chance = random.Random(f"wire control {seed}")
    where = {
        weakened.NO_QUALITY: ("opcua", "measured uncertain"),
        weakened.NO_TEST_VALUES: ("modbus", "wrong word order"),
        weakened.LET_GO: ("modbus", "previous"),
        weakened.ALL_REST: ("modbus", DEAD_UNIT),
    }
    return [
        Point(index=0, row="control", scene=_wired(chance, machine, wire), weakness=weakness)
        for weakness, (machine, wire) in where.items()
        if slow or weakness not in weakened.SLOW
        for _ in range(each)
    ]


def _point(chance: random.Random, row: Row, touched: Touched, *, again: bool = True) -> Point:
    """Draw one point of a row."""
    scene, life, at, nth = _place(chance, row, touched)
    acts = _acts(chance, row, life, at, nth)
    if again and row.deed in ("kill", "cut", "stop") and not scene.upgrade and chance.random() < AGAIN:
        acts = (*acts, Act(deed=row.deed, point=chance.choice(_AGAIN_AT), nth=chance.randint(1, 2), life=life + 1))
    damage = row.deed if row.deed in ("flip", "delete", "truncate") else ""
    return Point(index=0, row=row.name, scene=scene, acts=acts, damage=damage, seed=chance.randrange(2**31))


def _place(chance: random.Random, row: Row, touched: Touched) -> tuple[Scene, int, str, int]:
    """Choose a scene, and the life, the point and its occurrence at which something is done there."""
    candidates = sorted(
        {
            (scene.name, name)
            for scene, counts in touched.items()
            for name in counts
            if (scene.early_checkpoints or row.deed not in ("flip", "delete", "truncate"))
            and scene.name.startswith(row.scenes or "scene")
            and name[2:].startswith(row.points or ("round",))
            and name[0] == ("2" if row.scenes == "upgrade" else "1")
        }
    )
    if not candidates:
        raise LookupError(f"no rehearsal of this seed comes to a point of the row {row.name!r}")
    chosen_point = chance.choice(sorted({name for _, name in candidates}))
    chosen_scene = chance.choice([scene for scene, name in candidates if name == chosen_point])
    scene = next(scene for scene in touched if scene.name == chosen_scene)
    return scene, int(chosen_point[0]), chosen_point[2:], chance.randint(1, touched[scene][chosen_point])


def _acts(chance: random.Random, row: Row, life: int, at: str, nth: int) -> tuple[Act, ...]:
    amount = chance.choice(row.amounts)
    match row.deed:
        case "none":
            return ()
        case "flip" | "delete" | "truncate":
            # A kill, in a scene that writes its log back: what lies in the log alone is not damaged by this.
            return (Act(deed="kill", point="outbox: before commit", nth=chance.randint(2, 5), life=life),)
        case "loop":
            return tuple(
                Act(deed="kill", point=at if n == 0 else chance.choice(_AGAIN_AT), nth=nth if n == 0 else 1, life=n + 1)
                for n in range(LOOPS)
            )
        case "1970":
            back = chance.randint(2, 4)
            return (
                Act(deed="kill", point=at, nth=nth, life=1),
                Act(deed="clock", point="shop: before", nth=1, life=2, amount=TO_1970_S),
                Act(deed="clock", point="round", nth=back, life=2, amount=-TO_1970_S),
            )
        case "trace":  # of the calls of a round a few go to the world
            more = chance.randint(1, 4) if at == "round" else 1
            return (Act(deed="trace", point=CALLS[at], nth=nth * more, life=life),)
        case _:
            return (Act(deed=row.deed, point=at, nth=nth, life=life, amount=amount),)


def rehearsals(seed: int) -> list[Point]:
    """Give the scenes as points at which nothing is done."""
    return [Point(index=n, row="rehearsal", scene=scene) for n, scene in enumerate(scenes(seed))]


def counted(outcomes: Iterable[Outcome]) -> dict[Scene, dict[str, int]]:
    """Give what the rehearsals came to."""
    return {outcome.point.scene: outcome.touched for outcome in outcomes}
