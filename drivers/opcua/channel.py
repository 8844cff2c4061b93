"""Opening and closing a session: fresh client objects, the pinned certificate, an end within a second."""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UASocketProtocol
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.crypto.uacrypto import CertProperties
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from drivers.base import DriverError, MonotonicClock, Security
from drivers.opcua.connection import Connection, library, within
from drivers.opcua.security import application_uri_of, check_pinned, fingerprint, normal_fingerprint

_log = logging.getLogger(__name__)

_APPLICATION_URI = "urn:kvot:gateway"
_SESSION_TIMEOUT_MS = 30_000  # a session whose socket broke must not fill the server's table for long
_CHANNEL_LIFETIME_MS = 3_600_000
_CLOSE_S = 1.0
_MAX_MESSAGE = 16 * 1024 * 1024  # bytes
_MAX_CHUNKS = 512
_DISCARD = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds


@asynccontextmanager
async def connect(
    *, url: str, security: Security, timeout_s: float, monotonic: MonotonicClock
) -> AsyncIterator[tuple[Connection, str | None]]:
    """Open a session; give it with the fingerprint of the certificate that the server shows.

    Always the host of `url` is spoken to, whatever addresses the server's endpoints name. The end takes
    at most a second, and what the machine has not taken by then is thrown away, not sent late.
    """
    client = _client(url, timeout_s)
    connection: Connection | None = None
    try:
        if security.server_fingerprint is not None:
            await _secure(client, security, timeout_s)
        shown = await _open(client, timeout_s)
        connection = Connection(client, timeout_s=timeout_s, monotonic=monotonic)
        await connection.learn_namespaces()
        yield connection, shown
    finally:
        if connection is not None:
            connection.abandon()
        await _close(client)


def _client(url: str, timeout_s: float) -> Client:
    client = Client(url, timeout=timeout_s)
    client.application_uri = _APPLICATION_URI
    client.name = client.description = "Kvot"
    client.session_timeout = _SESSION_TIMEOUT_MS
    client.secure_channel_timeout = _CHANNEL_LIFETIME_MS
    client.max_messagesize, client.max_chunkcount = _MAX_MESSAGE, _MAX_CHUNKS
    return client


async def _secure(client: Client, security: Security, timeout_s: float) -> None:
    """Ask for the server's certificate, insist on the pinned one, and encrypt to it."""
    if security.server_fingerprint is None or security.own_certificate is None or security.own_key is None:
        raise DriverError("a protected connection needs the server's fingerprint, our certificate and our key")
    pinned = normal_fingerprint(security.server_fingerprint)
    client.application_uri = application_uri_of(security.own_certificate)
    async with within("asking for the server's certificate", timeout_s):
        endpoints = await client.connect_and_get_server_endpoints()
    certificate = _offered(endpoints, pinned)
    check_pinned(certificate, pinned)

    async def validate(shown: x509.Certificate, _server: ua.ApplicationDescription) -> None:
        check_pinned(shown.public_bytes(Encoding.DER), pinned)

    client.certificate_validator = validate
    with library("preparing the protected connection"):
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            CertProperties(security.own_certificate, extension="der"),
            CertProperties(security.own_key, extension="pem"),
            server_certificate=CertProperties(certificate, extension="der"),
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )


def _offered(endpoints: Iterable[ua.EndpointDescription], pinned: str) -> bytes:
    """Give the certificate of a SignAndEncrypt endpoint, the pinned one if any shows it."""
    certificates = [
        _leaf(endpoint.ServerCertificate)
        for endpoint in endpoints
        if endpoint.SecurityMode == ua.MessageSecurityMode.SignAndEncrypt
        and endpoint.SecurityPolicyUri == SecurityPolicyBasic256Sha256.URI
        and endpoint.ServerCertificate
    ]
    if not certificates:
        raise DriverError("the server offers no endpoint with SignAndEncrypt and Basic256Sha256")
    return next((found for found in certificates if fingerprint(found) == pinned), certificates[0])


def _leaf(chain: bytes) -> bytes:
    """Give the first certificate of a chain in DER (a SEQUENCE with a two-byte length)."""
    return chain[: int.from_bytes(chain[2:4], "big") + 4]


async def _open(client: Client, timeout_s: float) -> str | None:
    async with within("connecting", timeout_s):
        await client.connect_socket()
        await client.send_hello()
    async with within("opening the secure channel (does the machine trust our certificate?)", timeout_s):
        await client.open_secure_channel()
    async with within("opening the session", timeout_s):
        created = await client.create_session()
        await client.activate_session()
    return fingerprint(_leaf(created.ServerCertificate)) if created.ServerCertificate else None


async def _close(client: Client) -> None:
    protocol = client.uaclient.protocol
    try:
        async with within("closing", _CLOSE_S):
            if client.uaclient.session.has_session and protocol is not None and protocol.transport is not None:
                protocol.timeout = _CLOSE_S
                await client.close_session()
                await client.close_secure_channel()
    except DriverError as error:
        _log.debug("the session did not end in an orderly way: %s", error)
    finally:
        _cut(protocol)
        client.disconnect_socket()
    await asyncio.sleep(0)  # lets the loop close the socket


def _cut(protocol: UASocketProtocol | None) -> None:
    """Close the socket now, with all that the machine has not taken yet."""
    transport = protocol.transport if protocol is not None else None
    if transport is None:
        return
    peer: socket.socket | None = transport.get_extra_info("socket")
    if peer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD)
    transport.abort()
