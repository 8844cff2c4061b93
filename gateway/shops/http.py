"""One bounded HTTP exchange with a shop: a deadline, a size, strict JSON, and no redirects."""

import asyncio
import logging
import math
import random
import re
import zlib
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from gateway.errors import ShopError, ShopRefusedError
from gateway.shops.access import ShopAccess
from gateway.shops.auth import Basic, Pairs, Signer, encode_query, signer_for
from gateway.shops.strict_json import JsonFaultError, parse

BODY_BYTES_MAX = 20_000_000
TRIES = 3
FIRST_PAUSE_S = 0.2
RETRY_AFTER_S_MAX = 86_400.0
CLOCK_SLACK_S = 60

_REFUSED = {
    401: "the key is refused (over TLS also when WordPress is not told that it is TLS)",
    403: "the key may not do this",
    404: "it is not there",
}
_PASSING = frozenset({502, 504})
_BUSY = frozenset({429, 503})
_FOR_GOOD = frozenset({400, 404, 409, 410, 422})


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the shop answered: parsed JSON, headers with lower-case names, and the shop's time.

    `asked_at` is the shop's own time when the question was sent (its `Date` minus the time that
    passed), aware UTC in whole seconds; None when the shop sent no usable `Date`.
    """

    status: int
    tree: object
    headers: Mapping[str, str]
    asked_at: datetime | None


class TooLargeError(ShopError):
    """The answer is larger than anything that was asked for."""


class _PassingError(ShopError):
    """The same question may well be answered in a moment."""


class Exchange:
    """Questions to one shop. Every method raises `ShopError`, whose text never holds a secret."""

    def __init__(self, *, access: ShopAccess, client: httpx.AsyncClient, signer: Signer, time_path: str) -> None:
        self._access = access
        self._client = client
        self._signer = signer
        self._time_path = time_path
        self._base = access.url.rstrip("/")
        self._shop_time: tuple[float, float] | None = None  # (unix seconds, monotonic seconds when it was told)

    async def get(self, path: str, query: Pairs = (), *, signed: bool = True, also: Collection[int] = ()) -> Answer:
        """Read; statuses in `also` are answers too. A passing failure is asked again, `TRIES` times at most."""
        for attempt in range(1, TRIES):
            try:
                return await self._ask("GET", path, query, signed=signed, also=also)
            except _PassingError:
                pause_s = FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
                await self._access.sleep(pause_s)
        return await self._ask("GET", path, query, signed=signed, also=also)

    async def put(self, path: str, body: Mapping[str, object]) -> Answer:
        """Write once; whether and when to write again is the caller's business.

        Raises `ShopRefusedError` when the shop understood and will never do it.
        """
        return await self._ask("PUT", path, (), body=body)

    async def post(self, path: str, body: Mapping[str, object], *, also: Collection[int] = ()) -> Answer:
        """Make something, once; statuses in `also` are answers too. Raises like `put`."""
        return await self._ask("POST", path, (), also=also, body=body)

    async def delete(self, path: str, query: Pairs = (), *, also: Collection[int] = ()) -> Answer:
        """Remove something, once; statuses in `also` are answers too. Raises like `put`."""
        return await self._ask("DELETE", path, query, also=also)

    async def _ask(
        self,
        method: str,
        path: str,
        query: Pairs,
        *,
        signed: bool = True,
        also: Collection[int] = (),
        body: Mapping[str, object] | None = None,
    ) -> Answer:
        if not signed or isinstance(self._signer, Basic):
            return self._judge(method, path, await self._send(method, path, query, body, 0, signed=signed), also)
        if self._shop_time is None:
            await self._send("GET", self._time_path, (), None, 0, signed=False)
        unix_s = self._unix_s()
        raw = await self._send(method, path, query, body, unix_s)
        # A signature carries the time: the shop's own, never the gateway's. Ours ran off, so once more.
        if raw.status == httpx.codes.UNAUTHORIZED and abs(self._unix_s() - unix_s) > CLOCK_SLACK_S:
            raw = await self._send(method, path, query, body, self._unix_s())
        return self._judge(method, path, raw, also)

    def _unix_s(self) -> int:
        if self._shop_time is None:
            raise ShopError(f"{self._access.name}: the shop sends no Date header, so nothing can be signed")
        unix_s, told_at = self._shop_time
        return int(unix_s + self._access.monotonic() - told_at)

    async def _send(
        self,
        method: str,
        path: str,
        query: Pairs,
        body: Mapping[str, object] | None,
        unix_s: int,
        *,
        signed: bool = True,
    ) -> "_Raw":
        url = self._base + path
        headers: Mapping[str, str] = {}
        if signed:
            headers, query = self._signer.sign(method=method, url=url, query=query, unix_s=unix_s)
        address = f"{url}?{encode_query(query)}" if query else url
        what = f"{self._access.name}: {method} {path}"
        began = self._access.monotonic()
        try:
            request = self._client.build_request(method, address, headers=headers, json=body)
            async with asyncio.timeout(self._access.timeout_s):
                raw = await _exchange(self._client, request, what)
        except (TimeoutError, httpx.TimeoutException):
            raise ShopError(f"{what} was not answered completely within {self._access.timeout_s:g} s") from None
        # The library's texts may quote the address, and with it a signature: only the kind is told.
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise _PassingError(f"{what} failed on the way ({type(error).__name__})") from None
        elapsed_s = self._access.monotonic() - began
        if (told := raw.date()) is not None:
            self._shop_time = (told.timestamp(), self._access.monotonic())
            raw.asked_at = told - timedelta(seconds=math.floor(elapsed_s))
        return raw

    def _judge(self, method: str, path: str, raw: "_Raw", also: Collection[int]) -> Answer:
        what = f"{self._access.name}: {method} {path}"
        if not (raw.status in also or httpx.codes.is_success(raw.status)):
            raise _refusal(what, raw, writing=method != "GET")
        kind = raw.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise ShopError(f"{what} answered {raw.status} with {_plain(kind) or 'no content type'} instead of JSON")
        try:
            tree = parse(raw.body)
        except JsonFaultError as fault:
            raise ShopError(f"{what} answered {raw.status}, but the JSON cannot be used: {fault}") from None
        return Answer(status=raw.status, tree=tree, headers=raw.headers, asked_at=raw.asked_at)


@asynccontextmanager
async def open_exchange(access: ShopAccess, *, time_path: str) -> AsyncIterator[Exchange]:
    """Open the connections to one shop; `time_path` answers anybody and so tells the shop's time."""
    keep_addresses_out_of_logs()
    async with httpx.AsyncClient(
        trust_env=False,
        follow_redirects=False,
        verify=access.trust or True,
        timeout=httpx.Timeout(access.timeout_s),
        limits=httpx.Limits(max_connections=2, max_keepalive_connections=1, keepalive_expiry=30.0),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers={"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "kvot"},
    ) as client:
        signer = signer_for(access.url, key=access.key, secret=access.secret)
        yield Exchange(access=access, client=client, signer=signer, time_path=time_path)


def keep_addresses_out_of_logs() -> None:
    """Silence the library, which logs every address it asks: ours carry signatures, those of files perhaps keys."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After`: seconds, or a date, which counts from the answer's own `Date`."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,15}", text):
        return min(float(text), RETRY_AFTER_S_MAX)
    until, now = _http_date(text), _http_date(headers.get("date", ""))
    if until is None or now is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), RETRY_AFTER_S_MAX)


@dataclass(kw_only=True, slots=True)
class _Raw:
    status: int
    headers: Mapping[str, str]
    body: bytes
    asked_at: datetime | None = None

    def date(self) -> datetime | None:
        return _http_date(self.headers.get("date", ""))


async def _exchange(client: httpx.AsyncClient, request: httpx.Request, what: str) -> _Raw:
    response = await client.send(request, stream=True)
    try:
        body = await _read(response, what)
    finally:
        await response.aclose()
    return _Raw(status=response.status_code, headers=dict(response.headers), body=body)


async def _read(response: httpx.Response, what: str) -> bytes:
    """Read the body, at most `BODY_BYTES_MAX` of it after unpacking, never unpacking more than that."""
    body = bytearray()
    async for piece in body_pieces(response, what, BODY_BYTES_MAX):
        body += piece
    return bytes(body)


async def body_pieces(response: httpx.Response, what: str, most: int) -> AsyncIterator[bytes]:
    """Give the unpacked body piece by piece; raise `TooLargeError` beyond `most` bytes, never unpacking more."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip"}:
        raise ShopError(f"{what} answered in an encoding nobody asked for ({_plain(encoding)})")
    unpack = None if encoding == "identity" else zlib.decompressobj(wbits=31)
    received = given = 0
    async for raw in response.aiter_raw():
        received += len(raw)
        try:
            piece = raw if unpack is None else unpack.decompress(raw, most - given + 1)
        except zlib.error:
            raise ShopError(f"{what} answered with broken gzip") from None
        given += len(piece)
        if max(received, given) > most:
            raise TooLargeError(f"{what} answered with more than {most / 1_000_000:g} MB")
        yield piece
    if unpack is not None and not unpack.eof and received:
        raise ShopError(f"{what} answered with gzip that ends in the middle")


