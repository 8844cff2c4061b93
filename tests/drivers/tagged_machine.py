"""A machine in memory that also has tags which people write by hand, and loses answers on request."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from drivers.base import Answer, DriverError, Receipt, Scalar, Session
from tests.drivers.fake_machine import FakeMachine, Fault

STANDBY = "standby_c"


class TaggedMachine(FakeMachine):
    """Keeps what is written in `tags`, and in `written` each write that reached it; what it `clamps` it keeps lower.

    `before_write` is called when a write is about to go over the wire.
    """

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.tags: dict[str, Scalar] = {STANDBY: 22.0}
        self.clamps: float | None = None
        self.written: list[tuple[str, Scalar]] = []
        self.tag_faults: list[Fault] = []
        self.before_write: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def _session(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        async with super()._session(on_change) as opened:
            session: Any = opened

            async def read_tag(name: str) -> Scalar | None:
                await session._alive()
                return self.tags.get(name)

            async def write_tag(name: str, value: Scalar, *, deadline_s: float) -> Receipt:
                await session._alive()
                self.before_write()
                try:
                    return self._write(name, value, deadline_s)
                except DriverError as error:
                    session.broken = str(error)
                    raise

            session.read_tag, session.write_tag = read_tag, write_tag
            yield session

    def _write(self, name: str, value: Scalar, deadline_s: float) -> Receipt:
        fault = self.tag_faults.pop(0) if self.tag_faults else None
        if self._monotonic() >= deadline_s or fault is Fault.LOSE_COMMAND:
            raise DriverError("the connection broke before the write was sent")
        if fault is Fault.REFUSE:
            return Receipt(answer=Answer.REFUSED, evidence="BadOutOfRange")
        self.written.append((name, value))
        clamped = self.clamps is not None and isinstance(value, float) and value > self.clamps
        self.tags[name] = self.clamps if clamped and self.clamps is not None else value
        if fault is Fault.LOSE_ANSWER:
            raise DriverError("no answer in time")
        return Receipt(answer=Answer.ACCEPTED, evidence="the machine confirmed the write")
