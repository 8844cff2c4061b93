"""Files come from known hosts only, in time, and never more than was asked for; no address shows its key."""

import asyncio
import gzip
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.errors import ShopError, ShopRefusedError
from gateway.shops.fetching import FetchAccess, open_fetcher, shown_url
from tests.shops.loopback import Question, Responder, Wire, always, response, serving

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(5000)
PATH = "/secret-folder-canary/artwork-7.png?token=canary"


async def fetch(
    url: str,
    into: Path,
    *,
    hosts: Sequence[str] | None = None,
    most: int = 20_000,
    plain: bool = True,
    timeout_s: float = 5.0,
    leads_to: Sequence[str] | None = None,
) -> None:
    own = [url.partition("//")[2].partition("/")[0]]
    access = FetchAccess(
        name="webshop", hosts=frozenset(own if hosts is None else hosts), plain=plain, timeout_s=timeout_s
    )

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        assert leads_to is not None
        return leads_to

    async with open_fetcher(access, resolve=None if leads_to is None else resolve) as fetcher:
        await fetcher.fetch(url, into, most=most)


async def complaint(respond: Responder, folder: Path, **more: float) -> ShopError:
    async with serving(respond) as served:
        with pytest.raises(ShopError) as caught:
            await fetch(served.url + PATH, folder / "file", **more)  # type: ignore[arg-type]
    assert "canary" not in str(caught.value)
    assert "127.0.0.1/.../artwork-7.png" in str(caught.value)
    return caught.value


async def test_a_file_is_written_as_it_came_and_the_whole_address_is_asked(tmp_path: Path) -> None:
    async with serving(always(response(PICTURE, kind="image/png"))) as served:
        await fetch(served.url + PATH, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == PICTURE
    (question,) = served.questions
    assert (question.path, question.query) == ("/secret-folder-canary/artwork-7.png", {"token": "canary"})
    assert question.headers["host"] == served.url.removeprefix("http://")
    assert "authorization" not in question.headers


async def test_letters_beyond_ascii_in_an_address_are_sent_encoded(tmp_path: Path) -> None:
    async with serving(always(response(PICTURE))) as served:
        await fetch(served.url + "/Åsa%20B.png?namn=Åsa", tmp_path / "file")
    assert served.questions[0].path == "/%C3%85sa%20B.png"
    assert served.questions[0].query == {"namn": "Åsa"}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (response(b"", status=404), "answered 404: it is not there"),
        (response(b"", status=410), "it is gone"),
        (response(b"", status=403), "it is locked"),
        (response(b"", status=302, Location="http://192.0.2.1/canary"), "no redirect is followed"),
        (response(b"", status=304), "no redirect is followed"),
        (response(b"", status=204), "answered 204"),
        (response(PICTURE * 5), "answered with more than 0.02 MB"),
    ],
)
async def test_what_cannot_be_had_for_good_needs_a_person(tmp_path: Path, answer: bytes, why: str) -> None:
    fault = await complaint(always(answer), tmp_path)
    assert isinstance(fault, ShopRefusedError)
    assert why in str(fault)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (response(b"", status=503, Retry_After="30"), "answered 503"),
        (response(b"", status=500), "answered 500"),
        (response(PICTURE, length=9000), "failed on the way (RemoteProtocolError)"),
        (b"SSH-2.0-x\r\n\r\n", "failed on the way"),
        (response(b"x", Content_Encoding="br"), "encoding nobody asked for"),
        (response(gzip.compress(PICTURE)[:-9], Content_Encoding="gzip"), "ends in the middle"),
    ],
)
async def test_what_may_come_later_is_no_refusal(tmp_path: Path, answer: bytes, why: str) -> None:
    fault = await complaint(always(answer), tmp_path)
    assert not isinstance(fault, ShopRefusedError)
    assert why in str(fault)
    assert fault.retry_after_s == (30.0 if "503" in why else None)


