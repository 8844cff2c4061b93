"""One exchange with a shop: whatever comes back is an answer in time or a `ShopError` in plain words."""

import asyncio
import gzip
import json
import logging
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from gateway.errors import ShopError, ShopRefusedError
from gateway.shops import http
from gateway.shops.http import Answer, open_exchange
from tests.shops.loopback import NOW, Naps, Question, Responder, Served, Wire, access_to, always, response, serving

PATH = "/wp-json/wc/v3/orders"


async def ask(served: Served, *, naps: Naps | None = None, **fields: Any) -> Answer:
    async with open_exchange(access_to(served.url, sleep=naps, **fields), time_path="/wp-json/") as exchange:
        return await exchange.get(PATH, [("page", "1")], signed=False)


async def complaint(respond: Responder, **fields: Any) -> ShopError:
    async with serving(respond) as served:
        with pytest.raises(ShopError) as caught:
            await ask(served, **fields)
    text = str(caught.value)
    assert text.startswith("webshop: GET /wp-json/wc/v3/orders ")
    assert "canary" not in text
    assert "page=1" not in text
    return caught.value


async def test_a_whole_answer_is_parsed_with_the_shops_own_time() -> None:
    async with serving(always(response([{"id": 1}], X_WP_Total="7"))) as served:
        answer = await ask(served)
    assert answer.tree == [{"id": 1}]
    assert answer.headers["x-wp-total"] == "7"
    assert answer.asked_at == NOW
    assert served.questions[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (response(b"<html>Hello</html>", kind="text/html; charset=UTF-8"), "text/html instead of JSON"),
        (response(b"[]", kind=None), "no content type instead of JSON"),
        (response(b'[{"id": 1}, {"id"'), "ends in the middle"),
        (response(b""), "ends in the middle"),
        (response(b"<br />Warning: x[]"), "no JSON at byte 0"),
        (response(b'[{"total": NaN}]'), "NaN"),
        (response(b'[{"id": 1, "id": 2}]'), "given twice"),
        (response(b"[" * 100_000 + b"]" * 100_000), "nested too deep"),
        (response(b"[" * 60 + b"]" * 60), "nested too deep"),
        (response(b'["\xff"]'), "not UTF-8"),
        (response(b'[{"id": 1}, {"id": 2}]', length=4000), "failed on the way (RemoteProtocolError)"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "failed on the way (RemoteProtocolError)"),
        (response(b"x", Content_Encoding="br"), "encoding nobody asked for"),
        (response(b"no gzip", Content_Encoding="gzip"), "broken gzip"),
        (response(gzip.compress(b"[1,2,3]")[:-10], Content_Encoding="gzip"), "gzip that ends in the middle"),
        (response({}, status=401), "the key is refused"),
        (response({}, status=500), "answered 500"),
        (response({"code": "woocommerce_rest_cannot_view", "message": "ck_canary"}, status=403), "_cannot_view"),
        (response({"code": "a\nforged=line"}, status=403), "aforgedline"),
    ],
)
async def test_an_answer_that_cannot_be_trusted_is_refused_with_its_reason(answer: bytes, why: str) -> None:
    error = await complaint(always(answer))
    assert why in str(error)
    assert error.retry_after_s is None


async def test_a_byte_order_mark_before_the_json_is_forgiven() -> None:
    async with serving(always(response(b"\xef\xbb\xbf[1]"))) as served:
        assert (await ask(served)).tree == [1]


async def test_gzip_is_unpacked() -> None:
    async with serving(always(response(gzip.compress(b'["\xc3\xa5"]'), Content_Encoding="gzip"))) as served:
        assert (await ask(served)).tree == ["å"]


async def test_a_gzip_bomb_is_refused_without_unpacking_it() -> None:
    bomb = response(gzip.compress(b"[" + b" " * 200_000_000 + b"]", 9), Content_Encoding="gzip")
    tracemalloc.start()
    error = await complaint(always(bomb))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "more than 20 MB" in str(error)
    assert peak < 80_000_000


