"""Shop, broker and press may each be away when the gateway starts: that is a state, never a reason not to start."""

import pytest

from tests.factory.bench import Bench, free_ports
from tests.factory.programs import MACHINE_LINK, MQTT_LINK, SHOP_LINK
from tests.factory.wires import cable

pytestmark = pytest.mark.factory


async def test_without_its_shop_the_gateway_waits_and_then_makes_its_orders(bench: Bench) -> None:
    bench.configure()
    bench.start(bench.gateway)
    await bench.start_broker()
    await _is_up_although_away(bench, SHOP_LINK)
    assert (await bench.gateway.ask("GET", "/readyz")).status_code == 503  # it cannot take an order now
    await bench.press.ready()
    await bench.press.hand_over()
    await bench.gateway.arm()

    bench.start(bench.shop)
    await bench.gateway.linked(SHOP_LINK)

    assert (await bench.gateway.ask("GET", "/readyz")).status_code == 200
    await bench.shop.place()
    await bench.shop.place(quantity=2)
    await bench.all_is_well(orders=2)


async def test_without_its_broker_the_gateway_makes_orders_and_tells_all_of_it_later(bench: Bench) -> None:
    (port,) = free_ports(1)
    bench.configure(mqtt=f"mqtt://127.0.0.1:{port}")
    bench.start(bench.gateway, bench.shop)
    await _is_up_although_away(bench, MQTT_LINK)
    await bench.press.ready()
    await bench.press.hand_over()
    await bench.gateway.arm()
    await bench.gateway.linked(SHOP_LINK)
    await bench.shop.place()
    await bench.shop.place(quantity=2)
    await bench.orders_are_made(2)

    await bench.start_broker()  # we listen before the gateway can find it: a broker keeps nothing for nobody
    async with cable(port=port, target=bench.broker.port):
        await bench.all_is_well(orders=2)


async def test_without_its_press_the_gateway_keeps_orders_until_it_is_there(bench_alone: Bench) -> None:
    bench = bench_alone
    bench.configure()
    bench.start(bench.gateway, bench.shop)
    await bench.start_broker()
    await _is_up_although_away(bench, MACHINE_LINK)
    await bench.gateway.linked(SHOP_LINK)
    await bench.shop.place()
    await bench.shop.place(quantity=2)
    refused = await bench.gateway.kvot("machines", "arm", "press-1")
    assert refused.code == 7, refused.err  # nobody can say what would be armed

    bench.start(bench.press)
    await bench.press.ready()
    await bench.press.hand_over()
    await bench.gateway.linked(MACHINE_LINK)

    armed = await bench.gateway.kvot("machines", "arm", "press-1")
    assert armed.code == 0, armed.err
    await bench.all_is_well(orders=2)


async def _is_up_although_away(bench: Bench, link: str) -> None:
    """See that the gateway answers, and says which link is down and why."""
    await bench.gateway.up()
    await bench.gateway.linked(link, state="down")
    assert (await bench.gateway.link(link))["reason"]
    assert bench.gateway.runs
    assert "Traceback" not in bench.gateway.log
