"""The WooCommerce profile against the simulated shop, over real sockets."""

import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.domain.orders import LineKind, ShopOrder
from gateway.errors import ShopError
from gateway.shops.base import Shop
from gateway.shops.catalog import open_shop
from gateway.shops.woocommerce import Cursor
from simulators.shop import Fault, FaultKind, RunningShop, ShopSimulation, Wanted, running_shop
from tests.eventually import eventually
from tests.shops.loopback import access_to


@asynccontextmanager
async def both(*, access: dict[str, Any] | None = None, **changes: Any) -> AsyncIterator[tuple[Shop, RunningShop]]:
    async with (
        running_shop(key="ck_canary", secret="cs_canary", **changes) as running,
        open_shop(access_to(running.url, **(access or {}))) as shop,
    ):
        yield shop, running


async def pulled(shop: Shop, cursor: str) -> dict[str, ShopOrder]:
    return {order.shop_order_id: order async for batch in shop.pull(cursor) for order in batch.orders}


def pass_time(running: RunningShop, *, seconds: float) -> None:
    running.state.step(running.state.now + timedelta(seconds=seconds))


def far_back(running: RunningShop) -> str:
    now = running.store.now
    return Cursor(read_to=now - timedelta(hours=2), since=now - timedelta(days=2)).text()


async def test_an_order_with_a_variation_and_freight_comes_whole_over_plain_http() -> None:
    async with both() as (shop, running):
        options = {"width_mm": 60.5, "text": {"front": 'Åsa & "Bo"', "size": 12}}
        placed = running.store.place_order(
            [Wanted(sku="TRAY-12-B", quantity=2, options=options)], freight="49.00", payment_method="invoice"
        )
        order = (await pulled(shop, far_back(running)))[str(placed.id)]
    assert order.fault is None
    assert (order.status, order.payment, order.currency) == ("processing", "invoice", "SEK")
    assert order.placed_at == placed.created
    article, freight = order.lines
    assert article.fault is freight.fault is None
    assert (article.skus, article.quantity, article.unit_price_minor) == (("TRAY-12-B",), 2, 12720)
    assert article.options["width_mm"] == "60.5"
    assert article.options["text.front"] == 'Åsa & "Bo"'
    assert article.options["pa_farg"] == "svart"
    assert not [name for name in article.options if name.startswith("_")]
    assert (freight.kind, freight.unit_price_minor) == (LineKind.CHARGE, 3920)


async def test_the_shops_time_zone_does_not_shift_the_filter() -> None:
    async with both(timezone="Pacific/Kiritimati") as (shop, running):
        placed = running.store.place_order([Wanted(sku="TRAY-12")])
        cursor = Cursor(read_to=running.store.now, since=running.store.now - timedelta(hours=1)).text()
        assert set(await pulled(shop, cursor)) == {str(placed.id)}


async def test_orders_of_the_same_second_all_come_whatever_the_page_size() -> None:
    async with running_shop(key="ck_canary", secret="cs_canary") as running:
        store = running.store
        placed = {str(store.place_order([Wanted(sku="TRAY-12")]).id) for _ in range(7)}
        for per_page in (1, 2, 3, 100):
            async with open_shop(access_to(running.url, per_page=per_page)) as shop:
                assert set(await pulled(shop, far_back(running))) == placed


async def test_writing_while_reading_skips_no_order() -> None:
    async with both(access={"per_page": 1}, hpos=True) as (shop, running):
        placed = []
        for _ in range(6):
            placed.append(str(running.store.place_order([Wanted(sku="TRAY-12")]).id))
            pass_time(running, seconds=3)
        seen: set[str] = set()
        async for batch in shop.pull(far_back(running)):
            for order in batch.orders:
                if order.shop_order_id not in seen:
                    await shop.write_status(order.shop_order_id, {"_kvot_state": "received"})
                seen.add(order.shop_order_id)
        assert seen == set(placed)


