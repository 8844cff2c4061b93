"""A web server on loopback that says exactly what a test wants, byte for byte."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from gateway.shops.access import ShopAccess

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Question:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(kw_only=True)
class Wire:
    """One connection's answers; `sent` may be called many times, then the connection ends."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def until_gone(self) -> None:
        """Wait until the other side has closed the connection."""
        await self.reader.read()

    async def send(self, chunk: bytes) -> None:
        self.writer.write(chunk)
        await self.writer.drain()


Responder = Callable[[Question, Wire], Awaitable[None]]


@dataclass(kw_only=True)
class Served:
    url: str
    questions: list[Question] = field(default_factory=list)


@asynccontextmanager
async def serving(respond: Responder) -> AsyncIterator[Served]:
    served = Served(url="")
    tasks: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            question = await _read(reader)
            served.questions.append(question)
            await respond(question, Wire(reader=reader, writer=writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield served
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Question:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Question(method=method, path=parts.path, query=query, headers=headers, body=body)


def response(
    body: object,
    *,
    status: int = 200,
    kind: str | None = "application/json; charset=UTF-8",
    date: datetime | None = NOW,
    length: int | None = None,
    **headers: str,
) -> bytes:
    """Write a whole answer; anything but bytes is sent as JSON."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} x", "Connection: close"]
    lines.append(f"Content-Length: {len(payload) if length is None else length}")
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    if date is not None:
        lines.append(f"Date: {format_datetime(date, usegmt=True)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload


def always(answer: bytes) -> Responder:
    async def respond(_: Question, wire: Wire) -> None:
        await wire.send(answer)

    return respond


class Naps:
    """A sleep that only notes how long it should have been."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


def access_to(url: str, *, sleep: Callable[[float], Awaitable[None]] | None = None, **fields: Any) -> ShopAccess:
    whole: dict[str, Any] = {
        "name": "webshop",
        "type": "woocommerce",
        "url": url,
        "key": "ck_canary",
        "secret": "cs_canary",
        "currency": "SEK",
        "overlap_s": 120.0,
        "lag_s": 5.0,
        "per_page": 50,
        "timeout_s": 5.0,
        "monotonic": asyncio.get_running_loop().time,
        "sleep": sleep or Naps(),
    }
    return ShopAccess(**(whole | fields))
