"""The press's panel as a small loopback HTTP port: what a person does there, what a tester breaks."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.press.faults import Faults
from simulators.press.jobs import STATE_TEXTS, Job
from simulators.press.live import LivePress
from simulators.press.machine import PressMachine

_ALLOWED = {"guard": ("open", "shut"), "selector": ("remote", "local")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Touch:
    """What a person does at the panel, in this order; None and False are left alone."""

    selector: str | None = None
    mode: str | None = None
    fault: str | None = None
    guard: str | None = None
    tool: str | None = None
    scrap_next: int | None = None  # that many of the next pieces become scrap
    reset: bool = False
    start: bool = False

    @classmethod
    def from_json(cls, wanted: dict[str, Any]) -> Self:
        """Read plain JSON values; raise `ValueError` for what the panel does not have."""
        known = {entry.name for entry in fields(cls)}
        if unknown := wanted.keys() - known:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
        for name, allowed in _ALLOWED.items():
            if wanted.get(name, allowed[0]) not in allowed:
                raise ValueError(f"{name} is {' or '.join(allowed)}, not {wanted[name]!r}")
        return cls(**wanted)

    def __call__(self, machine: PressMachine, now: datetime) -> None:
        """Do it."""
        if self.selector is not None:
            machine.select(now, remote=self.selector == "remote")
        if self.mode is not None:
            machine.set_mode(now, self.mode)
        if self.fault is not None:
            machine.fail(now, self.fault)
        if self.guard is not None:
            (machine.open_guard if self.guard == "open" else machine.shut_guard)(now)
        if self.tool is not None:
            machine.fit_tool(now, self.tool)
        if self.scrap_next is not None:
            machine.scrap_next = self.scrap_next
        if self.reset:
            machine.reset(now)
        if self.start:
            machine.press_start(now)


def state_of(press: LivePress) -> dict[str, Any]:
    """Give all that can be seen of the press as plain JSON values."""
    machine = press.machine
    return {
        "name": press.settings.name,
        "business_time": press.now().isoformat(),
        "state": machine.state,
        "mode": machine.controls.mode,
        "fault": machine.controls.fault,
        "tool": machine.controls.tool,
        "guard": "shut" if machine.controls.guard_shut else "open",
        "remote": machine.remote,
        "ready": machine.ready,
        "handed_over": machine.handed_over,
        "cycles_total": machine.cycles_total,
        "jobs": [_job(job) for job in machine.jobs],
    }


@asynccontextmanager
async def panel_port(press: LivePress, tasks: asyncio.TaskGroup, *, set_faults: Any, port: int) -> AsyncIterator[str]:
    """Open the panel's port on loopback and give its address; the port is closed on leaving."""
    listener = socket.create_server(("127.0.0.1", port))
    routes = _Routes(press, set_faults)
    application = Starlette(
        routes=[
            Route("/panel", routes.touch, methods=["POST"]),
            Route("/faults", routes.break_something, methods=["POST"]),
            Route("/state", routes.state, methods=["GET"]),
        ]
    )
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        timeout_graceful_shutdown=1,
    )
    server = _Uvicorn(config)
    running = tasks.create_task(server.serve(sockets=[listener]), name="panel")
    await server.is_up.wait()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


class _Routes:
    def __init__(self, press: LivePress, set_faults: Any) -> None:
        self._press = press
        self._set_faults = set_faults

    async def touch(self, request: Request) -> Response:
        try:
            wanted = Touch.from_json(await _object(request))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        await self._press.act(wanted)
        return JSONResponse(state_of(self._press))

    async def break_something(self, request: Request) -> Response:
        try:
            faults = Faults.from_json(await _object(request))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        await self._set_faults(faults)
        return JSONResponse(state_of(self._press))

    async def state(self, _request: Request) -> Response:
        return JSONResponse(state_of(self._press))


class _Uvicorn(uvicorn.Server):
    """A uvicorn that leaves the process's signals alone and tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _object(request: Request) -> dict[str, Any]:
    wanted = json.loads(await request.body() or b"{}")
    if not isinstance(wanted, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - a wrong value from outside
    return wanted


def _job(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "state": int(job.state),
        "state_text": STATE_TEXTS[job.state],
        "cycles": job.order.cycles,
        "cycles_done": job.cycles_done,
        "produced": job.produced,
        "good": job.good,
        "scrap": job.scrap,
        "reason": job.reason,
        "started_at": job.started_at and job.started_at.isoformat(),
        "ended_at": job.ended_at and job.ended_at.isoformat(),
    }
