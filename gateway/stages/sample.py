"""Machine -> spool: the blocks of each machine's session, screened, numbered and kept."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NoReturn

from drivers.base import Driver, DriverError, Session
from drivers.blocks import Block, Polled, Sampler
from drivers.profile import Tag
from gateway.clock import Clock
from gateway.domain.telemetry import Screen
from gateway.ledger.facts import milliseconds
from gateway.uplink.samples import Encoder
from gateway.uplink.spool import Spool

_PATIENCE_S = 5.0  # the longest between two looks at whether the session is still the same


class Sampling:
    """The samples of one machine. Whoever opens its sessions opens them through `watching`.

    `to_business_ms` turns a machine's time of day, milliseconds, into business time.
    """

    def __init__(
        self,
        machine: str,
        *,
        tags: Mapping[str, Tag],
        sample_s: float,
        encoder: Encoder,
        spool: Spool,
        clock: Clock,
        log: Any,
        to_business_ms: Callable[[int], int] = lambda t_ms: t_ms,
    ) -> None:
        self._machine, self._sample_s = machine, sample_s
        self._encoder, self._spool, self._clock = encoder, spool, clock
        self._log = log.bind(machine=machine)
        self._to_business_ms = to_business_ms
        self._screen = Screen(tags)
        self._sampler: Sampler | None = None
        self.skipped = 0  # polls that were not made because those before them took too long
        self._bell = asyncio.Event()

    def watching(self, driver: Driver) -> Driver:
        """Give the driver whose sessions are sampled as long as they last."""
        return _Watched(driver, self._opened)

    @asynccontextmanager
    async def _opened(self, session: Session) -> AsyncIterator[None]:
        if not isinstance(session, Sampler):
            yield
            return
        # Values that are asked for are taken as they come: what has no time of its own gets that of its arrival.
        session.listen(self._take if isinstance(session, Polled) else self._bell.set)
        self._sampler = session
        self._bell.set()
        try:
            yield
        finally:
            self._sampler = None
            self._store(session.take())
            away = self._screen.away(milliseconds(self._clock.now()))
            if away is not None:
                self._send(away, milliseconds(self._clock.now()))

    async def run(self) -> NoReturn:
        """Take blocks as they come, and ask for them where the machine does not tell."""
        while True:
            if isinstance(self._sampler, Polled):
                await self._poll_for_ever(self._sampler)
            await self._rung()
            self._take()

    def _take(self) -> None:
        if self._sampler is not None:
            self._store(self._sampler.take())

    async def _poll_for_ever(self, sampler: Polled) -> None:
        """Poll on absolute deadlines as long as the session lasts; what comes too late is skipped, not made up for."""
        due_s, before = self._clock.monotonic(), self.skipped
        while self._sampler is sampler:
            await self._poll(sampler)
            due_s, skipped = next_poll(due_s, self._sample_s, self._clock.monotonic())
            if skipped and self.skipped == before:
                self._log.warning("tags are read more slowly than they should be", sample_s=self._sample_s)
            self.skipped += skipped
            await self._clock.sleep(max(0.0, due_s - self._clock.monotonic()))
        if self.skipped > before:
            self._log.info("polls of tags were skipped because those before took too long", count=self.skipped - before)

    async def _poll(self, sampler: Polled) -> None:
        try:
            await sampler.poll()
        except DriverError as fault:
            # The session's owner finds out by itself; values that are not there are told as bad.
            self._log.debug("tags cannot be read", reason=str(fault))
            away = self._screen.away(milliseconds(self._clock.now()))
            if away is not None:
                self._send(away, milliseconds(self._clock.now()))

    async def _rung(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._bell.wait()
        except TimeoutError:
            return
        self._bell.clear()

    def _store(self, blocks: tuple[Block, ...]) -> None:
        for block in blocks:
            news = self._screen.news(block)
            if news is not None:
                t_ms = news.t_ms
                self._send(news, milliseconds(self._clock.now()) if t_ms is None else self._to_business_ms(t_ms))

    def _send(self, block: Block, t_ms: int) -> None:
        for message in self._encoder.messages(self._machine, block, t_ms=t_ms):
            self._spool.keep(
                self._machine,
                boot=self._encoder.boot,
                seq=message.seq,
                t_ms=message.t_ms,
                count=message.count,
                body=message.body,
            )


def next_poll(due_s: float, period_s: float, now_s: float) -> tuple[float, int]:
    """Give when the poll after that of `due_s` is due, and how many are skipped because their time has passed."""
    skipped = max(0, math.ceil((now_s - due_s) / period_s) - 1)
    return due_s + (skipped + 1) * period_s, skipped


class _Watched:
    """A driver whose sessions somebody else sees too."""

    def __init__(self, driver: Driver, opened: Callable[[Session], AbstractAsyncContextManager[None]]) -> None:
        self._driver, self._opened = driver, opened

    @asynccontextmanager
    async def session(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        """Open a session of the driver behind."""
        async with self._driver.session(on_change) as session, self._opened(session):
            yield session
