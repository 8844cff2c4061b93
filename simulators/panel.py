"""A machine's panel as a small loopback HTTP port: each POST does something, each answer shows the machine."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Wanted = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Deed:
    """What a POST asks for: `read` parses it (`ValueError`: refused with 422), `do` does it."""

    read: Callable[[Wanted], Any]
    do: Callable[[Any], Awaitable[object]]


@asynccontextmanager
async def panel_port(
    deeds: Mapping[str, Deed], *, state: Callable[[], Wanted], tasks: asyncio.TaskGroup, port: int
) -> AsyncIterator[str]:
    """Open the port on loopback and give its address; it is closed on leaving.

    `POST path` does one of the deeds, `GET /state` only looks; both answer with the state.
    """
    listener = socket.create_server(("127.0.0.1", port))

    async def show(_request: Request) -> Response:
        return JSONResponse(state())

    posts = [Route(path, _post(deed, state), methods=["POST"]) for path, deed in deeds.items()]
    server = _Uvicorn(
        uvicorn.Config(
            Starlette(routes=[*posts, Route("/state", show, methods=["GET"])]),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            http="h11",
            timeout_graceful_shutdown=1,
        )
    )
    running = tasks.create_task(server.serve(sockets=[listener]), name="panel")
    await server.is_up.wait()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


def _post(deed: Deed, state: Callable[[], Wanted]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            wanted = deed.read(await _object(request))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        await deed.do(wanted)
        return JSONResponse(state())

    return answer


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


async def _object(request: Request) -> Wanted:
    wanted = json.loads(await request.body() or b"{}")
    if not isinstance(wanted, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - a wrong value from outside
    return wanted
