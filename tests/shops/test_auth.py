"""Signatures, against the examples printed in RFC 5849 and OAuth Core 1.0."""

import base64
import hashlib
import hmac
from urllib.parse import parse_qsl

import pytest

from gateway.shops.auth import Basic, OAuth1, encode_query, oauth_signature, signature_base_string, signer_for


def test_the_base_string_is_the_one_of_rfc_5849_section_3_4_1_1() -> None:
    parameters = [
        ("b5", "=%3D"),
        ("a3", "a"),
        ("c@", ""),
        ("a2", "r b"),
        ("c2", ""),
        ("a3", "2 q"),
        ("oauth_consumer_key", "9djdj82h48djs9d2"),
        ("oauth_token", "kkk9d7dh3k39sjv7"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", "137131201"),
        ("oauth_nonce", "7d8f3e4a"),
    ]
    assert signature_base_string(method="post", url="http://EXAMPLE.COM:80/request", parameters=parameters) == (
        "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q"
        "%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2"
        "%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1"
        "%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
    )


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        # RFC 5849 section 1.2
        ([("oauth_timestamp", "137131202"), ("oauth_nonce", "chapoH")], "MdpQcU8iPSUjWoN/UDMsK2sui9I="),
        # OAuth Core 1.0 appendix A.5
        (
            [("oauth_timestamp", "1191242096"), ("oauth_nonce", "kllo9940pd9333jh"), ("oauth_version", "1.0")],
            "tR3+Ty81lMeYAr/Fid0kMTYa/WM=",
        ),
    ],
)
def test_the_signature_is_the_one_printed_in_the_standard(extra: list[tuple[str, str]], expected: str) -> None:
    signature = oauth_signature(
        method="GET",
        url="http://photos.example.net/photos",
        parameters=[
            ("file", "vacation.jpg"),
            ("size", "original"),
            ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
            ("oauth_token", "nnch734d00sl2jdk"),
            ("oauth_signature_method", "HMAC-SHA1"),
            *extra,
        ],
        secret="kd94hf93k423kf44",
        token_secret="pfkkdhi9sl3r4s00",
        digest="sha1",
    )
    assert signature == expected


def test_a_query_is_signed_with_hmac_sha256_under_the_secret_and_a_lone_ampersand() -> None:
    signer = OAuth1(key="ck_1", secret="cs_1")
    headers, query = signer.sign(
        method="GET", url="http://shop.example:8080/wp-json/wc/v3/orders", query=[("search", "blå å +&")], unix_s=1_777
    )
    sent = dict(parse_qsl(encode_query(query)))
    assert headers == {}
    assert sent["search"] == "blå å +&"
    assert sent["oauth_timestamp"] == "1777"
    assert sent["oauth_signature_method"] == "HMAC-SHA256"
    base = signature_base_string(
        method="GET",
        url="http://shop.example:8080/wp-json/wc/v3/orders",
        parameters=[pair for pair in sent.items() if pair[0] != "oauth_signature"],
    )
    assert "shop.example%3A8080" in base
    expected = hmac.new(b"cs_1&", base.encode(), hashlib.sha256).digest()
    assert base64.b64decode(sent["oauth_signature"]) == expected


def test_no_two_requests_carry_the_same_nonce() -> None:
    signer = OAuth1(key="ck_1", secret="cs_1")
    nonces = {
        dict(signer.sign(method="GET", url="http://a.example/", query=[], unix_s=1)[1])["oauth_nonce"]
        for _ in range(100)
    }
    assert len(nonces) == 100


def test_the_secret_itself_travels_over_tls_only() -> None:
    over_tls = signer_for("https://shop.example", key="ck_1", secret="cs_1")
    in_the_clear = signer_for("http://shop.example", key="ck_1", secret="cs_1")
    assert isinstance(over_tls, Basic)
    headers, query = over_tls.sign(method="GET", url="https://shop.example/", query=[("a", "b")], unix_s=0)
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"ck_1:cs_1"
    assert query == [("a", "b")]
    assert isinstance(in_the_clear, OAuth1)
    _, signed = in_the_clear.sign(method="GET", url="http://shop.example/", query=[], unix_s=0)
    assert "cs_1" not in encode_query(signed)


@pytest.mark.parametrize("url", ["http://shop.example", "https://shop.example"])
def test_a_signer_shows_no_secret_when_it_is_printed(url: str) -> None:
    assert "canary" not in repr(signer_for(url, key="ck_canary", secret="cs_canary"))
