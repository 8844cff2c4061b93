"""A plain machine as the driver port: look, send once, reconcile by evidence, over any protocol."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from drivers import plain
from drivers.base import (
    Answer,
    Command,
    CommandKind,
    DriverError,
    Finding,
    Identity,
    Look,
    MonotonicClock,
    Receipt,
    Scalar,
)
from drivers.plain import NO_BOOT, Baseline, Shown, Trial
from drivers.profile import Place, PlainMap
from drivers.speaking import RefusedWriteError, Speaking

_READINGS = 5
_POLL_FIRST_S = 0.005
_POLL_MAX_S = 0.1
_LATE = "the command's deadline has passed"


class Points(Protocol):
    """What the machine shows and takes, on some protocol. Every call has a deadline and raises past it.

    With `deadline_s` (a reading of the monotonic clock) nothing is put on the wire at or after it.
    """

    async def shown(self) -> Mapping[str, Scalar | None]:
        """Read all signs and numbers by their names in `drivers.plain`; None for what the machine does not tell."""
        ...

    async def write(self, values: Sequence[tuple[Place, Scalar]], *, deadline_s: float) -> None:
        """Write values; raise `RefusedWriteError` where the machine did not take one, `ValueError` if it cannot."""
        ...

    async def holds(self, values: Sequence[tuple[Place, Scalar]]) -> bool:
        """Say whether the machine holds exactly these values."""
        ...

    async def switch(self, address: str, *, on: bool, deadline_s: float | None = None) -> None:
        """Write one bit; raise `RefusedWriteError` where the machine did not take it."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What a session goes by; `answer_s`: how long the machine may take from the start to being busy."""

    spec: PlainMap
    answer_s: float
    persistent: bool
    monotonic: MonotonicClock