async def test_a_body_without_end_is_cut_off() -> None:
    async def endless(_: Question, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n[")
        while True:
            await wire.send(b" " * 1_000_000)

    assert "more than 20 MB" in str(await complaint(endless))


async def test_a_drip_fed_body_ends_at_the_deadline_of_the_whole_exchange() -> None:
    async def drip(_: Question, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n[1")
        while True:
            await asyncio.sleep(0.02)
            await wire.send(b" ")

    began = asyncio.get_running_loop().time()
    error = await complaint(drip, timeout_s=0.3)
    assert "not answered completely within 0.3 s" in str(error)
    assert asyncio.get_running_loop().time() - began < 2


async def test_a_shop_that_never_answers_ends_at_the_deadline() -> None:
    async def silent(_: Question, wire: Wire) -> None:
        await wire.until_gone()

    assert "within 0.2 s" in str(await complaint(silent, timeout_s=0.2))


async def test_no_redirect_is_followed_and_only_its_host_is_told() -> None:
    moved = response({}, status=301, Location="https://other.example:8443/x?oauth_signature=canary")
    async with serving(always(moved)) as served:
        with pytest.raises(ShopError) as caught:
            await ask(served)
        assert len(served.questions) == 1
    assert "https://other.example:8443)" in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "header", "expected"),
    [
        (429, "30", 30.0),
        (503, "0", 0.0),
        (429, "9" * 14, 86_400.0),
        (429, format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (503, format_datetime(NOW - timedelta(hours=1), usegmt=True), 0.0),
        (429, "soon", None),
        (429, "-5", None),
    ],
)
async def test_a_busy_shop_says_how_long_to_wait(status: int, header: str, expected: float | None) -> None:
    error = await complaint(always(response({}, status=status, Retry_After=header)))
    assert error.retry_after_s == expected
    assert "busy" in str(error)


async def test_a_busy_shop_is_not_asked_again_at_once() -> None:
    async with serving(always(response({}, status=429))) as served:
        with pytest.raises(ShopError):
            await ask(served)
        assert len(served.questions) == 1


async def test_a_passing_failure_of_a_read_is_asked_again_a_few_times() -> None:
    answers = [response({}, status=502), b"", response([1])]

    async def respond(_: Question, wire: Wire) -> None:
        await wire.send(answers.pop(0))

    naps = Naps()
    async with serving(respond) as served:
        assert (await ask(served, naps=naps)).tree == [1]
    assert len(naps.taken) == 2
    assert all(0 < nap <= 0.8 for nap in naps.taken)


async def test_a_failing_read_gives_up_after_a_bounded_number_of_tries() -> None:
    async with serving(always(response({}, status=504))) as served:
        with pytest.raises(ShopError, match="answered 504"):
            await ask(served)
        assert len(served.questions) == http.TRIES


async def test_a_write_is_never_repeated_by_itself() -> None:
    async with (
        serving(always(response({}, status=502))) as served,
        open_exchange(access_to(served.url), time_path="/wp-json/") as exchange,
    ):
        with pytest.raises(ShopError):
            await exchange.put(PATH + "/1", {"meta_data": []})
        assert [question.method for question in served.questions] == ["GET", "PUT"]


@pytest.mark.parametrize(
    ("status", "body", "for_good"),
    [
        (404, {"code": "woocommerce_rest_shop_order_invalid_id"}, True),
        (400, {"code": "rest_invalid_param"}, True),
        (404, {"code": "rest_no_route"}, False),
        (404, b"<h1>Not Found</h1>", False),
        (403, {"code": "woocommerce_rest_cannot_edit"}, False),
        (500, {"code": "internal_server_error"}, False),
    ],
)
async def test_only_a_write_that_was_understood_is_refused_for_good(status: int, body: object, for_good: bool) -> None:
    async with (
        serving(always(response(body, status=status))) as served,
        open_exchange(access_to(served.url), time_path="/wp-json/") as exchange,
    ):
        with pytest.raises(ShopError) as written:
            await exchange.put(PATH + "/1", {})
        with pytest.raises(ShopError) as read:
            await exchange.get(PATH)
    assert isinstance(written.value, ShopRefusedError) is for_good
    assert not isinstance(read.value, ShopRefusedError)


async def test_a_shop_that_is_not_there_is_a_shop_error() -> None:
    async with serving(always(b"")) as served:
        pass
    with pytest.raises(ShopError, match=r"failed on the way \(ConnectError\)"):
        await ask(served)


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(always(response([1]))) as served:
        assert (await ask(served)).tree == [1]


async def test_no_cookie_is_kept() -> None:
    async with (
        serving(always(response([1], Set_Cookie="session=1; Path=/"))) as served,
        open_exchange(access_to(served.url), time_path="/wp-json/") as exchange,
    ):
        await exchange.get(PATH, signed=False)
        await exchange.get(PATH, signed=False)
    assert "cookie" not in served.questions[1].headers


def timed_gate(offsets: Callable[[], timedelta]) -> Responder:
    """Let in only who signs with the shop's own time, give or take 15 minutes, as WooCommerce does."""

    async def respond(question: Question, wire: Wire) -> None:
        now = NOW + offsets()
        stamp = question.query.get("oauth_timestamp")
        if stamp is None:
            await wire.send(response({"name": "shop"}, date=now))
        elif abs(int(stamp) - now.timestamp()) > 900:
            await wire.send(response({"code": "woocommerce_rest_authentication_error"}, status=401, date=now))
        else:
            await wire.send(response([1], date=now))

    return respond


async def signed_twice(respond: Responder, between: Callable[[], Awaitable[None]]) -> list[Question]:
    async with (
        serving(respond) as served,
        open_exchange(access_to(served.url), time_path="/wp-json/") as exchange,
    ):
        assert (await exchange.get(PATH)).tree == [1]
        await between()
        assert (await exchange.get(PATH)).tree == [1]
    return served.questions


async def test_a_signature_carries_the_shops_time_even_when_its_clock_jumps() -> None:
    offset = timedelta(days=-400)

    async def jump() -> None:
        nonlocal offset
        offset = timedelta(hours=1)

    questions = await signed_twice(timed_gate(lambda: offset), jump)
    # The time is asked for once; after the jump one signature is refused and made again.
    assert [question.path for question in questions] == ["/wp-json/", PATH, PATH, PATH]


async def test_a_wrong_key_is_tried_once_only() -> None:
    async with (
        serving(always(response({}, status=401))) as served,
        open_exchange(access_to(served.url), time_path="/wp-json/") as exchange,
    ):
        with pytest.raises(ShopError, match="the key is refused"):
            await exchange.get(PATH)
    assert [question.path for question in served.questions] == ["/wp-json/", PATH]


async def test_without_a_date_nothing_can_be_signed_and_the_error_says_so() -> None:
    async with (
        serving(always(response([], date=None))) as served,
        open_exchange(access_to(served.url), time_path="/wp-json/") as exchange,
    ):
        with pytest.raises(ShopError, match="no Date header"):
            await exchange.get(PATH)


async def test_no_log_line_carries_key_secret_or_signature(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with (
        serving(timed_gate(timedelta)) as served,
        open_exchange(access_to(served.url), time_path="/wp-json/") as exchange,
    ):
        await exchange.get(PATH)
    assert "oauth_signature" in served.questions[1].query
    assert "canary" not in caplog.text
    assert "oauth" not in caplog.text


async def test_fractions_stay_exact_and_absurd_numbers_stay_one_fields_trouble() -> None:
    body = json.dumps([{"total": 0.1}])[:-1].encode() + b',{"n":1e400},{"n":' + b"9" * 5000 + b"}]"
    async with serving(always(response(body))) as served:
        tree = (await ask(served)).tree
    assert isinstance(tree, list)
    assert str(tree[0]["total"]) == "0.1"
    assert tree[1]["n"] == "1e400"
    assert tree[2]["n"] == "9" * 5000
