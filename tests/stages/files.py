"""A factory whose press needs a picture for each tray: what brings the pictures, and where they lie."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.domain.files import Content, FileRules, FileType
from gateway.domain.intake import Catalogue
from gateway.domain.orders import ShopOrder
from gateway.domain.products import ExpressionFaultError, Range
from gateway.files.content import read_content
from gateway.files.store import FileStore, Stored
from gateway.stages.deliver import Porter
from gateway.stages.fetch import Asked, FileStage
from tests.files.samples import png
from tests.shops.fake_shop import a_line, an_order
from tests.stages.factory import PRESS, RANGE, RECIPE, SHOP, STEP
from tests.stages.lives import LOG, Fuse, Life, Place

URL = "https://shop.example/canary/{}.png?token=canary"


def _url(variables: Any) -> str:
    try:
        return str(variables["line"]["options"]["artwork_url"])
    except KeyError:
        raise ExpressionFaultError("line.options.artwork_url is missing") from None


RULES = FileRules(
    name="artwork",
    url=_url,
    types=frozenset({FileType.PNG}),
    max_bytes=100_000,
    min_dpi=150,
    width_mm=lambda _: 60.0,
    height_mm=lambda _: 60.0,
)
PRODUCT = replace(RANGE.products[0], route=(replace(STEP, files=(RULES,)),))
WITH_FILES = Range(products=(PRODUCT, *RANGE.products[1:]), families=RANGE.families)


def with_artwork(number: str = "1001", *, artwork: str | None = None, **fields: Any) -> ShopOrder:
    """Make an order of one tray with a picture; an empty `artwork` is no picture."""
    url = URL.format(number) if artwork is None else artwork
    line = a_line(f"{number}-1", options={"width_mm": "60.5", "artwork_url": url})
    return an_order(number, lines=(line,), **fields)


@dataclass(kw_only=True)
class FakeFetcher:
    """Files by address; an error in place of one is raised, once where it stands in a list."""

    files: dict[str, bytes | Exception | list[Exception | bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    fuse: Fuse = field(default_factory=Fuse)

    async def fetch(self, url: str, into: Path, *, most: int) -> None:
        await self.fuse.touch("before a fetch")
        self.asked.append(url)
        found = self.files[url]
        answer = (found.pop(0) if len(found) > 1 else found[0]) if isinstance(found, list) else found
        if isinstance(answer, Exception):
            into.write_bytes(b"half")  # noqa: ASYNC240 - a few bytes
            raise answer
        assert len(answer) <= most
        into.write_bytes(answer)  # noqa: ASYNC240 - a few bytes
        await self.fuse.touch("after a fetch")


class FusedStore(FileStore):
    """The real store; the gateway can end before and after each thing it does."""

    def __init__(self, directory: Path, fuse: Fuse) -> None:
        super().__init__(directory)
        self.fuse = fuse

    async def keep(self, part: Path) -> Stored:
        await self.fuse.touch("before it is kept")
        stored = await super().keep(part)
        await self.fuse.touch("after it is kept")
        return stored

    async def deliver(self, digest: str, folder: Path, name: str) -> None:
        await self.fuse.touch("before it is delivered")
        await super().deliver(digest, folder, name)
        await self.fuse.touch("after it is delivered")


async def look_here(path: Path, wanted: frozenset[FileType]) -> Content:
    """Look into a file in this process: what is in it is the test's own."""
    return read_content(path, wanted)


@dataclass(kw_only=True)
class FilePlace(Place):
    """A place with a hot folder at its press."""

    fetcher: FakeFetcher = field(default_factory=FakeFetcher)
    hot: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.fetcher.fuse = self.fuse
        self.hot = self.state_dir / "hot"
        self.hot.mkdir(exist_ok=True)

    def put(self, number: str = "1001", content: bytes | Exception | list[Exception | bytes] | None = None) -> None:
        """Put a picture where the order's address leads."""
        self.fetcher.files[URL.format(number)] = png(grey=int(number) % 256) if content is None else content

    def delivered(self) -> dict[str, bytes]:
        assert self.hot is not None
        return {path.name: path.read_bytes() for path in self.hot.iterdir()}

    @asynccontextmanager
    async def file_life(self) -> AsyncIterator["FileLife"]:
        async with self.life() as life:
            life.factory.catalogue = Catalogue(range=WITH_FILES, recipe=lambda _machine, _recipe: RECIPE)
            store = FusedStore(self.state_dir / "files", self.fuse)
            more: dict[str, Any] = {"ledger": life.factory.ledger, "clock": self.clock, "log": LOG}
            stage = FileStage(SHOP, self.fetcher, Asked.of(WITH_FILES.products), store, **more)
            porter = Porter(machine=PRESS, folder=self.hot, store=store, **more)
            await life.begin()
            yield FileLife(place=self, life=life, stage=stage, porter=porter, store=store)


@dataclass(kw_only=True)
class FileLife:
    """One life of that gateway."""

    place: FilePlace
    life: Life
    stage: FileStage
    porter: Porter
    store: FileStore

    async def fetch(self) -> float:
        """Fetch until there is nothing to do; give for how long."""
        for _ in range(40):
            if (pause_s := await self.stage.step()) > 0:
                return pause_s
        raise AssertionError("the stage does not rest")

    async def turn(self) -> None:
        """Let every stage do what there is to do."""
        await self.life.pull()
        await self.fetch()
        await self.life.plan()
        await self.porter.step()
        await self.life.tend()
        await self.life.report()

    async def files(self, order: int = 1) -> list[dict[str, Any]]:
        lines = (await self.life.factory.order(order))["lines"]
        return [one for line in lines for one in line["files"]]

    async def line_state(self, order: int = 1) -> str:
        return str((await self.life.factory.order(order))["lines"][0]["state"])
