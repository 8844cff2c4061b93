"""Who may come in: the published vectors of RFC 5849 and WooCommerce's rules about plain HTTP."""

import ipaddress
import ssl
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from simulators.shop import base_string, running_shop, signature
from simulators.shop.oauth import Call, Gate, RefusedError

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
URL = "http://127.0.0.1:8080/wp-json/wc/v3/orders"


def signed(
    url: str,
    *,
    secret: str = "cs_demo",
    at: datetime = NOON,
    method: str = "GET",
    algorithm: str = "HMAC-SHA256",
    query: Sequence[tuple[str, str]] = (),
) -> list[tuple[str, str]]:
    """Give the query pairs of a signed request."""
    pairs = [
        *query,
        ("oauth_consumer_key", "ck_demo"),
        ("oauth_nonce", "n1"),
        ("oauth_signature_method", algorithm),
        ("oauth_timestamp", str(int(at.timestamp()))),
    ]
    made = signature(base_string(method, url, pairs), algorithm=algorithm, secret=secret)
    return [*pairs, ("oauth_signature", made)]


def call(url: str, pairs: Sequence[tuple[str, str]], **changes: Any) -> Call:
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    return replace(Call(method="GET", url=f"{url}?{query}", authorization="", secure=False), **changes)


def refusal(gate: Gate, asked: Call, *times: datetime) -> tuple[str, str]:
    with pytest.raises(RefusedError) as refused:
        gate.check(asked, times or (NOON,))
    return refused.value.code, str(refused.value)


@pytest.fixture
def gate() -> Gate:
    return Gate(key="ck_demo", secret="cs_demo")


def test_the_base_string_is_that_of_rfc_5849_section_3_4_1_1() -> None:
    pairs = [
        ("b5", "=%3D"),
        ("a3", "a"),
        ("c@", ""),
        ("a2", "r b"),
        ("oauth_consumer_key", "9djdj82h48djs9d2"),
        ("oauth_token", "kkk9d7dh3k39sjv7"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", "137131201"),
        ("oauth_nonce", "7d8f3e4a"),
        ("c2", ""),
        ("a3", "2 q"),
    ]
    assert base_string("post", "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a", pairs) == (
        "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D"
        "%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1"
        "%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
    )


def test_the_signature_is_that_of_rfc_5849_section_1_2() -> None:
    pairs = [
        ("file", "vacation.jpg"),
        ("size", "original"),
        ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
        ("oauth_token", "nnch734d00sl2jdk"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", "137131202"),
        ("oauth_nonce", "chapoH"),
    ]
    base = base_string("GET", "http://photos.example.net/photos", pairs)
    made = signature(base, algorithm="HMAC-SHA1", secret="kd94hf93k423kf44", token_secret="pfkkdhi9sl3r4s00")
    assert made == "MdpQcU8iPSUjWoN/UDMsK2sui9I="


def test_a_signature_without_token_is_that_of_rfc_5849_section_1_2() -> None:
    pairs = [
        ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", "137131200"),
        ("oauth_nonce", "wIjqoS"),
        ("oauth_callback", "http://printer.example.com/ready"),
    ]
    base = base_string("POST", "https://photos.example.net/initiate", pairs)
    assert signature(base, algorithm="HMAC-SHA1", secret="kd94hf93k423kf44") == "74KNZJeDHnMBp0EMJ9ZHt/XKycU="


def test_hmac_sha256_signs_with_32_bytes() -> None:
    assert len(b64decode(signature("GET&x&y", algorithm="HMAC-SHA256", secret="s"))) == 32


@pytest.mark.parametrize("algorithm", ["HMAC-SHA256", "HMAC-SHA1"])
def test_a_signed_request_comes_in_over_plain_http(gate: Gate, algorithm: str) -> None:
    query = [("modified_after", "2026-06-01T10:00:00"), ("search", "å & b%20c"), ("status", "processing,on-hold")]
    gate.check(call(URL, signed(URL, query=query, algorithm=algorithm)), (NOON,))


def test_the_signature_may_travel_in_the_authorization_header(gate: Gate) -> None:
    query = [("page", "2")]
    oauth = [pair for pair in signed(URL, query=query) if pair not in query]
    header = 'OAuth realm="shop", ' + ", ".join(f'{name}="{quote(value, safe="")}"' for name, value in oauth)
    gate.check(call(URL, query, authorization=header), (NOON,))


def test_a_nonce_works_only_once(gate: Gate) -> None:
    asked = call(URL, signed(URL))
    gate.check(asked, (NOON,))
    assert refusal(gate, asked) == (
        "woocommerce_rest_authentication_error",
        "Invalid nonce - nonce has already been used.",
    )


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_signature_of_another_time_is_refused(gate: Gate, minutes: int) -> None:
    asked = call(URL, signed(URL, at=NOON + timedelta(minutes=minutes)))
    assert refusal(gate, asked)[1] == "Invalid timestamp."


def test_a_client_may_sign_with_either_clock_of_a_scaled_shop(gate: Gate) -> None:
    gate.check(call(URL, signed(URL)), (NOON + timedelta(days=9), NOON))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"secret": "cs_wrong"}, "Invalid signature - provided signature does not match."),
        ({"method": "PUT"}, "Invalid signature - provided signature does not match."),
        ({"query": [("page", "3")]}, "Invalid signature - provided signature does not match."),
    ],
)
def test_a_signature_over_something_else_is_refused(gate: Gate, changed: dict[str, Any], why: str) -> None:
    pairs = [pair for pair in signed(URL, **changed) if pair[0] != "page"]
    assert refusal(gate, call(URL, pairs)) == ("woocommerce_rest_authentication_error", why)


