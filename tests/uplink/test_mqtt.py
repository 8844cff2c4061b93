"""One connection: only an acknowledgement counts, and every end reaches whoever waits."""

import asyncio
import dataclasses
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import UplinkError
from gateway.uplink.base import BrokerAccess, DeafError, Will
from gateway.uplink.broker import BrokerKind, find_mosquitto, running_broker
from gateway.uplink.mqtt import _Connection, connect
from tests.eventually import eventually
from tests.uplink.certificates import Authority
from tests.uplink.listening import listening
from tests.uplink.scripted import Script, accept, refuse, say_nothing, scripted_broker

WILL = Will(topic="nordform/lund/_gateway/g1/availability", payload=b'{"state":"offline"}')
KINDS = [
    pytest.param(
        BrokerKind.MOSQUITTO, marks=pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
    ),
    pytest.param(BrokerKind.IOTCORE),
]


def access(url: str, **more: object) -> BrokerAccess:
    return dataclasses.replace(BrokerAccess(url=url, client_id="kvot-g1", connect_deadline_s=3.0), **more)  # type: ignore[arg-type]


async def test_a_publish_returns_at_the_acknowledgement_and_not_before() -> None:
    async with (
        scripted_broker(Script(puback=say_nothing)) as broker,
        connect(access(broker.url), will=WILL, monotonic=time.monotonic) as uplink,
    ):
        publishing = asyncio.ensure_future(uplink.publish("a/b", b"{}"))
        await eventually(lambda: broker.held)
        await asyncio.sleep(0)
        assert not publishing.done()
        broker.acknowledge_all()
        await publishing


async def test_no_more_is_in_flight_than_the_broker_allows() -> None:
    receive_maximum_3 = b"\x21\x00\x03"
    async with (
        scripted_broker(Script(connack_properties=receive_maximum_3)) as broker,
        connect(access(broker.url), will=WILL, monotonic=time.monotonic) as uplink,
    ):
        sent = [await uplink.send(f"a/{n}", b"{}") for n in range(20)]
        await asyncio.gather(*sent)
    assert broker.most_in_flight == 3
    assert broker.topics == [f"a/{n}" for n in range(20)]


async def test_no_more_is_in_flight_than_we_allow() -> None:
    async with (
        scripted_broker(Script()) as broker,
        connect(access(broker.url, receive_maximum=2), will=WILL, monotonic=time.monotonic) as uplink,
    ):
        await asyncio.gather(*[await uplink.send(f"a/{n}", b"{}") for n in range(10)])
    assert broker.most_in_flight == 2


async def test_a_late_acknowledgement_ends_the_connection_for_everybody_who_waits() -> None:
    async with scripted_broker(Script(puback=say_nothing)) as broker:
        quick = access(broker.url, ack_deadline_s=0.2, receive_maximum=1)
        async with connect(quick, will=WILL, monotonic=time.monotonic) as uplink:
            in_flight = await uplink.send("a/b", b"{}")
            waiting = [asyncio.ensure_future(uplink.publish("a/c", b"{}")) for _ in range(2)]
            with pytest.raises(UplinkError, match=r"no acknowledgement within 0\.2 s"):
                await uplink.ended()
            results = await asyncio.gather(in_flight, *waiting, return_exceptions=True)
            assert [type(result) for result in results] == [UplinkError] * 3
            with pytest.raises(UplinkError, match="no acknowledgement"):
                await uplink.send("a/d", b"{}")


async def test_a_refused_message_is_an_error_of_that_message() -> None:
    async with (
        scripted_broker(Script(puback=refuse)) as broker,
        connect(access(broker.url), will=WILL, monotonic=time.monotonic) as uplink,
    ):
        with pytest.raises(UplinkError, match="Not authorized"):
            await uplink.publish("a/b", b"{}")
        broker.puback = lambda _: 0x10  # nobody listens: that is no error
        await uplink.publish("a/b", b"{}")