def _refusal(what: str, raw: _Raw, *, writing: bool) -> ShopError:
    if httpx.codes.is_redirect(raw.status):
        target = re.match(r"https?://[\w.:\[\]-]+", raw.headers.get("location", ""))
        return ShopError(
            f"{what} sends us to another address ({target.group() if target else 'unnamed'});"
            " no redirect is followed: set the shop's url to its final address"
        )
    code = _error_code(raw.body)
    why = _REFUSED.get(raw.status) or ("the shop is busy" if raw.status in _BUSY else "")
    text = f"{what} answered {raw.status}" + (f" {code}" if code else "") + (f": {why}" if why else "")
    if raw.status in _PASSING:
        return _PassingError(text)
    # Without a code, or with this one, it is the address that is wrong: that is about all orders.
    if writing and raw.status in _FOR_GOOD and code not in {"", "rest_no_route"}:
        return ShopRefusedError(text)
    return ShopError(text, retry_after_s=retry_after_s(raw.headers) if raw.status in _BUSY else None)


def _error_code(body: bytes) -> str:
    """Find WordPress's own error code; the message beside it may quote what we sent."""
    try:
        tree = parse(body[:64_000])
    except JsonFaultError:
        return ""
    code = tree.get("code") if isinstance(tree, dict) else None
    return _plain(code) if isinstance(code, str) else ""


def _http_date(text: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(text)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _plain(text: str) -> str:
    """Keep a word from outside short and free of anything that could forge a log line."""
    return re.sub(r"[^\w./+-]", "", text, flags=re.ASCII)[:60]
