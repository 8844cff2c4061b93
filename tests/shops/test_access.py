"""What is needed to reach a shop is checked before anything is asked."""

import asyncio
from typing import Any

import pytest

from gateway.shops.access import ShopAccess
from gateway.shops.catalog import open_shop


def access(**fields: Any) -> ShopAccess:
    whole: dict[str, Any] = {
        "name": "webshop",
        "type": "woocommerce",
        "url": "https://shop.example",
        "key": "ck_canary",
        "secret": "cs_canary",
        "currency": "SEK",
        "monotonic": lambda: 0.0,
        "sleep": asyncio.sleep,
    }
    return ShopAccess(**(whole | fields))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"url": "ftp://shop.example"}, "http:// or https://"),
        ({"url": "shop.example"}, "http:// or https://"),
        ({"url": "https://"}, "name a host"),
        ({"url": "https://me:pw@shop.example"}, "must not carry a user"),
        ({"url": "https://shop.example/?a=b"}, "must not carry a user, a query"),
        ({"url": "https://shop.example:99999"}, "[Pp]ort"),
        ({"url": "https://shop.example/bütik"}, "plain ASCII"),
        ({"url": "https://shop.example/a b"}, "plain ASCII"),
        ({"per_page": 0}, "1 to 100"),
        ({"per_page": 101}, "1 to 100"),
        ({"overlap_s": 0.0, "lag_s": 1.0}, "together at least 2"),
        ({"overlap_s": -5.0, "lag_s": 10.0}, "must be positive"),
        ({"timeout_s": 0.0}, "must be positive"),
    ],
)
def test_what_would_lose_orders_or_secrets_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        access(**fields)


def test_no_secret_is_shown_when_it_is_printed() -> None:
    assert "canary" not in repr(access())


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no shop type 'shopware'; there is woocommerce"):
        open_shop(access(type="shopware"))