async def test_a_refused_connection_is_an_error() -> None:
    async with scripted_broker(Script(connack_reason=0x86)) as broker:
        with pytest.raises(UplinkError, match="Bad user name or password"):
            async with connect(access(broker.url), will=WILL, monotonic=time.monotonic):
                pass


@pytest.mark.parametrize("told", [b"\x24\x00", b"\x25\x00"], ids=["no acknowledged messages", "no retained messages"])
async def test_a_broker_that_cannot_do_the_work_is_an_error(told: bytes) -> None:
    async with scripted_broker(Script(connack_properties=told)) as broker:
        with pytest.raises(UplinkError, match="no acknowledged or no retained"):
            async with connect(access(broker.url), will=WILL, monotonic=time.monotonic):
                pass


async def test_a_broker_that_is_away_is_an_error() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"mqtt://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(UplinkError, match="cannot be reached"):
            async with connect(access(url), will=WILL, monotonic=time.monotonic):
                pass


async def test_a_broker_that_says_nothing_is_an_error_within_the_deadline() -> None:
    async with scripted_broker(Script(connack_reason=None)) as broker:
        started = time.monotonic()
        with pytest.raises(UplinkError, match=r"did not answer within 0\.3 s"):
            async with connect(access(broker.url, connect_deadline_s=0.3), will=WILL, monotonic=time.monotonic):
                pass
        assert time.monotonic() - started < 2


async def test_a_connection_given_up_while_dialling_leaves_no_socket_behind() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as stuck:
        port = stuck.getsockname()[1]
        tls = access(f"mqtts://127.0.0.1:{port}", connect_deadline_s=0.2)  # no handshake ever comes
        with pytest.raises(UplinkError):
            async with connect(tls, will=WILL, monotonic=time.monotonic):
                pass


async def test_a_socket_that_opens_after_we_gave_up_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[socket.socket] = []
    real = socket.create_connection

    def slow(address: tuple[str, int], **more: Any) -> socket.socket:
        time.sleep(0.3)  # as a name server that takes its time; on the worker thread
        opened.append(real(address, **more))
        return opened[-1]

    async with scripted_broker(Script()) as broker:
        monkeypatch.setattr(socket, "create_connection", slow)
        with pytest.raises(UplinkError, match="did not answer"):
            async with connect(access(broker.url, connect_deadline_s=0.05), will=WILL, monotonic=time.monotonic):
                pass
        await eventually(lambda: opened and opened[0].fileno() == -1)
        assert broker.connects == []


async def test_a_lost_idle_connection_is_noticed() -> None:
    async with (
        scripted_broker(Script()) as broker,
        connect(access(broker.url), will=WILL, monotonic=time.monotonic) as uplink,
    ):
        broker.drop()
        with pytest.raises(UplinkError, match="was lost"):
            async with asyncio.timeout(5):
                await uplink.ended()


async def test_a_frozen_idle_broker_is_noticed_within_two_keepalives() -> None:
    async with (
        scripted_broker(Script(answers_pings=False)) as broker,
        connect(access(broker.url, keepalive_s=1), will=WILL, monotonic=time.monotonic) as uplink,
    ):
        started = time.monotonic()
        with pytest.raises(UplinkError):
            async with asyncio.timeout(10):
                await uplink.ended()
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x40\x02\xff",
        b"\xff\xff\xff\xff\xff",
        b"\x40\x05\x00\x01\x00\xff\xff",
        b"\x20\x01\x00",
        b"\x00\x00",
        b"\x40\x00",
        b"\x40\x08\x00\x01\x00\x04\x26\x00\x01\xff",
    ],
)
async def test_garbage_from_the_broker_is_an_uplink_error(garbage: bytes) -> None:
    async with (
        scripted_broker(Script(puback=say_nothing)) as broker,
        connect(access(broker.url, ack_deadline_s=0.3), will=WILL, monotonic=time.monotonic) as uplink,
    ):
        acknowledged = await uplink.send("a/b", b"{}")
        broker.say(garbage)
        with pytest.raises(UplinkError):
            async with asyncio.timeout(5):
                await acknowledged


