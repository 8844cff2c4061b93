"""Shop types by name: a new type is one file and one line here."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from gateway.shops.access import ShopAccess
from gateway.shops.base import Shop
from gateway.shops.woocommerce import open_woocommerce

SHOP_TYPES: Mapping[str, Callable[[ShopAccess], AbstractAsyncContextManager[Shop]]] = {
    "woocommerce": open_woocommerce,
}


def open_shop(access: ShopAccess) -> AbstractAsyncContextManager[Shop]:
    """Open a shop of the type it names; raise `ValueError` for an unknown type."""
    try:
        return SHOP_TYPES[access.type](access)
    except KeyError:
        raise ValueError(f"no shop type {access.type!r}; there is {', '.join(sorted(SHOP_TYPES))}") from None
