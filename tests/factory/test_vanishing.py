"""Shop, broker and press vanish in the middle of the work and come back: every order is made, each job once."""

from datetime import UTC, datetime

import pytest

from tests.eventually import eventually
from tests.factory.bench import Bench
from tests.factory.programs import MACHINE_LINK, MQTT_LINK, SHOP_LINK

pytestmark = pytest.mark.factory


async def test_a_killed_shop_hears_what_became_of_its_orders_once_it_is_back(bench: Bench) -> None:
    opened = datetime.now(UTC).replace(microsecond=0).isoformat()
    clock = ("--speed", "0.001", "--wall-epoch", opened, "--business-epoch", opened)  # both place them at the same time
    customers = ("--orders", "4", "--unpaid", "0", "--within-min", "0", "--seed", "4", *clock)
    bench.shop_with("--waiting", *customers)
    bench.configure()
    await bench.start_all()
    await bench.press.touch(guard="open")  # so that nothing is made before the shop is away
    await bench.shop.open()
    await eventually(lambda: _count(bench, "orders", 4))
    await eventually(lambda: _nothing_to_tell(bench))
    placed = await bench.shop.told()

    bench.shop.kill()
    await bench.press.hand_over()
    await eventually(lambda: _are_made(bench, 4))
    await bench.gateway.linked(SHOP_LINK, state="down")
    bench.shop_with(*customers)  # a shop restored from its backup: the same orders, nothing of what was told
    bench.start(bench.shop)
    await bench.shop.ready()

    await bench.all_is_well(orders=4)
    assert (await bench.shop.told()).keys() == placed.keys()


async def test_a_killed_broker_misses_no_fact_once_it_is_back(bench: Bench) -> None:
    async with bench.cable_to(bench.broker.url) as (wire, url):
        bench.configure(mqtt=f"{url}\n  ack_deadline_s: 1")
        await bench.start_all()
        await bench.shop.place(quantity=10)
        await eventually(lambda: bench.press.started(bench.site))
        await eventually(lambda: _nothing_to_tell(bench))

        bench.broker.freeze()  # what is sent now is sent, but nobody has it
        await bench.shop.place()
        await bench.orders_are_made(2)
        await bench.gateway.linked(MQTT_LINK, state="down")
        assert not await _nothing_to_tell(bench)
        await bench.broker.kill()
        wire.cut()
        await eventually(lambda: not bench.ear.subscribed.is_set())
        await bench.broker.start()
        await eventually(bench.ear.subscribed.is_set)  # else the broker throws away what nobody listens to
        wire.mend()

        await bench.all_is_well(orders=2)
        await bench.gateway.linked(MQTT_LINK)


async def test_a_killed_press_that_remembers_goes_on_after_start_at_its_panel(bench_alone: Bench) -> None:
    bench = bench_alone
    bench.own_press("--memory", "persistent")
    bench.configure(profile={"memory": "persistent"})
    await bench.start_all()
    await bench.shop.place(quantity=10)
    await bench.shop.place(quantity=2)
    await eventually(lambda: bench.press.started(bench.site))

    bench.press.kill()
    await bench.gateway.linked(MACHINE_LINK, state="down")
    assert (await bench.gateway.link(MACHINE_LINK))["reason"]
    bench.press.start()
    await bench.press.ready()
    await bench.gateway.linked(MACHINE_LINK)
    await bench.has_looked()
    assert [entry.event for entry in bench.press.moved(bench.site)] == ["start"]  # nothing moves by itself
    await bench.press.hand_over()

    await bench.all_is_well(orders=2)
    assert [entry.event for entry in bench.press.moved(bench.site)] == ["start", "resume", "end", "start", "end"]


async def test_a_press_frozen_for_longer_than_its_timeout_is_down_and_then_goes_on(bench: Bench) -> None:
    bench.configure(profile={"timeout_s": "2"})
    await bench.start_all()
    await bench.shop.place(quantity=10)
    await bench.shop.place(quantity=2)
    await eventually(lambda: bench.press.started(bench.site))

    bench.press.freeze()
    try:
        await bench.gateway.linked(MACHINE_LINK, state="down")
        assert "no answer in time" in (await bench.gateway.link(MACHINE_LINK))["reason"]
    finally:
        bench.press.thaw()

    await bench.all_is_well(orders=2)


async def _count(bench: Bench, what: str, count: int) -> bool:
    return len(await bench.gateway.items(what)) == count


async def _are_made(bench: Bench, count: int) -> bool:
    return [order["state"] for order in await bench.gateway.items("orders")] == ["made"] * count


async def _nothing_to_tell(bench: Bench) -> bool:
    return not any(one["pending"] for one in (await bench.gateway.status())["outbox"])
