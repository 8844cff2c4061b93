"""OAuth 1.0a one-legged signatures (RFC 5849) and who may come in, as WooCommerce decides it."""

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, quote, unquote, urlsplit

WINDOW = timedelta(minutes=15)
NONCES_AT_MOST = 100_000
NEEDED = ("oauth_consumer_key", "oauth_timestamp", "oauth_nonce", "oauth_signature", "oauth_signature_method")
HASHES = {"HMAC-SHA1": "sha1", "HMAC-SHA256": "sha256"}
DEFAULT_PORTS = {"http": 80, "https": 443}
Pairs = Iterable[tuple[str, str]]


class RefusedError(Exception):
    """The caller may not come in. `code` is WooCommerce's word for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What of a request decides about access: method, address as the caller wrote it, `Authorization`, and TLS."""

    method: str
    url: str
    authorization: str
    secure: bool


def base_string(method: str, url: str, parameters: Pairs) -> str:
    """Build the signature base string of RFC 5849 section 3.4.1; `parameters` are decoded, without the signature."""
    encoded = sorted((_encoded(name), _encoded(value)) for name, value in parameters)
    normalised = "&".join(f"{name}={value}" for name, value in encoded)
    return "&".join((method.upper(), _encoded(_base_url(url)), _encoded(normalised)))


def signature(base: str, *, algorithm: str, secret: str, token_secret: str = "") -> str:
    """Sign a base string by RFC 5849 section 3.4.2; `algorithm` is `HMAC-SHA256` or `HMAC-SHA1`."""
    key = f"{_encoded(secret)}&{_encoded(token_secret)}".encode()
    return base64.b64encode(hmac.digest(key, base.encode(), HASHES[algorithm])).decode()


@dataclass(kw_only=True, slots=True)
class Gate:
    """The keys of the shop and the nonces it has seen. Raise `RefusedError` for everybody else."""

    key: str
    secret: str
    _nonces: dict[str, datetime] = field(default_factory=dict)

    def check(self, call: Call, times: tuple[datetime, ...]) -> None:
        """Let a call pass or raise `RefusedError`; a signature's time must be near one of `times`."""
        query = parse_qsl(urlsplit(call.url).query, keep_blank_values=True)
        if call.secure and self._basic(call, dict(query)):
            return
        signed = [*query, *_header_parameters(call.authorization)]
        oauth = {name: value for name, value in signed if name.startswith("oauth_")}
        if not oauth:
            raise RefusedError("woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")
        missing = [name for name in NEEDED if not oauth.get(name)]
        if missing:
            raise _refused(f"Missing OAuth parameter {', '.join(missing)}", "_missing_parameter")
        self._signed(call, oauth, signed)
        self._fresh(oauth, times)

    def _basic(self, call: Call, query: Mapping[str, str]) -> bool:
        if "consumer_key" in query and "consumer_secret" in query:
            key, secret = query["consumer_key"], query["consumer_secret"]
        else:
            scheme, _, token = call.authorization.partition(" ")
            if scheme.lower() != "basic":
                return False
            key, _, secret = _unbase64(token).partition(":")
        if not _same(key, self.key):
            return False
        if not _same(secret, self.secret):
            raise _refused("Consumer secret is invalid.")
        return True

    def _signed(self, call: Call, oauth: Mapping[str, str], signed: Pairs) -> None:
        if not _same(oauth["oauth_consumer_key"], self.key):
            raise _refused("Consumer key is invalid.")
        algorithm = oauth["oauth_signature_method"]
        if algorithm not in HASHES:
            raise _refused("Invalid signature - signature method is invalid.")
        base = base_string(call.method, call.url, [pair for pair in signed if pair[0] != "oauth_signature"])
        expected = signature(base, algorithm=algorithm, secret=self.secret)
        if not _same(expected, oauth["oauth_signature"].replace(" ", "+")):
            raise _refused("Invalid signature - provided signature does not match.")

    def _fresh(self, oauth: Mapping[str, str], times: tuple[datetime, ...]) -> None:
        try:
            stamp_s = int(oauth["oauth_timestamp"])
        except ValueError:
            raise _refused("Invalid timestamp.") from None
        if all(abs(time.timestamp() - stamp_s) > WINDOW.total_seconds() for time in times):
            raise _refused("Invalid timestamp.")
        now, nonce = max(times), oauth["oauth_nonce"]
        if nonce in self._nonces:
            raise _refused("Invalid nonce - nonce has already been used.")
        self._nonces[nonce] = now
        while len(self._nonces) > NONCES_AT_MOST:
            self._nonces.pop(next(iter(self._nonces)))


def _encoded(text: str) -> str:
    return quote(text, safe="-._~")


def _base_url(url: str) -> str:
    """Give the base string URI of RFC 5849 section 3.4.1.2: no query, no default port, lower-case host."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in {None, DEFAULT_PORTS.get(parts.scheme)} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path or '/'}"


def _header_parameters(authorization: str) -> list[tuple[str, str]]:
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "oauth":
        return []
    pairs = []
    for part in rest.split(","):
        name, _, value = part.strip().partition("=")
        if name and name != "realm":
            pairs.append((unquote(name), unquote(value.strip().strip('"'))))
    return pairs


def _unbase64(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _refused(message: str, suffix: str = "_error") -> RefusedError:
    return RefusedError(f"woocommerce_rest_authentication{suffix}", message)
