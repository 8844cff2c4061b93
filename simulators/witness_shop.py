"""The witness at the shop: its own client, and the shop's own list of orders."""

import base64
import hashlib
import hmac
import http.client
import json
import secrets
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote, urlsplit

_PAID = frozenset({"processing", "completed"})
_ON_ACCOUNT = frozenset({"pending", "on-hold"})
_PAGE = 100
_LARGEST_ANSWER = 50_000_000  # bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class SoldLine:
    """What an order holds of an article, and what the shop takes for it, without tax."""

    sku: str
    pieces: int
    net_minor: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopOrder:
    """An order as the shop tells it. `pieces` are those of articles to be made; `state` is `_kvot_state`."""

    order_id: str
    due: bool
    pieces: int
    state: str | None
    lines: tuple[SoldLine, ...] = ()


def read_orders(
    url: str,
    *,
    key: str,
    secret: str,
    never_made: Sequence[str] = (),
    on_account: Sequence[str] = (),
    timeout_s: float = 10.0,
) -> tuple[ShopOrder, ...]:
    """Read the shop's own list of orders over its WooCommerce REST API.

    `never_made` are patterns of article numbers that nobody produces; `on_account` the payment
    methods that need no money first. Raise `OSError` when the shop does not answer properly.
    """
    orders: list[ShopOrder] = []
    page, pages = 1, 1
    while page <= pages:
        query = {"per_page": str(_PAGE), "page": str(page), "orderby": "id", "order": "asc"}
        rows, pages = _get(f"{url.rstrip('/')}/wp-json/wc/v3/orders", query, key, secret, timeout_s)
        orders += [_order(row, never_made, on_account) for row in rows]
        page += 1
    return tuple(orders)


def _order(row: Mapping[str, Any], never_made: Sequence[str], on_account: Sequence[str]) -> ShopOrder:
    status, method = row["status"], row.get("payment_method")
    due = status in _PAID or (status in _ON_ACCOUNT and method in on_account)
    made = [
        int(line["quantity"])
        for line in row["line_items"]
        if not any(fnmatchcase(str(line.get("sku") or ""), pattern) for pattern in never_made)
    ]
    states = [meta["value"] for meta in row.get("meta_data", []) if meta["key"] == "_kvot_state"]
    return ShopOrder(
        order_id=str(row["id"]),
        due=due,
        pieces=sum(made),
        state=str(states[-1]) if states else None,
        lines=tuple(
            SoldLine(sku=str(line.get("sku") or ""), pieces=int(line["quantity"]), net_minor=_minor(line["total"]))
            for line in row["line_items"]
        ),
    )


def _minor(amount: str) -> int:
    return round(Decimal(amount) * 100)


def _get(
    url: str, query: Mapping[str, str], key: str, secret: str, timeout_s: float
) -> tuple[list[dict[str, Any]], int]:
    """Ask once; give the rows and the number of pages."""
    address = urlsplit(url)
    headers = {"Accept": "application/json"}
    if address.scheme == "https":
        headers["Authorization"] = "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            address.netloc, timeout=timeout_s, context=ssl.create_default_context()
        )
    else:
        query = _signed("GET", url, query, key, secret)
        connection = http.client.HTTPConnection(address.netloc, timeout=timeout_s)
    with closing(connection):
        target = "&".join(f"{_escape(name)}={_escape(value)}" for name, value in query.items())
        connection.request("GET", f"{address.path}?{target}", headers=headers)
        answer = connection.getresponse()
        body = answer.read(_LARGEST_ANSWER)
        if answer.status != http.client.OK:
            raise ConnectionError(f"the shop answered {answer.status} {answer.reason}")
        return json.loads(body), int(answer.headers.get("X-WP-TotalPages") or 1)


def _signed(method: str, url: str, query: Mapping[str, str], key: str, secret: str) -> dict[str, str]:
    """Sign a request by OAuth 1.0a with one pair of keys (RFC 5849, 3.4)."""
    signed = {
        **query,
        "oauth_consumer_key": key,
        "oauth_nonce": secrets.token_hex(16),
        "oauth_signature_method": "HMAC-SHA256",
        "oauth_timestamp": str(int(time.time())),
        "oauth_version": "1.0",
    }
    pairs = "&".join(f"{name}={value}" for name, value in sorted((_escape(n), _escape(v)) for n, v in signed.items()))
    base = "&".join((method, _escape(url), _escape(pairs)))
    digest = hmac.new(f"{_escape(secret)}&".encode(), base.encode(), hashlib.sha256).digest()
    return {**signed, "oauth_signature": base64.b64encode(digest).decode()}


def _escape(text: str) -> str:
    return quote(text, safe="~")
