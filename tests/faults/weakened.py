"""Gateways with one protection taken out, to show that the harness sees what follows: never shipped."""

import threading
import time
from typing import Any

import httpx

from drivers import mailbox
from drivers.base import Command, CommandKind, DriverError, Receipt
from drivers.blocks import GOOD
from drivers.link import Link
from drivers.opcua import telemetry
from gateway import sdnotify
from gateway.domain import dispatch
from gateway.ledger import engine
from gateway.shops import http
from gateway.shops.fields import Fields
from gateway.stages.tend import Visit
from gateway.uplink.spool import Spool
from tests.faults import without_intent
from tests.stages.lives import Life

NO_INTENT = "no intent record"
NO_SYNC = "synchronous=OFF"
RESEND = "resend on timeout"
CLEAR_FIRST = "clear before result"
NO_QUALITY = "quality of values"
NO_TEST_VALUES = "test values of the map"
LET_GO = "samples kept until acknowledged"
ALL_REST = "a dead unit rests alone"
ON_WIRES = {  # those that only a real wire shows, and the invariant that must tell
    NO_QUALITY: "I12",
    LET_GO: "I5",
    NO_TEST_VALUES: "I12",
    ALL_REST: "I13",
}
SLOW = frozenset({NO_TEST_VALUES, ALL_REST})  # they take their time to be found
REDIRECTED = "redirects followed"
GUESSED = "odd rows guessed"
TALKATIVE = "addresses in the log"
FED = "watchdog fed by a thread"
WEAKNESSES = (NO_INTENT, NO_SYNC, RESEND, CLEAR_FIRST, REDIRECTED, GUESSED, TALKATIVE, FED, *ON_WIRES)
FEED_S = 0.2


def weaken(weakness: str) -> None:
    """Take a protection out of this process."""
    match weakness:
        case "no intent record":
            without_intent.take_protection_out()
        case "synchronous=OFF":
            engine.PRAGMAS = tuple(
                ("synchronous", "OFF", 0) if name == "synchronous" else (name, value, expected)
                for name, value, expected in engine.PRAGMAS
            )
        case "quality of values":
            telemetry._SEVERITIES = (GOOD, GOOD, GOOD, GOOD)
        case "test values of the map":
            mailbox._check_map = lambda *_: None
        case "samples kept until acknowledged":
            _let_go_at_once()
        case "a dead unit rests alone":
            _rest_together()
        case "redirects followed":
            httpx.AsyncClient = _Following  # type: ignore[misc]
        case "odd rows guessed":
            Fields.fault = property(lambda _: None)  # type: ignore[assignment, method-assign]
        case "addresses in the log":
            http.keep_addresses_out_of_logs = lambda: None
        case "watchdog fed by a thread":
            threading.Thread(target=_feed, daemon=True).start()
        case "resend on timeout" | "clear before result" | "":
            return
        case _:
            raise AssertionError(weakness)


def life(weakness: str) -> type[Life]:
    """Give the kind of life that has this weakness."""
    return {RESEND: _Resending, CLEAR_FIRST: _ClearingFirst}.get(weakness, Life)


def _let_go_at_once() -> None:
    """Let the spool let go of a sample before the broker has it."""
    keep = Spool.keep

    def kept(spool: Spool, *what: Any, **more: Any) -> Any:
        sample = keep(spool, *what, **more)
        spool.acknowledged(sample)
        return sample

    Spool.keep = kept  # type: ignore[method-assign, assignment]


def _rest_together() -> None:
    """Let a unit that does not answer rest with the whole line that it shares."""
    check = Link._check

    def checked(link: Link[Any], unit: int, deadline_s: float | None) -> None:
        for resting in tuple(link._resting) or (unit,):
            check(link, resting, deadline_s)
        check(link, unit, deadline_s)

    Link._check = checked  # type: ignore[method-assign, assignment]


class _Following(httpx.AsyncClient):
    """A client that goes wherever it is sent."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**(more | {"follow_redirects": True}))


def _feed() -> None:
    while True:
        sdnotify.notify_watchdog()
        time.sleep(FEED_S)


class _Resending(Life):
    """A gateway whose driver sends again what was not answered, as libraries do by default."""

    async def _call(self) -> Visit:
        visit = await super()._call()
        visit._session = _Again(visit._session, self)
        return visit


class _Again:
    def __init__(self, session: Any, owner: Life) -> None:
        self._session, self._owner = session, owner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def send(self, command: Command) -> Receipt:
        try:
            receipt: Receipt = await self._session.send(command)
        except DriverError:
            async with self._owner.place.press.session(lambda: None) as fresh:
                return await fresh.send(command)
        return receipt


class _ClearingFirst(Life):
    """A gateway that clears a job at the machine before it has stored the result."""

    async def _call(self) -> Visit:
        visit = await super()._call()
        decided_act = visit._act

        async def act(decided: Any, standing: Any, look: Any) -> bool:
            if isinstance(decided, dispatch.Conclude):
                await visit._session.send(_clear(decided.job_id, visit._clock.monotonic() + 4))
            return await decided_act(decided, standing, look)

        visit._act = act  # type: ignore[method-assign]
        return visit


def _clear(job_id: str, deadline_s: float) -> Command:
    return Command(
        kind=CommandKind.CLEAR,
        job_id=job_id,
        job_no=1,
        recipe="",
        recipe_version="",
        parameters={},
        quantity=0,
        cycles=0,
        deadline_s=deadline_s,
    )
