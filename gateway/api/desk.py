"""What the API may ask and do: the ledger, the board, and the few facts of the configuration it shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from drivers.base import TicketError
from drivers.profile import Profile
from gateway import __version__
from gateway.api.stations import OVER, Station, Ticket, show_ticket
from gateway.clock import Clock
from gateway.domain.machines import Level
from gateway.domain.proofs import Proof, trust
from gateway.errors import LedgerError, RefusedError
from gateway.ledger import (
    commissioning,
    decisions,
    events,
    exceptions,
    machines,
    outbox,
    probes,
    proposals,
    recovery,
    run_views,
    views,
)
from gateway.ledger.database import Ledger, Tx
from gateway.ledger.times import to_text
from gateway.stages.backup import Backups
from gateway.stages.board import Board
from gateway.stages.disk import STANDING as DISK
from gateway.stages.plan import Floor
from gateway.stages.pricing import Pricing
from gateway.stages.quotes import Quoting
from gateway.stages.recover import STANDING as RECOVERY

View = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A configured machine as people see it."""

    endpoint: str
    profile: str
    configured: Level
    type: Profile
    accepted: bool = False  # somebody signed by name for what its profile says of its memory
    by_hand: bool = False  # a station


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """Everything a person or program can ask of a running gateway; every change carries who asked for it."""

    ledger: Ledger
    board: Board
    clock: Clock
    machines: Mapping[str, Place]
    shops: tuple[str, ...]
    started_at: datetime
    stations: Mapping[str, Station] = field(default_factory=dict)
    floor: Floor | None = None
    pricing: Pricing | None = None
    backups: Backups | None = None
    quoting: Quoting | None = None

    async def status(self) -> View:
        """Give the whole picture on one page."""
        counts = await self.ledger.read(views.counts)
        return {
            "site": self.ledger.site,
            "version": __version__,
            "epoch": self.ledger.epoch,
            "boot": self.ledger.boot,
            "started_at": to_text(self.started_at),
            "now": to_text(self.clock.now()),
            **counts,
            "exceptions_open": await self.ledger.read(exceptions.count_open),
            "proposals_open": await self.ledger.read(lambda tx: proposals.count_open(tx, now=self.clock.now())),
            "to_do": await self.ledger.read(run_views.to_do),
            "machines": await self.list_machines(),
            "links": self.links(),
            "disk": dict(self.board.get(DISK)),
            "recovering": dict(self.board.get(RECOVERY)),
        }

    def links(self) -> dict[str, Mapping[str, object]]:
        """Give the state of each connection: shops, broker, machines."""
        return {name: value for (kind, name), value in self.board.since(0).items() if kind == "link"}

    async def ready(self) -> View:
        """Say whether an order can be taken now: the ledger can be written and a shop answers.

        While it is recovering after a restore, orders are taken; none is made yet.
        """
        try:
            await self.ledger.write(lambda _tx: None)
        except LedgerError as fault:
            return {"ready": False, "reason": f"the ledger cannot be written: {fault}"}
        if self.ledger.full:
            return {"ready": False, "reason": "the ledger cannot be written: the disk is full"}
        links = self.links()
        if self.shops and not any(links.get(f"shop:{shop}", {}).get("state") == "up" for shop in self.shops):
            return {"ready": False, "reason": "no shop answers"}
        recovering = await self.ledger.read(recovery.pending)
        return {"ready": True, "reason": "recovering: nothing is made yet"} if recovering else {"ready": True}

    async def list_machines(self) -> list[View]:
        """Give each configured machine: what it is, what it does, what the ledger knows of it."""
        known = await self.ledger.read(views.machine_facts)
        proofs = await self.ledger.read(lambda tx: {name: probes.proof(tx, name) for name in self.machines})
        now = self.clock.now()
        given = await self.ledger.read(
            lambda tx: {name: commissioning.view(tx, name, now=now) for name in self.machines}
        )
        return [
            {
                "machine": name,
                "endpoint": place.endpoint,
                "profile": place.profile,
                "configured": place.configured.value,
                "effect": place.type.effect.value,
                "unproven": self._unproven(name, proofs[name]),
                **known.get(name, {}),
                "commissioning": given[name],
                "now": dict(self.board.get(("state", name))),
                "current_job": dict(self.board.get(("job", name))),
                "link": dict(self.board.get(("link", f"machine:{name}"))),
            }
            for name, place in self.machines.items()
        ]

    async def arm(self, machine: str, level: Level, *, who: str) -> None:
        """Put a control level in force at a machine that answers now, by a named act."""
        place = self.place(machine)
        if level.rank > place.configured.rank:
            raise RefusedError(
                f"{machine} may be armed up to {place.configured.value!r}: "
                f"raise machines.{machine}.control in kvot.yaml"
            )
        now = self.board.get(("state", machine))
        if not now.get("identity"):
            raise RefusedError(
                f"{machine} does not answer now, so nobody can say what would be armed: {now.get('why', '')}"
            )

        def act(tx: Tx) -> None:
            probes.refuse_while_open(tx, machine)
            commissioning.refuse_while_open(tx, machine, now=self.clock.now())
            unproven = None if level is Level.READ else self._unproven(machine, probes.proof(tx, machine))
            if unproven is not None:
                raise RefusedError(f"{machine} cannot be armed: {unproven}")
            machines.arm(
                tx,
                machine,
                level,
                who=who,
                identity=str(now["identity"]),
                profile=str(now["profile"]),
                now=self.clock.now(),
            )

        await self.ledger.write(act)

    def _unproven(self, machine: str, proof: Proof) -> str | None:
        """Say why what the machine's type says of its memory is not relied upon, or None."""
        place, now = self.machines[machine], self.board.get(("state", machine))
        if place.by_hand:
            return None
        return trust(
            machine,
            proof,
            effect=place.type.effect,
            memory=place.type.memory,
            accepted=place.accepted,
            identity=str(now.get("identity", proof.identity)),
            profile=str(now.get("profile", proof.profile)),
        ).unproven

    async def baseline(self, machine: str, *, who: str) -> None:
        """Take a replaced controller's job mark as it is now; the machine is then armed anew as ever."""
        self.place(machine)
        mark = self.board.get(("state", machine)).get("mark")
        if not isinstance(mark, int):
            raise RefusedError(f"{machine} does not answer now, or keeps no job mark: there is nothing to take over")
        await self.ledger.write(lambda tx: machines.baseline(tx, machine, mark=mark, who=who, now=self.clock.now()))

    async def disarm(self, machine: str, *, who: str) -> None:
        """Take a machine back, out of commissioning too."""
        self.place(machine)
        now = self.clock.now()

        def act(tx: Tx) -> None:
            if commissioning.in_force(tx, machine, now=now) is not None:
                commissioning.end(tx, machine, who=who, now=now)
            machines.disarm(tx, machine, who=who, now=now)

        await self.ledger.write(act)

    async def hold(self, machine: str, reason: str, *, who: str) -> None:
        """Send nothing more to a machine."""
        self.place(machine)
        await self.ledger.write(lambda tx: machines.hold(tx, machine, reason=reason, who=who, now=self.clock.now()))

    async def release(self, machine: str, *, who: str) -> None:
        """Let a held machine go on."""
        self.place(machine)
        await self.ledger.write(lambda tx: machines.let_go(tx, machine, who=who, now=self.clock.now()))

    async def list_exceptions(self, *, state: str | None) -> list[View]:
        """List what people must decide; without a state, all that is not resolved."""
        found = await self.ledger.read(lambda tx: exceptions.list_exceptions(tx, state=state))
        return found if state is not None else [one for one in found if one["state"] != "resolved"]

    async def acknowledge(self, exception_id: int, *, who: str) -> None:
        """Say that somebody looks after it."""
        await self.ledger.write(lambda tx: exceptions.acknowledge(tx, exception_id, who=who, at=self.clock.now()))

    async def resolve(self, exception_id: int, action: str, note: str, *, good: int | None, who: str) -> None:
        """Decide an exception by one of its actions; `good`: the pieces somebody has counted."""
        await self.ledger.write(
            lambda tx: decisions.decide(
                tx, exception_id, action=action, who=who, note=note, good=good, now=self.clock.now()
            )
        )

    async def dead_letters(self) -> list[View]:
        """List what could not be told to a shop."""

        def ask(tx: Tx) -> list[View]:
            return [
                {
                    "destination": letter.fact.destination,
                    "seq": letter.fact.seq,
                    "subject": letter.fact.subject,
                    "error": letter.error,
                    "dead_at": to_text(letter.dead_at),
                }
                for letter in outbox.dead_letters(tx, limit=views.PAGE)
            ]

        return await self.ledger.read(ask)

    def list_stations(self) -> list[View]:
        """Give each station with its open tickets."""
        return [
            {
                "station": name,
                "tickets": [show_ticket(one) for one in station.tickets() if one.phase not in OVER],
            }
            for name, station in self.stations.items()
        ]

    def board_of(self, station: str) -> list[View] | None:
        """Give every ticket on a station's board, ended ones too; None when there is no such station."""
        found = self.stations.get(station)
        return None if found is None else [show_ticket(one) for one in found.tickets()]

    async def start_ticket(self, station: str, job_id: str, *, who: str) -> View:
        """Begin a ticket, in somebody's name; give it as it is then."""
        return await self._confirm(station, "started", lambda place: place.start(job_id, who=who), who=who)

    async def report_ticket(
        self, station: str, job_id: str, *, good: int, scrap: int, reason: str | None, who: str
    ) -> View:
        """Add pieces to a ticket, in somebody's name; give it as it is then."""
        return await self._confirm(
            station,
            "reported",
            lambda place: place.report(job_id, good=good, scrap=scrap, reason=reason, who=who),
            who=who,
            said={"good": good, "scrap": scrap, "reason": reason},
        )

    async def end_ticket(self, station: str, job_id: str, *, who: str) -> View:
        """End a ticket with the pieces reported so far, in somebody's name; give it as it is then."""
        return await self._confirm(station, "done", lambda place: place.done(job_id, who=who), who=who)

    async def _confirm(
        self, station: str, what: str, act: Callable[[Station], Ticket], *, who: str, said: View | None = None
    ) -> View:
        """Have the station take a person's word, then put it into the audit trail: what was refused is not in it."""
        if station not in self.stations:
            raise RefusedError(f"no station is called {station!r}; there is {', '.join(self.stations) or 'none'}")
        try:
            ticket = act(self.stations[station])
        except TicketError as fault:
            raise RefusedError(str(fault)) from fault
        except OSError as fault:
            raise RefusedError(f"{station} could not write it down: {fault}") from fault
        after = {"station": station, **(said or {"good": ticket.good, "scrap": ticket.scrap})}
        await self.ledger.write(
            lambda tx: events.record(
                tx, what=f"ticket.{what}", who=who, subject=f"job:{ticket.job_id}", at=self.clock.now(), after=after
            )
        )
        return show_ticket(ticket)

    def place(self, machine: str) -> Place:
        """Give a configured machine; raise `RefusedError` for another."""
        if machine not in self.machines:
            raise RefusedError(f"no machine is called {machine!r}; there is {', '.join(self.machines) or 'none'}")
        return self.machines[machine]
