"""The OPC UA methods of the press: arguments checked, the machine asked, the answer given or spoilt on request."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.status_codes import StatusCodes

from simulators.press import types
from simulators.press.faults import Faults, Reply, Switchboard
from simulators.press.jobs import JobOrder, JobState, Status
from simulators.press.machine import PressMachine
from simulators.press.nodes import CONTROL_METHODS, PressNodes
from simulators.press.orders import body_of, read_order, response
from simulators.press.wire import calling_connection

Step = Callable[[PressMachine, datetime], Status]
Act = Callable[[Step], Awaitable[Status]]

_WITH_ORDER: Final[dict[str, Callable[[PressMachine, JobOrder, datetime], Status]]] = {
    "Store": lambda machine, order, now: machine.store(order, now, release=False),
    "StoreAndStart": lambda machine, order, now: machine.store(order, now, release=True),
    "Update": PressMachine.change,
}
_WITH_ID: Final[dict[str, Callable[[PressMachine, str, datetime], Status]]] = {
    "Start": PressMachine.start,
    "RevokeStart": PressMachine.revoke_start,
    "Pause": PressMachine.pause,
    "Resume": PressMachine.resume,
    "Stop": PressMachine.stop,
    "Abort": PressMachine.abort,
    "Cancel": PressMachine.cancel,
    "Clear": PressMachine.clear,
}


class JobMethods:
    """Answers the methods of JobOrderControl and JobOrderResults."""

    def __init__(
        self, *, machine: PressMachine, act: Act, nodes: PressNodes, faults: Switchboard, pieces_per_cycle: int
    ) -> None:
        self._machine = machine
        self._act = act
        self._jc = nodes.indexes.jc
        self._nodes = nodes
        self._faults = faults
        self._pieces_per_cycle = pieces_per_cycle

    def link(self, server: Server) -> None:
        """Bind every method node of the server to its answer."""
        for name, node in self._nodes.methods.items():
            server.link_method(node, self._answer_of(name))

    def _answer_of(self, name: str) -> Callable[..., Awaitable[Any]]:
        is_control = name in CONTROL_METHODS

        async def called(_parent: ua.NodeId, *arguments: ua.Variant) -> Any:
            faults = self._faults.for_call(name, by_default=is_control)
            outputs = await self._control(name, arguments) if is_control else self._results(name, arguments)
            return await _spoil(faults, outputs)

        return called

    async def _control(self, name: str, arguments: tuple[ua.Variant, ...]) -> list[ua.Variant]:
        try:
            step = self._step(name, arguments)
        except ValueError:
            return _outputs(Status.INVALID_REQUEST)
        return _outputs(await self._act(step))

    def _step(self, name: str, arguments: tuple[ua.Variant, ...]) -> Step:
        """Turn checked arguments into a step of the machine; raise `ValueError` where they do not fit."""
        subject, comment = _two(arguments)
        if comment.VariantType not in (ua.VariantType.LocalizedText, ua.VariantType.Null):
            raise ValueError("Comment is not an array of LocalizedText")
        if name in _WITH_ORDER:
            order = read_order(subject.Value, self._jc, pieces_per_cycle=self._pieces_per_cycle)
            with_order = _WITH_ORDER[name]
            return lambda machine, now: with_order(machine, order, now)
        job_id = _text(subject)
        with_id = _WITH_ID[name]
        return lambda machine, now: with_id(machine, job_id, now)

    def _results(self, name: str, arguments: tuple[ua.Variant, ...]) -> list[ua.Variant]:
        try:
            if name == "RequestJobResponseByJobOrderID":
                return self._by_id(_text(_one(arguments)))
            return self._by_state(_one(arguments))
        except ValueError:
            nothing: Any = ua.ExtensionObject() if name == "RequestJobResponseByJobOrderID" else []
            return _outputs(Status.INVALID_REQUEST, nothing)

    def _by_id(self, job_id: str) -> list[ua.Variant]:
        job = self._machine.find(job_id)
        if job is None:
            return _outputs(Status.UNKNOWN_JOB, ua.ExtensionObject())
        return _outputs(Status.OK, types.wrap("ISA95JobResponseDataType", response(job), self._jc))

    def _by_state(self, wanted: ua.Variant) -> list[ua.Variant]:
        name = "ISA95StateDataType"
        asked = [types.decode(name, body_of(name, value, self._jc)) for value in wanted.Value or []]
        states = {JobState(value.StateNumber) for value in asked[:1]}  # the first entry is the top state
        found = [job for job in self._machine.jobs if job.state in states]
        responses = [types.wrap("ISA95JobResponseDataType", response(job), self._jc) for job in found]
        return _outputs(Status.OK, responses)


async def _spoil(faults: Faults, outputs: list[ua.Variant]) -> Any:
    """Give the outputs, late, under another status or not at all, as the faults have it."""
    if faults.late_s > 0:
        await asyncio.sleep(faults.late_s)
    match faults.reply:
        case Reply.BAD:
            return ua.StatusCode(ua.UInt32(StatusCodes.BadInternalError))
        case Reply.UNCERTAIN:
            uncertain = ua.StatusCode(ua.UInt32(StatusCodes.Uncertain))
            return ua.CallMethodResult(StatusCode=uncertain, OutputArguments=outputs)
        case Reply.CLOSE:
            calling_connection().swallow_answer()
            calling_connection().cut()
        case Reply.NEVER:
            calling_connection().swallow_answer()
        case Reply.NORMAL:
            pass
    return outputs


def _outputs(status: Status, *before: Any) -> list[ua.Variant]:
    values = [ua.Variant(value, ua.VariantType.ExtensionObject, is_array=isinstance(value, list)) for value in before]
    return [*values, ua.Variant(int(status), ua.VariantType.UInt64)]


def _one(arguments: tuple[ua.Variant, ...]) -> ua.Variant:
    if len(arguments) != 1:
        raise ValueError(f"{len(arguments)} arguments instead of 1")
    return arguments[0]


def _two(arguments: tuple[ua.Variant, ...]) -> tuple[ua.Variant, ua.Variant]:
    if len(arguments) != 2:  # noqa: PLR2004
        raise ValueError(f"{len(arguments)} arguments instead of 2")
    return arguments[0], arguments[1]


def _text(variant: ua.Variant) -> str:
    if variant.VariantType != ua.VariantType.String or not isinstance(variant.Value, str):
        raise ValueError("JobOrderID is not a String")
    return variant.Value
