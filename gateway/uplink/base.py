"""The port between the gateway and a message broker: access, will, and one connection."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Never, Protocol
from urllib.parse import urlsplit

from gateway.errors import UplinkError

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerAccess:
    """Where the broker is, who we are there, and how long it may take.

    `url` is `mqtt://host[:port]` or `mqtts://host[:port]`; an account belongs into `username` and
    `password`, never into the address. `receive_maximum` is the most publishes that may wait for
    their acknowledgement; a smaller number given by the broker wins. Raise `ValueError` for an
    address that cannot be one.
    """

    url: str
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None  # None: the system's authorities
    cert_file: Path | None = None  # our own certificate, where the broker asks for one
    key_file: Path | None = None
    receive_maximum: int = 20
    connect_deadline_s: float = 10.0
    ack_deadline_s: float = 5.0
    keepalive_s: int = 5  # a silent idle link is noticed after two of these

    def __post_init__(self) -> None:
        """Refuse what could never connect."""
        parts = urlsplit(self.url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError(f"not a broker address (mqtt://host:port or mqtts://host:port): {parts.hostname!r}")
        if parts.username is not None or parts.password is not None:
            raise ValueError("the broker's account belongs into username and password, not into the address")
        if not 1 <= self.receive_maximum <= 65535:  # noqa: PLR2004 - the range of the MQTT 5 property
            raise ValueError(f"receive_maximum must be 1 to 65535, not {self.receive_maximum}")
        if not self.client_id:
            raise ValueError("the client id must not be empty: two gateways could not be told apart")
        _ = parts.port  # raises ValueError for a port that is none

    @property
    def host(self) -> str:
        """Give the host name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Give the port, the scheme's usual one if the address names none."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]

    @property
    def tls(self) -> bool:
        """Tell whether the connection is encrypted and the broker's certificate verified."""
        return urlsplit(self.url).scheme == "mqtts"


@dataclass(frozen=True, kw_only=True, slots=True)
class Will:
    """The retained message that the broker publishes for us when the connection ends in any way."""

    topic: str
    payload: bytes  # JSON


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message from the broker. `retained`: it was published to stay, so nobody knows how old it is."""

    payload: bytes
    retained: bool = False


class DeafError(UplinkError):
    """The broker lets us hear nothing at a topic; the connection goes on."""


class Uplink(Protocol):
    """One live connection; when it ends every call raises `UplinkError` and a new one must be opened.

    Payloads are JSON in UTF-8 and travel at QoS 1. Raise `ValueError` for a topic that is empty,
    has an empty level, a wildcard or NUL, or starts with `$`.
    """

    async def send(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expiry_s: int | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> asyncio.Future[None]:
        """Hand one message to the connection, in call order, as soon as fewer than the limit are in flight.

        The future ends at the broker's acknowledgement, or with `UplinkError`. `labels` become
        user properties.
        """
        ...

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expiry_s: int | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Send one message and return at its acknowledgement."""
        ...

    def hear(self, topic: str) -> AsyncIterator[Message]:
        """Subscribe to a topic and give what comes from now on, as long as the connection lasts.

        Nothing retained is asked for. Where more comes than is taken, the newest is dropped. Raise `DeafError`
        where the broker lets us hear nothing there, and `UplinkError` when the connection ends.
        """
        ...

    async def ended(self) -> Never:
        """Wait for the end of the connection and raise why it ended."""
        ...


class Connect(Protocol):
    """Opens one connection with a fresh client; leaving it makes the broker publish the will."""

    def __call__(
        self, access: BrokerAccess, *, will: Will, monotonic: Callable[[], float]
    ) -> AbstractAsyncContextManager[Uplink]:
        """Connect within the deadline or raise `UplinkError`."""
        ...
