"""Pictures of the simulated shop, over a real socket, through a real child process, to a machine's folder."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.domain.exceptions import Kind
from gateway.domain.intake import Catalogue
from gateway.files.store import FileStore
from gateway.ledger.database import Tx
from gateway.shops.base import Shop
from gateway.shops.catalog import open_shop
from gateway.shops.fetching import FetchAccess, open_fetcher
from gateway.stages.deliver import Porter
from gateway.stages.fetch import Asked, FileStage
from gateway.stages.intake import bind, pull_once
from gateway.stages.plan import plan_once
from simulators.shop import RunningShop, Wanted, running_shop
from simulators.shop.artwork import artwork
from tests.shops.loopback import access_to
from tests.stages.factory import FLOOR, LOG, PRESS, RECIPE, SHOP, Factory, a_factory
from tests.stages.files import WITH_FILES


@asynccontextmanager
async def a_bench(folder: Path, *, timeout_s: float = 10.0) -> AsyncIterator[tuple[Factory, RunningShop, Any]]:
    """Give a factory at a simulated shop, and what lets all stages do what there is to do up to the folder."""
    (folder / "hot").mkdir()
    async with (
        running_shop(key="ck_canary", secret="cs_canary") as running,
        open_shop(access_to(running.url, lag_s=0.0)) as shop,
        a_factory(folder / "state") as factory,
    ):
        factory.catalogue = Catalogue(range=WITH_FILES, recipe=lambda _machine, _recipe: RECIPE)
        access = FetchAccess(
            name=SHOP, hosts=frozenset({urlsplit(running.url).netloc}), plain=True, timeout_s=timeout_s
        )
        async with open_fetcher(access) as fetcher:
            yield factory, running, _Stages(factory, shop, fetcher, folder)


class _Stages:
    def __init__(self, factory: Factory, shop: Shop, fetcher: Any, folder: Path) -> None:
        self._factory, self._shop, self._known = factory, shop, False
        store = FileStore(folder / "state" / "files")
        more: dict[str, Any] = {"ledger": factory.ledger, "clock": factory.clock, "log": LOG}
        self._stage = FileStage(SHOP, fetcher, Asked.of(WITH_FILES.products), store, **more)
        self._porter = Porter(machine=PRESS, folder=folder / "hot", store=store, **more)

    async def begin(self) -> None:
        """Forget the site of the shop in memory, and bind the simulated one."""
        for table in ("shops", "cursors"):
            await self._factory.ledger.write(partial(_empty, table=table))
        await bind(self._factory.source, self._shop, ledger=self._factory.ledger, clock=self._factory.clock)

    async def run(self) -> None:
        factory = self._factory
        await pull_once(factory.source, self._shop, ledger=factory.ledger, clock=factory.clock, log=LOG)
        while await self._stage.step() == 0.0:
            pass
        plan: Callable[[Any], int] = lambda tx: plan_once(tx, FLOOR, site="LUND", epoch=1, now=factory.clock.now())  # noqa: E731
        await factory.ledger.write(plan)
        await self._porter.step()


def _empty(tx: Tx, *, table: str) -> None:
    tx.exec_driver_sql(f"DELETE FROM {table}")


def place(running: RunningShop, *numbers: int) -> None:
    for number in numbers:
        url = f"{running.url}/artwork/{number}.png?key=canary"
        running.store.place_order([Wanted(sku="TRAY-12", options={"width_mm": "80", "artwork_url": url})])


async def test_the_picture_of_an_order_reaches_the_folder_byte_by_byte(tmp_path: Path) -> None:
    async with a_bench(tmp_path) as (factory, running, stages):
        await stages.begin()
        place(running, 7)
        await stages.run()
        (job,) = await factory.jobs()
        laid = {path.name: path.read_bytes() for path in (tmp_path / "hot").iterdir()}
        assert laid == {f"{job['job_id']}-artwork.png": artwork(7)}


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("artwork_missing", "answered 404"),
        ("artwork_html", "it is a web page"),
        ("artwork_moved", "no redirect is followed"),
        ("artwork_huge", "more than 0.1 MB"),
    ],
)
async def test_a_fault_of_one_picture_holds_that_line_alone(tmp_path: Path, fault: str, why: str) -> None:
    async with a_bench(tmp_path) as (factory, running, stages):
        await stages.begin()
        place(running, 7, 8)
        running.faults.put(fault, times=1)
        await stages.run()
        (asked,) = await factory.exceptions()
        assert (asked["cause"], asked["actions"]) == (Kind.FILE_REFUSED.cause, ["retry", "close"])
        assert why in asked["evidence"]["text"]
        assert "canary" not in str(asked)
        assert [path.read_bytes() for path in (tmp_path / "hot").iterdir()] == [artwork(8)]


async def test_a_drip_fed_picture_is_put_off_and_comes_later(tmp_path: Path) -> None:
    async with a_bench(tmp_path, timeout_s=2.0) as (factory, running, stages):
        await stages.begin()
        place(running, 7)
        running.faults.put("artwork_drip", times=1)
        await stages.run()
        assert list((tmp_path / "hot").iterdir()) == []
        assert await factory.exceptions() == []
        factory.clock.advance(60)
        await stages.run()
        assert [path.read_bytes() for path in (tmp_path / "hot").iterdir()] == [artwork(7)]


async def test_trays_of_customers_carry_pictures_where_the_shop_is_told_so() -> None:
    async with running_shop(orders=3, unpaid=0, artwork=True) as running:
        running.state.step(running.state.now + timedelta(hours=2))
        options = [
            {meta.key: meta.value for meta in line.meta}
            for order in running.orders
            for line in order.lines
            if line.article.sku.startswith("TRAY-")
        ]
        assert options
        assert all(one["artwork_url"].startswith(f"{running.url}/artwork/") for one in options)