async def test_a_bug_in_our_own_callback_reaches_whoever_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(_Connection, "_acknowledged", bug)
    async with (
        scripted_broker(Script()) as broker,
        connect(access(broker.url), will=WILL, monotonic=time.monotonic) as uplink,
    ):
        with pytest.raises(ZeroDivisionError):
            await uplink.publish("a/b", b"{}")
        with pytest.raises(ZeroDivisionError):
            await uplink.ended()


@pytest.mark.parametrize("topic", ["a/+/b", "#", "a//b", "/a", "a/", "", "$SYS/a", "a/\0"])
async def test_a_topic_that_is_no_address_is_refused(topic: str) -> None:
    async with (
        scripted_broker(Script()) as broker,
        connect(access(broker.url), will=WILL, monotonic=time.monotonic) as uplink,
    ):
        with pytest.raises(ValueError, match="topic"):
            await uplink.publish(topic, b"{}")
        await uplink.publish("a/b", b"{}")
    assert broker.topics == ["a/b"]


async def test_a_sender_that_gives_up_leaves_its_place_to_the_next() -> None:
    async with (
        scripted_broker(Script(puback=say_nothing)) as broker,
        connect(access(broker.url, receive_maximum=1), will=WILL, monotonic=time.monotonic) as uplink,
    ):
        first = asyncio.ensure_future(uplink.publish("a/1", b"{}"))
        await eventually(lambda: broker.held)
        second = asyncio.ensure_future(uplink.publish("a/2", b"{}"))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        broker.acknowledge_all()
        broker.puback = accept
        async with asyncio.timeout(5):
            await uplink.publish("a/3", b"{}")


async def test_each_connection_starts_clean_with_its_account_and_its_will() -> None:
    async with scripted_broker(Script()) as broker:
        account = access(broker.url, username="kvot", password="öppna")
        for payload in (b'{"n":1}', b'{"n":2}'):
            will = Will(topic="a/availability", payload=payload)
            async with connect(account, will=will, monotonic=time.monotonic):
                pass
    assert len(broker.connects) == 2
    for body, payload in zip(broker.connects, (b'{"n":1}', b'{"n":2}'), strict=True):
        assert body[:7] == b"\x00\x04MQTT\x05"
        flags = body[7]
        assert flags == 0b1110_1110  # account, retained will at QoS 1, clean start
        assert b"\x00\x07kvot-g1" in body
        assert payload in body
        assert "öppna".encode() in body
        properties = body[11 : 11 + body[10]]
        assert properties == b"\x11\x00\x00\x00\x00'\x00\x01\x00\x00"  # session expiry 0, packets of 64 KiB


@pytest.mark.parametrize("url", ["http://host", "mqtt://", "mqtt://u:p@host", "mqtt://host/path", "mqtt://host:99999"])
def test_an_address_that_cannot_be_a_broker_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        access(url)
    assert "u:p" not in str(refused.value)


def test_a_password_is_never_shown() -> None:
    assert "geheim" not in repr(access("mqtt://host", username="u", password="geheim"))


async def test_an_encrypted_connection_needs_a_broker_that_its_authority_vouches_for(tmp_path: Path) -> None:
    ours, other = Authority(tmp_path / "ours"), Authority(tmp_path / "other")
    async with scripted_broker(Script(), tls=ours.server_context()) as broker:
        url = broker.url.replace("mqtt:", "mqtts:")
        async with connect(access(url, ca_file=ours.file), will=WILL, monotonic=time.monotonic) as uplink:
            await asyncio.gather(*[await uplink.send(f"a/{n}", b"{}" * 500) for n in range(50)])
        with pytest.raises(UplinkError, match="CERTIFICATE_VERIFY_FAILED"):
            async with connect(access(url, ca_file=other.file), will=WILL, monotonic=time.monotonic):
                pass


