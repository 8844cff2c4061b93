"""What is needed to reach one shop: its address, its keys, and how carefully to read it."""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PER_PAGE_MAX = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopAccess:
    """The settings of one shop, checked, with the clocks it may use.

    `overlap_s` is how far before the cursor each pull starts again, `lag_s` how far behind the
    shop's own clock the cursor stays, both in the shop's time; together they must be at least 2,
    because shops compare whole seconds. `timeout_s` is the deadline of one whole exchange.
    `personal` are the only personal fields that leave the mapper, as dotted names
    (`billing.email`). `trust` replaces the public certificate authorities.
    Raises `ValueError` when a value cannot be used.
    """

    name: str
    type: str
    url: str
    key: str = field(repr=False)
    secret: str = field(repr=False)
    currency: str
    overlap_s: float = 120.0
    lag_s: float = 5.0
    per_page: int = 50
    timeout_s: float = 20.0
    personal: tuple[str, ...] = ()
    monotonic: Callable[[], float] = field(repr=False)
    sleep: Callable[[float], Awaitable[None]] = field(repr=False)
    trust: ssl.SSLContext | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse what would lose orders or send a secret astray."""
        if not self.url.isascii() or any(letter <= " " for letter in self.url):
            raise ValueError("url must be plain ASCII without blanks, other letters percent-encoded")
        parts = urlsplit(self.url)
        _ = parts.port  # raises when it is no port
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("url must be http:// or https:// and name a host")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("url must not carry a user, a query or a fragment")
        if not 1 <= self.per_page <= PER_PAGE_MAX:
            raise ValueError(f"per_page must be 1 to {PER_PAGE_MAX}")
        if self.overlap_s < 0 or self.lag_s < 0 or self.overlap_s + self.lag_s < 2:  # noqa: PLR2004 - two whole seconds
            raise ValueError("overlap_s and lag_s must be positive and together at least 2")
        if self.timeout_s <= 0:
            raise ValueError("timeout_s must be positive")
