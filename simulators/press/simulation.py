"""A whole press as one thing: started in the same process for tests, or served until told to stop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from simulators import journal
from simulators.controls import Panel, Touch
from simulators.panel import Deed, panel_port
from simulators.press import memory
from simulators.press.certificate import Certificate, certificate_in
from simulators.press.faults import Faults, Measured, Switchboard
from simulators.press.live import LivePress
from simulators.press.machine import PressMachine
from simulators.press.methods import JobMethods
from simulators.press.nodes import build
from simulators.press.panel import state_of
from simulators.press.server import make_server, without_garbage_collection
from simulators.press.settings import PressSimulation
from simulators.press.types import OWN
from simulators.press.wire import GatedServer


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningPress:
    """A press that listens. `fingerprint` is None without security."""

    endpoint: str
    panel_url: str
    fingerprint: str | None
    journal_path: Path
    press: LivePress
    server: GatedServer

    @property
    def machine(self) -> PressMachine:
        """Give the machine itself, to be looked at; change it by `panel`."""
        return self.press.machine

    @property
    def faults(self) -> Faults:
        """Give what is wrong at present."""
        return self.press.faults.present

    async def panel(self, **wanted: Any) -> None:
        """Do at the panel what `POST /panel` does: `await press.panel(guard="open")`."""
        await self.press.act(Touch.from_json(wanted))

    async def break_down(self, faults: Faults) -> None:
        """Put these faults in force instead of the present ones; `Faults()` repairs everything."""
        await switch_faults(self.press, self.server, faults)

    def journal(self) -> list[journal.Entry]:
        """Read what has happened physically so far."""
        return journal.read(self.journal_path)


async def serve(
    settings: PressSimulation, *, ready: Callable[[RunningPress], None], stop: asyncio.Event | None = None
) -> None:
    """Run a press until `stop` is set or the task is cancelled; `ready` is called once it listens."""
    async with _running(settings, keep_a_copy=False) as running:
        ready(running)
        await (stop or asyncio.Event()).wait()


@asynccontextmanager
async def running_press(settings: PressSimulation) -> AsyncIterator[RunningPress]:
    """Run a press in this process; the first one takes some 3 s to start, later ones under 1 s."""
    async with _running(settings, keep_a_copy=True) as running:
        yield running


async def switch_faults(press: LivePress, server: GatedServer, faults: Faults) -> None:
    """Put faults in force: on the wire, in the nodes, in the answers."""
    press.faults.switch(faults)
    server.limit_sessions(most=faults.sessions_max, silence_s=faults.session_s)
    if faults.measured is not Measured.NORMAL:
        server.let_types_change()
    if faults.frozen:
        server.gate.shut()
    await press.show()
    if not faults.frozen:
        server.gate.open()


@asynccontextmanager
async def _running(settings: PressSimulation, *, keep_a_copy: bool) -> AsyncIterator[RunningPress]:
    certificate = _certificate(settings)
    faults = Switchboard()
    with without_garbage_collection():
        server = await make_server(settings, certificate, keep_a_copy=keep_a_copy)
        nodes = await build(server, settings)
    with journal.Journal(settings.journal, machine=settings.name) as diary:
        machine = _machine(settings, diary)
        press = LivePress(settings, machine=machine, nodes=nodes, server=server, faults=faults)
        methods = JobMethods(
            machine=machine, act=press.act, nodes=nodes, faults=faults, pieces_per_cycle=settings.pieces_per_cycle
        )
        methods.link(server)
        await press.show()
        async with server, _tasks(press) as tasks:

            async def set_faults(wanted: Faults) -> None:
                await switch_faults(press, server, wanted)

            deeds = {
                "/panel": Deed(read=Touch.from_json, do=press.act),
                "/faults": Deed(read=Faults.from_json, do=set_faults),
            }
            state = partial(state_of, press)
            async with panel_port(deeds, state=state, tasks=tasks, port=settings.panel_port) as panel_url:
                assert server.bserver is not None
                yield RunningPress(
                    endpoint=f"opc.tcp://127.0.0.1:{server.bserver.port}",
                    panel_url=panel_url,
                    fingerprint=None if certificate is None else certificate.fingerprint,
                    journal_path=settings.journal,
                    press=press,
                    server=server,
                )


@asynccontextmanager
async def _tasks(press: LivePress) -> AsyncIterator[asyncio.TaskGroup]:
    """Run the press's clock and, where wanted, its person, as long as the block lasts."""
    async with asyncio.TaskGroup() as tasks:
        endless = [
            tasks.create_task(press.run(), name="press"),
            tasks.create_task(press.measure(), name="measurements"),
        ]
        if press.settings.panel is Panel.AUTO:
            endless.append(tasks.create_task(press.attend(), name="person"))
        try:
            yield tasks
        finally:
            for task in endless:
                task.cancel()


def _certificate(settings: PressSimulation) -> Certificate | None:
    if settings.secure is None:
        return None
    return certificate_in(settings.secure, application_uri=f"{OWN}:{settings.name}", name=settings.name)


def _machine(settings: PressSimulation, diary: journal.Journal) -> PressMachine:
    path = settings.memory_path
    if path is None:
        return PressMachine(settings, diary=diary.write)
    entries = journal.read(settings.journal)
    started = {entry.job for entry in entries if entry.event is journal.Event.START}
    jobs = memory.recall(path, started=started)
    return PressMachine(settings, diary=diary.write, remember=lambda kept: memory.keep(path, kept), jobs=jobs)