def test_a_missing_oauth_parameter_is_named(gate: Gate) -> None:
    pairs = [pair for pair in signed(URL) if pair[0] != "oauth_nonce"]
    code, text = refusal(gate, call(URL, pairs))
    assert code == "woocommerce_rest_authentication_missing_parameter"
    assert "oauth_nonce" in text


async def test_basic_is_refused_over_plain_http_although_key_and_secret_are_right() -> None:
    async with running_shop() as shop, httpx.AsyncClient(auth=("ck_demo", "cs_demo")) as http:
        answer = await http.get(f"{shop.url}/wp-json/wc/v3/orders")
        lied = await http.get(f"{shop.url}/wp-json/wc/v3/orders", headers={"X-Forwarded-Proto": "https"})
    assert (answer.status_code, answer.json()["code"]) == (401, "woocommerce_rest_cannot_view")
    assert lied.status_code == 401


async def test_basic_works_behind_a_proxy_that_tells_of_tls() -> None:
    async with running_shop(behind_proxy=True) as shop, httpx.AsyncClient(auth=("ck_demo", "cs_demo")) as http:
        orders = f"{shop.url}/wp-json/wc/v3/orders"
        told = await http.get(orders, headers={"X-Forwarded-Proto": "https"})
        hidden = await http.get(orders)
        wrong = await http.get(orders, headers={"X-Forwarded-Proto": "https"}, auth=("ck_demo", "cs_wrong"))
    assert (told.status_code, hidden.status_code, wrong.status_code) == (200, 401, 401)


async def test_a_signed_request_is_answered_and_an_unsigned_write_is_not() -> None:
    async with running_shop() as shop, httpx.AsyncClient() as http:
        order = shop.store.place_order([])
        url = f"{shop.url}/wp-json/wc/v3/orders/{order.id}"
        answer = await http.put(
            url, params=dict(signed(url, method="PUT", at=datetime.now(UTC))), json={"status": "completed"}
        )
        unsigned = await http.put(url, json={"status": "cancelled"})
    assert answer.json()["status"] == "completed"
    assert (unsigned.status_code, unsigned.json()["code"]) == (401, "woocommerce_rest_cannot_edit")
    assert shop.state.order(order.id).status == "completed"


async def test_basic_works_over_real_tls(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(cafile=str(cert))
    async with running_shop(tls_cert=cert, tls_key=key) as shop, httpx.AsyncClient(verify=context) as http:
        assert urlsplit(shop.url).scheme == "https"
        answer = await http.get(f"{shop.url}/wp-json/wc/v3/orders", auth=("ck_demo", "cs_demo"))
        by_query = await http.get(
            f"{shop.url}/wp-json/wc/v3/orders", params={"consumer_key": "ck_demo", "consumer_secret": "cs_demo"}
        )
    assert (answer.status_code, by_query.status_code) == (200, 200)


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated shop")])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"
