"""The broker is away and the gateway is killed in the meantime: samples are complete, or declared."""

import json
from collections import Counter

import pytest

from simulators.witness_tags import TagBook, Tags
from tests.eventually import eventually
from tests.factory.bench import Bench

pytestmark = pytest.mark.factory

AWAY_BYTES = 700  # some messages


async def test_samples_of_a_time_without_broker_and_of_a_killed_gateway_arrive_late_but_whole(bench: Bench) -> None:
    async with bench.cable_to(bench.broker.url) as (wire, url):
        bench.configure(mqtt=url)
        await bench.start_all()
        await bench.shop.place(quantity=2)
        await eventually(lambda: heard(bench)[0].values > 5)

        wire.cut()
        await bench.gateway.linked("mqtt", state="down")
        await eventually(lambda: kept_bytes(bench) > AWAY_BYTES)
        bench.gateway.kill()
        bench.gateway.start()
        await bench.gateway.up()
        before = kept_bytes(bench)
        await eventually(lambda: kept_bytes(bench) > before + AWAY_BYTES)
        wire.mend()

        await bench.gateway.linked("mqtt")
        await eventually(lambda: kept_bytes(bench) < AWAY_BYTES)
        total, boots = heard(bench)
        assert total.undeclared == 0
        assert total.late >= 8
        assert len(boots) == 2
        await bench.all_is_well(orders=1)


def kept_bytes(bench: Bench) -> int:
    return sum(file.stat().st_size for file in (bench.gateway.state / "spool").glob("*.seg"))


def heard(bench: Bench) -> tuple[Tags, Counter[int]]:
    """Give what all samples heard add up to, and how many messages each boot sent."""
    book, boots = TagBook(), Counter[int]()
    for message in tuple(bench.ear.messages):
        if message.topic.endswith("/tags"):
            assert book.hear(message.topic, bytes(message.payload))
            boots[json.loads(message.payload)["boot"]] += 1
    return book.total(), boots
