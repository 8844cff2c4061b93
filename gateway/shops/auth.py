"""How a request proves who sends it: Basic over TLS, one-legged OAuth 1.0a (RFC 5849) over plain HTTP."""

import base64
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, urlsplit

Pairs = Sequence[tuple[str, str]]


class Signer(Protocol):
    """Add to a request what proves the sender."""

    def sign(self, *, method: str, url: str, query: Pairs, unix_s: int) -> tuple[Mapping[str, str], Pairs]:
        """Give the extra headers and the whole query to send; `url` has no query, `unix_s` is the shop's time."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Basic:
    """Key and secret in the `Authorization` header; only ever over TLS."""

    key: str
    secret: str

    def sign(  # the port asks for more than Basic needs
        self,
        *,
        method: str,  # noqa: ARG002
        url: str,  # noqa: ARG002
        query: Pairs,
        unix_s: int,  # noqa: ARG002
    ) -> tuple[Mapping[str, str], Pairs]:
        """Give the header; the query stays as it is."""
        token = base64.b64encode(f"{self.key}:{self.secret}".encode()).decode("ascii")
        return {"Authorization": f"Basic {token}"}, query


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class OAuth1:
    """One-legged OAuth 1.0a with HMAC-SHA256, as WooCommerce wants it over plain HTTP.

    The parameters go into the query, because many hosts drop the `Authorization` header; the key of
    the HMAC is the secret and a lone `&`, there being no token (RFC 5849 section 3.4.2).
    """

    key: str
    secret: str

    def sign(self, *, method: str, url: str, query: Pairs, unix_s: int) -> tuple[Mapping[str, str], Pairs]:
        """Give the query with the `oauth_*` parameters; no header is needed."""
        unsigned = [
            *query,
            ("oauth_consumer_key", self.key),
            ("oauth_nonce", secrets.token_hex(16)),
            ("oauth_signature_method", "HMAC-SHA256"),
            ("oauth_timestamp", str(unix_s)),
            ("oauth_version", "1.0"),
        ]
        signature = oauth_signature(
            method=method, url=url, parameters=unsigned, secret=self.secret, digest="sha256", token_secret=""
        )
        return {}, [*unsigned, ("oauth_signature", signature)]


def signer_for(url: str, *, key: str, secret: str) -> Signer:
    """Choose by the address's scheme: a secret must never travel in the clear."""
    if urlsplit(url).scheme == "https":
        return Basic(key=key, secret=secret)
    return OAuth1(key=key, secret=secret)


def oauth_signature(
    *, method: str, url: str, parameters: Pairs, secret: str, digest: str, token_secret: str = ""
) -> str:
    """Sign a request (RFC 5849 section 3.4): base64 of the HMAC over the signature base string."""
    text = signature_base_string(method=method, url=url, parameters=parameters)
    key = f"{_percent(secret)}&{_percent(token_secret)}".encode("ascii")
    mac = hmac.new(key, text.encode("ascii"), digest)
    return base64.b64encode(mac.digest()).decode("ascii")


def signature_base_string(*, method: str, url: str, parameters: Pairs) -> str:
    """Build the text that is signed (RFC 5849 section 3.4.1); `parameters` are decoded pairs."""
    # Sorted as encoded pairs: sorting first and encoding then gives another order for non-ASCII names.
    pairs = sorted((_percent(name), _percent(value)) for name, value in parameters)
    joined = "&".join(f"{name}={value}" for name, value in pairs)
    return "&".join((method.upper(), _percent(_base_url(url)), _percent(joined)))


def encode_query(parameters: Pairs) -> str:
    """Encode a query exactly as it was signed: `%20` for a blank, never `+`."""
    return "&".join(f"{_percent(name)}={_percent(value)}" for name, value in parameters)


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    standard = {"http": 80, "https": 443}.get(parts.scheme)
    port = "" if parts.port in (None, standard) else f":{parts.port}"
    return f"{parts.scheme.lower()}://{host}{port}{parts.path or '/'}"


def _percent(text: str) -> str:
    return quote(text, safe="~")
