"""Coupons as every shop with them must keep them: one for a code, whatever is repeated or lost, and gone at the end."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.errors import ShopError, ShopRefusedError
from gateway.shops.base import Coupon, Coupons
from gateway.shops.catalog import open_shop
from simulators.shop import FaultKind, RunningShop, coupons, running_shop
from tests.shops.fake_shop import FakeShop
from tests.shops.loopback import access_to

COUPON = Coupon(
    code="kvot-white-1",
    percent=Decimal("12.50"),
    product_ids=("11", "12/13"),
    uses=7,
    until=datetime(2026, 5, 6, 12, 30, tzinfo=UTC),
    text="-10 %",
)


@pytest.fixture
async def live() -> AsyncIterator[tuple[Coupons, RunningShop]]:
    async with running_shop(key="ck_canary", secret="cs_canary") as running, open_shop(access_to(running.url)) as shop:
        assert isinstance(shop, Coupons)
        yield shop, running


def _effective(running: RunningShop) -> list[str]:
    return [str(write.values["method"]) for write in running.writes if write.changed]


async def test_a_coupon_written_twice_is_there_once_with_all_it_says(live: tuple[Coupons, RunningShop]) -> None:
    shop, running = live
    await shop.put_coupon(COUPON)
    await shop.put_coupon(COUPON)
    (kept,) = running.coupons.values()
    assert (kept.code, kept.discount_type, kept.amount) == ("kvot-white-1", "percent", "12.50")
    assert (kept.product_ids, kept.usage_limit, kept.expires) == ((11, 13), 7, COUPON.until)
    assert kept.individual_use
    assert _effective(running) == ["POST"]


async def test_what_differs_is_changed_and_nothing_is_made_twice(live: tuple[Coupons, RunningShop]) -> None:
    shop, running = live
    await shop.put_coupon(COUPON)
    await shop.put_coupon(replace(COUPON, uses=3))
    (kept,) = running.coupons.values()
    assert kept.usage_limit == 3
    assert _effective(running) == ["POST", "PUT"]


async def test_a_coupon_whose_answer_was_lost_is_found_again(live: tuple[Coupons, RunningShop]) -> None:
    shop, running = live
    running.faults.put(FaultKind.LOST, times=1, method="POST")
    with pytest.raises(ShopError):
        await shop.put_coupon(COUPON)
    await shop.put_coupon(COUPON)
    assert len(running.coupons) == 1
    assert _effective(running) == ["POST"]


async def test_a_coupon_is_gone_at_the_end_however_often_it_is_ended(live: tuple[Coupons, RunningShop]) -> None:
    shop, running = live
    await shop.put_coupon(COUPON)
    running.faults.put(FaultKind.LOST, times=1, method="DELETE")
    with pytest.raises(ShopError):
        await shop.end_coupon(COUPON.code)
    await shop.end_coupon(COUPON.code)
    await shop.end_coupon("kvot-never-there")
    assert running.coupons == {}


async def test_a_shop_that_refuses_a_coupon_is_not_asked_for_ever(live: tuple[Coupons, RunningShop]) -> None:
    shop, _ = live
    with pytest.raises(ShopRefusedError):
        await shop.put_coupon(replace(COUPON, percent=Decimal(-1)))


async def test_a_shop_that_keeps_something_else_is_noticed(
    live: tuple[Coupons, RunningShop], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, _ = live
    await shop.put_coupon(COUPON)
    monkeypatch.setattr(coupons.Coupons, "_changed", lambda _self, coupon, _values: coupon)
    with pytest.raises(ShopError, match="did not keep usage_limit"):
        await shop.put_coupon(replace(COUPON, uses=1))


async def test_the_fake_keeps_coupons_alike() -> None:
    shop = FakeShop()
    port: Coupons = shop
    assert isinstance(port, Coupons)
    for _ in range(2):
        await port.put_coupon(COUPON)
    await shop.end_coupon(COUPON.code)
    await shop.end_coupon(COUPON.code)
    assert shop.coupon_writes == ["kvot-white-1", "-kvot-white-1"]
