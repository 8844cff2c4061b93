"""Fetching a file from an address that a stranger wrote: from known hosts only, in time, and never more than asked."""

import asyncio
import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote, urlsplit

import httpx

from gateway.errors import ShopError, ShopRefusedError
from gateway.shops.http import TooLargeError, body_pieces, keep_addresses_out_of_logs, retry_after_s

URL_LENGTH_MAX: Final = 2000
_TAIL: Final = 40
_PORTS: Final = {"https": 443, "http": 80}
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]")
_EMBEDDING: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))  # RFC 6052, 8215

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Fetcher(Protocol):
    """Brings files to our disk."""

    async def fetch(self, url: str, into: Path, *, most: int) -> None:
        """Write what is at an address to a file, at most so many bytes.

        Raise `ShopRefusedError` when it cannot be had there for good, `ShopError` when it may come later,
        `OSError` when our disk does not take it. No text holds more of the address than its host and last part.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchAccess:
    """Where one shop's files may come from.

    `hosts` are `name`, `address` or `name:port`, in lower case; without a port the scheme's own is meant. A name
    that leads to a private network is refused, unless that address stands among the hosts too. `plain` allows
    http beside https. `timeout_s` is the deadline of one file as a whole.
    """

    name: str
    hosts: frozenset[str]
    plain: bool = False
    timeout_s: float = 60.0

    @property
    def addresses(self) -> frozenset[Address]:
        """Give the hosts that are addresses: people wrote them by hand."""
        bare = (re.sub(r"^\[(.+)\](?::\d+)?$|^([\d.]+):\d+$", r"\1\2", host) for host in self.hosts)
        return frozenset(found for host in bare if (found := _address(host)) is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Target:
    scheme: str
    host: str
    port: int
    rest: str  # path and query
    shown: str


@asynccontextmanager
async def open_fetcher(access: FetchAccess, *, resolve: Resolve | None = None) -> AsyncIterator[Fetcher]:
    """Open what fetches files for one shop; `resolve` gives the addresses of a host, by default the system's."""
    keep_addresses_out_of_logs()
    async with httpx.AsyncClient(
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(access.timeout_s),
        # A connection proves one name only, so none is used twice.
        limits=httpx.Limits(max_connections=2, max_keepalive_connections=0),
        headers={"Accept-Encoding": "identity", "User-Agent": "kvot"},
    ) as client:
        yield _HttpFetcher(access, client, resolve or _resolve)


class _HttpFetcher:
    def __init__(self, access: FetchAccess, client: httpx.AsyncClient, resolve: Resolve) -> None:
        self._access, self._client, self._resolve = access, client, resolve

    async def fetch(self, url: str, into: Path, *, most: int) -> None:
        target = _parse(url, self._access)
        what = f"{self._access.name}: {target.shown}"
        try:
            async with asyncio.timeout(self._access.timeout_s):
                await self._bring(target, what, into, most)
        except (TimeoutError, httpx.TimeoutException):
            raise ShopError(f"{what} did not come completely within {self._access.timeout_s:g} s") from None
        # The library's texts may quote the address: only the kind is told.
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise ShopError(f"{what} failed on the way ({type(error).__name__})") from None
        except TooLargeError as fault:
            raise ShopRefusedError(str(fault)) from None

    async def _bring(self, target: _Target, what: str, into: Path, most: int) -> None:
        address = await self._checked_address(target, what)
        literal = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 - IPv6
        # The connection goes to the very address that was checked; the name is still what TLS must prove.
        request = self._client.build_request(
            "GET",
            f"{target.scheme}://{literal}:{target.port}{target.rest}",
            headers={"Host": target.host if target.port == _PORTS[target.scheme] else f"{target.host}:{target.port}"},
            extensions={"sni_hostname": target.host.strip("[]")},
        )
        response = await self._client.send(request, stream=True)
        try:
            _judge(response, what)
            with into.open("wb") as file:
                async for piece in body_pieces(response, what, most):
                    file.write(piece)
        finally:
            await response.aclose()

    async def _checked_address(self, target: _Target, what: str) -> Address:
        """Resolve once; every address must be public, or written down by somebody."""
        try:
            found = [_address(text) for text in await self._resolve(target.host.strip("[]"), target.port)]
        except OSError:
            raise ShopError(f"{what}: nobody knows the host now") from None
        if not found:
            raise ShopError(f"{what}: the host has no address now")
        for address in found:
            if address is None or not (_is_public(address) or address in self._access.addresses):
                raise ShopRefusedError(
                    f"{what}: the host leads to a private network; if that is meant, write its address into file_hosts"
                )
        assert found[0] is not None
        return found[0]


def shown_url(url: str) -> str:
    """Give what people may see of an address: host and last part of its path, never a key in it."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "an address that is none"
    host = re.sub(r"[^a-z0-9.:-]", "?", host)[:100]
    tail = re.sub(r"[^\w.-]", "?", parts.path.rpartition("/")[2], flags=re.ASCII)[-_TAIL:]
    return f"{host}/.../{tail}" if host else "an address without a host"


def _parse(url: str, access: FetchAccess) -> _Target:
    shown = shown_url(url)

    def refused(why: str) -> ShopRefusedError:
        return ShopRefusedError(f"{access.name}: {shown} {why}")

    if len(url) > URL_LENGTH_MAX or not url.isprintable() or any(sign in url for sign in ' \\"<>'):
        raise refused("is no address of a file")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise refused("is no address of a file") from None
    schemes = ("https", "http") if access.plain else ("https",)
    if parts.scheme not in schemes:
        raise refused(f"does not begin with {' or '.join(f'{one}://' for one in schemes)}")
    if parts.username is not None or parts.password is not None:
        raise refused("carries a user, which no address of a file does")
    host = (parts.hostname or "").rstrip(".")
    host = f"[{host}]" if ":" in host else host
    if not _HOST.fullmatch(host):
        raise refused("is no address of a file")
    port = port or _PORTS[parts.scheme]
    if not ({f"{host}:{port}"} | ({host} if port == _PORTS[parts.scheme] else set())) & access.hosts:
        raise refused(f"is not on a host that files may come from (shops.{access.name}.file_hosts)")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?") if parts.query else ""
    return _Target(scheme=parts.scheme, host=host, port=port, rest=path + query, shown=shown)


def _judge(response: httpx.Response, what: str) -> None:
    status = response.status_code
    if status in _PASSING:
        raise ShopError(f"{what} was answered {status}", retry_after_s=retry_after_s(response.headers))
    if response.has_redirect_location or httpx.codes.is_redirect(status):
        raise ShopRefusedError(f"{what} leads on to another address, and no redirect is followed")
    if status != httpx.codes.OK:
        why = {401: ": it is locked", 403: ": it is locked", 404: ": it is not there", 410: ": it is gone"}
        raise ShopRefusedError(f"{what} was answered {status}{why.get(status, '')}")


async def _resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]).partition("%")[0] for one in found))


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_public(address: Address) -> bool:
    """Say whether an address is out on the Internet, also where it hides another one."""
    if isinstance(address, ipaddress.IPv6Address):
        hidden = address.ipv4_mapped or address.sixtofour
        if hidden is None and any(address in network for network in _EMBEDDING):
            hidden = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if hidden is not None:
            return _is_public(hidden)
    return address.is_global and not address.is_multicast and not address.is_reserved
