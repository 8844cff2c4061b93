"""A press that insists on SignAndEncrypt is known by the fingerprint of its certificate and by nothing else."""

from collections.abc import Iterator

import pytest

from tests.eventually import eventually
from tests.factory.bench import Bench, free_ports
from tests.factory.programs import MACHINE_LINK, BusinessTime, Press

pytestmark = pytest.mark.factory


@pytest.fixture(scope="module")
def secure_press(business_time: BusinessTime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Press]:
    port, panel_port = free_ports(2)
    directory = tmp_path_factory.mktemp("secure-press")
    arguments = ("--cycle-s", "6", "--secure", str(directory / "pki"))
    press = Press(*arguments, directory=directory, time=business_time, port=port, panel_port=panel_port)
    press.start()
    yield press
    press.end()


async def test_a_press_with_the_trusted_certificate_makes_the_orders(bench_alone: Bench, secure_press: Press) -> None:
    bench, bench.press = bench_alone, secure_press
    shown = (await secure_press.ready())["fingerprint"]
    bench.configure(fingerprint=shown)
    await bench.start_all()
    await bench.shop.place()
    await bench.all_is_well(orders=1)


async def test_a_press_with_another_certificate_stays_down_and_shows_which_one(
    bench_alone: Bench, secure_press: Press
) -> None:
    bench, bench.press = bench_alone, secure_press
    shown = (await secure_press.ready())["fingerprint"]
    async with bench.cable_to(secure_press.endpoint) as (wire, url):
        wire.cut()
        bench.configure(press=url, fingerprint=f"sha256:{'0' * 64}")
        bench.start(bench.gateway)
        await bench.gateway.up()
        await bench.gateway.linked(MACHINE_LINK, state="down")

        wire.mend()

        await eventually(lambda: _reason_holds(bench, shown))  # not why it was down before
        assert (await bench.gateway.link(MACHINE_LINK))["state"] == "down"
        assert (await bench.gateway.machine())["now"]["state"] == "not_available"
        refused = await bench.gateway.kvot("machines", "arm", "press-1")
        assert refused.code == 7, refused.err


async def _reason_holds(bench: Bench, text: str) -> bool:
    return text in (await bench.gateway.link(MACHINE_LINK))["reason"]
