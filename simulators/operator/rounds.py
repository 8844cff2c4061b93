"""An operator's rounds: look at what waits for somebody, do the first of it, say so.

Nothing is remembered between two looks, so that a gateway that goes away in between is nothing special:
what was not heard still waits. Whether a first piece is good depends on the seed and its job alone.
"""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any

from simulators.control import AwayError, Control, TurnedDownError
from simulators.operator.settings import OperatorSimulation

SETUP, APPROVAL = "setup", "approval"


class Operator:
    """One pair of eyes and hands: one run at a time."""

    def __init__(self, settings: OperatorSimulation, stop: asyncio.Event) -> None:
        self._settings, self._stop = settings, stop
        self._control = Control(settings.socket)

    async def work(self) -> None:
        """Look and do, until told to stop."""
        while not self._stop.is_set():
            if not await self._round():
                await self._pass(self._settings.look_s)

    async def _round(self) -> bool:
        """Do what can be done of all that waits; say whether anything was."""
        try:
            waiting = (await asyncio.to_thread(self._control.ask, "GET", "/api/v1/status"))["to_do"]
        except (AwayError, TurnedDownError):
            return False
        return any([await self._do(one) for one in waiting])

    async def _do(self, waiting: Mapping[str, Any]) -> bool:
        run, what = waiting["run_id"], waiting["waits_for"]
        await self._pass((self._settings.setup_s if what == SETUP else self._settings.judge_s) / self._settings.speed)
        if self._stop.is_set():
            return False
        verb, body = self._word(what, waiting["job_id"])
        try:
            await asyncio.to_thread(self._control.ask, "POST", f"/api/v1/runs/{run}/{verb}", body)
        except (AwayError, TurnedDownError):
            return False  # another run's set-up stands, or it was said already: the next look tells
        return True

    def _word(self, what: str, job: str | None) -> tuple[str, dict[str, object]]:
        """Give the verb and its body."""
        if what == SETUP:
            return "setup-done", {}
        bad = Random(f"{self._settings.seed}/{job}").random() < self._settings.reject_rate  # noqa: S311 - a simulation
        return ("reject", {"reason": self._settings.reason}) if bad else ("approve", {})

    async def _pass(self, seconds: float) -> None:
        """Let time pass, or be told to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return
