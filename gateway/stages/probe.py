"""A person's question to a machine -> its answers: takes one step of a probe on the machine's own session."""

from dataclasses import dataclass
from typing import Any, Protocol

from drivers.base import Answer, Command, CommandKind, Look, Session
from drivers.profile import Effect, Profile
from gateway.clock import Clock
from gateway.domain import probing
from gateway.domain.machines import Level
from gateway.domain.probing import Await, Learn, Move, Probe, Seen, Stage, Tell
from gateway.domain.proofs import Trust, trust
from gateway.domain.steps import Settlement
from gateway.ledger import probes
from gateway.ledger.database import Ledger, Tx
from gateway.ledger.jobs import Wire

_TAKES_BACK = frozenset({CommandKind.CANCEL, CommandKind.ABORT, CommandKind.CLEAR})


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What a step of a probe came to: what it waits for in words, and whether to rest before the next."""

    text: str
    rests: bool


class Probed(Protocol):
    """What is asked about a configured machine."""

    @property
    def name(self) -> str:
        """Give its name in the configuration."""
        ...

    @property
    def endpoint(self) -> str:
        """Give its address."""
        ...

    @property
    def profile(self) -> Profile:
        """Give its type."""
        ...

    @property
    def profile_hash(self) -> str:
        """Give the fingerprint of its type."""
        ...

    @property
    def configured(self) -> Level:
        """Give the highest level that the configuration allows."""
        ...

    @property
    def accepted(self) -> bool:
        """Say whether somebody signed for what its type says of its memory."""
        ...


def trusted(tx: Tx, machine: Probed, identity: str) -> Trust:
    """Judge a machine that says it is `identity`, by what was proven of it or signed for."""
    return trust(
        machine.name,
        probes.proof(tx, machine.name),
        effect=machine.profile.effect,
        memory=machine.profile.memory,
        accepted=machine.accepted,
        identity=identity,
        profile=machine.profile_hash,
    )


class Prober:
    """Goes through the probes of one machine; it outlives the machine's sessions, so that power may be cut."""

    def __init__(self, machine: Probed, *, ledger: Ledger, clock: Clock, log: Any) -> None:
        self._name, self._endpoint = machine.name, machine.endpoint
        self._profile, self._configured = machine.profile, machine.configured
        self._ledger, self._clock, self._log = ledger, clock, log
        self._here: tuple[int, Stage] | None = None
        self._since_s = 0.0

    async def step(self, session: Session, look: Look, *, session_name: str, silent_s: float) -> Done | None:
        """Take the next step of the probe that has not ended; None where there is none.

        Raise `DriverError` where the machine does not answer; the next session goes on from the ledger.
        """
        probe = await self._ledger.read(lambda tx: probes.current(tx, self._name))
        if probe is None:
            self._here = None
            return None
        finding = await session.ask(probe.job_id) if probe.effect is Effect.REMEMBERED else None
        seen = Seen(
            look=look,
            finding=finding,
            kinds=self._kinds(session),
            identity=session.identity.text,
            gateway_boot=self._ledger.boot,
            silent_s=silent_s,
            settle_s=self._profile.settle_s,
            waited_s=self._waited_s(probe),
        )
        return await self._act(probe, probing.decide(probe, seen), session, look, session_name)

    def _kinds(self, session: Session) -> frozenset[CommandKind]:
        """Give what a probe may write: never a start, and nothing where the configuration lets Kvot only watch (R8)."""
        if self._configured is Level.READ:
            return frozenset()
        return session.identity.kinds & (_TAKES_BACK | {CommandKind.LOAD})

    def _waited_s(self, probe: Probe) -> float:
        """Give how long this process has seen the probe in its stage."""
        here = (probe.probe_id, probe.stage)
        if self._here != here:
            self._here, self._since_s = here, self._clock.monotonic()
        return self._clock.monotonic() - self._since_s

    async def _act(self, probe: Probe, step: probing.Step, session: Session, look: Look, session_name: str) -> Done:
        now = self._clock.now()
        match step:
            case Tell(kind=kind):
                return await self._tell(probe, kind, session, look, session_name)
            case Learn(command_id=command_id, settlement=settlement, evidence=evidence):
                await self._ledger.write(
                    lambda tx: probes.learnt(tx, command_id, settlement, evidence=evidence, now=now)
                )
                return Done(text=f"probe: {evidence}", rests=False)
            case Move():

                def go_on(tx: Tx) -> None:
                    if probes.go_on(tx, self._name, probe.stage, step, boot=look.boot, now=now) and step.asks:
                        probes.call_people(tx, self._name, probe, step.text, now=now)

                await self._ledger.write(go_on)
                self._log.info("probe goes on", stage=step.stage, verdict=step.verdict, text=step.text)
                return Done(text=f"probe: {step.text}", rests=False)
            case Await(text=text, asks=asks):
                if asks:
                    await self._ledger.write(lambda tx: probes.call_people(tx, self._name, probe, text, now=now))
                return Done(text=f"probe: {text}", rests=True)

    async def _tell(self, probe: Probe, kind: CommandKind, session: Session, look: Look, session_name: str) -> Done:
        """Commit the intent, send once, write the answer down (R1, R7)."""
        assert kind in self._kinds(session)
        deadline_s = self._clock.monotonic() + self._profile.timeout_s
        wire = Wire(machine=self._name, endpoint=self._endpoint, session=session_name, boot=look.boot)
        command_id = await self._ledger.write(lambda tx: probes.intend(tx, probe, kind, wire, now=self._clock.now()))
        if command_id is None:
            return Done(text="probe: the machine is not free for it", rests=True)
        receipt = await session.send(_command(probe, kind, deadline_s=deadline_s))
        settlement = Settlement.ACCEPTED if receipt.answer is Answer.ACCEPTED else Settlement.REFUSED
        self._log.info("probe answered", job=probe.job_id, kind=kind, settlement=settlement, evidence=receipt.evidence)
        await self._ledger.write(lambda tx: probes.answered(tx, command_id, settlement, receipt, now=self._clock.now()))
        return Done(text=f"probe: {kind} {settlement}", rests=False)


def _command(probe: Probe, kind: CommandKind, *, deadline_s: float) -> Command:
    return Command(
        kind=kind,
        job_id=probe.job_id,
        job_no=probe.job_no,
        recipe=probe.recipe,
        recipe_version=probe.recipe_version,
        parameters=probe.parameters,
        quantity=1,
        cycles=1,
        deadline_s=deadline_s,
        labels={"job_name": "Kvot probe: do not start"},
    )
