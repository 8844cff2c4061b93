"""A person's hand at a machine in commissioning -> ledger: one value is sent once, read back, and written down."""

from collections.abc import Mapping
from typing import Any, Protocol

from drivers.base import Answer, Scalar, Session, Writable
from drivers.profile import Profile
from gateway.clock import Clock
from gateway.domain.commissioning import Outcome, same, told
from gateway.ledger import commissioning
from gateway.ledger.commissioning import HandWrite
from gateway.ledger.database import Ledger, Tx
from gateway.stages.probe import Done


class Handed(Protocol):
    """What is asked about a configured machine."""

    @property
    def name(self) -> str:
        """Give its name in the configuration."""
        ...

    @property
    def profile(self) -> Profile:
        """Give its type."""
        ...


class Hand:
    """Attends to a machine while a person has it in hand: nothing is dispatched, and what he wants written is sent."""

    def __init__(self, machine: Handed, *, ledger: Ledger, clock: Clock, log: Any) -> None:
        self._name, self._profile = machine.name, machine.profile
        self._ledger, self._clock, self._log = ledger, clock, log

    async def step(self, session: Session, *, silent_s: float) -> Done | None:
        """Take the next step of a commissioning or a write; None where there is none any more.

        `silent_s`: how long this session has sent nothing that an earlier one left on its way. Raise `DriverError`
        where the machine does not answer; what was sent then is read back by the next session, and never sent again.
        """
        name, now = self._name, self._clock.now()
        if await self._ledger.read(lambda tx: commissioning.is_over(tx, name, now=now)):
            await self._ledger.write(lambda tx: commissioning.lapse(tx, name, now=now))
            self._log.info("commissioning lapsed")
            return Done(text="commissioning lapsed: arm the machine anew", rests=False)
        write = await self._ledger.read(lambda tx: commissioning.open_write(tx, name))
        if write is not None and write.sent:
            if silent_s < self._profile.settle_s:
                return Done(text=f"waiting until a late write of {write.tag} would show", rests=True)
            return await self._conclude(write, session)
        if write is not None and (why := self._unsendable(write, session)) is not None:
            await self._end(write, Outcome.NOT_SENT, shown=None, why=why)
            return Done(text=f"nothing was written: {why}", rests=False)
        if write is not None:
            return await self._send(write, session)
        there = await self._ledger.read(lambda tx: commissioning.in_force(tx, name, now=now))
        return None if there is None else Done(text=there.text, rests=True)

    def _unsendable(self, write: HandWrite, session: Session) -> str | None:
        """Say why a write that waits must not be sent any more."""
        if write.gateway_boot != self._ledger.boot or self._clock.monotonic() >= write.until_s:
            return "its time had passed before it could be sent"
        if not isinstance(session, Writable) or (limit := self._profile.writable.get(write.tag)) is None:
            return f"{write.tag} is not in the write list of profile {self._profile.name}"
        return limit.fault(write.value)

    async def _send(self, write: HandWrite, session: Session) -> Done:
        """Read what is there, commit the intent, send once, keep the answer, read back (R1, R7)."""
        assert isinstance(session, Writable)
        before = await session.read_tag(write.tag)

        def begin(tx: Tx) -> bool:
            in_time = self._clock.monotonic() < write.until_s
            return in_time and commissioning.intend(tx, write, before=before, now=self._clock.now())

        if not await self._ledger.write(begin):
            why = "its time had passed, or the machine is not in commissioning any more"
            await self._end(write, Outcome.NOT_SENT, shown=before, why=why)
            return Done(text=f"nothing was written: {why}", rests=False)
        deadline_s = self._clock.monotonic() + self._profile.timeout_s
        receipt = await session.write_tag(write.tag, write.value, deadline_s=deadline_s)
        self._log.info("written by hand", tag=write.tag, answer=receipt.answer, evidence=receipt.evidence)
        await self._ledger.write(lambda tx: commissioning.answered(tx, write, receipt))
        again = await self._ledger.read(lambda tx: commissioning.open_write(tx, self._name))
        assert again is not None
        return await self._conclude(again, session)

    async def _conclude(self, write: HandWrite, session: Session) -> Done:
        """Read back what the machine shows, and write down what became of a write that was sent."""
        shown: Scalar | None = None
        if isinstance(session, Writable) and write.tag in self._profile.writable:
            shown = await session.read_tag(write.tag)
            taken = write.answer is not None and write.answer.answer is Answer.ACCEPTED
            if taken and not self._agrees(write, shown):  # the controller may copy it in its next round
                await self._clock.sleep(self._profile.settle_s)
                shown = await session.read_tag(write.tag)
        outcome = _OUTCOMES[None if write.answer is None else write.answer.answer]
        why = write.answer.evidence if write.answer is not None and outcome is Outcome.REFUSED else ""
        text = await self._end(write, outcome, shown=shown, why=why)
        return Done(text=text, rests=False)

    async def _end(self, write: HandWrite, outcome: Outcome, *, shown: Scalar | None, why: str) -> str:
        agrees = outcome is Outcome.TAKEN and self._agrees(write, shown)
        text = told(outcome, tag=write.tag, wanted=write.value, shown=shown, agrees=agrees)
        text = f"{text} ({why})" if why else text
        now = self._clock.now()
        await self._ledger.write(
            lambda tx: commissioning.end_write(tx, write, outcome, shown=shown, text=text, agrees=agrees, now=now)
        )
        return text

    def _agrees(self, write: HandWrite, shown: Scalar | None) -> bool:
        tag = self._profile.tags.get(write.tag)
        return tag is not None and same(shown, write.value, tag)


_OUTCOMES: Mapping[Answer | None, Outcome] = {
    None: Outcome.UNKNOWN,
    Answer.ACCEPTED: Outcome.TAKEN,
    Answer.REFUSED: Outcome.REFUSED,
}
