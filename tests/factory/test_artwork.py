"""Pictures of customers, through the whole gateway: killed while one comes in, and one that cannot be used."""

from pathlib import Path

import pytest

from simulators.journal import Event
from simulators.shop.artwork import artwork
from tests.eventually import eventually
from tests.factory.bench import Bench

pytestmark = pytest.mark.factory

PARAMETER = "      text: text(get(line.options, 'engraving', ''), 20)\n"
FILES = "    files: {artwork: {url: line.options.artwork_url, types: [png], max_mb: 1, min_dpi: 150}}\n"
PRESS = "    area: moulding\n"


def _configure(bench: Bench) -> Path:
    hot = bench.directory / "hot"
    hot.mkdir()
    bench.configure()
    text = bench.gateway.config.read_text()
    assert (text.count(PARAMETER), text.count(PRESS)) == (1, 1)
    text = text.replace(PARAMETER, PARAMETER + FILES).replace(PRESS, PRESS + f"    hot_folder: {hot}\n")
    bench.gateway.config.write_text(text)
    return hot


def _address(bench: Bench, number: int) -> str:
    return f"{bench.shop.url}/artwork/{number}.png?key=canary"


async def test_each_job_has_its_picture_and_starts_once_though_the_gateway_is_killed_meanwhile(bench: Bench) -> None:
    hot = _configure(bench)
    await bench.start_all()
    await bench.shop.spoil("artwork_drip", times=1)
    await bench.shop.place(artwork_url=_address(bench, 1))
    await bench.shop.place(artwork_url=_address(bench, 2))
    parts = bench.gateway.state / "files"
    await eventually(lambda: any(part.suffix == ".part" for part in parts.glob("*")), timeout_s=30)
    bench.gateway.kill()
    bench.gateway.start()
    await bench.gateway.up()

    await bench.all_is_well(orders=2)

    laid = {path.name: path.read_bytes() for path in hot.iterdir()}
    assert set(laid) == {f"{job}-artwork.png" for job in await bench.gateway.job_states()}
    assert sorted(laid.values()) == sorted([artwork(1), artwork(2)])


async def test_a_picture_that_cannot_be_used_holds_its_order_alone_and_its_address_is_nowhere(bench: Bench) -> None:
    _configure(bench)
    await bench.start_all()
    await bench.shop.spoil("artwork_html", times=1)
    await bench.shop.place(artwork_url=_address(bench, 1))
    await eventually(lambda: "file refused" in bench.gateway.log, timeout_s=30)
    await bench.shop.place(artwork_url=_address(bench, 2))
    await eventually(lambda: any(entry.event is Event.END for entry in bench.press.moved(bench.site)), timeout_s=60)

    (asked,) = await bench.gateway.items("exceptions")

    assert "it is a web page" in asked["evidence"]["text"]
    assert "canary" not in bench.gateway.log
    heard = [bytes(message.payload) for message in bench.ear.messages]
    assert heard
    assert not any(b"canary" in payload for payload in heard)
