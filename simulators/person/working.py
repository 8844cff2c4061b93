"""A person's day: look at the board, then do the one next thing, as the board and the own journal have it.

What is pressed is never believed to have been heard: the next look tells. So a gateway that goes away in
the middle of an answer is nothing special. The board decides what is begun; the journal writes down what
the hands have done, before they do it, and so a person who was interrupted goes on where they stopped.
"""

import asyncio
from collections.abc import Sequence
from random import Random

from simulators.control import AwayError, TurnedDownError
from simulators.journal import Event, Journal, read
from simulators.person.asking import ALLOWED, RUNNING, Desk, Ticket
from simulators.person.settings import PersonSimulation
from simulators.tally import Tally


async def work(settings: PersonSimulation, stop: asyncio.Event) -> None:
    """Work at a station until told to stop; a piece then on the bench is begun again next time."""
    entries = read(settings.journal)
    with Journal(settings.journal, machine=settings.station) as journal:
        await Person(settings, Tally(entries, journal.write), stop).work()


class Person:
    """One pair of hands: one ticket, one piece at a time."""

    def __init__(self, settings: PersonSimulation, tally: Tally, stop: asyncio.Event) -> None:
        self._settings, self._tally, self._stop = settings, tally, stop
        self._desk = Desk(settings.socket, settings.station)
        self._pressed: str | None = None  # a ticket that was not begun at the last look

    async def work(self) -> None:
        """Look and do, until told to stop."""
        while not self._stop.is_set():
            try:
                did = await self._do(next_ticket(await asyncio.to_thread(self._desk.board)))
            except (AwayError, TurnedDownError):
                did = False  # the next look tells what is true
            if not did:
                await self._pass(self._settings.look_s)

    async def _do(self, ticket: Ticket | None) -> bool:
        """Do the next thing for a ticket; say whether there was one."""
        if ticket is None:
            return False
        job, desk = ticket.job, self._desk
        if ticket.phase == ALLOWED:
            self._pressed = job
            await asyncio.to_thread(desk.start, job)
            return True
        made = self._begun(job)
        good, scrap = made[0] - ticket.good, made[1] - ticket.scrap
        if good > 0 or scrap > 0:
            reason = self._settings.scrap_reason
            await asyncio.to_thread(desk.report, job, good=max(good, 0), scrap=max(scrap, 0), reason=reason)
        elif sum(made) >= ticket.quantity:
            await asyncio.to_thread(desk.done, job)
        else:
            await self._make(ticket, sum(made))
        return True

    def _begun(self, job: str) -> tuple[int, int]:
        """Write the start down unless it is, and give the good and scrap pieces made since.

        A ticket that was up for a start is a start, even of a job that was made before: the journal hides nothing.
        """
        made = self._tally.since_start(job)
        if made is None or self._pressed == job:
            self._tally.write(Event.START, job=job)
            made = (0, 0)
        self._pressed = None
        return made

    async def _make(self, ticket: Ticket, before: int) -> None:
        """Make one piece, unless told to stop meanwhile."""
        await self._pass(self._settings.piece_s)
        if self._stop.is_set():
            return
        last = before + 1 >= ticket.quantity
        chance = Random(f"{self._settings.seed}/{ticket.job}/{before}").random()  # noqa: S311 - a simulation
        spoilt = chance < self._settings.scrap_rate
        self._tally.write(Event.END if last else Event.MADE, job=ticket.job, good=int(not spoilt), scrap=int(spoilt))

    async def _pass(self, seconds: float) -> None:
        """Let time pass, or be told to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return


def next_ticket(board: Sequence[Ticket]) -> Ticket | None:
    """Choose what to work on: what is begun, else the oldest that may be."""
    begun = [ticket for ticket in board if ticket.phase == RUNNING]
    allowed = [ticket for ticket in board if ticket.phase == ALLOWED]
    return next(iter(begun + allowed), None)
