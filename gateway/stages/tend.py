"""Ledger <-> machine: one task per machine connects, settles doubts, then sends, follows and stores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Never, NoReturn, TypeVar

from drivers.base import (
    Answer,
    Beating,
    CommandKind,
    Driver,
    DriverError,
    Finding,
    Look,
    Reconciling,
    Session,
)
from drivers.profile import Memory, Profile
from gateway.clock import Clock
from gateway.domain import dispatch
from gateway.domain.attendance import Attendance
from gateway.domain.dispatch import Ability, Settlement, Standing
from gateway.domain.machines import Lapse, Level, Present, lapse
from gateway.domain.products import Family
from gateway.domain.runs import cycles
from gateway.domain.setups import Another, Begin, Waiting, tool_codes
from gateway.ledger import commissioning, events, first_pieces, intents, jobs, machines, probes, recovery, setups
from gateway.ledger.database import Ledger, Tx
from gateway.ledger.facts import milliseconds
from gateway.ledger.jobs import Intent, Wire
from gateway.ledger.renewing import renew
from gateway.stages.backoff import Backoff
from gateway.stages.board import Board
from gateway.stages.handwrite import Hand
from gateway.stages.link import LinkState
from gateway.stages.noting import write_down
from gateway.stages.pace import Pace
from gateway.stages.probe import Prober, trusted
from gateway.stages.sending import LOADING, as_command, unsendable
from gateway.stages.shown import away, machine_state, permits_shown

T = TypeVar("T")
LONGEST_PAUSE_S = 10.0  # between two attempts to connect, so that a machine that is back is found soon


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """A configured machine: its address, its type, and how far it may be driven at most."""

    name: str
    endpoint: str
    profile: Profile
    profile_hash: str
    configured: Level
    pieces_per_cycle: Mapping[str, int]  # by family
    by_hand: bool = False  # a station: its person starts everything, so it needs neither arming nor proof
    accepted: bool = False  # somebody signed by name for what its profile says of its memory
    attendance: Attendance | None = None  # None: somebody is always there
    families: Mapping[str, Family] = field(default_factory=dict)  # those with a set-up or a first piece


async def tend(machine: Machine, driver: Driver, *, ledger: Ledger, board: Board, clock: Clock, log: Any) -> NoReturn:
    """Own one enrolled machine's session for ever: fresh client objects after each `DriverError`, with back-off."""
    log = log.bind(machine=machine.name)
    link = LinkState(f"machine:{machine.name}", board=board, clock=clock, log=log)
    backoff = Backoff(most_s=LONGEST_PAUSE_S)
    prober = Prober(machine, ledger=ledger, clock=clock, log=log)
    away_since_ms: int | None = None
    number = 0
    while True:
        number += 1
        try:
            async with driver.session(lambda: ledger.ring(_bell(machine.name))) as session:
                link.up()
                backoff.reset()
                away_since_ms = None
                name = f"{ledger.boot}-{number}"
                more: dict[str, Any] = {"ledger": ledger, "board": board, "clock": clock, "log": log}
                visit = Visit(machine, session, name, prober=prober, **more)
                await visit.serve()
        except DriverError as fault:
            link.down(fault)
            away_since_ms = away_since_ms or milliseconds(clock.now())
            board.put(("state", machine.name), away(str(fault), since_ms=away_since_ms))
            await clock.sleep(backoff.wait_s())


