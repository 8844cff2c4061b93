"""The press alive: its machine driven by the clock, its nodes kept equal to it, its panel attended."""

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from asyncua import ua
from asyncua.common.node import Node
from asyncua.ua.status_codes import StatusCodes

from simulators.press import orders, types
from simulators.press.faults import Faults, Measured, Switchboard
from simulators.press.jobs import STATE_TEXTS, WAITING, Job, JobState
from simulators.press.machine import PressMachine
from simulators.press.measures import Measures
from simulators.press.nodes import PressNodes
from simulators.press.settings import PressSimulation
from simulators.press.wire import GatedServer

T = TypeVar("T")

_LONGEST_REST_S: Final = 60.0
_MEASURE_S: Final = 0.25  # machine seconds between two measurements
_ITEM_STATES: Final = {1: "OutOfService", 2: "NotExecuting", 3: "Executing"}


class LivePress:
    """Joins machine, nodes and clock. `act` is the only way to change the machine."""

    def __init__(
        self,
        settings: PressSimulation,
        *,
        machine: PressMachine,
        nodes: PressNodes,
        server: GatedServer,
        faults: Switchboard,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.machine = machine
        self.faults = faults
        self._nodes = nodes
        self._server = server
        self._wall = wall
        self._measures = Measures(seed=settings.seed)
        self._shown: dict[Node, Any] = {}
        self._extras = dict(enumerate(nodes.extras))
        self._extras_at: int | None = None  # the cycles that they follow
        self._showing = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._woken = asyncio.Event()

    def now(self) -> datetime:
        """Give the business time."""
        return self.settings.business(self._wall())

    async def act(self, step: Callable[[PressMachine, datetime], T]) -> T:
        """Let something happen to the machine now; its nodes show it when this returns."""
        result = step(self.machine, self.now())
        await self.show()
        self._woken.set()
        return result

    async def run(self) -> None:
        """Drive the machine, sleeping until its next step or the next act; never returns."""
        while True:
            self._woken.clear()
            due = self.machine.update(self.now())
            await self.show()
            rest_s = _LONGEST_REST_S
            if due is not None:
                rest_s = min(rest_s, (due - self.now()).total_seconds() / self.settings.speed)
            if rest_s > 0:
                await _either(self._woken, rest_s)

    async def measure(self) -> None:
        """Measure temperature and pressure again and again; never returns."""
        while True:
            await asyncio.sleep(_MEASURE_S)
            self._measures.standby_c = float(await self._nodes.standby.read_value())
            self._measures.step(_MEASURE_S * self.settings.speed, running=self.machine.state == "running")
            await self._write(self._measured())

    async def burst(self, count: int) -> None:
        """Measure so many times at once, faster than anybody is told."""
        for _ in range(count):
            self._measures.step(_MEASURE_S, running=self.machine.state == "running")
            await self._write(self._measured())

    async def remove_extra(self, number: int) -> None:
        """Let one of the further values be gone for good."""
        self._extras.pop(number, None)
        await self._server.remove(self._nodes.extras[number])

    async def attend(self) -> None:
        """Be the person who resets and presses Start whenever that is wanted; never returns."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self.machine.wants_a_person)
            await asyncio.sleep(self.settings.person_s)
            if self.machine.wants_a_person:
                await self.act(_reset_and_start)

    async def show(self) -> None:
        """Write every node whose value has changed."""
        await self._write(self._values())
        async with self._changed:
            self._changed.notify_all()

    async def _write(self, values: list[tuple[Node, ua.DataValue]]) -> None:
        async with self._showing:
            for node, value in values:
                if self._shown.get(node) != value:
                    self._shown[node] = value
                    await node.write_value(value)

    def _measured(self) -> list[tuple[Node, ua.DataValue]]:
        """Give what was measured and counted, stamped with the time of day at which it was."""
        faults = self.faults.present
        stamp = ua.DateTime.fromtimestamp(self._wall() + faults.clock_off_s, UTC).replace(tzinfo=None)
        measures, nodes, cycles = self._measures, self._nodes, self.machine.cycles_total
        values = (
            (nodes.temperature, ua.Variant(round(measures.temperature_c, 2), ua.VariantType.Double)),
            (nodes.pressure, ua.Variant(round(measures.pressure_bar, 1), ua.VariantType.Double)),
            (nodes.cycles, ua.Variant(cycles, ua.VariantType.UInt32)),
        )
        stamped = [(node, _measured(value, stamp, faults.measured)) for node, value in values]
        if cycles != self._extras_at:
            self._extras_at = cycles
            stamped += [
                (node, ua.DataValue(ua.Variant(number + cycles, ua.VariantType.UInt32), SourceTimestamp=stamp))
                for number, node in self._extras.items()
            ]
        return stamped

    def _values(self) -> list[tuple[Node, ua.DataValue]]:
        machine, nodes, jc = self.machine, self._nodes, self._nodes.indexes.jc
        entries = [orders.list_entry(job) for job in machine.jobs]
        responses = [orders.response(job) for job in machine.jobs if job.state not in WAITING]
        item = _item_state(machine)
        faults = self.faults.present
        return [
            (nodes.remote, _permit(machine.remote, faults)),
            (nodes.ready, _permit(machine.ready, faults)),
            (nodes.handed_over, _permit(machine.handed_over, faults)),
            (nodes.tool, ua.DataValue(ua.Variant(machine.controls.tool, ua.VariantType.String))),
            (nodes.mode, ua.DataValue(ua.Variant(machine.controls.mode, ua.VariantType.String))),
            (nodes.state, ua.DataValue(ua.Variant(machine.state, ua.VariantType.String))),
            (nodes.item_state, ua.DataValue(ua.Variant(ua.LocalizedText(_ITEM_STATES[item], "en")))),
            (nodes.item_state_number, ua.DataValue(ua.Variant(item, ua.VariantType.UInt32))),
            (nodes.current_state, ua.DataValue(ua.Variant(ua.LocalizedText(_leading_state(machine.jobs), "en")))),
            (nodes.responses, _array("ISA95JobResponseDataType", responses, jc)),
            (nodes.job_order_list, _array("ISA95JobOrderAndStateDataType", entries, jc)),
            (self._server.nodes.namespace_array, self._namespaces(faults)),
        ]

    def _namespaces(self, faults: Faults) -> ua.DataValue:
        shown = [
            "urn:kvot:simulator:gone" if faults.namespace_missing and uri == types.JC else uri
            for uri in self._nodes.namespaces
        ]
        return ua.DataValue(ua.Variant(shown, ua.VariantType.String))


def _reset_and_start(machine: PressMachine, now: datetime) -> None:
    machine.reset(now)
    machine.press_start(now)


def _measured(value: ua.Variant, stamp: Any, how: Measured) -> ua.DataValue:
    codes = {Measured.UNCERTAIN: StatusCodes.UncertainLastUsableValue, Measured.BAD: StatusCodes.BadSensorFailure}
    instead: dict[Measured, Callable[[], ua.Variant]] = {
        Measured.NULL: lambda: ua.Variant(None),
        Measured.NAN: lambda: ua.Variant(math.nan, ua.VariantType.Double),
        Measured.TEXT: lambda: ua.Variant(f"about {value.Value}", ua.VariantType.String),
        Measured.ARRAY: lambda: ua.Variant([value.Value], value.VariantType, is_array=True),
    }
    shown = instead[how]() if how in instead else value
    return ua.DataValue(shown, ua.StatusCode(ua.UInt32(codes.get(how, StatusCodes.Good))), SourceTimestamp=stamp)


def _permit(value: bool, faults: Faults) -> ua.DataValue:  # noqa: FBT001
    if faults.permits_bad:
        return ua.DataValue(ua.Variant(), ua.StatusCode(ua.UInt32(StatusCodes.BadDeviceFailure)))
    return ua.DataValue(ua.Variant(value, ua.VariantType.Boolean))


def _array(name: str, bodies: list[bytes], jc: int) -> ua.DataValue:
    values = [types.wrap(name, body, jc) for body in bodies]
    return ua.DataValue(ua.Variant(values, ua.VariantType.ExtensionObject, is_array=True))


def _item_state(machine: PressMachine) -> int:
    """Give the MachineryItemState (OPC 40001-1): 1 out of service, 2 not executing, 3 executing."""
    if machine.state == "running":
        return 3
    return 2 if machine.ready else 1


def _leading_state(jobs: list[Job]) -> str:
    """Give the state furthest on among the unfinished jobs, else that of the last one."""
    if not jobs:
        return ""
    open_states = [job.state for job in jobs if job.state not in (JobState.ENDED, JobState.ABORTED)]
    return STATE_TEXTS[max(open_states) if open_states else jobs[-1].state]


async def _either(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
