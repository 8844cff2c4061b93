"""Coupons of a WooCommerce shop: one for each code, made or changed until it says what it should, and removed."""

from collections.abc import Mapping
from datetime import UTC
from decimal import Decimal, InvalidOperation

from gateway.errors import ShopError, ShopRefusedError
from gateway.shops.access import ShopAccess
from gateway.shops.base import Coupon
from gateway.shops.http import Exchange

COUPONS = "/wp-json/wc/v3/coupons"
_BAD_REQUEST, _NOT_FOUND = 400, 404


async def put_coupon(exchange: Exchange, access: ShopAccess, coupon: Coupon) -> None:
    """Find the coupon by its code and make it, or change what differs; raise `ShopError` where it is not kept.

    Where the answer to making one was lost, it is found the next time: a code is there once.
    """
    what, wanted = f"{access.name}: coupon {coupon.code}", _fields(coupon)
    there = await _find(exchange, access, coupon.code)
    if there is None:
        answer = await exchange.post(COUPONS, wanted, also=(_BAD_REQUEST,))
        there = answer.tree if isinstance(answer.tree, dict) else {}
        if answer.status == _BAD_REQUEST:  # somebody made it meanwhile, or the shop will not have it
            there = await _find(exchange, access, coupon.code)
            if there is None:
                raise ShopRefusedError(f"{what} was refused by the shop")
    if _missing(there, wanted):
        answer = await exchange.put(f"{COUPONS}/{there.get('id')}", wanted)
        there = answer.tree if isinstance(answer.tree, dict) else {}
    if missing := _missing(there, wanted):
        raise ShopError(f"{what} was written, but the shop did not keep {', '.join(missing)}")


async def end_coupon(exchange: Exchange, access: ShopAccess, code: str) -> None:
    """Remove the coupon of a code, if it is there, and see that it is gone."""
    there = await _find(exchange, access, code)
    if there is None:
        return
    await exchange.delete(f"{COUPONS}/{there.get('id')}", [("force", "true")], also=(_NOT_FOUND,))
    if await _find(exchange, access, code) is not None:
        raise ShopError(f"{access.name}: coupon {code} was removed, but it is still there")


async def _find(exchange: Exchange, access: ShopAccess, code: str) -> Mapping[str, object] | None:
    answer = await exchange.get(COUPONS, [("code", code)])
    if not isinstance(answer.tree, list):
        raise ShopError(f"{access.name}: the coupons did not come as a list")
    rows = [row for row in answer.tree if isinstance(row, dict) and str(row.get("code")).lower() == code]
    return rows[0] if rows else None


def _fields(coupon: Coupon) -> dict[str, object]:
    """Give what WooCommerce calls it. A variation is named `12/13` here, and 13 there."""
    return {
        "code": coupon.code,
        "discount_type": "percent",
        "amount": str(coupon.percent),
        "description": coupon.text,
        "date_expires_gmt": coupon.until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "individual_use": True,
        "product_ids": sorted(int(product_id.rpartition("/")[2]) for product_id in coupon.product_ids),
        "usage_limit": coupon.uses,
    }


def _missing(there: Mapping[str, object], wanted: Mapping[str, object]) -> list[str]:
    """Name the fields that are not as they should be."""
    return sorted(name for name, value in wanted.items() if not _same(name, there.get(name), value))


def _same(name: str, there: object, wanted: object) -> bool:
    match name:
        case "amount":
            try:
                return Decimal(str(there)) == Decimal(str(wanted))
            except InvalidOperation:
                return False
        case "product_ids":
            return isinstance(there, list) and sorted(map(str, there)) == sorted(map(str, _numbers(wanted)))
        case "description":
            return True  # a shop may format it
        case _:
            return there == wanted


def _numbers(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []
