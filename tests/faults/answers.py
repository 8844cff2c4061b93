"""A relay before the shop that understands HTTP, and spoils what the shop answers as real shops and strangers do."""

import asyncio
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.faults.chaos import Relay
from tests.faults.oddities import ODD_TEXTS, ODDITIES, written

ORDERS = "/wp-json/wc/v3/orders"
BOMB_MB = 512  # what the gzip bomb unpacks to
REFUSALS = ("429 with a date", "429 with nothing")
REDIRECTS = ("redirect to another port", "redirect to a private address")
PAGES = ("looping pages", "overlapping pages")
BOMB = "gzip bomb"
SPOILT_ANSWERS = (*REFUSALS, *REDIRECTS, *PAGES, BOMB, *ODD_TEXTS)
STRAYS = {"redirect to another port": "127.0.0.1", "redirect to a private address": "127.0.0.2"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A request or an answer: its first line, its headers by lower-case name, its body."""

    first: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.first.split(" ")[1]).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.first.split(" ")[1]).query))

    @property
    def lists_orders(self) -> bool:
        return self.first.startswith("GET ") and self.path == ORDERS

    def octets(self) -> bytes:
        """Give it as it is sent, on a connection that ends with it."""
        headers = self.headers | {"connection": "close", "content-length": str(len(self.body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{self.first}\r\n{head}\r\n".encode("latin-1") + self.body

    def with_rows(self, rows: list[Any]) -> "Message":
        """Give the same answer with other orders in it."""
        return Message(first=self.first, headers=self.headers, body=written(rows))


@dataclass(kw_only=True)
class Answers(Relay):
    """Passes one request and its answer at a time. `spoil` says what becomes of the next answers, `left` of how many.

    `odd` names rows of orders that are always given wrongly, by order and row id: what is odd about each. `trap` is the
    port to which redirects lead, and `on_request` hears of every request that comes in.
    """

    left: int = 0
    trap: int = 0
    odd: dict[tuple[int, int], str] = field(default_factory=dict)
    on_request: Callable[[str], None] = lambda _: None
    _listed: tuple[dict[str, str], Message] | None = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            question = await _read(reader)
            self.on_request(question.first)
            writer.write(await self._answer(question))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass  # one side has gone
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, question: Message) -> bytes:
        answer = await self._asked(question)
        if question.lists_orders:
            answer = self._with_oddities(answer)
        if self.spoil and self.left and (spoilt := self._spoilt(question, answer)) != answer:
            self.spoiled += 1
            self.left -= 1
            answer = spoilt
        if question.lists_orders and self.spoil not in PAGES:
            self._listed = (question.query, answer)
        return answer.octets()

    async def _asked(self, question: Message) -> Message:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            back.write(question.octets())
            await back.drain()
            return await _read(there)
        finally:
            back.close()

    def _with_oddities(self, answer: Message) -> Message:
        rows = _rows(answer)
        hit = 0
        for order in rows:
            for line in order["line_items"]:
                if odd := self.odd.get((order["id"], line["id"])):
                    ODDITIES[odd](line)
                    hit += 1
        self.spoiled += hit
        return answer.with_rows(rows) if hit else answer

    def _spoilt(self, question: Message, answer: Message) -> Message:
        if self.spoil in REFUSALS:
            return _refused(answer, dated=self.spoil == REFUSALS[0])
        if self.spoil in REDIRECTS:
            target = f"http://{STRAYS[self.spoil]}:{self.trap}{question.first.split(' ')[1]}"
            code = self.chance.choice(("301 Moved Permanently", "302 Found", "307 Temporary Redirect"))
            return Message(first=f"HTTP/1.1 {code}", headers={**_date(answer), "location": target}, body=b"")
        if not question.lists_orders or not answer.first.startswith("HTTP/1.1 200"):
            return answer
        if self.spoil == BOMB:
            headers = answer.headers | {"content-encoding": "gzip"}
            return Message(first=answer.first, headers=headers, body=bomb())
        if self.spoil in PAGES:
            return self._turned(question, answer)
        return Message(first=answer.first, headers=answer.headers, body=ODD_TEXTS[self.spoil](answer.body))

    def _turned(self, question: Message, answer: Message) -> Message:
        """Answer another question with what the last one got (looping), or begin with its last row (overlapping)."""
        before, self._listed = self._listed, (question.query, answer)
        if before is None or _where(before[0]) == _where(question.query):
            return answer
        if self.spoil == "looping pages":
            self._listed = before
            return before[1]
        if not (last := _rows(before[1])[-1:]):
            return answer
        return answer.with_rows([*last, *_rows(answer)])


def _where(query: dict[str, str]) -> tuple[str | None, ...]:
    """Name the place in the list that a question asks for."""
    return tuple(query.get(name) for name in ("modified_after", "modified_before", "page"))


def _rows(answer: Message) -> list[Any]:
    try:
        rows = json.loads(answer.body)
    except ValueError:
        return []
    return rows if isinstance(rows, list) else []


def _refused(answer: Message, *, dated: bool) -> Message:
    headers = _date(answer) | {"content-type": "application/json"}
    if dated:
        until = parsedate_to_datetime(answer.headers["date"]) + timedelta(seconds=1)
        headers["retry-after"] = format_datetime(until, usegmt=True)
    return Message(first="HTTP/1.1 429 Too Many Requests", headers=headers, body=b'{"code": "too_many_requests"}')


def _date(answer: Message) -> dict[str, str]:
    return {"date": answer.headers["date"]}


@cache
def bomb() -> bytes:
    """Give a small body that unpacks to `BOMB_MB` of zeros: one block that stands for itself, again and again."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(b"\0" * 1_000_000) + packer.flush(zlib.Z_FULL_FLUSH)
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    return head + block * BOMB_MB + packer.flush(zlib.Z_FINISH)


async def _read(reader: asyncio.StreamReader) -> Message:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    size = headers.get("content-length", "0")
    if not re.fullmatch(r"\d+", size):
        raise ValueError("no length")
    return Message(first=first, headers=headers, body=await reader.readexactly(int(size)))
