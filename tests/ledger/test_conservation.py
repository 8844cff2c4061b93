"""Whatever is ordered, made, lost, cancelled and counted: no piece and no material appears or disappears."""

from fractions import Fraction

from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from gateway.ledger import shelf, stock
from gateway.ledger.sql import rows
from tests.ledger.shop_floor import ANNA, ShopFloor, a_family, a_step
from tests.ledger.work import NOW, bare, one

PER_PIECE = 0.5
WHOLE = "(SELECT MAX(x.step) FROM requirements x WHERE x.line_id = r.line_id)"

DEEDS = st.lists(
    st.tuples(
        st.sampled_from(["order", "order", "make", "make", "make", "cancel", "change", "discard", "stock", "person"]),
        st.integers(0, 7),
        st.integers(0, 3),
    ),
    max_size=16,
)


class World:
    """Does what an example says, and keeps its own count of the material."""

    def __init__(self, tx: Connection, *, route: bool, batch: int | None, pieces_per_cycle: int) -> None:
        families = {
            "white": a_family(material={"BLANK": PER_PIECE}, pieces_per_cycle=pieces_per_cycle, remake_limit=100),
            "pack": a_family("pack", machines=("packing",), tools=("BENCH",), remake_limit=100),
        }
        steps = (a_step(), a_step("pack", batch=batch)) if route else (a_step(),)
        self.floor = ShopFloor(tx=tx, families=families, products={"TRAY-12": steps})
        self.tx = tx
        self.material = Fraction(0)
        self.numbers: list[str] = []

    def do(self, deed: str, much: int, which: int) -> None:
        released = self.floor.plan()
        match deed:
            case "order":
                self.numbers.append(self.floor.order(much + 1, width_mm=str(60 + which // 2)))
            case "make" if released:
                self.make(released[which % len(released)], extra=much % 3, scrap=which)
            case "cancel" if self.numbers:
                self.floor.cancel(self.numbers[which % len(self.numbers)])
            case "change" if self.numbers:
                self.floor.order(much + 1, number=self.numbers[which % len(self.numbers)], width_mm="60")
            case "discard" if lying := shelf.list_shelf(self.tx):
                shelf.discard(self.tx, lying[0]["lot"], 1, who=ANNA, now=NOW)
            case "stock":
                stock.add_stock(self.tx, "BLANK", much, lot=None, who=ANNA, now=NOW)
                self.material += much
            case "person" if asked := self.floor.asked():
                actions = asked[0]["actions"]
                if len(asked) == 1:
                    self.floor.decide(actions[which % len(actions)])
        self.floor.plan()

    def make(self, job_id: str, *, extra: int, scrap: int) -> None:
        wanted = self.floor.quantity_of(job_id)
        good = max(0, wanted - scrap) + (extra if scrap == 0 else 0)
        pressed = one(self.tx, "SELECT r.family FROM jobs JOIN runs r USING (run_id) WHERE job_id = :job", job=job_id)
        self.floor.make(job_id, good=good, scrap=scrap)
        if pressed == "white":
            self.material = max(Fraction(0), self.material - Fraction(PER_PIECE) * (good + scrap))


def _check(world: World) -> None:
    tx = world.tx
    for lot in rows(
        tx,
        "SELECT s.job_id, s.good, SUM(a.good) AS given, COALESCE((SELECT SUM(pieces) FROM shelf "
        "WHERE lot = s.job_id AND kind = 'put'), 0) AS put FROM results s JOIN allocations a USING (job_id) "
        f"JOIN requirements r USING (requirement_id) WHERE r.step = {WHOLE} GROUP BY s.job_id",
    ):
        assert lot["good"] == lot["given"] + lot["put"], dict(lot)
    for need in rows(
        tx,
        "SELECT r.line_id, r.good, r.quantity, COALESCE((SELECT SUM(a.good) FROM allocations a "
        "WHERE a.requirement_id = r.requirement_id), 0) AS given FROM requirements r "
        f"WHERE r.step = {WHOLE}",
    ):
        taken = sum(held["pieces"] for held in shelf.taken_by(tx, need["line_id"]))
        assert need["good"] == need["given"] + taken, dict(need)
        assert need["good"] <= need["quantity"]
    flows = {one["kind"]: one["n"] for one in rows(tx, "SELECT kind, SUM(pieces) AS n FROM shelf GROUP BY kind")}
    lying = sum(one["pieces"] for one in shelf.list_shelf(tx))
    assert lying == sum(flows.get(kind, 0) * sign for kind, sign in SIGNS.items())
    assert (one(tx, "SELECT quantity FROM stock") or 0) == world.material
    for item in stock.list_stock(tx)["material"]:
        assert item["free"] >= 0
    in_use = [tool["tool"] for tool in stock.list_stock(tx)["tools"]]
    assert len(in_use) == len(set(in_use))


SIGNS = {"put": 1, "back": 1, "take": -1, "discard": -1}


@settings(deadline=None, max_examples=25)
@given(DEEDS, st.booleans(), st.sampled_from([None, 1, 2, 3]), st.sampled_from([1, 4]))
def test_good_pieces_are_allocated_or_on_the_shelf_and_material_is_counted(
    deeds: list[tuple[str, int, int]], route: bool, batch: int | None, pieces_per_cycle: int
) -> None:
    with bare() as tx:
        world = World(tx, route=route, batch=batch, pieces_per_cycle=pieces_per_cycle)
        stock.set_stock(tx, "BLANK", 20, lot=None, who=ANNA, now=NOW)
        world.material = Fraction(20)
        for deed in deeds:
            world.do(*deed)
            _check(world)


@settings(deadline=None, max_examples=25)
@example([(2, 0, 0), (1, 1, 0), (1, 0, 1)], True, 1)  # packed more than the ticket said, then lost some
@given(
    st.lists(st.tuples(st.integers(1, 7), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=8),
    st.booleans(),
    st.sampled_from([None, 1, 2, 3]),
)
def test_every_line_is_made_whatever_is_lost_or_made_beyond_the_order(
    orders: list[tuple[int, int, int]], route: bool, batch: int | None
) -> None:
    with bare() as tx:
        world = World(tx, route=route, batch=batch, pieces_per_cycle=1)
        stock.set_stock(tx, "BLANK", 1_000, lot=None, who=ANNA, now=NOW)
        world.material = Fraction(1_000)
        for quantity, extra, scrap in orders:
            world.floor.order(quantity)
            for job_id in world.floor.plan()[:1]:
                world.make(job_id, extra=extra, scrap=scrap)
        for _ in range(200):
            released = world.floor.plan()
            if not released:
                break
            world.make(released[0], extra=0, scrap=0)
        assert {line["state"] for line in rows(tx, "SELECT state FROM order_lines")} == {"made"}
        _check(world)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(1, 7), st.integers(0, 3), st.integers(0, 2), st.integers(1, 9)), min_size=1, max_size=5
    ),
    st.booleans(),
    st.sampled_from([None, 1, 2, 3]),
)
def test_a_line_whose_quantity_changes_in_work_is_made_in_the_new_one_and_the_rest_lies_on_the_shelf(
    orders: list[tuple[int, int, int, int]], route: bool, batch: int | None
) -> None:
    with bare() as tx:
        world = World(tx, route=route, batch=batch, pieces_per_cycle=1)
        stock.set_stock(tx, "BLANK", 1_000, lot=None, who=ANNA, now=NOW)
        world.material = Fraction(1_000)
        for position, (quantity, made, scrap, wanted) in enumerate(orders):
            number = world.floor.order(quantity, width_mm=str(60 + position))
            for _ in range(made):
                if released := world.floor.plan():
                    world.make(released[0], extra=0, scrap=scrap)
            if released := world.floor.plan():
                world.floor.begin(released[0])
            world.floor.order(wanted, number=number, width_mm=str(60 + position))
            becomes = wanted
            for asked in world.floor.asked():
                possible = [action for action in asked["actions"] if action in {"make_more", "shelf"}]
                world.floor.decide(possible[0] if possible else "close")
                becomes = wanted if possible else quantity
            _finish(world)
            _check(world)
            line = world.floor.line(number)
            assert (line["state"], line["good"], line["quantity"]) == ("made", becomes, becomes)


def _finish(world: World) -> None:
    """Make everything there is to make."""
    for _ in range(200):
        world.floor.plan()
        left = rows(world.tx, "SELECT job_id FROM jobs WHERE state IN ('released','running') ORDER BY rowid")
        if not left:
            return
        world.make(left[0]["job_id"], extra=0, scrap=0)
