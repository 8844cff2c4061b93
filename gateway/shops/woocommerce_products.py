"""The articles of a WooCommerce shop: their regular prices read, and a price with our metadata written back."""

import re
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal

from gateway.errors import ShopError, ShopRefusedError
from gateway.shops.access import ShopAccess
from gateway.shops.base import ShopProduct
from gateway.shops.fields import Fields, minor_exponent, to_minor
from gateway.shops.http import Exchange

PRODUCTS = "/wp-json/wc/v3/products"
PAGES_MAX = 200
PARENTS_MAX = 2000  # products with variations, each of which is asked for
_FIELDS = "id,sku,type,regular_price"


async def read_products(exchange: Exchange, access: ShopAccess) -> tuple[ShopProduct, ...]:
    """Read all articles page by page; raise `ShopError` when the pages do not add up to the shop's own count.

    Left out is what has no number or no price; of two articles with one number the first counts.
    """
    found: dict[str, ShopProduct] = {}
    parents: list[str] = []
    async for row in _rows(exchange, access, PRODUCTS):
        fields = Fields(row)
        identity = fields.identity("id")
        if identity is not None and fields.raw("type") == "variable":
            parents.append(identity)
        elif (product := _product(fields, identity, access)) is not None:
            found.setdefault(product.sku, product)
    if len(parents) > PARENTS_MAX:
        raise ShopError(f"{access.name}: {len(parents)} products have variations; {PARENTS_MAX} are the limit")
    for parent in parents:
        async for row in _rows(exchange, access, f"{PRODUCTS}/{parent}/variations"):
            fields = Fields(row)
            identity = fields.identity("id")
            product = _product(fields, None if identity is None else f"{parent}/{identity}", access)
            if product is not None:
                found.setdefault(product.sku, product)
    return tuple(found.values())


async def write_product(
    exchange: Exchange, access: ShopAccess, product_id: str, *, price_minor: int | None, values: Mapping[str, str]
) -> None:
    """Write an article named `12`, or a variation named `12/13`; raise `ShopRefusedError` for one that is not there."""
    what = f"{access.name}: product {product_id[:40]}"
    named = re.fullmatch(r"([1-9][0-9]{0,17})(?:/([1-9][0-9]{0,17}))?", product_id)
    if named is None:
        raise ShopRefusedError(f"{what} has no id the shop would know")
    path = f"{PRODUCTS}/{named[1]}" + (f"/variations/{named[2]}" if named[2] else "")
    body: dict[str, object] = {"meta_data": [{"key": key, "value": value} for key, value in values.items()]}
    if price_minor is not None:
        body["regular_price"] = price_text(price_minor, currency=access.currency)
    answer = await exchange.put(path, body)
    tree = answer.tree if isinstance(answer.tree, dict) else {}
    if str(tree.get("id")) != (named[2] or named[1]):
        raise ShopError(f"{what} was written, but the answer is about another product")
    there = kept_meta(tree)
    missing = sorted(key for key, value in values.items() if there.get(key) != value)
    if price_minor is not None and to_minor(Fields(tree).amount("regular_price"), currency=access.currency) != (
        price_minor
    ):
        missing.append("regular_price")
    if missing:
        raise ShopError(f"{what} was written, but the shop did not keep {', '.join(missing)}")


def kept_meta(tree: Mapping[str, object]) -> dict[str, object]:
    """Give the metadata in an answer by key."""
    stored = tree.get("meta_data")
    return {
        row["key"]: row.get("value")
        for row in (stored if isinstance(stored, list) else ())
        if isinstance(row, dict) and isinstance(row.get("key"), str)
    }


def price_text(price_minor: int, *, currency: str) -> str:
    """Write a price in major units, as WooCommerce does: `149.00`."""
    exponent = minor_exponent(currency)
    return str(Decimal(price_minor).scaleb(-exponent).quantize(Decimal(1).scaleb(-exponent)))


async def _rows(exchange: Exchange, access: ShopAccess, path: str) -> AsyncIterator[object]:
    """Read a list whole: every page, until the rows are as many as the shop counts."""
    ids: set[str] = set()
    for number in range(1, PAGES_MAX + 1):
        query = [
            ("_fields", _FIELDS),
            ("order", "asc"),
            ("orderby", "id"),
            ("page", str(number)),
            ("per_page", str(access.per_page)),
        ]
        answer = await exchange.get(path, query)
        if not isinstance(answer.tree, list):
            raise ShopError(f"{access.name}: the products did not come as a list")
        total = answer.headers.get("x-wp-total", "")
        for row in answer.tree:
            ids.add(repr(row.get("id", row)) if isinstance(row, dict) else repr(row))
            yield row
        if len(answer.tree) < access.per_page or (total.isdecimal() and len(ids) >= int(total)):
            break
    else:
        raise ShopError(f"{access.name}: more than {PAGES_MAX} pages of products")
    if total.isdecimal() and len(ids) != int(total):
        raise ShopError(f"{access.name}: the shop counts {int(total)} products at {path} but gave {len(ids)}")


def _product(fields: Fields, product_id: str | None, access: ShopAccess) -> ShopProduct | None:
    sku = fields.text("sku", needed=False)
    if product_id is None or not sku or fields.raw("regular_price") in (None, ""):
        return None
    price_minor = to_minor(fields.amount("regular_price"), currency=access.currency)
    if fields.fault is not None or price_minor <= 0:
        return None
    return ShopProduct(sku=sku, product_id=product_id, price_minor=price_minor, currency=access.currency)
