"""A whole oven as one thing: started in the same process for tests, or served until told to stop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators import journal
from simulators.controls import Panel, Touch
from simulators.modbus_wire import ModbusServer
from simulators.oven.faults import OvenFaults
from simulators.oven.machine import Oven
from simulators.oven.settings import OvenSimulation
from simulators.panel import Deed, panel_port
from simulators.scanning import LiveController, Power, at_work
from simulators.tally import Tally


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningOven:
    """An oven that listens. `url` is `modbus://host:port`."""

    url: str
    panel_url: str
    port: int
    journal_path: Path
    oven: Oven
    live: LiveController
    server: ModbusServer

    async def panel(self, **wanted: Any) -> None:
        """Do at the panel what `POST /panel` does: `await oven.panel(guard="open")`."""
        await self.live.act(read_touch(wanted))

    async def power(self, *, cut: bool, lose: bool = False) -> None:
        """Cut the power or give it back; `lose` empties the retentive memory meanwhile."""
        await self.live.power(Power(cut=cut, lose=lose))

    async def break_down(self, faults: OvenFaults) -> None:
        """Put these faults in force instead of the present ones; `OvenFaults()` repairs everything."""
        await switch_faults(self.oven, self.live, self.server, faults)

    def state(self) -> dict[str, Any]:
        """Give what `GET /state` gives."""
        return self.oven.state()

    def journal(self) -> list[journal.Entry]:
        """Read what has happened physically so far."""
        return journal.read(self.journal_path)


async def serve(
    settings: OvenSimulation, *, ready: Callable[[RunningOven], None], stop: asyncio.Event | None = None
) -> None:
    """Run an oven until `stop` is set or the task is cancelled; `ready` is called once it listens."""
    async with running_oven(settings) as running:
        ready(running)
        await (stop or asyncio.Event()).wait()


@asynccontextmanager
async def running_oven(settings: OvenSimulation) -> AsyncIterator[RunningOven]:
    """Run an oven in this process, in some 30 ms."""
    entries = journal.read(settings.journal)
    with journal.Journal(settings.journal, machine=settings.name) as diary:
        oven = Oven(settings, tally=Tally(entries, diary.write))
        server = ModbusServer(oven, port=settings.port, unit=settings.unit, one_connection=settings.one_connection)
        live = LiveController(oven, server, pace=settings, scan_s=settings.scan_s)
        oven.boot(live.now())
        async with server, at_work(live, attended=settings.panel is Panel.AUTO) as tasks:

            async def set_faults(wanted: OvenFaults) -> None:
                await switch_faults(oven, live, server, wanted)

            def state() -> dict[str, Any]:
                return {
                    "name": settings.name,
                    "business_time": live.business().isoformat(),
                    "powered": live.powered,
                    **oven.state(),
                }

            deeds = {
                "/panel": Deed(read=read_touch, do=live.act),
                "/faults": Deed(read=OvenFaults.from_json, do=set_faults),
                "/power": Deed(read=Power.from_json, do=live.power),
            }
            async with panel_port(deeds, state=state, tasks=tasks, port=settings.panel_port) as panel_url:
                yield RunningOven(
                    url=f"modbus://127.0.0.1:{server.port}",
                    panel_url=panel_url,
                    port=server.port,
                    journal_path=settings.journal,
                    oven=oven,
                    live=live,
                    server=server,
                )


async def switch_faults(oven: Oven, live: LiveController, server: ModbusServer, faults: OvenFaults) -> None:
    """Put faults in force: in the oven, on the wire, in its controller."""
    oven.faults = faults
    await live.stop(stopped=faults.stopped)
    await server.switch(faults)


def read_touch(wanted: dict[str, Any]) -> Touch:
    """Read what is done at the panel; the oven's tools are numbers of 16 bits. Raise `ValueError` otherwise."""
    touch = Touch.from_json(wanted)
    if touch.tool is not None and not (touch.tool.isascii() and touch.tool.isdigit() and int(touch.tool) <= 0xFFFF):  # noqa: PLR2004
        raise ValueError(f"tool is a number of 16 bits, not {touch.tool!r}")
    return touch
