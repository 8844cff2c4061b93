"""Shop -> ledger: the files of lines come to our disk and are checked; a bad one holds its line alone."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from gateway.clock import Clock
from gateway.domain.files import Content, FileRules, UnfitError, unfit
from gateway.domain.products import Product
from gateway.errors import ShopError, ShopRefusedError
from gateway.files.inspection import inspect
from gateway.files.store import FileStore, StoreError
from gateway.ledger import files
from gateway.ledger.database import Ledger
from gateway.ledger.files import Errand
from gateway.shops.fetching import Fetcher, shown_url
from gateway.stages.backoff import Backoff

IDLE_S = 30.0
TRIES_IN_SILENCE = 5  # after so many a person is told, and it is tried on
LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What the articles ask of files, by article, step and name."""

    rules: dict[tuple[str, int, str], FileRules]

    @classmethod
    def of(cls, products: Iterable[Product]) -> "Asked":
        """Collect what each step of each article asks."""
        return cls(
            rules={
                (product.name, number, rules.name): rules
                for product in products
                for number, step in enumerate(product.route, start=1)
                for rules in step.files
            }
        )

    def by(self, errand: Errand) -> FileRules | None:
        """Give the rules for a file as they are now, None where its article asks for it no longer."""
        return self.rules.get((errand.product, errand.wanted.step, errand.wanted.name))


@dataclass(kw_only=True, slots=True)
class _Rest:
    """A file that did not come: how often, and when it may be tried again, in machine time."""

    until_s: float = 0.0
    tries: int = 0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=1.0, most_s=LONGEST_PAUSE_S))


class FileStage:
    """The files of one shop's lines, one after the other."""

    def __init__(
        self, shop: str, fetcher: Fetcher, asked: Asked, store: FileStore, *, ledger: Ledger, clock: Clock, log: Any
    ) -> None:
        self._shop, self._fetcher, self._asked, self._store = shop, fetcher, asked, store
        self._ledger, self._clock, self._log = ledger, clock, log.bind(shop=shop)
        self._rests: dict[int, _Rest] = {}

    async def run(self) -> NoReturn:
        """Fetch whatever is wanted; one that does not come rests, and the others go on."""
        while True:
            if (pause_s := await self.step()) > 0:
                await self._ledger.changed(files.bell(self._shop), timeout_s=pause_s)

    async def step(self) -> float:
        """Bring the next file; give how long there is nothing to do, seconds."""
        wanted = await self._ledger.read(lambda tx: files.pending(tx, self._shop))
        now_s, ids = self._clock.monotonic(), {errand.file_id for errand in wanted}
        self._rests = {file_id: rest for file_id, rest in self._rests.items() if file_id in ids}
        due = next((one for one in wanted if one.file_id not in self._rests or self._rested(one, now_s)), None)
        if due is None:
            return min([IDLE_S, *(max(0.05, rest.until_s - now_s) for rest in self._rests.values())])
        try:
            await self._bring(due)
        except (ShopRefusedError, UnfitError) as fault:
            await self._refuse(due, str(fault))
        except (ShopError, StoreError) as fault:
            await self._put_off(due, str(fault), getattr(fault, "retry_after_s", None) or 0.0)
        except OSError as fault:
            await self._put_off(due, f"our own disk: {fault.strerror or type(fault).__name__}", 0.0)
        return 0.0

    def _rested(self, errand: Errand, now_s: float) -> bool:
        return self._rests[errand.file_id].until_s <= now_s

    async def _bring(self, errand: Errand) -> None:
        """Fetch, look into it, keep it, and write it down; ended in between, it is begun anew."""
        rules = self._asked.by(errand)
        if rules is None:
            raise UnfitError(f"the article {errand.product} asks for no file {errand.wanted.name} any more")
        await self._store.prepare()
        part = self._store.part(str(errand.file_id))
        try:
            await self._fetcher.fetch(errand.wanted.url, part, most=rules.max_bytes)
            content = await self._checked(part, errand, rules)
        except (ShopError, UnfitError):
            await self._store.drop(part)
            raise
        stored = await self._store.keep(part)
        now, kind = self._clock.now(), content.type
        await self._ledger.write(
            lambda tx: files.checked(tx, errand, sha256=stored.sha256, size=stored.bytes, kind=kind, now=now)
        )
        self._log.info("file checked", file=errand.file_id, type=kind, bytes=stored.bytes)

    async def _checked(self, part: Path, errand: Errand, rules: FileRules) -> Content:
        """Look into a file; raise `UnfitError`, with its host and name, where it is not what is asked for."""
        wanted = errand.wanted
        try:
            content = await inspect(part, rules.types)
            faults = unfit(content, rules, width_mm=wanted.width_mm, height_mm=wanted.height_mm)
        except UnfitError as fault:
            raise UnfitError(f"{shown_url(wanted.url)}: {fault}") from None
        if faults:
            raise UnfitError(f"{shown_url(wanted.url)}: {'; '.join(faults)}")
        return content

    async def _refuse(self, errand: Errand, reason: str) -> None:
        self._log.warning("file refused", file=errand.file_id, reason=reason)
        now = self._clock.now()
        await self._ledger.write(lambda tx: files.refused(tx, errand, reason=reason, now=now))

    async def _put_off(self, errand: Errand, reason: str, at_least_s: float) -> None:
        rest = self._rests.setdefault(errand.file_id, _Rest())
        rest.tries += 1
        rest.until_s = self._clock.monotonic() + rest.backoff.wait_s(at_least_s)
        if rest.tries == 1:
            self._log.warning("file put off", file=errand.file_id, reason=reason)
        if rest.tries == TRIES_IN_SILENCE:
            now = self._clock.now()
            await self._ledger.write(lambda tx: files.away(tx, errand, reason=reason, now=now))