class Visit:
    """One session with a machine, from its opening to its first `DriverError`."""

    def __init__(
        self,
        machine: Machine,
        session: Session,
        name: str,
        *,
        ledger: Ledger,
        board: Board,
        clock: Clock,
        log: Any,
        prober: Prober | None = None,
    ) -> None:
        self._machine, self._session, self._name, self._prober = machine, session, name, prober
        self._ledger, self._board, self._clock, self._log = ledger, board, clock, log
        self._opened_s = self._looked_s = clock.monotonic()
        self._level = Level.READ  # in force, as last read
        self._tools = tool_codes(machine.families)
        self._waiting: Waiting | None = None  # the run whose turn it is waits for a person
        self._noted: tuple[tuple[Finding, ...], int | None] | None = None
        self._pace = Pace()
        self._hand = Hand(machine, ledger=ledger, clock=clock, log=log)
        self._state = ""
        self._since_ms = 0
        self._ability = Ability(
            kinds=session.identity.kinds,
            persistent=machine.profile.memory is Memory.PERSISTENT,
            clears_by_itself=machine.profile.clears_by_itself,
            settle_s=machine.profile.settle_s,
            by_evidence=isinstance(session, Reconciling),
        )

    async def serve(self) -> Never:
        """Look, decide, act; rest until the machine or the ledger changes, at most one poll interval."""
        while True:
            if await self.step():
                await self._ledger.changed(_bell(self._machine.name), timeout_s=self._machine.profile.poll_s)

    async def step(self) -> bool:
        """Do the one next step; say whether there was nothing to do."""
        self._looked_s = self._clock.monotonic()
        if isinstance(self._session, Beating) and self._level is not Level.READ:
            await self._session.beat()
        look = await self._session.look()
        standing = await self._ledger.read(self._standing)
        self._level = standing.level
        if standing.recovering:
            await self._note(look)
        if not self._machine.by_hand and await self._lapsed():
            return False
        if not standing.recovering and (rests := await self._aside(standing, look)) is not None:
            return rests
        if self._machine.families and not standing.recovering and await self._turned(look):
            return False
        subject = None if standing.recovering else dispatch.subject(standing)  # an observable machine may be written to
        finding = await self._find(subject) if subject is not None else None
        decided = self._paced(dispatch.decide(standing, look, finding, self._ability), look)
        await self._show(standing, look, finding, decided)
        return await self._act(decided, standing, look)

    def _paced(self, decided: dispatch.Step, look: Look) -> dispatch.Step:
        """Load nothing into a machine that had no room a moment ago and shows no change."""
        loads = isinstance(decided, dispatch.Send) and decided.kind in LOADING
        why = self._pace.rests(look, now_s=self._clock.monotonic()) if loads else None
        return decided if why is None else dispatch.Rest(why=why)

    async def _find(self, job_id: str) -> Finding:
        """Ask the machine for a job; one that names no jobs is judged by what it showed before the start."""
        if isinstance(self._session, Reconciling):
            told = await self._ledger.read(lambda tx: intents.told(tx, job_id))
            if told is not None and told[0].family in self._machine.pieces_per_cycle:
                intent, begun = told
                return await self._session.reconcile(
                    as_command(intent, self._machine.pieces_per_cycle, deadline_s=self._deadline_s), begun=begun
                )
        return await self._session.ask(job_id)

    async def _note(self, look: Look) -> None:
        """Write down what the machine names and its mark, for the recovery after a restore."""
        if (look.jobs, look.mark) != self._noted:
            await self._ledger.write(
                lambda tx: recovery.saw_machine(tx, self._machine.name, look, now=self._clock.now())
            )
            self._noted = look.jobs, look.mark

    def _standing(self, tx: Tx) -> Standing:
        silent_s = self._clock.monotonic() - self._opened_s
        machine = self._machine
        standing = machines.standing(
            tx,
            machine.name,
            configured=machine.configured,
            silent_s=silent_s,
            by_hand=machine.by_hand,
            tools=self._tools,
        )
        standing = replace(standing, attended=self._attended(tx, standing))
        if machine.by_hand:
            return standing
        known = trusted(tx, machine, self._session.identity.text)
        commissioned, in_hand = commissioning.state(tx, machine.name, now=self._clock.now())
        probing = probes.is_open(tx, machine.name)
        return replace(standing, trust=known, probing=probing, commissioned=commissioned, in_hand=in_hand)

    async def _aside(self, standing: Standing, look: Look) -> bool | None:
        """Take a step of what is no work, a hand write or a probe; say whether to rest then, None without one."""
        silent_s = self._clock.monotonic() - self._opened_s
        done = await self._hand.step(self._session, silent_s=silent_s) if standing.in_hand else None
        if done is None and standing.probing and self._prober is not None:
            done = await self._prober.step(self._session, look, session_name=self._name, silent_s=silent_s)
        if done is None:
            return None
        await self._show(standing, look, None, dispatch.Rest(why=done.text))
        return done.rests

    def _attended(self, tx: Tx, standing: Standing) -> bool:
        """Say whether the work at hand, begun now, would end while somebody is there."""
        attendance = self._machine.attendance
        if attendance is None or standing.work is None:
            return True
        family, quantity = jobs.size(tx, standing.work.job_id)
        per_cycle = self._machine.pieces_per_cycle.get(family, 1)
        return attendance.covers(family, cycles(quantity, per_cycle), now=self._clock.now())

    async def _turned(self, look: Look) -> bool:
        """Let the run whose turn it is go on, where its set-up stands; say whether it did."""
        name, families, code = self._machine.name, self._machine.families, look.setup_code
        decided = await self._ledger.read(lambda tx: setups.turn(tx, name, families, code=code))
        self._waiting = decided if isinstance(decided, Waiting) else None
        if not isinstance(decided, Begin | Another):
            return False
        site, epoch = self._ledger.site, self._ledger.epoch
        await self._ledger.write(
            lambda tx: setups.take_turn(tx, name, families, code=code, site=site, epoch=epoch, now=self._clock.now())
        )
        self._log.info("run goes on", run=decided.run_id, tool=code)
        return True

    async def _lapsed(self) -> bool:
        """Put down an arming that no longer holds."""

        def check(tx: Tx) -> Lapse | None:
            armed = machines.arming(tx, self._machine.name)
            present = Present(
                identity=self._session.identity.text,
                profile=self._machine.profile_hash,
                last_act=events.last_act_of_a_person(tx),
                now=self._clock.now(),
            )
            return lapse(armed, present)

        lapsed = await self._ledger.read(check)
        if lapsed is None:
            return False
        self._log.warning("arming lapsed", reason=lapsed.reason, left=lapsed.left)

        def put_down(tx: Tx) -> None:
            if check(tx) is not None:  # nobody has armed it in the meantime
                machines.lapse(tx, self._machine.name, lapsed, now=self._clock.now())

        await self._ledger.write(put_down)
        return True

    async def _act(self, decided: dispatch.Step, standing: Standing, look: Look) -> bool:
        """Carry out one step; say whether to rest before the next."""
        match decided:
            case dispatch.Rest():
                return True
            case dispatch.Send(kind=kind, job_id=job_id):
                return await self._send(kind, job_id, standing, look)
            case dispatch.Settle(command=command, settlement=settlement, evidence=evidence):
                self._log.info(
                    "command settled", job=command.job_id, kind=command.kind, settlement=settlement, evidence=evidence
                )
            case dispatch.Doubt(job_id=job_id, cause=cause, evidence=evidence):
                self._log.warning("a person must decide", job=job_id, cause=cause, evidence=evidence)
            case dispatch.HoldMachine(reason=reason):
                self._log.warning("machine held", reason=reason)
        await self._write(standing, lambda tx: self._store(tx, decided, now=self._clock.now()))
        return False

    def _store(self, tx: Tx, decided: dispatch.Step, *, now: datetime) -> None:
        """Write one step down; at a station the ticket also decides about a first piece."""
        write_down(tx, self._machine.name, decided, now=now)
        if isinstance(decided, dispatch.Conclude) and (who := decided.finding.confirmed_by) is not None:
            first_pieces.said_by_ticket(
                tx,
                decided.job_id,
                who=who,
                reason=decided.finding.reason,
                site=self._ledger.site,
                epoch=self._ledger.epoch,
                now=now,
            )

    async def _write(self, standing: Standing, event: Callable[[Tx], T]) -> T | None:
        """Run an event if the ledger still says what was decided upon; else do nothing, and look again.

        A person may have held the machine, taken it back or settled a doubt in the meantime.
        """

        def unchanged(tx: Tx) -> T | None:
            return event(tx) if self._standing(tx) == standing else None

        return await self._ledger.write(unchanged)

    async def _send(self, kind: CommandKind, job_id: str, standing: Standing, look: Look) -> bool:
        """Commit the intent, check the limits again, send once, and write down the machine's answer (R1, R7, R8)."""
        wire = Wire(
            machine=self._machine.name,
            endpoint=self._machine.endpoint,
            session=self._name,
            boot=look.boot,
            baseline=look.baseline,
        )
        recipes = self._machine.profile.recipes

        def begin(tx: Tx) -> Intent | None:
            if kind in LOADING and renew(tx, job_id, recipes, now=self._clock.now()):
                return None
            return jobs.intend(tx, job_id, kind, wire, now=self._clock.now())

        intent = await self._write(standing, begin)
        if intent is None:
            return False
        busy = False
        if (fault := self._unsendable(intent)) is not None:
            settlement, evidence = Settlement.REFUSED, f"not sent: {fault}"
        else:
            receipt = await self._session.send(
                as_command(intent, self._machine.pieces_per_cycle, deadline_s=self._deadline_s)
            )
            accepted = receipt.answer is Answer.ACCEPTED
            settlement, evidence = (Settlement.ACCEPTED if accepted else Settlement.REFUSED), receipt.evidence
            busy = receipt.busy
        self._log.info("command answered", job=job_id, kind=kind, settlement=settlement, evidence=evidence)
        await self._ledger.write(
            lambda tx: jobs.settle(
                tx, intent.command_id, settlement, evidence=evidence, now=self._clock.now(), busy=busy
            )
        )
        if settlement is Settlement.ACCEPTED:
            self._pace.taken()
            return False
        if busy:
            self._pace.refused(look, evidence, now_s=self._clock.monotonic())
            return True
        await self._clock.sleep(self._machine.profile.settle_s)  # what refused just now is not asked again at once
        return True

    def _unsendable(self, intent: Intent) -> str | None:
        """Check once more before the wire: how old the look is, and what the intent carries."""
        if self._clock.monotonic() >= self._deadline_s:
            return "the look at the machine is too old by now"
        return unsendable(intent, self._machine.profile, self._machine.pieces_per_cycle)

    @property
    def _deadline_s(self) -> float:
        """Give when a command must not be sent any more: the permits it relies on grow old from the look on."""
        return self._looked_s + self._machine.profile.timeout_s

    async def _show(self, standing: Standing, look: Look, finding: Finding | None, decided: dispatch.Step) -> None:
        """Put what is true of the machine on the board, and remember its boot once it is settled what it means."""
        name = self._machine.name
        work = standing.work
        why = decided.why if isinstance(decided, dispatch.Rest) else type(decided).__name__.lower()
        waits = self._waiting
        if waits is not None and work is None:
            why = waits.text
        if (state := machine_state(look)) != self._state:
            self._state, self._since_ms = state, milliseconds(self._clock.now())
        self._board.put(
            ("state", name),
            {
                "state": state,
                "since": self._since_ms,
                "level": standing.level.value,
                "held": standing.held,
                "permits": permits_shown(look.permits),
                "setup_code": look.setup_code,
                "mark": look.mark,
                "job": None if work is None else work.job_id,
                "waits": None if waits is None else {"run": waits.run_id, "for": waits.step.value, "text": waits.text},
                "identity": self._session.identity.text,
                "profile": self._machine.profile_hash,
                "why": why,
            },
        )
        if work is not None:
            self._board.put(
                ("job", name),
                {
                    "job": work.job_id,
                    "state": work.state.value,
                    "phase": None if finding is None or finding.phase is None else int(finding.phase),
                    "good": None if finding is None else finding.good,
                    "produced": None if finding is None else finding.produced,
                },
            )
        else:
            self._board.put(("job", name), {"job": None})
        news = standing.boot != look.boot or (look.mark or 0) > standing.mark
        if news and not isinstance(decided, dispatch.HoldMachine):
            await self._ledger.write(lambda tx: machines.saw(tx, name, boot=look.boot, mark=look.mark))


def _bell(machine: str) -> str:
    return f"machine:{machine}"
