"""Machine -> spool: the blocks of each machine's session, screened, numbered and kept."""

import asyncio
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
        self._bell = asyncio.Event()

    def watching(self, driver: Driver) -> Driver:
        """Give the driver whose sessions are sampled as long as they last."""
        return _Watched(driver, self._opened)

    @asynccontextmanager
    async def _opened(self, session: Session) -> AsyncIterator[None]:
        if not isinstance(session, Sampler):
            yield
            return
        session.listen(self._bell.set)
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
        due_s = self._clock.monotonic()
        while True:
            sampler = self._sampler
            if isinstance(sampler, Polled):
                await self._poll(sampler)
                # Absolute deadlines: a slow answer does not shift the polls after it.
                due_s = max(due_s + self._sample_s, self._clock.monotonic())
                await self._clock.sleep(due_s - self._clock.monotonic())
            else:
                await self._rung()
            if self._sampler is not None:
                self._store(self._sampler.take())

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


class _Watched:
    """A driver whose sessions somebody else sees too."""

    def __init__(self, driver: Driver, opened: Callable[[Session], AbstractAsyncContextManager[None]]) -> None:
        self._driver, self._opened = driver, opened

    @asynccontextmanager
    async def session(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        """Open a session of the driver behind."""
        async with self._driver.session(on_change) as session, self._opened(session):
            yield session
