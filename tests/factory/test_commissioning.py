"""A hand write over real protocols, by the real commands: out of production, sent once, read back, armed anew."""

import json

import pytest

from gateway.cli import exits
from tests.eventually import eventually
from tests.factory.bench import Bench
from tests.factory.ovens import OVEN, oven_bench
from tests.factory.programs import BusinessTime, Gateway

pytestmark = [pytest.mark.factory, pytest.mark.timeout(120)]
PRESS = "press-1"


async def test_an_oven_is_set_by_hand_over_modbus_and_goes_back_to_work(business_time: BusinessTime) -> None:
    async with oven_bench(business_time, "--retention", "synchronous") as bench:
        await bench.open()
        gateway = bench.gateway
        await _commission(gateway, OVEN)
        shown = await _write(gateway, OVEN, "rest_c", "60.5")
        assert (shown["before"], shown["shown"], shown["outcome"]) == (22.0, 60.5, "taken")
        assert (await gateway.kvot("write", OVEN, "rest_c", "300", "--yes")).code == exits.REFUSED
        assert (await gateway.kvot("machines", "arm", OVEN)).code == exits.REFUSED
        await bench.shop.place()
        assert (await gateway.kvot("machines", "commission", OVEN, "--end")).code == exits.OK
        assert bench.oven.entries == []
        await bench.arm()
        await eventually(lambda: bench.oven.entries, timeout_s=60)


async def test_a_press_is_set_by_hand_over_opcua_and_a_killed_gateway_sends_nothing_again(bench: Bench) -> None:
    bench.configure()
    await bench.start_all()
    gateway = bench.gateway
    await _commission(gateway, PRESS)
    shown = await _write(gateway, PRESS, "standby_c", "60")
    assert (shown["shown"], shown["agrees"]) == (60.0, True)

    gateway.kill()
    gateway.start()
    await gateway.up()

    async def known() -> bool:
        return bool((await gateway.machine())["now"].get("identity"))

    await eventually(known)
    machine = await gateway.machine()
    assert machine["commissioning"]["by"].startswith("person:")  # it is on disk
    assert machine["level"] == "read"
    await _commission(gateway, PRESS)  # an hour is a minute here: begin it anew
    shown = await _write(gateway, PRESS, "standby_c", "22")
    assert (shown["before"], shown["shown"]) == (60.0, 22.0)
    assert (await gateway.kvot("machines", "disarm", PRESS)).code == exits.OK
    assert (await gateway.kvot("write", PRESS, "standby_c", "30", "--yes")).code == exits.REFUSED


async def _commission(gateway: Gateway, machine: str) -> None:
    said = await gateway.kvot("machines", "commission", machine)
    assert said.code == exits.OK, said.err


async def _write(gateway: Gateway, machine: str, tag: str, value: str) -> dict[str, object]:
    said = await gateway.kvot("write", machine, tag, value, "--yes", "--output", "json")
    assert said.code == exits.OK, said.err
    found: dict[str, object] = json.loads(said.out)
    return found
