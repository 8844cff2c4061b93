"""Material and shelf with a gateway that ends at each point in turn: nothing is used, or given out, twice."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.base import JobPhase
from gateway.domain.products import Needs
from gateway.errors import RefusedError
from gateway.ledger import exceptions, shelf, stock
from gateway.ledger.database import Tx
from gateway.ledger.sql import rows
from gateway.stages.plan import Floor
from gateway.stages.releases import Act, release_run, split_run
from tests.shops.fake_shop import an_order
from tests.stages import lives
from tests.stages.factory import PRESS, RANGE, TestClock
from tests.stages.lives import CrashError, Life, Place

ANNA = "person:anna"
NEEDS = Needs(material={"BLANK": 2.0}, tools=("MOULD",))
EFFECTS = frozenset({"before a write", "after a write", "after a command"})
ROUNDS = 40


FLOOR = Floor(
    families={name: replace(family, needs=NEEDS) for name, family in RANGE.families.items()}, machines=(PRESS,)
)


@pytest.fixture(autouse=True)
def _needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "FLOOR", FLOOR)


@contextmanager
def _a_place() -> Iterator[Place]:
    directory = Path(tempfile.mkdtemp(prefix="kvot-"))
    try:
        yield Place(state_dir=directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _work(place: Place) -> None:
    """Let the press make what it has been given, one good piece and one of scrap beyond it."""
    for name, job in list(place.press.jobs.items()):
        if job.phase is JobPhase.ALLOWED_TO_START:
            place.press.run(name)
        elif job.phase is JobPhase.RUNNING:
            place.press.finish(name, good=job.command.quantity + 1, scrap=1)


async def _live(place: Place, life: Life) -> bool:
    """Let two orders come, the second for what the first leaves over; say whether the shop has heard that both are."""
    await life.begin()
    await life.ledger.write(_deliver)
    if not place.shop.orders:
        place.shop.place(an_order("1001", quantity=2))
    for _ in range(ROUNDS):
        await life.pull()
        await life.plan()
        await life.tend()
        await life.report()
        _work(place)
        place.clock.advance(1.5)
        made = [name for name, values in place.shop.statuses.items() if values.get("_kvot_state") == "made"]
        if made == ["1001"] and "1002" not in place.shop.orders:
            place.shop.place(an_order("1002", quantity=1))
        if len(made) == 2 and not place.press.jobs:
            return True
    return False


def _deliver(tx: Tx) -> None:
    """A person writes the stock down once."""
    if not stock.list_stock(tx)["material"]:
        stock.set_stock(tx, "BLANK", 20, lot="L-1", who=ANNA, now=TestClock().business)


async def _until_made(place: Place) -> int:
    for number in range(1, 6):
        try:
            async with place.life() as life:
                if await _live(place, life):
                    await _check(place, life)
                    return number
        except CrashError:
            continue
    raise AssertionError(f"not made in five lives: {place.fuse.touched[-10:]}")


async def _check(place: Place, life: Life) -> None:
    assert len(place.press.starts) == 1
    found = await life.ledger.read(stock.list_stock)
    assert [(item["quantity"], item["reserved"]) for item in found["material"]] == [(12.0, 0.0)]  # 3 good, 1 scrap
    assert (found["tools"], found["waiting"]) == ([], [])
    assert await life.ledger.read(shelf.list_shelf) == []
    entries = await life.ledger.read(lambda tx: rows(tx, "SELECT kind, pieces FROM shelf ORDER BY entry_id"))
    assert [(one["kind"], one["pieces"]) for one in entries] == [("put", 1), ("take", 1)]
    assert await life.ledger.read(exceptions.count_open) == 0


async def test_nothing_is_used_or_given_out_twice_wherever_the_gateway_ends() -> None:
    point = 0
    while True:
        point += 1
        with _a_place() as place:
            place.press.quick = True
            place.fuse.left, place.fuse.only = point, EFFECTS
            if await _until_made(place) == 1:  # all was made before it came so far
                assert point > 15, "these points cannot be all"
                return


async def test_a_shortage_sends_nothing_and_stock_that_is_written_down_meanwhile_starts_the_run(
    state_dir: Path,
) -> None:
    place = Place(state_dir=state_dir)
    async with place.life() as life:
        await life.begin()
        place.shop.place(an_order("1001", quantity=2))
        await life.pull()
        await life.plan()
        await life.tend()
        assert place.press.received == []
        (question,) = await life.factory.exceptions()
        assert question["cause"] == "material is missing"

        async def deliver() -> None:
            await life.ledger.write(_deliver)

        place.fuse.at("before a write", deliver)  # between two looks of the planner
        await life.plan()
        await life.tend()
        assert len(place.press.received) == 1
        assert await life.factory.exceptions() == []


async def test_a_person_releases_no_run_that_lacks_material_but_the_part_that_can_be_made(state_dir: Path) -> None:
    place = Place(state_dir=state_dir)
    async with place.life() as life:
        await life.begin()
        await life.ledger.write(lambda tx: stock.set_stock(tx, "BLANK", 6, lot=None, who=ANNA, now=place.clock.now()))
        place.shop.place(an_order("1001", quantity=5))
        await life.pull()
        await life.plan()
        act = Act(who=ANNA, now=place.clock.now(), site="LUND", epoch=1)
        with pytest.raises(RefusedError, match="BLANK: 10 needed, 6 free; `kvot runs split 1 --keep 3`"):
            await life.ledger.write(lambda tx: release_run(tx, FLOOR, 1, act))
        await life.ledger.write(lambda tx: split_run(tx, FLOOR, 1, keep=3, act=act))
        assert await life.factory.exceptions() == []
        assert [(job["state"], job["quantity"]) for job in await life.factory.jobs()] == [
            ("released", 3),
            ("waiting", 2),
        ]
        (item,) = (await life.ledger.read(stock.list_stock))["material"]
        assert (item["quantity"], item["reserved"]) == (6, 6)
