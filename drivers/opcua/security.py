"""Certificates: our own is made once, the machine's is known by its fingerprint and nothing else."""

import hashlib
import os
import re
import secrets
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from drivers.base import DriverError

_CERTIFICATE = "opcua-client.der"
_KEY = "opcua-client.key.pem"
_KEY_BITS = 2048  # the range of Basic256Sha256 is 2048 to 4096
_VALID_DAYS = 3650
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")


def ensure_certificate(directory: Path, application_uri: str) -> tuple[Path, Path]:
    """Give our certificate (DER) and key (PEM), making them when absent or made for another URI.

    The directory is made for its owner only, the key is readable by its owner only; both files are on
    disk when this returns. Raise `OSError` when they cannot be written.
    """
    certificate_path, key_path = directory / _CERTIFICATE, directory / _KEY
    if _usable(certificate_path, key_path, application_uri):
        return certificate_path, key_path
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    certificate = _self_signed(key, application_uri)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(key_path, pem, mode=0o600)
    _write(certificate_path, certificate.public_bytes(serialization.Encoding.DER), mode=0o644)
    return certificate_path, key_path


def fingerprint(certificate: bytes) -> str:
    """Give the fingerprint of a certificate in DER, as settings write it."""
    return f"sha256:{hashlib.sha256(certificate).hexdigest()}"


def normal_fingerprint(text: str) -> str:
    """Give a fingerprint in the form `fingerprint` gives; raise `ValueError` where it is none."""
    plain = text.strip().lower()
    plain = "sha256:" + plain.removeprefix("sha256:").replace(":", "").replace(" ", "")
    if not _FINGERPRINT.fullmatch(plain):
        raise ValueError(f"{text!r} is not a fingerprint: write sha256: and 64 hexadecimal digits")
    return plain


def check_pinned(certificate: bytes | None, pinned: str) -> None:
    """Raise `DriverError` unless the certificate (DER) has exactly the fingerprint that is trusted."""
    if not certificate:
        raise DriverError("the server shows no certificate, so it cannot be the trusted one")
    seen = fingerprint(certificate)
    if seen != pinned:
        raise DriverError(
            f"the server's certificate is {seen}, the trusted one is {pinned}: compare it with the one shown at the "
            f"machine; if the machine was really given a new one, trust it with `server_fingerprint: {seen}`"
        )


def application_uri_of(certificate: Path) -> str:
    """Give the application URI that a certificate (DER) names; raise `DriverError` without one."""
    try:
        loaded = x509.load_der_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise DriverError(f"our own certificate {certificate.name} cannot be read: {error}") from error
    uri = _uri(loaded)
    if uri is None:
        raise DriverError(f"our own certificate {certificate.name} names no application URI")
    return uri


def _usable(certificate_path: Path, key_path: Path, application_uri: str) -> bool:
    try:
        certificate = x509.load_der_x509_certificate(certificate_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return False
    public = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    same_key = key.public_key().public_bytes(*public) == certificate.public_key().public_bytes(*public)
    return same_key and _uri(certificate) == application_uri


def _uri(certificate: x509.Certificate) -> str | None:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if uris else None


def _self_signed(key: rsa.RSAPrivateKey, application_uri: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kvot gateway")])
    names = x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier(application_uri), x509.DNSName(socket.gethostname())]
    )
    # What OPC 10000-6, 6.2.2 asks of an application instance certificate.
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_VALID_DAYS))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Put a file in place whole, on disk, never readable by more than `mode` allows."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