class PlainSession(Speaking):
    """One session; after a `DriverError` or a cancelled call it answers nothing any more.

    It keeps nothing that must survive it: what became of a start is told by the machine and the baseline.
    """

    def __init__(self, points: Points, *, terms: Terms, identity: Identity) -> None:
        super().__init__()
        self._points, self._terms, self._identity = points, terms, identity
        self._boot = f"{NO_BOOT}, session {secrets.token_hex(4)}"

    @property
    def identity(self) -> Identity:
        """Give who the machine said it was when the session was opened."""
        return self._identity

    async def open(self) -> None:
        """Check that all that the profile names can be read."""
        with self._speaking():
            await self._shown()

    async def look(self) -> Look:
        """Read the machine, twice where it is at rest: only what stands still is a baseline."""
        with self._speaking():
            shown, steady = await self._shown(), False
            if not shown.busy:
                shown, steady = await self._steady()
            return plain.look_of(shown, steady=steady)

    async def ask(self, job_id: str) -> Finding:
        """Say that the machine names no jobs; what became of a start is told by `reconcile`."""
        with self._speaking():
            await self._shown()
            return Finding(
                job_id=job_id,
                phase=None,
                evidence="unknown job: this machine names no jobs, and no start of it is to be judged",
                unproven="the machine names no jobs",
            )

    async def reconcile(self, command: Command, *, begun: bool) -> Finding:
        """Tell from busy, done and counters what became of a start; take it back where it still waits."""
        with self._speaking():
            try:
                baseline = Baseline.parse(command.baseline)
                values = plain.values_of(command, self._terms.spec)
            except ValueError as error:
                evidence = f"unknown job: nothing to compare with: {error}"
                return Finding(job_id=command.job_id, phase=None, evidence=evidence, unproven=str(error))
            shown, steady = await self._steady()
            if shown.start:
                await self._take_back()
                shown, steady = await self._steady()
            if not steady and not shown.busy:
                raise DriverError("what the machine shows does not stand still")
            trial = Trial(
                job_id=command.job_id,
                expected=plain.expected_of(command, self._terms.spec),
                baseline=baseline,
                begun=begun,
                steady=steady,
                ours=begun or not shown.busy or await self._points.holds(values),
                persistent=self._terms.persistent,
            )
            return plain.finding_of(shown, trial, self._terms.spec)

    async def send(self, command: Command) -> Receipt:
        """Write the parameters, read them back, see that nothing has moved, then start once."""
        if command.kind not in self._identity.kinds:
            return _refused(f"not sent: a plain machine has no command {command.kind.value}")
        with self._speaking():
            if command.kind is CommandKind.CLEAR:
                return await self._reset_done(command)
            try:
                baseline = Baseline.parse(command.baseline)
                fault = await self._prepare(command, baseline)
            except (ValueError, RefusedWriteError) as error:
                return _refused(f"not sent: {error}")
            except DriverError as error:
                # No start was written, so this is no doubt; but nothing more is heard on this session.
                self._broken = str(error)
                return _refused(f"not sent: {error}")
            if fault is not None:
                return Receipt(answer=Answer.REFUSED, evidence=f"not sent: {fault}", busy=True)
            return await self._start(command, baseline)

    async def _prepare(self, command: Command, baseline: Baseline) -> str | None:
        """Bring the parameters down; say why the start must not follow, or None."""
        if self._late(command):
            return _LATE
        values = plain.values_of(command, self._terms.spec)
        shown, steady = await self._steady()
        if shown.start and not shown.busy:
            await self._take_back()
            shown, steady = await self._steady()
        if (fault := plain.fault_before_start(shown, baseline)) is not None:
            return fault
        if not steady:
            return "what the machine shows does not stand still"
        await self._points.write(values, deadline_s=command.deadline_s)
        if not await self._points.holds(values):
            return "the parameters read back changed; does something else write to the machine?"
        fault = plain.fault_before_start(await self._shown(), baseline)
        return _LATE if fault is None and self._late(command) else fault

    def _late(self, command: Command) -> bool:
        return self._terms.monotonic() >= command.deadline_s

    async def _start(self, command: Command, baseline: Baseline) -> Receipt:
        """Set the start bit once and wait for the batch; from here on only evidence tells."""
        spec, until_s = self._terms.spec, self._terms.monotonic() + self._terms.answer_s
        try:
            await self._points.switch(spec.start, on=True, deadline_s=command.deadline_s)
        except RefusedWriteError as error:
            return _refused(f"not sent: {error}")
        pause_s = _POLL_FIRST_S
        while not plain.has_begun(shown := await self._shown(), baseline):
            if self._terms.monotonic() >= until_s:
                await self._take_back()
                raise DriverError(f"the start was set, and no batch is seen after {self._terms.answer_s:g} s")
            pause_s = await _pause(pause_s)
        if not spec.start_clears:
            await self._take_back()
        state = "busy" if shown.busy else "done"
        return Receipt(
            answer=Answer.ACCEPTED, evidence=f"{state} after the start, good {shown.good}, scrap {shown.scrap}"
        )

    async def _reset_done(self, command: Command) -> Receipt:
        address = self._terms.spec.reset_done
        assert address is not None
        shown = await self._shown()
        if shown.busy:
            return _refused("not sent: a batch is in the machine")
        until_s = self._terms.monotonic() + self._terms.answer_s
        pause_s = _POLL_FIRST_S
        await self._points.switch(address, on=True, deadline_s=command.deadline_s)
        try:
            while (await self._shown()).done:
                if self._terms.monotonic() >= until_s:
                    return _refused(f"done is still on, {self._terms.answer_s:g} s after its reset")
                pause_s = await _pause(pause_s)
        finally:
            await self._points.switch(address, on=False)
        return Receipt(answer=Answer.ACCEPTED, evidence="done is off after its reset")

    async def _take_back(self) -> None:
        """Leave no start that could still be executed; give the controller time to show one that it saw."""
        await self._points.switch(self._terms.spec.start, on=False)
        await asyncio.sleep(self._terms.spec.scan_s)

    async def _steady(self) -> tuple[Shown, bool]:
        """Read until two readings, one round of the controller apart, are the same; say whether they were."""
        shown = await self._shown()
        for _ in range(_READINGS):
            before = shown
            await asyncio.sleep(self._terms.spec.scan_s)
            shown = await self._shown()
            if shown.work == before.work:
                return shown, True
        return shown, False

    async def _shown(self) -> Shown:
        """Read the machine; where it tells no boot, it may have restarted before any new session."""
        try:
            shown = plain.shown_of(dict(await self._points.shown()))
        except ValueError as error:
            raise DriverError(f"the machine cannot be read: {error}") from error
        return replace(shown, boot=self._boot) if shown.boot == NO_BOOT else shown


def plain_identity(text: str, spec: PlainMap) -> Identity:
    """Give the identity of a plain machine; it has no serial number to show, so its address names it."""
    clear = {CommandKind.CLEAR} if spec.reset_done is not None else set()
    return Identity(text=f"{text}; plain machine", kinds=frozenset({CommandKind.LOAD_START, *clear}))


def _refused(evidence: str) -> Receipt:
    return Receipt(answer=Answer.REFUSED, evidence=evidence)


async def _pause(pause_s: float) -> float:
    """Wait, and give a longer time for the next wait."""
    await asyncio.sleep(pause_s)
    return min(2 * pause_s, _POLL_MAX_S)
