"""Commands over a real broker: new ones that restrict are followed, all else is refused with a line in the log."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from structlog.testing import capture_logs

from gateway.clock import SystemClock
from gateway.domain.price_commands import read_command
from gateway.domain.pricing import Mode
from gateway.ledger import pricing_control
from gateway.ledger.times import to_text
from gateway.stages import publish as stage
from gateway.stages.price_commands import follow_commands
from gateway.uplink.base import BrokerAccess, Message
from gateway.uplink.broker import BrokerKind, find_mosquitto, running_broker
from gateway.uplink.topics import Topics
from tests.eventually import eventually
from tests.stages.pricing_house import START, House, a_house

TOPICS = Topics(base="nordform/LUND", gateway_id="g1")
needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
LATER = to_text(START + timedelta(hours=1))
FREEZE = {"id": "erp-1", "action": "freeze", "family": "white", "expires_at": LATER, "reason": "stock-taking"}


@pytest.fixture
async def house(state_dir: Path) -> AsyncIterator[House]:
    async with a_house(state_dir) as made:
        yield made


@asynccontextmanager
async def listening(house: House, url: str) -> AsyncIterator[None]:
    """The publishing stage of a gateway, which listens."""
    follow = partial(
        follow_commands,
        topic=TOPICS.pricing_control,
        ledger=house.ledger,
        pricing=house.pricing,
        clock=house.clock,
        log=structlog.get_logger(),
    )
    access = BrokerAccess(url=url, client_id="kvot-g1")
    running = asyncio.ensure_future(
        stage.publish(
            house.ledger,
            house.board,
            access=access,
            topics=TOPICS,
            clock=SystemClock(),
            log=structlog.get_logger(),
            follow=follow,
        )
    )
    try:
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@contextmanager
def a_system(url: str) -> Iterator[Client]:
    """Another system that may publish."""
    client = Client(CallbackAPIVersion.VERSION2, client_id="erp", protocol=MQTTProtocolVersion.MQTTv5)
    host, port = url.removeprefix("mqtt://").split(":")
    client.connect(host, int(port))
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def say(system: Client, body: Any, *, retain: bool = False) -> None:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    system.publish(TOPICS.pricing_control, payload, qos=1, retain=retain)


async def _voices(house: House) -> list[tuple[str, str | None, str]]:
    found = await house.ledger.read(pricing_control.acts)
    return [(one.who, one.family, "freeze" if one.mode is None else one.mode.value) for one in found.said]


@pytest.mark.parametrize(
    "kind", [pytest.param(BrokerKind.MOSQUITTO, marks=needs_mosquitto), pytest.param(BrokerKind.IOTCORE)]
)
async def test_a_new_command_that_restricts_is_followed_once_and_all_else_is_refused(
    kind: BrokerKind, house: House, tmp_path: Path
) -> None:
    async with running_broker(tmp_path, kind=kind) as broker:
        with a_system(broker.url) as system, capture_logs() as logs:
            say(system, {**FREEZE, "id": "old", "family": "black"}, retain=True)

            def refused() -> list[str]:
                return [one["reason"] for one in logs if one["event"] == "price command refused"]

            def followed() -> list[str]:
                return [one["id"] for one in logs if one["event"] == "price command"]

            async with listening(house, broker.url):
                await eventually(lambda: house.board.get(("link", "mqtt")).get("state") == "up")

                async def heard() -> bool:  # the subscription takes effect some time after the connection
                    say(system, FREEZE)
                    return bool(followed())

                await eventually(heard)
                if kind is BrokerKind.MOSQUITTO:  # the other does not say of a message just published that it stays
                    say(system, {**FREEZE, "id": "r", "family": "black"}, retain=True)
                for action in ("unfreeze", "auto", "off"):
                    say(system, {**FREEZE, "id": action, "action": action})
                say(system, b"not JSON")
                say(system, {**FREEZE, "id": "late", "expires_at": to_text(START)})
                say(system, {**FREEZE, "id": "erp-2", "action": "advise", "family": None})
                await eventually(lambda: "erp-2" in followed())
            assert len([one for one in refused() if "a person's" in one]) == 3
            assert [one for one in refused() if "retained" in one]
            assert [one for one in refused() if "that is over" in one]
    assert sorted(await _voices(house), key=str) == [("mqtt", "white", "freeze"), ("mqtt", None, "advise")]
    frozen = await house.read("SELECT * FROM events WHERE what = 'pricing.frozen'")
    assert len(frozen) == 1
    control = house.pricing.control("white", await house.ledger.read(pricing_control.acts), now=house.clock.now())
    assert (control.mode, control.frozen) == (Mode.ADVISE, True)


async def _told(house: House, *bodies: dict[str, Any]) -> None:
    """Give commands to the stage as a connection would, then end."""

    class Uplink:
        async def hear(self, _topic: str) -> AsyncIterator[Any]:
            for body in bodies:
                yield Message(payload=json.dumps(body).encode())

        async def ended(self) -> None:
            raise ConnectionError("over")

    with pytest.raises(ConnectionError):
        await follow_commands(
            Uplink(),  # type: ignore[arg-type]
            topic="t",
            ledger=house.ledger,
            pricing=house.pricing,
            clock=house.clock,
            log=structlog.get_logger(),
        )


async def test_a_command_that_comes_again_does_not_freeze_what_a_person_unfroze(house: House) -> None:
    await _told(house, FREEZE)
    await house.ledger.write(lambda tx: pricing_control.unfreeze(tx, "white", who="person:anna", now=house.clock.now()))
    await _told(house, FREEZE)
    assert await _voices(house) == []
    await _told(house, {**FREEZE, "id": "erp-9"})
    assert len(await _voices(house)) == 1


async def test_advise_does_not_loosen_what_a_person_turned_off(house: House) -> None:
    await house.ledger.write(
        lambda tx: pricing_control.set_mode(tx, "white", Mode.OFF, who="person:anna", now=house.clock.now())
    )
    await _told(house, {**FREEZE, "action": "advise"})
    assert await _voices(house) == [("person:anna", "white", "off")]


async def test_freeze_does_not_bring_back_a_price_that_a_person_has_undone(house: House) -> None:
    await house.ledger.write(
        lambda tx: pricing_control.freeze(tx, "white", who="person:anna", now=house.clock.now(), at_list=True)
    )
    await _told(house, FREEZE)
    acts = await house.ledger.read(pricing_control.acts)
    assert house.pricing.control("white", acts, now=house.clock.now()).at_list


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": 7}, "id:"),
        ({"id": "x" * 65}, "id:"),
        ({"family": "blue"}, "none of that name"),
        ({"expires_at": "tomorrow"}, "ISO 8601"),
        ({"expires_at": "2026-05-04T09:00:00"}, "with its zone"),
        ({"expires_at": None}, "ISO 8601"),
        ({"reason": 3}, "reason:"),
        ({"depth": 0.5}, "unknown depth"),
    ],
)
def test_what_is_no_command_is_refused_in_words(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_command({**FREEZE, **change}, families=("white",), now=START)
    with pytest.raises(ValueError, match="JSON object"):
        read_command([FREEZE], families=("white",), now=START)
