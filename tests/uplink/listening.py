"""A subscriber of its own kind, to see what really arrives at a broker."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


@dataclass
class Heard:
    messages: list[MQTTMessage] = field(default_factory=list)

    def on(self, topic: str) -> list[MQTTMessage]:
        return [message for message in self.messages if message.topic == topic]

    def bodies(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(message.payload) for message in self.on(topic)]

    def topics(self) -> list[str]:
        return [message.topic for message in self.messages]


@contextmanager
def listening(url: str, *, client_id: str = "listener") -> Iterator[Heard]:
    """Hear everything from the moment the subscription is acknowledged, over reconnects too."""
    heard, subscribed = Heard(), threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5)
    client.reconnect_delay_set(1, 1)

    def connected(*_: object) -> None:
        client.subscribe("#", qos=1)

    client.on_connect = connected
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _user, message: heard.messages.append(message)
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    session.SessionExpiryInterval = 3600
    host, port = url.removeprefix("mqtt://").split(":")
    # No clean start: mosquitto 2.0.11 stores no session that began with one.
    client.connect(host, int(port), clean_start=False, properties=session)
    client.loop_start()
    try:
        assert subscribed.wait(30)
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()