async def test_a_gzip_bomb_is_refused_without_unpacking_it(tmp_path: Path) -> None:
    bomb = response(gzip.compress(bytes(200_000_000), 9), Content_Encoding="gzip")
    tracemalloc.start()
    fault = await complaint(always(bomb), tmp_path, most=1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(fault, ShopRefusedError)
    assert peak < 20_000_000
    assert (tmp_path / "file").stat().st_size <= 1_000_000


async def test_a_drip_fed_file_ends_at_the_deadline_of_the_whole(tmp_path: Path) -> None:
    async def drip(_: Question, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await asyncio.sleep(0.02)
            await wire.send(b"x")

    fault = await complaint(drip, tmp_path, timeout_s=0.3)
    assert "did not come completely within 0.3 s" in str(fault)
    assert not isinstance(fault, ShopRefusedError)


async def test_a_body_without_end_is_cut_off(tmp_path: Path) -> None:
    async def endless(_: Question, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            await wire.send(bytes(100_000))

    assert isinstance(await complaint(endless, tmp_path), ShopRefusedError)


async def test_a_proxy_of_the_environment_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(always(response(PICTURE))) as served:
        await fetch(served.url + PATH, tmp_path / "file")
    assert len(served.questions) == 1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://other.example/a.png", "not on a host that files may come from (shops.webshop.file_hosts)"),
        ("https://cdn.example:8443/a.png", "not on a host"),
        ("https://cdn.example.evil.example/a.png", "not on a host"),
        ("https://evil.example/cdn.example/a.png", "not on a host"),
        ("https://evil.example#@cdn.example/a.png", "not on a host"),
        ("http://cdn.example/a.png", "does not begin with https://"),
        ("file:///etc/passwd", "does not begin with https://"),
        ("cdn.example/a.png", "does not begin with https://"),
        ("https://user:canary@cdn.example/a.png", "carries a user"),
        ("https://cdn.example\\@evil.example/a.png", "no address of a file"),
        ("https://cdn.example/a b.png", "no address of a file"),
        ("https://cdn.example/a.png\r\nX-Evil: 1", "no address of a file"),
        ("https://cdn.example:99999/a.png", "no address of a file"),
        ("https:///a.png", "no address of a file"),
        ("https://[::1/a.png", "no address of a file"),
        ("https://cdn.example/" + "a" * 3000, "no address of a file"),
    ],
)
async def test_an_address_elsewhere_is_never_asked(tmp_path: Path, url: str, why: str) -> None:
    with pytest.raises(ShopRefusedError) as caught:
        await fetch(url, tmp_path / "file", hosts=["cdn.example"], plain=False, leads_to=["127.0.0.1"])
    assert why in str(caught.value)
    assert "canary" not in str(caught.value)
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.7",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:10.0.0.7",
        "64:ff9b::a00:7",
        "2002:a00:7::1",
        "ff02::1",
    ],
)
async def test_a_name_that_leads_to_a_private_network_is_refused(tmp_path: Path, address: str) -> None:
    for leads_to in ([address], ["93.184.215.14", address]):
        with pytest.raises(ShopRefusedError, match="write its address into file_hosts"):
            await fetch("https://cdn.example/a.png", tmp_path / "file", hosts=["cdn.example"], leads_to=leads_to)


async def test_a_private_address_is_asked_where_somebody_wrote_it_down(tmp_path: Path) -> None:
    async with serving(always(response(PICTURE))) as served:
        port = served.url.rpartition(":")[2]
        hosts = [f"nas.example:{port}", "127.0.0.1"]
        await fetch(f"http://nas.example:{port}/a.png", tmp_path / "file", hosts=hosts, leads_to=["127.0.0.1"])
    assert served.questions[0].headers["host"] == f"nas.example:{port}"
    assert FetchAccess(name="x", hosts=frozenset({"[::1]:80", "10.0.0.7:1", "192.0.2.1", "a.example"})).addresses == {
        *map(__import__("ipaddress").ip_address, ("::1", "10.0.0.7", "192.0.2.1"))
    }


async def test_a_host_that_nobody_knows_may_be_known_later(tmp_path: Path) -> None:
    with pytest.raises(ShopError) as caught:
        await fetch("https://cdn.example/a.png", tmp_path / "file", hosts=["cdn.example"], leads_to=[])
    assert not isinstance(caught.value, ShopRefusedError)


def test_people_see_host_and_last_part_of_an_address_alone() -> None:
    assert shown_url("https://cdn.example:8443/canary/Åsa s.png?canary#canary") == "cdn.example/.../_sa_s.png".replace(
        "_", "?"
    )
    assert shown_url("https://user:canary@cdn.example/a.png") == "cdn.example/.../a.png"
    assert "canary" not in shown_url("https://cdn.example/" + "canary" * 20 + "x" * 40)
    assert shown_url("https://[") == "an address that is none"
    assert shown_url("canary") == "an address without a host"
