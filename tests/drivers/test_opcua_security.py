"""Certificates: ours is made once and kept; the server's is the pinned one, or nothing is said to it."""

import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509

from drivers.base import DriverError, Security
from drivers.catalog import open_driver
from drivers.opcua.security import application_uri_of, ensure_certificate, fingerprint, normal_fingerprint
from tests.drivers.conftest import FreshPress
from tests.drivers.samples import driver_for, ignore, press_profile

URI = "urn:kvot:gateway:LUND"


def test_our_certificate_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    certificate, key = ensure_certificate(tmp_path / "pki", URI)
    first = certificate.read_bytes()
    again, same_key = ensure_certificate(tmp_path / "pki", URI)
    assert (again.read_bytes(), same_key) == (first, key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700
    assert sorted(path.name for path in (tmp_path / "pki").iterdir()) == sorted([certificate.name, key.name])
    assert application_uri_of(certificate) == URI


def test_our_certificate_is_made_anew_for_another_uri_or_when_half_is_missing(tmp_path: Path) -> None:
    certificate, key = ensure_certificate(tmp_path, URI)
    first = certificate.read_bytes()
    ensure_certificate(tmp_path, "urn:kvot:gateway:MALMO")
    second = certificate.read_bytes()
    key.unlink()
    ensure_certificate(tmp_path, "urn:kvot:gateway:MALMO")
    third = certificate.read_bytes()
    key.write_text("nothing")
    ensure_certificate(tmp_path, "urn:kvot:gateway:MALMO")
    assert len({first, second, third, certificate.read_bytes()}) == 4


def test_our_certificate_is_what_opc_ua_asks_of_an_application(tmp_path: Path) -> None:
    path, _ = ensure_certificate(tmp_path, URI)
    certificate = x509.load_der_x509_certificate(path.read_bytes())
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.content_commitment
    assert usage.key_encipherment
    assert usage.data_encipherment


@pytest.mark.parametrize("text", ["", "sha256:12", "sha1:" + "0" * 40, "sha256:" + "g" * 64])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a fingerprint"):
        normal_fingerprint(text)


def test_fingerprints_are_taken_as_people_write_them() -> None:
    plain = fingerprint(b"certificate")
    digits = plain.removeprefix("sha256:").upper()
    colons = ":".join(digits[at : at + 2] for at in range(0, 64, 2))
    assert normal_fingerprint(colons) == normal_fingerprint(f" SHA256:{digits} ") == plain


@pytest.mark.asyncio(loop_scope="session")
async def test_a_server_with_another_certificate_is_refused_and_the_cure_is_shown(
    fresh_press: FreshPress, tmp_path: Path
) -> None:
    press = await fresh_press("secure")
    assert press.fingerprint is not None
    other = "sha256:" + "0" * 64
    with pytest.raises(DriverError) as caught:
        async with driver_for(press, own=tmp_path, pinned=other).session(ignore):
            pass
    assert other in str(caught.value)
    assert f"server_fingerprint: {press.fingerprint}" in str(caught.value)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_server_without_protection_is_refused_where_a_fingerprint_is_pinned(
    fresh_press: FreshPress, tmp_path: Path
) -> None:
    press = await fresh_press("plain")
    with pytest.raises(DriverError, match="SignAndEncrypt"):
        async with driver_for(press, own=tmp_path, pinned="sha256:" + "0" * 64).session(ignore):
            pass


@pytest.mark.asyncio(loop_scope="session")
async def test_the_identity_names_the_certificate(fresh_press: FreshPress, tmp_path: Path) -> None:
    press = await fresh_press("secure")
    assert press.fingerprint is not None
    async with driver_for(press, own=tmp_path).session(ignore) as session:
        assert press.fingerprint in session.identity.text
        assert "urn:kvot:simulator:press:press-1" in session.identity.text


@pytest.mark.asyncio(loop_scope="session")
async def test_a_fingerprint_without_a_certificate_of_ours_is_refused(fresh_press: FreshPress) -> None:
    press = await fresh_press("secure")
    security = Security(server_fingerprint=press.fingerprint)
    driver = open_driver(
        name="press-1", url=press.endpoint, profile=press_profile(), security=security, monotonic=time.monotonic
    )
    with pytest.raises(DriverError, match="our certificate"):
        async with driver.session(ignore):
            pass


@pytest.mark.parametrize(
    "url", ["opc.tcp://127.0.0.1", "http://127.0.0.1:4840", "opc.tcp://:4840", "opc.tcp://user:word@127.0.0.1:4840"]
)
def test_an_address_the_driver_cannot_use_is_refused_before_connecting(url: str) -> None:
    with pytest.raises(ValueError, match="write opc"):
        open_driver(name="m", url=url, profile=press_profile(), security=Security(), monotonic=time.monotonic)


def test_an_unknown_dialect_is_refused_with_the_known_ones() -> None:
    profile = press_profile(protocol="carrier-pigeon", dialect="v2")
    with pytest.raises(ValueError, match=r"carrier-pigeon/v2.*known: opcua/isa95-jobs"):
        open_driver(name="m", url="", profile=profile, security=Security(), monotonic=time.monotonic)


def test_the_catalog_alone_does_not_load_the_library_of_any_protocol() -> None:
    code = "import sys, drivers.catalog; sys.exit(bool({'asyncua', 'pymodbus'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=20).returncode == 0
