"""The simulated oven of a wired scene: how it is started, on which line it lies, and all that goes wrong with it."""

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from simulators.controls import Panel
from simulators.modbus_faults import Lie
from simulators.oven.faults import OvenFaults
from simulators.oven.settings import OvenSimulation, Retention
from simulators.oven.simulation import RunningOven, running_oven
from simulators.serial_line import SerialLine
from simulators.words import WordOrder
from tests.faults.scenes import Scene
from tests.faults.secondmaster import SecondMaster

CYCLE_S = 0.05
SERIAL = "rtu "  # a scene on a serial line begins so
WORD_ORDER = "wrong word order"
SECOND_MASTER = "second master"
DEAD_UNIT = "dead unit"
DEAD = 2  # the unit that never answers
_LASTING = {WORD_ORDER: 3, SECOND_MASTER: 6, "rtu unplugged": 3, DEAD_UNIT: 8}


class OvenSide:
    """One oven on one port. `url` is its own address, without a relay before it."""

    def __init__(self, directory: Path, scene: Scene, chance: random.Random) -> None:
        self._directory, self._scene, self._chance = directory, scene, chance
        self._stack = AsyncExitStack()
        self._oven: RunningOven | None = None
        self._line: SerialLine | None = None
        self._other: SecondMaster | None = None
        self._others: list[asyncio.Task[None]] = []
        self._port = 0
        self.url = ""

    async def start(self, *, order: WordOrder = WordOrder.BIG) -> None:
        """Start it, on the port it had before."""
        settings = OvenSimulation(
            journal=self._directory / "press.journal",
            name="press-1",
            cycle_s=CYCLE_S,
            panel=Panel.AUTO,
            person_s=0.05,
            port=self._port,
            word_order=order,
            one_connection=self._scene.wire == "one connection",
            retention=Retention.SYNCHRONOUS,
        )
        if self._scene.wire == "nothing":  # whoever connects need not wait for its next heartbeat
            settings = replace(settings, scan_s=0.002, heartbeat_s=0.004)
        self._oven = await self._stack.enter_async_context(running_oven(settings))
        self.url = self._oven.url
        self._port = urlsplit(self.url).port or 0
        if self._scene.wire.startswith(SERIAL):
            self._line = SerialLine(self._oven.server, self._directory / "ttyKvot")
            self._line.plug()
            self._stack.callback(self._line.unplug)

    async def close(self) -> None:
        """Stop it, and whoever else was at it."""
        await self._end_others()
        await self._stack.aclose()
        self._stack = AsyncExitStack()

    def addresses(self, port: int) -> dict[str, str]:
        """Give where a life finds it behind a relay, or on its serial line, and the dead unit beside it."""
        if self._line is not None:
            return {"machine": f"modbus+serial://115200-8N1{self._directory}/ttyKvot/1"}
        found = {"machine": f"modbus://127.0.0.1:{port}/1"}
        return found | {"dead": f"modbus://127.0.0.1:{port}/{DEAD}"} if self._scene.wire == DEAD_UNIT else found

    async def break_down(self) -> int:
        """Let the scene's fault befall it; give for how many rounds it lasts at least."""
        oven, wire = self._oven, self._scene.wire
        assert oven is not None
        times, functions = self._chance.randint(1, 3), frozenset({self._chance.choice((3, 6, 16))})
        if wire in ("reboot, memory kept", "reboot, memory lost"):
            await oven.power(cut=True, lose=wire.endswith("lost"))
        elif wire == WORD_ORDER:
            await self.close()
            await self.start(order=WordOrder.LITTLE)
        elif wire == SECOND_MASTER:
            self._other = self._other or SecondMaster(self._port, self._directory, self._chance)
            self._others.append(asyncio.create_task(self._other.run()))
        elif wire == "rtu unplugged":
            assert self._line is not None
            self._line.unplug()
        elif wire.startswith("exception "):
            fault = OvenFaults(exception=int(wire.split()[1]), functions=functions, times=times)
            await oven.break_down(replace(fault, executes=self._chance.random() < 0.5))
        elif (lasting := _LASTING_FAULTS.get(wire)) is not None:
            await oven.break_down(lasting)
        elif wire in ("late reply", "rtu late reply"):
            await oven.break_down(OvenFaults(late_s=1.2, functions=functions, times=times))
        else:
            await oven.break_down(OvenFaults(lie=Lie(wire.removeprefix(SERIAL)), functions=functions, times=times))
        return _LASTING.get(wire, 0)

    async def heal(self) -> None:
        """Put everything in order."""
        await self._end_others()
        if self._other is not None:
            await self._other.tidy()
        if self._scene.wire == WORD_ORDER:
            await self.close()
            await self.start()
        if self._line is not None:
            self._line.plug()
        if self._oven is not None:
            await self._oven.power(cut=False)
            await self._oven.break_down(OvenFaults())

    async def tidy(self) -> None:
        """Let the second master clear what it left, in a round in which it does nothing else."""
        if self._other is not None and not self._others:
            await self._other.tidy()

    async def _end_others(self) -> None:
        for task in self._others:
            task.cancel()
        await asyncio.gather(*self._others, return_exceptions=True)
        self._others.clear()


_LASTING_FAULTS = {
    "torn value": OvenFaults(torn=True),
    "torn write": OvenFaults(torn_write=True),
    "frozen": OvenFaults(frozen=True),
    DEAD_UNIT: OvenFaults(mute=True),
}
