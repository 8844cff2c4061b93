"""The gateway is pointed at a factory by a configuration file alone, works, and leaves in order."""

import os
import signal

import pytest

from tests.eventually import eventually
from tests.factory.bench import Bench
from tests.factory.programs import MACHINE_LINK, kvot

pytestmark = pytest.mark.factory


async def test_pointed_by_yaml_alone_the_gateway_makes_the_orders_of_a_shop(bench: Bench) -> None:
    bench.shop_with("--waiting", "--orders", "5", "--unpaid", "1", "--within-min", "2", "--seed", "3")
    bench.configure()

    await bench.start_all()
    await bench.shop.open()

    await bench.all_is_well(orders=5, others=1)


async def test_sigterm_ends_the_gateway_at_work_and_the_next_start_goes_on(bench: Bench) -> None:
    bench.configure()
    await bench.start_all()
    await bench.shop.place(quantity=15)
    await eventually(lambda: bench.press.started(bench.site))

    gateway = bench.gateway
    gateway.terminate()

    assert gateway.process.wait(30) == 0, gateway.log
    assert not gateway.socket.exists()
    with pytest.raises(ProcessLookupError):  # it led a process group of its own: nobody of it is left
        os.killpg(gateway.process.pid, signal.SIG_DFL)
    assert "Traceback" not in gateway.log

    gateway.start()
    await gateway.up()
    await bench.all_is_well(orders=1)


async def test_sigterm_ends_the_gateway_although_nobody_answers_it_any_more(bench: Bench) -> None:
    bench.configure(profile={"timeout_s": "2"})
    await bench.start_all()
    await bench.shop.place(quantity=15)
    await eventually(lambda: bench.press.started(bench.site))
    frozen = (bench.press, bench.shop, bench.broker)
    for one in frozen:
        one.freeze()
    try:
        await bench.gateway.linked(MACHINE_LINK, state="down")
        bench.gateway.terminate()
        assert bench.gateway.process.wait(30) == 0, bench.gateway.log
        assert "Traceback" not in bench.gateway.log
    finally:
        for one in frozen:
            one.thaw()


async def test_a_second_gateway_on_the_same_state_is_refused_and_the_first_one_named(bench: Bench) -> None:
    bench.configure()
    bench.start(bench.gateway)
    await bench.gateway.up()

    second = await kvot("run", "-c", str(bench.gateway.config), "--state-dir", str(bench.gateway.state))

    assert second.code == 6, second.err
    assert str(bench.gateway.process.pid) in second.err
    assert bench.gateway.runs
    await bench.gateway.up()  # it still answers where it did