async def test_what_comes_in_one_piece_over_tls_is_read_to_its_end(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ours")
    async with scripted_broker(Script(puback=say_nothing), tls=ours.server_context()) as broker:
        over_tls = access(broker.url.replace("mqtt:", "mqtts:"), ca_file=ours.file)
        async with connect(over_tls, will=WILL, monotonic=time.monotonic) as uplink:
            acknowledged = await uplink.send("a/b", b"{}")
            await eventually(lambda: broker.held)
            broker.say(b"\x40\x02" + broker.held[0].to_bytes(2, "big") + b"\xe0\x01\x8b")  # and: shutting down
            await acknowledged
            with pytest.raises(UplinkError, match="shutting down"):
                async with asyncio.timeout(2):
                    await uplink.ended()


@pytest.mark.parametrize("kind", KINDS)
async def test_messages_arrive_in_order_with_their_properties(kind: BrokerKind, tmp_path: Path) -> None:
    async with running_broker(tmp_path, kind=kind) as broker:
        with listening(broker.url) as heard:
            async with connect(access(broker.url), will=WILL, monotonic=time.monotonic) as uplink:
                sent = [await uplink.send(f"a/{n}", b"{}", labels={"type": "job.running"}) for n in range(300)]
                await asyncio.gather(*sent)
                await uplink.publish("a/state", b'{"v":1}', retain=True, expiry_s=900)
            await eventually(lambda: heard.on("a/state"))
        assert [topic for topic in heard.topics() if topic != WILL.topic][:-1] == [f"a/{n}" for n in range(300)]
        told: Any = heard.on("a/7")[0].properties
        assert told.ContentType == "application/json"
        assert told.PayloadFormatIndicator == 1
        assert dict(told.UserProperty) == {"schema": "1", "type": "job.running"}
        assert not hasattr(told, "MessageExpiryInterval")
        kept: Any = heard.on("a/state")[0].properties
        assert kept.MessageExpiryInterval <= 900


@pytest.mark.parametrize("kind", KINDS)
async def test_however_we_leave_the_broker_says_so_and_keeps_it(kind: BrokerKind, tmp_path: Path) -> None:
    async with running_broker(tmp_path, kind=kind) as broker:
        with listening(broker.url) as heard:
            async with connect(access(broker.url), will=WILL, monotonic=time.monotonic) as uplink:
                await uplink.publish(WILL.topic, b'{"state":"online"}', retain=True)
            await eventually(lambda: len(heard.on(WILL.topic)) == 2)
            assert [body["state"] for body in heard.bodies(WILL.topic)] == ["online", "offline"]
        with listening(broker.url, client_id="latecomer") as later:
            await eventually(lambda: later.on(WILL.topic))
            assert later.bodies(WILL.topic) == [{"state": "offline"}]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_second_gateway_with_the_same_id_ends_the_first(kind: BrokerKind, tmp_path: Path) -> None:
    async with (
        running_broker(tmp_path, kind=kind) as broker,
        connect(access(broker.url), will=WILL, monotonic=time.monotonic) as first,
        connect(access(broker.url), will=WILL, monotonic=time.monotonic) as second,
    ):
        await second.publish("a/b", b"{}")
        with pytest.raises(UplinkError):
            async with asyncio.timeout(5):
                await first.ended()


async def test_a_broker_that_lets_us_hear_nothing_says_so_and_the_connection_goes_on() -> None:
    async with (
        scripted_broker(Script(suback_reason=0x87)) as broker,
        connect(access(broker.url), will=WILL, monotonic=time.monotonic) as uplink,
    ):
        with pytest.raises(DeafError, match="a/control"):
            await anext(aiter(uplink.hear("a/control")))
        await uplink.publish("a/b", b"{}")
    assert broker.topics == ["a/b"]


async def test_who_listens_hears_of_the_end_of_the_connection() -> None:
    async with (
        scripted_broker(Script()) as broker,
        connect(access(broker.url), will=WILL, monotonic=time.monotonic) as uplink,
    ):
        hearing = asyncio.ensure_future(anext(aiter(uplink.hear("a/control"))))
        await eventually(lambda: broker.subscribed)
        broker.drop()
        with pytest.raises(UplinkError, match="lost"):
            await hearing
