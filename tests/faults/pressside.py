"""The simulated press of a wired scene: how it is started, and all that goes wrong with it."""

import logging
import random
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from simulators.controls import Panel
from simulators.press.faults import Faults, Measured, Reply
from simulators.press.settings import Duplicates, Methods, PressSimulation
from simulators.press.simulation import RunningPress, running_press
from tests.faults.scenes import Scene
from tests.faults.truths import MANY, Truths
from tests.faults.world import Journal

CYCLE_S = 0.05
BURST = 60  # values at once, where the queue of a tag has 10 places
CERTIFICATE = "certificate changed"
MISSING = "node removed"
_METHODS = ("StoreAndStart", "Store", "Start", "Clear")
_HOUR_S = 3600.0
_LASTING = {CERTIFICATE: 4, "session cut": 6, "too many sessions": 3}  # rounds that it takes to be noticed


class PressSide:
    """One press on one port. `url` is its own address, without a relay before it."""

    def __init__(self, directory: Path, scene: Scene, chance: random.Random, truths: Truths | None) -> None:
        self._directory, self._scene, self._chance, self._truths = directory, scene, chance, truths
        self._stack = AsyncExitStack()
        self._strangers = Journal(directory / "strangers.journal")
        self._press: RunningPress | None = None
        self._port = self._bursts = 0
        self._kind: dict[str, Any] = {
            "duplicates": chance.choice(list(Duplicates)),
            "methods": chance.choice(list(Methods)),
        }
        self.url = ""
        self.fingerprint: str | None = None

    async def start(self, *, shift: int = 0, certificate: str = "own") -> None:
        """Start it, on the port it had before; it is of the same kind for the whole scene."""
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what it complains of is what it is made to do
        secure = self._scene.wire == CERTIFICATE
        settings = PressSimulation(
            journal=self._directory / "press.journal",
            cycle_s=CYCLE_S,
            panel=Panel.AUTO,
            person_s=0.05,
            port=self._port,
            namespace_shift=shift,
            extras=MANY if self._scene.wire == MISSING else 0,
            secure=self._directory / certificate if secure else None,
            **self._kind,
        )
        self._press = await self._stack.enter_async_context(running_press(settings))
        self.url = self._press.endpoint
        self._port = urlsplit(self.url).port or 0
        self.fingerprint = self.fingerprint or self._press.fingerprint

    async def close(self) -> None:
        """Stop it."""
        await self._stack.aclose()
        self._stack = AsyncExitStack()

    def addresses(self, port: int) -> dict[str, str]:
        """Give where a life finds it behind a relay, and the certificate that it is to trust."""
        found = {"machine": f"opc.tcp://127.0.0.1:{port}"}
        return found | {"fingerprint": self.fingerprint} if self.fingerprint is not None else found

    async def break_down(self) -> int:
        """Let the scene's fault befall it; give for how many rounds it lasts at least."""
        press, wire = self._press, self._scene.wire
        assert press is not None
        times, methods = self._chance.randint(1, 2), frozenset({self._chance.choice(_METHODS)})
        if wire in ("restart", "restart with other indexes"):
            await self.close()
            await self.start(shift=3 if wire != "restart" else 0)
        elif wire == CERTIFICATE:
            await self._let_a_stranger_answer()
        elif wire == MISSING:
            await self._remove_a_node(press)
        elif wire == "queue overflow":
            await self._burst(press)
        elif wire == "session cut":
            await press.break_down(Faults(session_s=0.3))
            await press.server.end_sessions()
        elif wire == "too many sessions":
            await press.break_down(Faults(sessions_max=0))
            for connection in list(press.server.gate.connections):
                connection.cut()
        elif wire in ("bad", "never", "close", "uncertain"):
            await press.break_down(Faults(reply=Reply(wire), methods=methods, times=times))
        elif wire == "late":
            await press.break_down(Faults(late_s=1.3, methods=methods, times=times))
        else:
            await press.break_down(_lasting(wire, self._chance))
        return _LASTING.get(wire, 0)

    async def heal(self) -> None:
        """Put everything in order that can be."""
        if self._scene.wire == CERTIFICATE:
            await self.close()
            self._strangers.write(event="gone", t=time.time())
            await self.start()
        if self._press is not None:
            await self._press.break_down(Faults())

    async def _let_a_stranger_answer(self) -> None:
        """Stop the press; another one with another certificate answers in its place."""
        await self.close()
        await self.start(certificate="other")
        self._strangers.write(event="there", t=time.time())

    async def _remove_a_node(self, press: RunningPress) -> None:
        """Remove one value among many."""
        number = self._chance.randrange(MANY)
        if self._truths is not None:
            self._truths.gone(number)
        await press.press.remove_extra(number)

    async def _burst(self, press: RunningPress) -> None:
        if self._truths is None:
            return
        self._bursts += 1
        with self._truths.burst(self._bursts):
            await press.press.burst(BURST)


def _lasting(wire: str, chance: random.Random) -> Faults:
    """Give the faults that last until they are over."""
    if wire.startswith("measured "):
        return Faults(measured=Measured(wire.removeprefix("measured ")))
    if wire == "machine clock off":
        return Faults(clock_off_s=chance.choice((_HOUR_S, -_HOUR_S)))
    return Faults(frozen=wire == "frozen", namespace_missing=wire == "nodes missing", permits_bad=wire == "bad permits")