async def test_every_order_of_busy_customers_comes_while_we_write_to_the_shop() -> None:
    settings = ShopSimulation(orders=40, unpaid=3, within=timedelta(minutes=10), speed=300.0, waiting=True)
    async with both(settings=settings, access={"per_page": 3, "overlap_s": 30.0}) as (shop, running):
        cursor = await shop.first_cursor()
        running.store.open(running.clock.now())
        seen: dict[str, ShopOrder] = {}

        async def poll() -> bool:
            nonlocal cursor
            async for batch in shop.pull(cursor):
                for order in batch.orders:
                    if order.shop_order_id not in seen:
                        await shop.write_status(order.shop_order_id, {"_kvot_state": "received"})
                    seen[order.shop_order_id] = order
                cursor = batch.cursor
            return running.store.done and len(seen) == len(running.orders)

        await eventually(poll)
        assert set(seen) == {str(order.id) for order in running.orders}
        assert len(seen) == 43
        assert all(order.fault is None and not [line for line in order.lines if line.fault] for order in seen.values())
        assert sum(1 for write in running.writes if write.changed) == 43


@pytest.mark.parametrize("hpos", [True, False])
async def test_the_echo_of_our_own_write_is_an_equal_order(hpos: bool) -> None:
    async with both(hpos=hpos) as (shop, running):
        placed = running.store.place_order([Wanted(sku="TRAY-12")])
        before = await pulled(shop, far_back(running))
        await shop.write_status(str(placed.id), {"_kvot_state": "made"})
        after = await pulled(shop, far_back(running))
        assert {name: replace(order, told="") for name, order in after.items()} == before
        assert after[str(placed.id)].told == "made"
        assert len(running.writes) == 1


async def test_unpaid_orders_come_in_their_own_state_and_again_when_they_are_paid() -> None:
    async with both() as (shop, running):
        placed = running.store.place_order([Wanted(sku="TRAY-12")], status="pending", payment_method="bacs")
        first = (await pulled(shop, far_back(running)))[str(placed.id)]
        running.store.mark_paid(placed.id)
        second = (await pulled(shop, far_back(running)))[str(placed.id)]
    assert (first.status, second.status) == ("pending", "processing")
    assert first.placed_at == second.placed_at


async def test_refunded_pieces_are_taken_off() -> None:
    async with both() as (shop, running):
        placed = running.store.place_order([Wanted(sku="TRAY-12", quantity=5), Wanted(sku="MUG-RED", quantity=2)])
        running.store.refund_line(placed.id, placed.lines[0].id, quantity=2)
        running.store.refund_line(placed.id, placed.lines[0].id, quantity=1)
        order = (await pulled(shop, far_back(running)))[str(placed.id)]
        assert [line.quantity for line in order.lines] == [2, 2]
        assert [line.unit_price_minor for line in order.lines] == [11920, 7120]
        running.store.refund_line(placed.id, placed.lines[0].id, quantity=2)
        running.store.refund_line(placed.id, placed.lines[1].id, quantity=2)
        assert (await pulled(shop, far_back(running)))[str(placed.id)].cancelled


async def test_a_renamed_field_sets_one_line_aside_and_spares_the_other_orders() -> None:
    async with both() as (shop, running):
        broken = running.store.place_order([Wanted(sku="TRAY-12"), Wanted(sku="MUG-RED")])
        whole = running.store.place_order([Wanted(sku="TRAY-12")])
        running.faults.put(FaultKind.RENAMED, order=broken.id, field="line_items.0.quantity", to="qty")
        orders = await pulled(shop, far_back(running))
    assert [line.fault for line in orders[str(broken.id)].lines] == ["quantity: is missing, not a whole number", None]
    assert orders[str(broken.id)].fault is None
    assert [line.fault for line in orders[str(whole.id)].lines] == [None]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.DOWN),
        Fault(kind=FaultKind.LIMITED, seconds=7),
        Fault(kind=FaultKind.HTML),
        Fault(kind=FaultKind.LOST),
        Fault(kind=FaultKind.TRUNCATED),
        Fault(kind=FaultKind.SLOW, seconds=0.6),
        Fault(kind=FaultKind.MISSING_PAGE),
    ],
)
async def test_a_spoilt_answer_is_an_error_and_the_next_pull_gets_everything(fault: Fault) -> None:
    patience_s = 0.3 if fault.kind is FaultKind.SLOW else 5.0
    async with both(access={"timeout_s": patience_s, "per_page": 2}) as (shop, running):
        placed = {str(running.store.place_order([Wanted(sku="TRAY-12")]).id) for _ in range(3)}
        running.faults.put(fault.kind, seconds=fault.seconds)
        with pytest.raises(ShopError) as caught:
            await pulled(shop, far_back(running))
        assert caught.value.retry_after_s == (7 if fault.kind is FaultKind.LIMITED else None)
        running.faults.clear()
        async with open_shop(access_to(running.url)) as patient:
            assert set(await pulled(patient, far_back(running))) == placed


