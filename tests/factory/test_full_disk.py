"""The disk is full under a running gateway: orders go on with the ballast, then wait, and each is made once after all."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.factory.bench import Bench

pytestmark = pytest.mark.factory


@pytest.fixture
def small_state(bench: Bench) -> Iterator[Path]:
    """The gateway's state directory on a real file system of its own; skipped where nobody may mount one."""
    place = bench.gateway.state
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", place], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("no small file system can be mounted here")
    yield place
    bench.gateway.end()
    subprocess.run(["umount", "-l", place], check=True)


async def test_orders_go_on_with_the_ballast_then_wait_and_are_made_once(bench: Bench, small_state: Path) -> None:
    bench.configure()
    with bench.gateway.config.open("a") as file:
        file.write("\nledger: {ballast_mb: 1}\n")
    await bench.start_all()
    assert (small_state / "ballast").stat().st_size == 1024 * 1024

    log = _fill(small_state)
    await bench.shop.place(quantity=2)
    await bench.orders_are_made(1)  # what was given back is enough for that
    await eventually(lambda: not (small_state / "ballast").exists())

    _fill(small_state, again=True)
    await bench.shop.place()
    await eventually(lambda: _ready(bench, 503))
    assert "full" in (await bench.gateway.ask("GET", "/readyz")).text
    refused = await bench.gateway.kvot("machines", "hold", "press-1", "--reason", "why")
    assert refused.code == 75, refused.err
    assert len(bench.press.started(bench.site)) == 1
    assert (await bench.gateway.status())["disk"] == {"writable": False, "ballast": False}

    for path in (log, small_state / "more.log"):
        path.unlink()
    await bench.orders_are_made(2)
    await eventually(lambda: _ready(bench, 200))
    await eventually((small_state / "ballast").exists)
    await bench.all_is_well(orders=2)


async def _ready(bench: Bench, code: int) -> bool:
    return (await bench.gateway.ask("GET", "/readyz")).status_code == code


def _fill(place: Path, *, again: bool = False) -> Path:
    """Take all the room there is."""
    path = place / ("more.log" if again else "somebody-elses.log")
    with path.open("wb") as file, suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(4096))
    return path
