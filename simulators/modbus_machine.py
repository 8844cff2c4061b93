"""A whole Modbus machine as one thing: its controller, wire, panel and journal, started and stopped together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from simulators import journal
from simulators.controls import Panel, Touch
from simulators.modbus_faults import WireFaults
from simulators.modbus_pdu import Bank
from simulators.modbus_wire import ModbusServer
from simulators.panel import Deed, panel_port
from simulators.scanning import Controller, LiveController, Power, at_work
from simulators.tally import Tally
from simulators.timing import Pace

FaultsT = TypeVar("FaultsT", bound=WireFaults)


class Machine(Controller, Bank, Protocol[FaultsT]):
    """A controller that is a bank of registers on the wire."""

    faults: FaultsT

    @property
    def stopped(self) -> bool:
        """Say whether its faults keep the controller stopped while the wire answers."""
        ...

    def state(self) -> dict[str, Any]:
        """Give all that can be seen as plain JSON values."""
        ...


class Served(Protocol):
    """What the settings of every such machine say."""

    @property
    def journal(self) -> Path:
        """Give the file of the physical events."""
        ...

    @property
    def name(self) -> str:
        """Give the machine's name."""
        ...

    @property
    def port(self) -> int:
        """Give the Modbus port, 0: any."""
        ...

    @property
    def panel_port(self) -> int:
        """Give the HTTP port of the panel, 0: any."""
        ...

    @property
    def unit(self) -> int:
        """Give the only unit that answers."""
        ...

    @property
    def one_connection(self) -> bool:
        """Say whether a second client is turned away."""
        ...

    @property
    def scan_s(self) -> float:
        """Give the machine seconds between two scans."""
        ...

    @property
    def panel(self) -> Panel:
        """Say who stands at the panel."""
        ...


MachineT = TypeVar("MachineT", bound=Machine[Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class Running(Generic[MachineT, FaultsT]):
    """A machine that listens. `url` is `modbus://host:port`."""

    url: str
    panel_url: str
    port: int
    journal_path: Path
    machine: MachineT
    live: LiveController
    server: ModbusServer

    async def panel(self, **wanted: Any) -> None:
        """Do at the panel what `POST /panel` does: `await running.panel(guard="open")`."""
        await self.live.act(read_touch(wanted))

    async def power(self, *, cut: bool, lose: bool = False) -> None:
        """Cut the power or give it back; `lose` empties what is retentive meanwhile."""
        await self.live.power(Power(cut=cut, lose=lose))

    async def break_down(self, faults: FaultsT) -> None:
        """Put these faults in force instead of the present ones; the default faults repair everything."""
        await switch_faults(self.machine, self.live, self.server, faults)

    def state(self) -> dict[str, Any]:
        """Give what the machine shows of itself in `GET /state`."""
        return self.machine.state()

    def journal(self) -> list[journal.Entry]:
        """Read what has happened physically so far."""
        return journal.read(self.journal_path)


RunningT = TypeVar("RunningT", bound=Running[Any, Any])


async def serve_until(
    machine: AbstractAsyncContextManager[RunningT],
    *,
    ready: Callable[[RunningT], None],
    stop: asyncio.Event | None,
) -> None:
    """Run a machine until `stop` is set or the task is cancelled; `ready` is called once it listens."""
    async with machine as running:
        ready(running)
        await (stop or asyncio.Event()).wait()


@asynccontextmanager
async def running_machine(
    settings: Served,
    *,
    pace: Pace,
    build: Callable[[Tally], Machine[Any]],
    running_type: type[RunningT],
    faults_type: type[WireFaults],
) -> AsyncIterator[RunningT]:
    """Run the machine that `build` makes in this process, in some 30 ms."""
    entries = journal.read(settings.journal)
    with journal.Journal(settings.journal, machine=settings.name) as diary:
        machine = build(Tally(entries, diary.write))
        server = ModbusServer(machine, port=settings.port, unit=settings.unit, one_connection=settings.one_connection)
        live = LiveController(machine, server, pace=pace, scan_s=settings.scan_s)
        machine.boot(live.now())
        async with server, at_work(live, attended=settings.panel is Panel.AUTO) as tasks:

            async def set_faults(wanted: WireFaults) -> None:
                await switch_faults(machine, live, server, wanted)

            def state() -> dict[str, Any]:
                return {
                    "name": settings.name,
                    "business_time": live.business().isoformat(),
                    "powered": live.powered,
                    **machine.state(),
                }

            deeds = {
                "/panel": Deed(read=read_touch, do=live.act),
                "/faults": Deed(read=faults_type.from_json, do=set_faults),
                "/power": Deed(read=Power.from_json, do=live.power),
            }
            async with panel_port(deeds, state=state, tasks=tasks, port=settings.panel_port) as panel_url:
                yield running_type(
                    url=f"modbus://127.0.0.1:{server.port}",
                    panel_url=panel_url,
                    port=server.port,
                    journal_path=settings.journal,
                    machine=machine,
                    live=live,
                    server=server,
                )


async def switch_faults(machine: Machine[FaultsT], live: LiveController, server: ModbusServer, faults: FaultsT) -> None:
    """Put faults in force: in the machine, in its controller, on the wire."""
    machine.faults = faults
    await live.stop(stopped=machine.stopped)
    await server.switch(faults)


def read_touch(wanted: dict[str, Any]) -> Touch:
    """Read what is done at the panel; the tools are numbers of 16 bits. Raise `ValueError` otherwise."""
    touch = Touch.from_json(wanted)
    if touch.tool is not None and not (touch.tool.isascii() and touch.tool.isdigit() and int(touch.tool) <= 0xFFFF):  # noqa: PLR2004
        raise ValueError(f"tool is a number of 16 bits, not {touch.tool!r}")
    return touch