async def test_a_page_of_old_rows_is_not_taken_for_an_answer() -> None:
    async with both(access={"per_page": 2}) as (shop, running):
        for _ in range(4):
            running.store.place_order([Wanted(sku="TRAY-12")])
            pass_time(running, seconds=3)
        batches = shop.pull(far_back(running))
        await anext(batches)
        running.faults.put(FaultKind.DUPLICATE_PAGE, times=1)
        with pytest.raises(ShopError, match="outside the time asked for"):
            await anext(batches)


async def test_the_first_cursor_is_the_shops_now_and_leaves_older_orders_out() -> None:
    epoch = datetime(2031, 1, 1, tzinfo=UTC)
    async with both(business_epoch=epoch) as (shop, running):
        old = running.store.place_order([Wanted(sku="TRAY-12")], status="pending")
        pass_time(running, seconds=60)
        cursor = await shop.first_cursor()
        assert Cursor.parse(cursor).since == running.state.now
        pass_time(running, seconds=60)
        running.store.set_status(old.id, "completed")
        new = running.store.place_order([Wanted(sku="TRAY-12")])
        assert set(await pulled(shop, cursor)) == {str(new.id)}


async def test_the_site_is_what_the_shop_says_of_itself_not_where_it_was_found() -> None:
    async with both(site_url="https://Butik.example/sv/") as (shop, _):
        assert await shop.site() == "butik.example/sv"


@pytest.mark.parametrize(("key", "secret"), [("ck_other", "cs_canary"), ("ck_canary", "cs_other")])
async def test_a_wrong_key_is_told_without_showing_it(key: str, secret: str) -> None:
    async with both(access={"key": key, "secret": secret}) as (shop, running):
        with pytest.raises(ShopError, match=r"401.*the key is refused") as caught:
            await pulled(shop, far_back(running))
    for word in (key, secret):
        assert word not in str(caught.value)


async def test_over_tls_the_key_goes_as_basic_and_the_certificate_is_checked(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    trust = ssl.create_default_context(cafile=str(cert))
    async with running_shop(key="ck_canary", secret="cs_canary", tls_cert=cert, tls_key=key) as running:
        placed = running.store.place_order([Wanted(sku="TRAY-12")])
        async with open_shop(access_to(running.url, trust=trust)) as shop:
            assert set(await pulled(shop, far_back(running))) == {str(placed.id)}
            await shop.write_status(str(placed.id), {"_kvot_state": "made"})
        async with open_shop(access_to(running.url)) as shop:
            with pytest.raises(ShopError, match="failed on the way"):
                await pulled(shop, far_back(running))
    assert running.url.startswith("https://")


async def test_a_shop_that_vanishes_and_comes_back_is_read_by_the_same_client() -> None:
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = int(chosen.getsockname()[1])
    async with open_shop(access_to(f"http://127.0.0.1:{port}")) as shop:
        with pytest.raises(ShopError, match="failed on the way"):
            await shop.first_cursor()
        for _ in range(2):
            async with running_shop(key="ck_canary", secret="cs_canary", port=port) as running:
                placed = running.store.place_order([Wanted(sku="TRAY-12")])
                cursor = far_back(running)
                assert set(await pulled(shop, cursor)) == {str(placed.id)}
            with pytest.raises(ShopError, match="failed on the way"):
                await pulled(shop, cursor)


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / "cert.pem", folder / "key.pem"
    cert_path.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_path, key_path
